#!/bin/bash
# kvmcrypt erase: after it nothing opens, not even with a key that was good before.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
for f in a.qcow2 b.raw; do
	kvmcrypt create -q $f 32M
	passphrase_of $f >key.$f
	cp $f copy.$f
done
opens() {
	case $1 in
	*.raw) cryptsetup open --test-passphrase --type luks1 --key-file "$2" "$1" ;;
	*) qemu-io --object secret,id=s0,file="$2" --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1" -c "read 0 4k" ;;
	esac
}
check "the key opens a.qcow2 before" opens a.qcow2 key.a.qcow2
check "the key opens b.raw before" opens b.raw key.b.raw
check_error 9 'yes' "without a terminal it needs --yes" setsid "$KVMCRYPT" erase a.qcow2
check_exit 0 "--dry-run" kvmcrypt erase --dry-run a.qcow2
check "and all is there" opens a.qcow2 key.a.qcow2
for f in a.qcow2 b.raw; do
	check "erase --keep-file $f" kvmcrypt erase --yes --keep-file $f
	check "$f: the file is there" test -f $f
	if opens $f key.$f >/dev/null 2>&1; then not_ok "$f: the old key opens nothing"; else ok "$f: the old key opens nothing"; fi
	check_exit 4 "$f: the record is gone" kvmcrypt show $f
	# Key material of slot 0 starts 4096 bytes behind the header's magic: 64 bytes in 4000 stripes.
	at=$(($(grep -a -b -o LUKS copy.$f | head -n 1 | cut -d: -f1) + 4096))
	same=0
	for block in $(seq 0 61); do
		cmp -s -n 4096 -i $((at + block * 4096)) copy.$f $f && same=$((same + 1))
	done
	check_is 0 $same "$f: not one of 62 blocks of its key material is left"
	check_is 0 "$(grep -a -c LUKS $f)" "$f: no LUKS magic is left"
done
rm a.qcow2 b.raw

kvmcrypt create -q c.qcow2 32M
check "erase removes the file" kvmcrypt erase --yes c.qcow2
check_exit 1 "it is gone" test -e c.qcow2
check_error 4 'no volume|o such' "a second erase finds nothing" kvmcrypt erase --yes -q c.qcow2
check "the path is free again" kvmcrypt create -q c.qcow2 32M
rm c.qcow2
check_error 9 'mount its file system.*kvmcrypt move.*--missing' "a record without a file is not erased by --yes alone" kvmcrypt erase -q --yes c.qcow2
check_error 9 '--missing' "nor said to be erasable" kvmcrypt erase -q --dry-run c.qcow2
check_is missing "$(kvmcrypt show --json c.qcow2 | jq -r .state)" "the record is there"
check_error 10 'mount its file system.*kvmcrypt move' "create over it names what helps" kvmcrypt create -q --if-absent c.qcow2 32M
check "with --missing it is erased" kvmcrypt erase --yes --missing c.qcow2
check_exit 4 "and gone" kvmcrypt show c.qcow2

kvmcrypt create -q d.raw 32M
passphrase_of d.raw >key.d
hold_open --object secret,id=s0,file=key.d --image-opts driver=luks,key-secret=s0,file.filename=d.raw
check_error 6 'in use' "a volume in use" kvmcrypt erase --yes -q d.raw
let_go
check "still opens" opens d.raw key.d
check_is ready "$(kvmcrypt show --json d.raw | jq -r .state)" "and is ready"

kvmcrypt create -q base.qcow2 8M
kvmcrypt create -q over.qcow2 --backing base.qcow2
check_error 9 'backing file of volume .*over.qcow2' "a backing file of another volume" kvmcrypt erase --yes -q base.qcow2
check "the overlay first" kvmcrypt erase --yes -q over.qcow2
check "then the backing file" kvmcrypt erase --yes -q base.qcow2

# The name of a block device belongs to the system.
cp copy.b.raw disk
if loop=$(losetup -f --show disk 2>/dev/null) && mknod dev b "0x$(stat -c %t "$loop")" "0x$(stat -c %T "$loop")"; then
	check "import a block device" kvmcrypt import --passphrase-file key.b.raw dev
	check_is true "$(kvmcrypt erase -q --json --yes dev | jq .file_kept)" "erase a block device"
	if opens dev key.b.raw >/dev/null 2>&1; then not_ok "its old key opens nothing"; else ok "its old key opens nothing"; fi
	check "its name is still there" test -b dev
else
	skip "no loop devices here"
fi
[ -z "$loop" ] || losetup -d "$loop"

# An erase that was killed has destroyed keyslots, whatever stops the one that finishes it.
kvmcrypt create -q e.raw 8M
strace -f -qq -o /dev/null -P "$T/e.raw" -e trace=pwrite64 -e inject=pwrite64:signal=KILL:when=2 \
	"$KVMCRYPT" erase -q --yes e.raw 2>/dev/null
