#!/bin/bash
# Every cluster size, from 1 MiB to the largest size QEMU opens, with and without backing file:
# qemu-img check is clean, and one step further is a clear error.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
qemu-img create -q -f raw base.raw 1M
bad=0 n=0
for shift in 9 10 11 12 13 14 15 16 17 18 19 20 21; do
	cluster=$((1 << shift))
	# An L1 table of 32 MiB at most: 4 Mi entries of cluster/8 clusters each (QEMU QCOW_MAX_L1_SIZE).
	max=$(((4 << 20) * (cluster / 8) * cluster))
	# QEMU's limit of any image is 2^63 less alignment; 2 MiB clusters would pass it.
	[ $max -gt 0 ] || max=$(((1 << 62) - 512))
	for size in 1M 1049088 1G $max; do
		for backing in "" "--backing=base.raw"; do
			rm -f s.qcow2
			if ! kvmcrypt create -q s.qcow2 $size --cluster-size $cluster $backing 2>err; then
				# Only what QEMU cannot do either may fail.
				if qemu-img create -q -f qcow2 -o cluster_size=$cluster t.qcow2 $size 2>/dev/null; then
					echo "# cluster $cluster size $size $backing: $(cat err)"
					bad=$((bad + 1))
				fi
				rm -f t.qcow2
				continue
			fi
			n=$((n + 1))
			image_check s.qcow2 >out || { echo "# cluster $cluster size $size: $(cat out)"; bad=$((bad + 1)); }
			kvmcrypt erase -q --yes --no-libvirt s.qcow2 || bad=$((bad + 1))
		done
	done
	kvmcrypt create -q s.qcow2 $((max + cluster * 1024)) --cluster-size $cluster 2>err
	code=$?
	if [ $code != 2 ] || [ "$(wc -l <err)" != 1 ]; then
		# Unless QEMU goes further than the formula.
		if [ $code != 0 ] || ! image_check s.qcow2; then
			echo "# cluster $cluster beyond $max: exit $code $(cat err)"
			bad=$((bad + 1))
		fi
	fi
	[ $code = 0 ] && kvmcrypt erase -q --yes --no-libvirt s.qcow2
done
check_is 0 $bad "$n images over 13 cluster sizes check clean, larger ones are refused"
