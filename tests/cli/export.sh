#!/bin/bash
# kvmcrypt open --export: a volume's contents for this host, without device-mapper.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 16M
kvmcrypt create -q b.raw 16M
kvmcrypt create -q over.qcow2 --backing a.qcow2
image_io qcow2 "$T/a.qcow2" -c "write -P 0x31 1M 64k" >/dev/null
image_io raw "$T/b.raw" -c "write -P 0x32 1M 64k" >/dev/null
byte() { dd if="$1" bs=1 skip=1048576 count=1 2>/dev/null | od -An -tx1 | tr -d ' '; }
daemons() { pgrep -f "qemu-storage-daemon.*$T" | wc -l; }

if [ -e /dev/fuse ]; then
	check "fuse: a qcow2" kvmcrypt open a.qcow2 a.img --export fuse
	check_is "16777216 31" "$(stat -c %s a.img) $(byte a.img)" "is a file with its contents"
	check_exit 0 "again is no error" kvmcrypt open a.qcow2 a.img --export fuse
	check_error 6 'close' "elsewhere it is" kvmcrypt open -q a.qcow2 other.img --export fuse
	check_exit 1 "it is read-only" bash -c "printf x | dd of=a.img bs=1 conv=notrunc"
	check_is "fuse $T/a.img false" "$(kvmcrypt show --json a.qcow2 | jq -r '.export | "\(.type) \(.target) \(.writable)"')" "show says so"
	check_error 6 'in use' "meanwhile the image is in use" kvmcrypt erase -q --yes --no-libvirt a.qcow2
	check "an overlay on it is served with it" kvmcrypt open over.qcow2 over.img --export fuse
	check_is 31 "$(byte over.img)" "and shows the backing file's contents"
	pid=$(pgrep -f "qemu-storage-daemon.*over.img" | head -n 1)
	check_is 0 "$(tr '\0' '\n' <"/proc/$pid/cmdline" | grep -c -F -e "$(passphrase_of over.qcow2)")" "the passphrase is not in its argv"
	check "it can leave no core" grep -qE 'Max core file size +0 +0' "/proc/$pid/limits"
	check "close the overlay" kvmcrypt close over.qcow2
	check "close" kvmcrypt close a.qcow2
	check_is "0 0" "$(daemons) $(find . -name '*.img' | wc -l)" "no daemon and no file is left"
	check_exit 0 "close again is no error" kvmcrypt close a.qcow2
	check "writable" kvmcrypt open b.raw b.img --export fuse --writable
	check_is 32 "$(byte b.img)" "shows the contents of a raw volume"
	if loop=$(losetup -f --show b.img 2>/dev/null); then
		check_is 32 "$(byte "$loop")" "losetup works on it"
		losetup -d "$loop"
		wait_for not losetup "$loop" # whoever looks at new devices may have it a moment longer
	else
		skip "no loop devices"
	fi
	printf '\064' | dd of=b.img bs=1 seek=1048576 conv=notrunc 2>/dev/null
	check "close" kvmcrypt close b.raw
	check "what was written is in the volume" image_io raw "$T/b.raw" -c "read -P 0x34 1M 1"
	kvmcrypt open -q a.qcow2 a.img --export fuse
	pkill -9 -f "qemu-storage-daemon.*$T"
	wait_for not pgrep -f "qemu-storage-daemon.*$T"
	check "close after the daemon was killed" kvmcrypt close a.qcow2
else
	skip "no /dev/fuse"
fi
check "nbd: serve on a socket" kvmcrypt open a.qcow2 a.sock --export nbd
check "qemu-io reads over it" qemu-io -r --image-opts driver=nbd,server.type=unix,server.path=a.sock -c "read -P 0x31 1M 64k"
check "nbdcopy reads over it" nbdcopy "nbd+unix:///?socket=a.sock" a.copy
check_is "16777216 31" "$(stat -c %s a.copy) $(byte a.copy)" "all of the guest's disk, in the clear"
check_exit 1 "but does not write" nbdcopy a.copy "nbd+unix:///?socket=a.sock"
check_exit 1 "and may not write" qemu-io --image-opts driver=nbd,server.type=unix,server.path=a.sock -c "write 0 4k"
check "close" kvmcrypt close a.qcow2
check "nbd, writable" kvmcrypt open a.qcow2 a.sock --export nbd --writable
printf '\067' | dd of=a.copy bs=1 seek=1048576 conv=notrunc 2>/dev/null
check "nbdcopy writes over it" nbdcopy --flush a.copy "nbd+unix:///?socket=a.sock"
check "close" kvmcrypt close a.qcow2
check "what it wrote is in the volume" image_io qcow2 "$T/a.qcow2" -c "read -P 0x37 1M 1"
check "which is sound" image_check a.qcow2
check_is 0 "$(daemons)" "the daemon is gone"
check_exit 1 "and the socket" test -e a.sock
echo precious >file
check_error 10 'exists' "a file that is not empty is not mounted over" kvmcrypt open -q a.qcow2 file --export fuse
check_error 10 'exists' "nor taken as a socket" kvmcrypt open -q a.qcow2 file --export nbd
check_error 2 'needs a' "no target" kvmcrypt open -q a.qcow2 --export fuse
check_error 2 'dm-crypt' "options of the kernel's mapping" kvmcrypt open -q a.qcow2 x --export nbd --discard
mv root.key away
check_error 3 'unseal' "sealed" kvmcrypt open -q a.qcow2 x --export nbd
mv away root.key
check "the keystore checks clean" kvmcrypt keystore check
