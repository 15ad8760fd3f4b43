#!/bin/bash
# rotate --volume-key in place: block devices, and LUKS2 volumes that are mapped and in use.
VM_DISKS="28M"
. "$(dirname "$0")/../lib/vm.sh"
. "$(dirname "$0")/../lib/vm-kill.sh"
digest() { cryptsetup luksDump "$1" | sed -n '/^Digests/,$s/^\tDigest: *//p'; }
plain() { # plain VOLUME: all that its mapping shows, at rest or open
	local open=
	name=$(dmsetup ls --target crypt 2>/dev/null | cut -f1 | grep -x probe)
	kvmcrypt open -q "$1" probe 2>/dev/null && open=1
	sha256sum </dev/mapper/probe | cut -d' ' -f1
	[ -z "$open" ] || kvmcrypt close -q "$1"
}
how() { jq -r '.volumes[0] | "\(.outcome) \(.how) \(.generation)"' "$T/stdout"; }

# A block device that nobody has open
kvmcrypt create -q /dev/vdb --yes-destroy /dev/vdb
kvmcrypt open -q /dev/vdb probe && head -c 24M /dev/urandom >/dev/mapper/probe && sync && kvmcrypt close -q /dev/vdb
was=$(plain /dev/vdb)
key=$(digest /dev/vdb)
passphrase_of /dev/vdb >old
head -c 4M /dev/vdb >old.hdr
check "a block device" kvmcrypt rotate --volume-key --json /dev/vdb
check_is "rotated in place 2" "$(how)" "it says so"
check_is "$was" "$(plain /dev/vdb)" "the data is the same"
check_is no "$([ "$key" = "$(digest /dev/vdb)" ] || echo no)" "the volume key is another"
check_exit 2 "the old passphrase opens nothing" cryptsetup open --test-passphrase --key-file old /dev/vdb
check "the old header does open," cryptsetup open --header old.hdr --key-file old /dev/vdb peer
check_is no "$([ "$was" = "$(sha256sum </dev/mapper/peer | cut -d' ' -f1)" ] || echo no)" "but not the data"
cryptsetup close peer
check_is ready "$(kvmcrypt show --json /dev/vdb | jq -r .state)" "the workflow is done"

# A file that is mapped, with a file system that is written to all the time
kvmcrypt create -q m.raw 32M
kvmcrypt open -q m.raw m
mkfs.ext4 -q /dev/mapper/m && mkdir mnt && mount /dev/mapper/m mnt
head -c 12M /dev/urandom >mnt/data
was=$(sha256sum <mnt/data)
key=$(digest m.raw)
passphrase_of m.raw >old
n=0
(while [ ! -e stop ]; do n=$((n + 1)); seq $n $((n + 2000)) >mnt/f$((n % 20)); sync -f mnt; echo $n >written; done) &
check "a mapped file in use" kvmcrypt rotate --volume-key --json m.raw
touch stop
wait
check_is "rotated online 2" "$(how)" "it says so"
echo "# files written meanwhile: $(cat written)"
dmsetup table
check_is crypt "$(dmsetup table m | cut -d' ' -f3)" "the mapping is a plain one again"
check_is 1 "$(dmsetup ls | wc -l)" "nothing is left beside it"
umount mnt
echo 3 >/proc/sys/vm/drop_caches
mount /dev/mapper/m mnt
check_is "$was" "$(sha256sum <mnt/data)" "the data is the same"
last=$(cat written)
check "what was written last is there" cmp mnt/f$((last % 20)) <(seq "$last" $((last + 2000)))
umount mnt
check_is no "$([ "$key" = "$(digest m.raw)" ] || echo no)" "the volume key is another"
check_exit 2 "the old passphrase opens nothing" cryptsetup open --test-passphrase --key-file old m.raw
check "close" kvmcrypt close -q m.raw
check "open" kvmcrypt open -q m.raw m
mount /dev/mapper/m mnt
check_is "$was" "$(sha256sum <mnt/data)" "the data is the same after it was opened anew"
umount mnt
kvmcrypt close -q m.raw
check_is 0 "$(grep -c cryptsetup: /proc/keys)" "no key is left in a keyring"
check "nothing mapped" nothing_mapped

# Detached header
kvmcrypt create -q d.raw 16M --header d.hdr
check_error 1 'kvmcrypt open' "a detached header at rest is refused, with the way out" kvmcrypt rotate -q --volume-key d.raw
kvmcrypt open -q d.raw probe
head -c 16M /dev/urandom >/dev/mapper/probe
was=$(sha256sum </dev/mapper/probe)
check "a detached header, mapped" kvmcrypt rotate --volume-key --json d.raw
check_is "rotated online 2" "$(how)" "it says so"
check_is "$was" "$(sha256sum </dev/mapper/probe)" "the data is the same"
kvmcrypt close -q d.raw
kvmcrypt open -q d.raw probe
check_is "$was" "$(sha256sum </dev/mapper/probe)" "and opened anew"
kvmcrypt close -q d.raw
check "the keystore checks clean" kvmcrypt keystore check
