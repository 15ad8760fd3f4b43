#!/bin/bash
# kvmcrypt rotate --volume-key on files: the same plaintext under another key, in the same places.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
digest() { cryptsetup luksDump "$1" | sed -n 's/^MK digest: *//p'; }
# What a guest sees, by QEMU: a raw copy of all of it.
plain() { # plain FORMAT VOLUME [SNAPSHOT]
	case $1 in
	qcow2) set -- "driver=qcow2,encrypt.key-secret=s0,file.filename=$2" "$2" ${3:+-l "snapshot.name=$3"} ;;
	raw) set -- "driver=luks,key-secret=s0,file.filename=$2" "$2" ;;
	esac
	local image=$1 volume=$2
	shift 2
	qemu-img convert -U --object secret,id=s0,file=<(passphrase_of "$volume") --image-opts "$image" "$@" -O raw plain.out && sha256sum <plain.out
}
rotated() { # rotated NAME FORMAT VOLUME: the checks around one rotation
	local name=$1 format=$2 f=$3 before after blocks
	# Sectors of a raw volume that nobody ever wrote read as noise, another noise under each key.
	[ "$format" = raw ] || before=$(plain "$format" "$f")
	blocks=$(stat -c %b "$f")
	passphrase_of "$f" >old
	cp --sparse=always "$f" copy
	check "$name: rotate --volume-key" kvmcrypt rotate --volume-key --json "$f"
	check_is "rotated copy" "$(jq -r '.volumes[0] | "\(.outcome) \(.how)"' "$T/stdout")" "$name: it says so"
	if [ "$format" = raw ]; then
		check "$name: the guest sees the same" image_io raw "$f" -c 'read -P 17 0 4M' -c 'read -P 18 20M 3M' -c 'read -P 19 50331136 512'
	else
		after=$(plain "$format" "$f")
		check_is "$before" "$after" "$name: the guest sees the same"
	fi
	check_is ready "$(kvmcrypt show --json "$f" | jq -r .state)" "$name: the workflow is done"
	[ "$(stat -c %b "$f")" -le $((blocks + 512)) ] && ok "$name: no larger on disk" || not_ok "$name: no larger on disk ($blocks, $(stat -c %b "$f"))"
	check_is "" "$(find . -name '*.kvmcrypt-new')" "$name: no temporary file"
	[ "$format" = raw ] || check "$name: the image is clean" image_check "$f"
}

kvmcrypt create -q a.raw 48M
image_io raw a.raw -c 'write -P 17 0 4M' -c 'write -P 18 20M 3M' -c 'write -P 19 50331136 512' >/dev/null
was=$(digest a.raw)
rotated "raw" raw a.raw
[ "$was" != "$(digest a.raw)" ] && ok "another volume key" || not_ok "another volume key"
# The old data under the new header: not one megabyte may read as before.
cp --sparse=always copy mixed.raw
dd if=a.raw of=mixed.raw bs=1M count=2 conv=notrunc status=none
check_exit 1 "the old ciphertext does not open with the new key" bash -c 'qemu-io --object secret,id=s0,file=<('"$KVMCRYPT"' passphrase show --yes a.raw) --image-opts driver=luks,key-secret=s0,file.filename=mixed.raw -c "read -P 17 0 1M"'
check_is "$(cryptsetup luksUUID a.raw)" "$(kvmcrypt show --json a.raw | jq -r .luks.uuid)" "the LUKS UUID stays"

for c in 512 4k 64k 2M; do
	kvmcrypt create -q --cluster-size $c q$c.qcow2 40M
	image_io qcow2 q$c.qcow2 -c 'write -P 21 1M 2M' -c 'write -P 22 33333k 64k' -c 'write -P 23 100k 4k' >/dev/null
	rotated "clusters of $c" qcow2 q$c.qcow2
done
qemu-img create -q -f qcow2 --object secret,id=s0,data=qemusown -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10,encrypt.hash-alg=sha512,encrypt.cipher-alg=aes-128,extended_l2=on,cluster_size=128k e.qcow2 24M
printf qemusown >qemu
kvmcrypt import -q --passphrase-file qemu e.qcow2
image_io qcow2 e.qcow2 -c 'write -P 31 1M 6k' -c 'write -P 32 5M 1M' >/dev/null
rotated "QEMU's own, extended L2, 256 bits" qcow2 e.qcow2
check_exit 1 "which its old passphrase opens no more" bash -c 'qemu-io --object secret,id=s0,file=qemu --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=e.qcow2 -c "read 0 512"'

kvmcrypt create -q s.qcow2 24M
image_io qcow2 s.qcow2 -c 'write -P 41 0 1M' >/dev/null
qemu-img snapshot --object secret,id=s0,file=<(passphrase_of s.qcow2) -c one --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=s.qcow2
image_io qcow2 s.qcow2 -c 'write -P 42 0 1M' >/dev/null
snapshot=$(plain qcow2 s.qcow2 one)
rotated "with an internal snapshot" qcow2 s.qcow2
check_is "$snapshot" "$(plain qcow2 s.qcow2 one)" "the snapshot is the same too"

