#!/bin/bash
# open and close: a raw volume is a block device of the host, through dm-crypt; interoperable with cryptsetup.
. "$(dirname "$0")/../lib/vm.sh"
keystore_new
cd "$T" || exit 1
sum() { head -c 1048576 "$1" | sha256sum | cut -d' ' -f1; }
table() { dmsetup table "$1" | cut -d' ' -f3-4; }
loops() { losetup -a | wc -l; }
no_loops() { [ "$(loops)" = 0 ]; }

kvmcrypt create -q a.raw 64M --luks 2
check "open" kvmcrypt open a.raw
check_is "crypt aes-xts-plain64" "$(table a)" "it is a dm-crypt mapping called after the file"
check_is $((64 << 20)) "$(blockdev --getsize64 /dev/mapper/a)" "of exactly the size asked for"
check_is 4096 "$(blockdev --getss /dev/mapper/a)" "with 4096-byte sectors"
check "the key went through the keyring, not the table" bash -c "dmsetup table --showkeys a | grep -q ':64:logon:cryptsetup:'"
check "and is in no keyring any more" wait_for not grep cryptsetup: /proc/keys
check "mkfs" mkfs.ext4 -q /dev/mapper/a
mkdir -p mnt && mount /dev/mapper/a mnt && head -c 4M /dev/urandom >mnt/data && echo needle-in-the-clear >mnt/text
was=$(sha256sum <mnt/data)
sync
check_exit 6 "close while mounted" kvmcrypt close a.raw
check_is 1 "$(grep -c "mounted on $T/mnt" stderr)" "says who"
check_is "a false" "$(kvmcrypt list --json | jq -r '.volumes[] | "\(.mapping) \(.mapped.readonly)"')" "list shows the mapping"
check "show says who uses it" bash -c "'$KVMCRYPT' show a.raw | grep -q 'mounted on'"
umount mnt
check_is 0 "$(grep -c -a needle-in-the-clear a.raw)" "the file has only ciphertext"
check "open again is no error" kvmcrypt open a.raw
check "nor under the same name" kvmcrypt open a.raw a
check_error 6 'is open as /dev/mapper/a' "under another name it is" kvmcrypt open -q a.raw b
check_error 6 'read-write' "nor read-only" kvmcrypt open -q --readonly a.raw
check "close" kvmcrypt close a.raw
check "close again is no error" kvmcrypt close a.raw
check "the mapping is gone" test ! -e /dev/mapper/a
check_is 0 "$(loops)" "and the loop device"
check "open under another name" kvmcrypt open a.raw other
mount -o ro /dev/mapper/other mnt
check_is "$was" "$(sha256sum <mnt/data)" "the data is as it was"
umount mnt
check "close" kvmcrypt close a.raw
kvmcrypt open -q a.raw
bash -c 'exec 3</dev/mapper/a; exec sleep 1000' &
user=$!
wait_for test -e /proc/$user/fd/3
check_error 6 'open in process' "a process has it open" kvmcrypt close -q a.raw
check "close --deferred" kvmcrypt close -q --deferred a.raw
check "is still there" dmsetup info a
kill $user && wait $user 2>/dev/null
check "and goes with its last user" wait_for not dmsetup info a
check "with the loop device" wait_for no_loops

check "open read-only" kvmcrypt open --readonly a.raw
check_is 1 "$(blockdev --getro /dev/mapper/a)" "is read-only"
check_exit 1 "a write fails" bash -c "echo x >/dev/mapper/a"
kvmcrypt close -q a.raw
check "the workqueue options and discards" kvmcrypt open --discard --no-read-workqueue --no-write-workqueue a.raw
check "are in the table" bash -c "dmsetup table a | grep allow_discards | grep no_read_workqueue | grep -q no_write_workqueue"
check_is "true true true" "$(kvmcrypt show --json a.raw | jq -r '.mapped | "\(.discard) \(.no_read_workqueue) \(.no_write_workqueue)"')" "and in show"
before=$(stat -c %b a.raw)
blkdiscard /dev/mapper/a
sync
check "a discard frees blocks of the file" test "$(stat -c %b a.raw)" -lt "$before"
kvmcrypt close -q a.raw
check "--persistent" kvmcrypt open --persistent --discard a.raw
kvmcrypt close -q a.raw && kvmcrypt open -q a.raw
check "flags come back from the header" bash -c "dmsetup table a | grep -q allow_discards"
check "cryptsetup sees them" bash -c "cryptsetup luksDump a.raw | grep -q allow-discards"
kvmcrypt close -q a.raw

