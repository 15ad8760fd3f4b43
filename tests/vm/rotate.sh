#!/bin/bash
# kvmcrypt rotate and header restore while the kernel has the volume open: the mapping notices nothing.
. "$(dirname "$0")/../lib/vm.sh"
keystore_new
cd "$T" || exit 1
mkdir mnt
opens() { cryptsetup open --test-passphrase --key-file "$2" "$1"; }
opens_not() { ! opens "$@" 2>/dev/null; }
kvmcrypt create -q two.raw 16M --luks 2
kvmcrypt create -q one.raw 16M --luks 1
kvmcrypt create -q det.raw 16M --luks 2 --header det.hdr
kvmcrypt create -q int.raw 8M --integrity hmac-sha256
kvmcrypt create -q --yes-destroy /dev/vdb /dev/vdb
for v in two.raw one.raw det.raw int.raw /dev/vdb; do
	header=$v
	[ $v = det.raw ] && header=det.hdr
	kvmcrypt open -q "$v" m
	{ mkfs.ext4 -q /dev/mapper/m && mount /dev/mapper/m mnt; } || not_ok "$v: mount"
	seq 20000 >mnt/before
	passphrase_of "$v" >old
	check "$v: rotate while mounted" kvmcrypt rotate --json "$v"
	check_is "rotated mapped 2" "$(jq -r '.volumes[0] | "\(.outcome) \(.how) \(.generation)"' "$T/stdout")" "$v: it says so"
	seq 30000 >mnt/after
	check "$v: unmount" umount mnt
	passphrase_of "$v" >new
	check "$v: the new passphrase opens it" opens "$header" new
	check "$v: the old one does not" opens_not "$header" old
	kvmcrypt close -q "$v"
	check "$v: opens again" kvmcrypt open "$v" m
	mount /dev/mapper/m mnt
	check_is "$(seq 20000 | sha256sum) $(seq 30000 | sha256sum)" "$(sha256sum <mnt/before) $(sha256sum <mnt/after)" "$v: what was written before and after is there"
	umount mnt
	[ $v = int.raw ] || {
		dd if=/dev/zero of="$header" bs=4096 count=16 conv=notrunc status=none
		check "$v: restore the header that was overwritten under the mapping" kvmcrypt header restore --yes "$v"
	}
	kvmcrypt close -q "$v"
	check "$v: opens by it" kvmcrypt open "$v" m
	mount -o ro /dev/mapper/m mnt || not_ok "$v: mount"
	check_is "$(seq 20000 | sha256sum)" "$(sha256sum <mnt/before)" "$v: the data is there"
	umount mnt
	check "$v: close" kvmcrypt close "$v"
done
check_error 1 'dm-integrity' "no new volume key with integrity" kvmcrypt rotate -q --volume-key int.raw
check "the keystore is clean" kvmcrypt keystore check -q
