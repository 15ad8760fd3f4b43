#!/bin/bash
# create on block devices, and volumes with integrity: what is there is not overwritten unasked, a
# changed byte is an error and never data.
. "$(dirname "$0")/../lib/vm.sh"
keystore_new
cd "$T" || exit 1
sum() { head -c 1048576 "$1" | sha256sum | cut -d' ' -f1; }

# A device that carries something
mkfs.ext4 -q /dev/vdb
check_error 9 'ext4.*--yes-destroy /dev/vdb' "a device with a file system is refused" kvmcrypt create -q /dev/vdb
check_error 9 'names /dev/vdc' "--yes-destroy of another device does not help" kvmcrypt create -q /dev/vdb --yes-destroy /dev/vdc
mkdir -p mnt && mount /dev/vdb mnt
check_error 6 "mounted on $T/mnt" "a mounted device is refused whatever is said" kvmcrypt create -q /dev/vdb --yes-destroy /dev/vdb
umount mnt
was=$(sum /dev/vdb)
dmsetup create held --table "0 2048 linear /dev/vdb 0"
check_error 6 'held by device held' "so is one that another device holds" kvmcrypt create -q /dev/vdb --yes-destroy /dev/vdb
dmsetup remove held
check_error 2 'leave SIZE out' "another size than the device's" kvmcrypt create -q /dev/vdb 10M --yes-destroy /dev/vdb
check_error 2 'is a block device' "qcow2 on a device" kvmcrypt create -q /dev/vdb --format qcow2 --yes-destroy /dev/vdb
check_error 2 'are for files' "--owner on a device" kvmcrypt create -q /dev/vdb --owner root --yes-destroy /dev/vdb
check_exit 0 "--dry-run" kvmcrypt create -q /dev/vdb --dry-run --yes-destroy /dev/vdb
check_is "$was" "$(sum /dev/vdb)" "none of these changed a byte"
check "create on the device" kvmcrypt create /dev/vdb --yes-destroy /dev/vdb
check_is "2 4096 $(((160 - 4) << 20))" "$(kvmcrypt show --json /dev/vdb | jq -r '"\(.luks.version) \(.luks.sector_size) \(.size)"')" "LUKS2 with 4096-byte sectors, all of it"
check_is "crypto_LUKS vdb" "$(blkid -p -s TYPE -o value /dev/vdb) $(blkid -p -s LABEL -o value /dev/vdb)" "blkid sees LUKS, its label and nothing of the old"
check_error 10 'is a volume' "not twice" kvmcrypt create -q /dev/vdb --yes-destroy /dev/vdb
check_exit 0 "--if-absent" kvmcrypt create -q /dev/vdb --if-absent
check "open" kvmcrypt open /dev/vdb
check_is crypt "$(dmsetup table vdb_crypt | cut -d' ' -f3)" "is called vdb_crypt"
check_is $(((160 - 4) << 20)) "$(blockdev --getsize64 /dev/mapper/vdb_crypt)" "of the recorded size"
mkfs.ext4 -q /dev/mapper/vdb_crypt
s=$(sum /dev/mapper/vdb_crypt)
check "close" kvmcrypt close /dev/vdb
printf %s "$(passphrase_of /dev/vdb)" >key
check "cryptsetup opens it" cryptsetup open --key-file key /dev/vdb peer
check_is "$s" "$(sum /dev/mapper/peer)" "and reads the same"
cryptsetup close peer
check "erase" kvmcrypt erase --yes --no-libvirt /dev/vdb
check_is "" "$(blkid -p -s TYPE -o value /dev/vdb)" "leaves no header"
check "the device is still there" test -b /dev/vdb
check "the key is worth nothing" bash -c "! cryptsetup open --key-file key /dev/vdb peer"

# LUKS1 for QEMU on a device, a detached header for a device
check "LUKS1 on a device" kvmcrypt create -q /dev/vdb --luks 1
kvmcrypt erase -q --yes --no-libvirt /dev/vdb
head -c 65536 /dev/zero >/dev/vdb
was=$(sum /dev/vdb)
check "detached header of a device" kvmcrypt create -q /dev/vdb --header vdb.hdr
check_is "$was" "$(sum /dev/vdb)" "nothing of it is on the device"
check "opens" kvmcrypt open -q /dev/vdb disk
check_is $((160 << 20)) "$(blockdev --getsize64 /dev/mapper/disk)" "all of the device is data"
kvmcrypt close -q /dev/vdb
kvmcrypt erase -q --yes --no-libvirt /dev/vdb
check "erase removed the header" test ! -e vdb.hdr