# Another device has the name
dmsetup create taken --table "0 8 error" 2>/dev/null
check_error 10 'another device' "a name that is taken" kvmcrypt open -q a.raw taken
dmsetup remove taken
check_error 2 'no name' "a name that is none" kvmcrypt open -q a.raw ../x
check_error 2 'only a raw' "qcow2 is not for dm-crypt" bash -c "'$KVMCRYPT' create -q q.qcow2 8M; exec '$KVMCRYPT' open -q q.qcow2"

# LUKS1
kvmcrypt create -q one.raw 32M
check "LUKS1 opens" kvmcrypt open one.raw
check_is "$((32 << 20)) 512" "$(blockdev --getsize64 --getss /dev/mapper/one | tr '\n' ' ' | sed 's/ $//')" "with its size and sectors"
check_error 6 'kvmcrypt close' "an open volume is not erased" kvmcrypt erase -q --yes --no-libvirt one.raw
check_error 6 '' "an open volume is not moved" kvmcrypt move -q --no-libvirt one.raw two.raw
check "close" kvmcrypt close one.raw

# Detached header
check "create with a detached header" kvmcrypt create -q det.raw 64M --header det.hdr
check_is $((64 << 20)) "$(stat -c %s det.raw)" "the data file is the disk and nothing else"
check "open" kvmcrypt open det.raw
mkfs.ext4 -q /dev/mapper/det
s=$(sum /dev/mapper/det)
check "close" kvmcrypt close det.raw
printf %s "$(passphrase_of det.raw)" >det.key
check "cryptsetup opens it with the header" cryptsetup open --header det.hdr --key-file det.key det.raw peer
check_is "$s" "$(sum /dev/mapper/peer)" "and reads the same"
check "kvmcrypt closes what cryptsetup opened" kvmcrypt close det.raw

# Both ways with cryptsetup
printf %s "$(passphrase_of a.raw)" >a.key
kvmcrypt open -q a.raw && mkfs.ext4 -q -F /dev/mapper/a && s=$(sum /dev/mapper/a) && kvmcrypt close -q a.raw
check "cryptsetup opens ours" cryptsetup open --key-file a.key a.raw peer
check_is "$s" "$(sum /dev/mapper/peer)" "and reads the same"
check_is peer "$(kvmcrypt show --json a.raw | jq -r .mapping)" "show knows cryptsetup's mapping"
cryptsetup close peer
kvmcrypt open -q a.raw
check "cryptsetup closes ours" cryptsetup close a
printf secret >secret
for v in 1 2; do
	truncate -s 64M peer$v.raw
	cryptsetup luksFormat -q --type luks$v --pbkdf pbkdf2 --pbkdf-force-iterations 1000 peer$v.raw secret
	cryptsetup open --key-file secret peer$v.raw peer && mkfs.ext4 -q /dev/mapper/peer && s=$(sum /dev/mapper/peer)
	cryptsetup close peer
	check "import cryptsetup's LUKS$v" kvmcrypt import -q --passphrase-file secret peer$v.raw
	check "open it" kvmcrypt open -q peer$v.raw
	check_is "$s" "$(sum /dev/mapper/peer$v)" "reads the same"
	kvmcrypt close -q peer$v.raw
done

truncate -s 48M peer3.raw
cryptsetup luksFormat -q --type luks2 --header peer3.hdr --pbkdf pbkdf2 --pbkdf-force-iterations 1000 peer3.raw secret
cryptsetup open --header peer3.hdr --key-file secret peer3.raw peer && mkfs.ext4 -q /dev/mapper/peer && s=$(sum /dev/mapper/peer)
cryptsetup close peer
check "import cryptsetup's detached header" kvmcrypt import -q --passphrase-file secret --header peer3.hdr peer3.raw
check "open it" kvmcrypt open -q peer3.raw
check_is "$s $((48 << 20))" "$(sum /dev/mapper/peer3) $(kvmcrypt show --json peer3.raw | jq .size)" "reads the same, has its size"
kvmcrypt close -q peer3.raw

# Sealed: open needs the key, close does not.
kvmcrypt open -q a.raw
kvmcrypt seal -q
mv root.key away
check_exit 0 "close while the keystore is sealed" kvmcrypt close -q a.raw
check_exit 3 "open does not" kvmcrypt open -q a.raw
mv away root.key
check_is 0 "$(grep -c cryptsetup: /proc/keys)" "no key is left in a keyring"
check_is "0 0" "$(loops) $(dmsetup ls 2>/dev/null | grep -vc 'No devices')" "no loop device and no mapping is left"
check "the keystore checks clean" kvmcrypt keystore check