kvmcrypt create -q --backing q64k.qcow2 over.qcow2
kvmcrypt rotate -q --volume-key over.qcow2 >/dev/null
check_is "q64k.qcow2" "$(basename "$(kvmcrypt show --json over.qcow2 | jq -r .backing_file)")" "an overlay keeps its backing file"
check "and is clean" image_check over.qcow2

kvmcrypt create -q --luks 2 l2.raw 24M
check "LUKS2" kvmcrypt rotate -q --volume-key l2.raw
check "opens with the new passphrase" cryptsetup open --test-passphrase --key-file <(passphrase_of l2.raw) l2.raw

# Killed in the middle, again: goes on; recover: takes it back.
kvmcrypt create -q big.raw 96M
image_io raw big.raw -c 'write -P 51 0 96M' >/dev/null
before=$(plain raw big.raw)
export ASAN_OPTIONS=detect_leaks=0
kill_at() { strace -f -qq -o /dev/null -e trace="$1" -e inject="$1":signal=KILL:when="$2" "$KVMCRYPT" rotate -q --volume-key big.raw >/dev/null 2>&1; }
kill_at sync_file_range 3
check_is converting "$(kvmcrypt show --json big.raw | jq -r .state)" "killed in the middle of the copy"
check "the old passphrase still opens it" image_io raw big.raw -c 'read -P 51 1M 64k'
kvmcrypt rotate --volume-key --progress json --json big.raw >out 2>progress
check_is "rotated" "$(jq -r '.volumes[0].outcome' out)" "run again it ends"
check_is "$before" "$(plain raw big.raw)" "with the same plaintext"
kill_at sync_file_range 3
check "recover takes it back" kvmcrypt recover --json
check_is "converting undone" "$(jq -r '.volumes[0] | "\(.was) \(.outcome)"' "$T/stdout")" "and says so"
check_is "" "$(find . -name '*.kvmcrypt-new')" "no copy is left"
check_is "$before" "$(plain raw big.raw)" "the plaintext is the same"
kill_at renameat 1
check "killed at the rename: recover" kvmcrypt recover -q
check_is "$before" "$(plain raw big.raw)" "the plaintext is the same still"
# Behind the rename, before it is synced: whoever commits syncs it first, as the old passphrase goes then.
strace -f -qq -y -o trace -e trace=renameat,fsync "$KVMCRYPT" rotate -q --volume-key big.raw >/dev/null
pid=$(awk '/ renameat\(.*kvmcrypt-new/ { print $1; exit }' trace)
n=$(awk -v pid="$pid" '$1 == pid && / fsync\(/ { n++ } $1 == pid && / renameat\(.*kvmcrypt-new/ { print n + 1; exit }' trace)
before=$(plain raw big.raw)
kill_at fsync "$n"
check_is converting "$(kvmcrypt show --json big.raw | jq -r .state)" "killed between the rename and its sync"
check_is "" "$(find . -name '*.kvmcrypt-new')" "the copy has its name"
check "recover" strace -f -qq -y -o trace -e trace=fsync,fdatasync "$KVMCRYPT" recover -q
check "syncs the directory before it stores that it is done" awk -v dir="<$T>" 'index($0, dir) { synced = 1 } synced && /keystore.db/ { ok = 1 } END { exit !ok }' trace
check_is "$before" "$(plain raw big.raw)" "with the same plaintext again"
kill_at fsync "$n"
check_is converting "$(kvmcrypt show --json big.raw | jq -r .state)" "killed there once more"
check "the same command again ends it" kvmcrypt rotate -q --volume-key big.raw
check_is "ready 1" "$(kvmcrypt show --json big.raw | jq -r '"\(.state) \([.luks.keyslots[] | select(.state == "active")] | length)"')" "with one keyslot"
check_is "$before" "$(plain raw big.raw)" "and the plaintext"

# What a copy cannot do is refused before anything is written.
ln big.raw second-name.raw
check_error 9 'names' "a file with two names" kvmcrypt rotate -q --volume-key big.raw
rm second-name.raw
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	mkdir small
	check "a file system that is too small" unshare -m bash -c '
		mount -t tmpfs -o size=40m none small && "$1" create -q --preallocation full small/s.raw 24M || exit
		"$1" rotate -q --volume-key small/s.raw 2>err; [ $? = 1 ] && grep -q "has .* free" err && [ "$(ls -A small)" = s.raw ] &&
		[ "$("$1" show --json small/s.raw | jq -r .state)" = ready ]' _ "$KVMCRYPT"
else
	skip "a file system that is too small needs root"
fi
check_exit 0 "--dry-run" kvmcrypt rotate --dry-run --volume-key big.raw
check_is "$before" "$(plain raw big.raw)" "changes nothing"
kvmcrypt erase -q --yes --no-libvirt small/s.raw 2>/dev/null
check "the keystore is clean" kvmcrypt keystore check -q
