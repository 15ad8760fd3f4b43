#!/bin/bash
# kill -9 of create at its system calls, on files and devices, detached and with integrity, and of
# growing one with integrity: recover
# puts it right, no mapping, loop device or temporary file is left.
. "$(dirname "$0")/../lib/vm.sh"
. "$(dirname "$0")/../lib/vm-kill.sh"

sweep_create() { # sweep_create WHAT IMAGE HEADER SAMPLES CALLS COMMAND...
	local what=$1 image=$2 header=$3 samples=$4 calls=$5 call n at
	shift 5
	for call in $calls; do
		at=$(points "$call" "$samples" create -q "$@")
		kvmcrypt erase -q --yes --no-libvirt "$image" || bad "$what: nothing to sweep over"
		for n in $at; do
			killed_at "$call" "$n" create -q "$@" || { kvmcrypt erase -q --yes --no-libvirt "$image"; continue; }
			landed=$((landed + 1))
			recovered || bad "$what killed at $call $n"
			nothing_mapped || bad "$what killed at $call $n: mapping left"
			if kvmcrypt open -q "$image" probe 2>/dev/null; then
				kvmcrypt close -q "$image" && kvmcrypt erase -q --yes --no-libvirt "$image" || bad "$what killed at $call $n: cannot go on"
			elif [ -f "$image" ] || [ -e "$header" ]; then
				bad "$what killed at $call $n: a file without its record"
				rm -f "$image" "$header"
			fi
		done
	done
}
others=$(in_full fdatasync ftruncate fallocate unlinkat)
sweep_create "create --luks 2" v.raw none 2 "pwrite64 renameat2 $others" v.raw 2M --luks 2
verdict "create --luks 2" 2
sweep_create "create DEVICE" /dev/vdb none 3 "pwrite64 $others" /dev/vdb --yes-destroy /dev/vdb
verdict "create DEVICE" 2
sweep_create "create --header" d.raw d.hdr 1 "renameat2 pwrite64 $others" d.raw 2M --header d.hdr
verdict "create --header" 2
sweep_create "create --integrity" i.raw none 4 "ioctl $(in_full pwrite64) $others" i.raw 2M --integrity hmac-sha256
verdict "create --integrity" 3

# A volume with integrity that grows: the old size or the new one, and every sector reads.
kvmcrypt create -q g.raw 1M --integrity aead
size=$((1 << 20))
for call in ioctl $(in_full pwrite64 ftruncate fsync fdatasync); do
	for n in $(points "$call" 3 resize -q g.raw $((size + 65536))); do
		size=$((size + 131072))
		killed_at "$call" "$n" resize -q g.raw $size && landed=$((landed + 1))
		recovered || bad "resize killed at $call $n"
		nothing_mapped || bad "resize killed at $call $n: mapping left"
		kvmcrypt open -q g.raw g || bad "resize killed at $call $n: does not open"
		now=$(kvmcrypt list --json | jq '.volumes[] | select(.path | endswith("g.raw")).size')
		[ "$(blockdev --getsize64 /dev/mapper/g)" = "$now" ] || bad "resize killed at $call $n: not the size of the record"
		dd if=/dev/mapper/g of=/dev/null bs=64K 2>/dev/null || bad "resize killed at $call $n: does not read"
		kvmcrypt close -q g.raw || bad "resize killed at $call $n: does not close"
	done
done
verdict "resize --integrity" 2
check "the keystore checks clean" kvmcrypt keystore check