check_is erasing "$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("e.raw")) | .state')" "a killed erase"
# An OFD lock (F_OFD_SETLK is 37, F_WRLCK 1) on byte 100.
# shellcheck disable=SC2016
perl -e 'open(F, "+<", "e.raw") or die; my $lock = pack("ssx4qqlx4", 1, 0, 100, 1, 0);
	fcntl(F, 37, $lock) or die; $| = 1; print "locked\n"; sleep 1000' >locked &
locker=$!
wait_for test -s locked
check_exit 6 "recover of a volume in use" kvmcrypt recover --json
check_is "1 failed busy" "$(jq -rs '[length, .[0].volumes[0].outcome, .[0].error.kind] | map(tostring) | join(" ")' stdout)" "rows and failure are one document"
check_is erasing "$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("e.raw")) | .state')" "does not call it ready"
kill $locker
wait $locker 2>/dev/null
check "recover finishes it later" kvmcrypt recover
check_exit 4 "the record is gone" kvmcrypt show e.raw

# Somebody else's file at the place of an erased volume's path is not ours to destroy.
uuid=$(kvmcrypt show --json d.raw | jq -r .uuid)
mv d.raw d.moved
echo precious >d.raw
check_error 7 'nothing was changed.*--damaged' "erase by UUID with a stranger's file at the path" kvmcrypt erase --yes -q "$uuid"
check_error 7 '--damaged' "says so before anything is done" kvmcrypt erase --dry-run -q "$uuid"
check_is "ready 1" "$(kvmcrypt list --json | jq -r --arg u "$uuid" '.volumes[] | select(.uuid == $u) | .state + " " + (.generation | tostring)')" "and the record is as it was"
check_is "true false true" "$(kvmcrypt erase --yes --damaged --json "$uuid" 2>said | jq -r '"\(.erased) \(.keyslots_destroyed) \(.file_kept)"')" "--damaged destroys the record"
check "and says that no keyslot was" grep 'no keyslot was destroyed' said
check_is precious "$(cat d.raw)" "and leaves that file alone"

# A damaged image: its keyslots are there, and may be readable again one day.
for f in damaged.raw damaged.qcow2; do
	kvmcrypt create -q $f 8M
	passphrase_of $f >key.damaged
	cp $f intact
	at=$(grep -a -b -o LUKS $f | head -n 1 | cut -d: -f1)
	printf '\377\377' | dd of=$f bs=1 seek=$((at + 4)) conv=notrunc 2>/dev/null
	sum=$(sha256sum <$f)
	check_error 7 'nothing was changed.*--damaged' "$f: a damaged header is refused" kvmcrypt erase --yes -q $f
	check_is "$sum" "$(sha256sum <$f)" "$f: nothing was written"
	check_is damaged "$(kvmcrypt show --json $f | jq -r .state)" "$f: the record is there"
	cp intact $f
	check_is ready "$(kvmcrypt show --json $f | jq -r .state)" "$f: put right it is as before"
	check "$f: and its key opens it" opens $f key.damaged
	printf '\377\377' | dd of=$f bs=1 seek=$((at + 4)) conv=notrunc 2>/dev/null
	check "$f: --damaged" kvmcrypt erase --yes --damaged $f
	check_is 1 "$(grep -c 'no keyslot was destroyed on disk' stderr)" "$f: says what remains"
	check_exit 4 "$f: the record is gone" kvmcrypt show $f
	check_is "$sum" "$(sha256sum <$f)" "$f: the file was left alone"
done
kvmcrypt create -q whole.raw 8M
check_is "true true false" "$(kvmcrypt erase --yes -q --damaged --json whole.raw | jq -r '"\(.erased) \(.keyslots_destroyed) \(.file_kept)"')" "--damaged on a sound image is a plain erase"
kvmcrypt create -q last.raw 8M
strace -f -y -o calls -e trace=unlinkat,close "$KVMCRYPT" erase -q --yes last.raw 2>/dev/null
check_is "unlinkat close" "$(grep -F last.raw calls | grep -oE 'unlinkat|close' | tail -n 2 | xargs)" "the image stays locked until its name is gone"
kvmcrypt create -q det.raw 8M --header det.hdr
check "a detached header" kvmcrypt erase --yes det.raw
check_is "" "$(ls det.* 2>/dev/null)" "goes with its data file"
check "the audit trail keeps the fact" bash -c "'$KVMCRYPT' keystore log | grep -w erase"
check "the keystore checks clean" kvmcrypt keystore check

# With a second image beside it, whose keys would be forgotten and not destroyed.
kvmcrypt create -q two.raw 16M
image_io raw two.raw -c 'write -P 5 0 14M' >/dev/null
ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=1 "$KVMCRYPT" rotate -q --volume-key two.raw >/dev/null 2>&1
check_error 6 'kvmcrypt recover' "a volume whose copy was interrupted" kvmcrypt erase -q --yes two.raw
check "recover" kvmcrypt recover -q
check "then it can be erased" kvmcrypt erase -q --yes two.raw
check_is "" "$(find . -name '*.kvmcrypt-new')" "and no copy is left"
