#!/bin/bash
# resize of volumes that the kernel has mapped: the mapping follows, data stays.
. "$(dirname "$0")/../lib/vm.sh"
keystore_new
cd "$T" || exit 1
size() { blockdev --getsize64 /dev/mapper/"$1"; }
for luks in 1 2; do
	f=l$luks.raw
	kvmcrypt create -q $f 32M --luks $luks
	kvmcrypt open -q $f
	mkfs.ext4 -q /dev/mapper/l$luks && mkdir -p mnt && mount /dev/mapper/l$luks mnt
	head -c 4M /dev/urandom >mnt/data
	was=$(sha256sum <mnt/data)
	check "LUKS$luks: grow while mounted" kvmcrypt resize $f 64M
	check_is $((64 << 20)) "$(size l$luks)" "LUKS$luks: the mapping has exactly 64 MiB"
	check "LUKS$luks: the file system grows into it" resize2fs /dev/mapper/l$luks
	check_is "$was" "$(sha256sum <mnt/data)" "LUKS$luks: the data is there"
	umount mnt
	check_error 9 'shrink' "LUKS$luks: smaller is refused" kvmcrypt resize -q $f 16M
	check "LUKS$luks: --shrink while open" kvmcrypt resize $f 48M --shrink
	check_is $((48 << 20)) "$(size l$luks)" "LUKS$luks: the mapping follows"
	check "LUKS$luks: close" kvmcrypt close $f
	check "LUKS$luks: grow at rest" kvmcrypt resize $f 80M
	check "LUKS$luks: open" kvmcrypt open -q $f
	check_is "$((80 << 20)) $((80 << 20))" "$(size l$luks) $(kvmcrypt show --json $f | jq .size)" "LUKS$luks: 80 MiB"
	kvmcrypt close -q $f
done
check_is 0 "$(grep -c cryptsetup: /proc/keys)" "no key is left in a keyring"

# With integrity: at rest, and every new sector has its tag.
for kind in hmac-sha256 aead; do
	kvmcrypt create -q i.raw 4M --integrity $kind
	kvmcrypt open -q i.raw
	head -c 4M /dev/urandom >data
	dd if=data of=/dev/mapper/i bs=1M oflag=direct 2>/dev/null
	check_error 6 'kvmcrypt close' "$kind: not while it is open" kvmcrypt resize -q i.raw 8M
	kvmcrypt close -q i.raw
	check_error 2 'create a smaller' "$kind: not smaller" kvmcrypt resize -q i.raw 2M --shrink
	check_error 2 'multiple of 4096' "$kind: no odd size" kvmcrypt resize -q i.raw 4194816
	check "$kind: grow" kvmcrypt resize i.raw 9M
	check "$kind: open" kvmcrypt open -q i.raw
	check_is $((9 << 20)) "$(size i)" "$kind: exactly 9 MiB"
	check "$kind: the data is there" cmp -n $((4 << 20)) /dev/mapper/i data
	check "$kind: and zeros behind it" cmp -n $((5 << 20)) /dev/mapper/i /dev/zero $((4 << 20)) 0
	kvmcrypt close -q i.raw
	printf %s "$(passphrase_of i.raw)" >key
	check "$kind: cryptsetup opens it" cryptsetup open --key-file key i.raw peer
	check_is $((9 << 20)) "$(size peer)" "$kind: with the same size"
	cryptsetup close peer
	kvmcrypt erase -q --yes --no-libvirt i.raw
done
check "the keystore checks clean" kvmcrypt keystore check