# Integrity
flip() { # flip FILE OFFSET: changes one byte
	local old
	old=$(dd if="$1" bs=1 skip="$2" count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
	# shellcheck disable=SC2059
	printf "\\$(printf %03o $((old ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
for kind in hmac-sha256 aead; do
	f=$kind.raw
	# More than one run of dm-integrity's interleaving for one of them.
	size=$([ $kind = aead ] && echo $((18 << 20)) || echo $((6 << 20)))
	check "$kind: create" kvmcrypt create -q $f $size --integrity $kind
	check_is $size "$(kvmcrypt show --json $f | jq .size)" "$kind: the disk has exactly the size asked for"
	check "$kind: open" kvmcrypt open -q $f i
	check_is "crypt integrity" "$(dmsetup table i | cut -d' ' -f3) $(dmsetup table i_dif | cut -d' ' -f3)" "$kind: dm-crypt over dm-integrity"
	check_is "$(kvmcrypt show --json $f | jq .size)" "$(blockdev --getsize64 /dev/mapper/i)" "$kind: the recorded size is true"
	check "$kind: every sector reads" cmp -n $size /dev/mapper/i /dev/zero
	dd if=/dev/urandom of=data bs=1M count=2 2>/dev/null
	dd if=data of=/dev/mapper/i bs=1M oflag=direct 2>/dev/null
	sync
	check "$kind: close" kvmcrypt close -q $f
	check_is "" "$(dmsetup ls | grep -v 'No devices')" "$kind: nothing stays"
	# As libcryptsetup 2.6 and 2.8 name the layer below; a re-encryption's helper, which has the newer prefix, too, is none.
	hex=$(kvmcrypt show --json $f | jq -r .luks.uuid | tr -d -)
	for left in INTEGRITY-$hex-left_dif SUBDEV-$hex-left_dif SUBDEV-$hex-left-hotzone-forward; do
		dmsetup create left_dif -u "CRYPT-$left" --table '0 8 error'
		kvmcrypt close -q $f
		case $left in
		*_dif) check_is "" "$(dmsetup ls | grep left)" "$kind: CRYPT-${left%%-*}, left without what was above it, goes" ;;
		*) check_is 1 "$(dmsetup ls | grep -c left)" "$kind: another's helper stays" && dmsetup remove left_dif ;;
		esac
	done
	printf %s "$(passphrase_of $f)" >key
	check "$kind: cryptsetup opens it" cryptsetup open --key-file key $f peer
	check "$kind: and reads the data" cmp -n $((2 << 20)) /dev/mapper/peer data
	# Where the first data sector lies on the disk: what changes when it is written.
	dd if=/dev/mapper/peer of=first bs=4096 count=1 iflag=direct 2>/dev/null
	cryptsetup close peer
	cp $f before
	kvmcrypt open -q $f i
	dd if=first of=/dev/mapper/i bs=4096 count=1 seek=200 oflag=direct 2>/dev/null
	kvmcrypt close -q $f
	# The journal, which is written too, lies before the data: the last place is the sector itself.
	where=$(cmp -l before $f | awk '$1 > n + 512 { run = 0 } { n = $1; if (++run > 3000) at = n - 1 } END { print at }')
	check "$kind: found the sector in the file" test -n "$where"
	flip $f "$where"
	kvmcrypt open -q $f i
	check_exit 1 "$kind: a changed byte is an error when read" dd if=/dev/mapper/i of=/dev/null bs=4096 count=1 skip=200 iflag=direct
	check "$kind: and not data" bash -c "! cmp -s <(dd if=/dev/mapper/i bs=4096 count=1 skip=200 iflag=direct 2>/dev/null) first"
	check "$kind: the others read on" dd if=/dev/mapper/i of=/dev/null bs=4096 count=100 iflag=direct
	kvmcrypt close -q $f
	kvmcrypt erase -q --yes --no-libvirt $f
done
check_error 2 'takes no discards' "no discards with integrity" bash -c "'$KVMCRYPT' create -q d.raw 8M --integrity aead && '$KVMCRYPT' open -q --discard d.raw"
check "integrity with a detached header" kvmcrypt create -q e.raw 8M --integrity hmac-sha256 --header e.hdr
check "opens" kvmcrypt open -q e.raw
check_is "$((8 << 20)) $((8 << 20))" "$(kvmcrypt show --json e.raw | jq .size) $(blockdev --getsize64 /dev/mapper/e)" "with exactly its size"
kvmcrypt close -q e.raw
check "integrity on a device" kvmcrypt create -q /dev/vdc --integrity aead
check "opens" kvmcrypt open -q /dev/vdc c
check_is "$(kvmcrypt show --json /dev/vdc | jq .size)" "$(blockdev --getsize64 /dev/mapper/c)" "the recorded size is true"
kvmcrypt close -q /dev/vdc
truncate -s 48M peer.raw
printf secret >key
check "import of cryptsetup's integrity volume" bash -c "cryptsetup luksFormat -q --type luks2 --integrity hmac-sha256 --integrity-no-wipe --pbkdf pbkdf2 --pbkdf-force-iterations 1000 peer.raw key && '$KVMCRYPT' import -q --passphrase-file key peer.raw"
check "opens" kvmcrypt open -q peer.raw
kvmcrypt close -q peer.raw
check_is "0 0" "$(losetup -a | wc -l) $(dmsetup ls | grep -vc 'No devices')" "no loop device and no mapping is left"
check "the keystore checks clean" kvmcrypt keystore check
