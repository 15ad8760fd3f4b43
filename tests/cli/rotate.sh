#!/bin/bash
# kvmcrypt rotate at rest: a new passphrase, the old one opens nothing, others' keyslots stay.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
printf 'of a person' >person

# opens FILE PASSPHRASE-FILE, by the peers' tools: QEMU for qcow2, cryptsetup for raw.
opens() {
	case $1 in
	*.qcow2) qemu-io --object secret,id=s0,file="$2" --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1" -c 'read 0 512' 2>/dev/null | grep -q 'read 512' ;;
	*) cryptsetup open --test-passphrase --key-file "$2" "$1" >/dev/null 2>&1 ;;
	esac
}
opens_not() { ! opens "$@"; }
slots() { kvmcrypt show --json "$1" | jq '[.luks.keyslots[] | select(.state == "active")] | length'; }

for f in a.qcow2 b.raw c.luks2; do
	case $f in
	*.luks2) kvmcrypt create -q --format raw --luks 2 $f 20M ;;
	*) kvmcrypt create -q $f 20M ;;
	esac
	case $f in
	*.qcow2) image_io qcow2 $f -c 'write -P 77 1M 64k' >/dev/null ;;
	*.raw) image_io raw $f -c 'write -P 77 1M 64k' >/dev/null ;;
	esac
	passphrase_of $f >old.$f
	before=$(kvmcrypt show --json $f | jq -r '.rotated')
	check "$f: rotate --dry-run" kvmcrypt rotate --dry-run $f
	check "$f: changes nothing" opens $f old.$f
	sleep 1.1
	check "$f: rotate" kvmcrypt rotate --json $f
	check_is "rotated at rest 2" "$(jq -r '.volumes[0] | "\(.outcome) \(.how) \(.generation)"' "$T/stdout")" "$f: it says so"
	passphrase_of $f >new.$f
	check "$f: the new passphrase opens it" opens $f new.$f
	check "$f: the old one does not" opens_not $f old.$f
	check_is 1 "$(slots $f)" "$f: one keyslot"
	check_is ready "$(kvmcrypt show --json $f | jq -r .state)" "$f: the workflow is done"
	[ "$(kvmcrypt show --json $f | jq -r .rotated)" != "$before" ] && ok "$f: the key has a new age" || not_ok "$f: the key has a new age"
	case $f in
	*.qcow2) check "$f: the data is there" image_io qcow2 $f -c 'read -P 77 1M 64k' && check "$f: the image is clean" image_check $f ;;
	*.raw) check "$f: the data is there" image_io raw $f -c 'read -P 77 1M 64k' ;;
	esac
done

check "a person's keyslot" cryptsetup luksAddKey --pbkdf-force-iterations 1000 --key-file new.b.raw b.raw person --batch-mode
check "rotate beside it" kvmcrypt rotate -q b.raw
check "leaves it alone" opens b.raw person
check_is 2 "$(slots b.raw)" "two keyslots: theirs and ours"
check "twenty times in a row" bash -c "for i in \$(seq 20); do '$KVMCRYPT' rotate -q a.qcow2 || exit; done"
check_is "22 1" "$(kvmcrypt show --json a.qcow2 | jq .generation) $(slots a.qcow2)" "end in one keyslot"

check "--all" kvmcrypt rotate --all --json
check_is "3 0 0" "$(jq -r '.summary | "\(.rotated) \(.unchanged) \(.failed)"' "$T/stdout")" "takes them all"
check "--older-than spares the young" kvmcrypt rotate --all --older-than 1h --json
check_is "0 3 0" "$(jq -r '.summary | "\(.rotated) \(.unchanged) \(.failed)"' "$T/stdout")" "all three of them"
check_error 2 'either --all or' "neither --all nor a volume" kvmcrypt rotate
check_error 4 'is no volume' "no such volume" kvmcrypt rotate none.raw

# A failure names the volume, the others are rotated.
cp b.raw good
printf 'XXXX' | dd of=b.raw conv=notrunc status=none
check_exit 7 "a damaged header among others" kvmcrypt rotate --all --json
check_is "2 1" "$(jq -r '.summary | "\(.rotated) \(.failed)"' "$T/stdout")" "fails alone"
grep -q '1 of 3 volumes.*b.raw' "$T/stderr" && ok "and is named" || not_ok "and is named"
cp good b.raw
passphrase_of a.qcow2 >key.a
hold_open --object secret,id=s0,file=key.a --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=a.qcow2
check_error 6 'in use by process' "an image that QEMU has open" kvmcrypt rotate a.qcow2
check_is ready "$(kvmcrypt show --json a.qcow2 | jq -r .state)" "is as it was"
let_go
check "and is rotated when QEMU is gone" kvmcrypt rotate -q a.qcow2

# Two at once: both end well, one after the other.
kvmcrypt rotate -q a.qcow2 & one=$!
kvmcrypt rotate -q a.qcow2; two=$?
wait $one
check_is "0 0" "$? $two" "two rotations of one volume"
check_is 1 "$(slots a.qcow2)" "leave one keyslot"
check "the keystore is clean" kvmcrypt keystore check -q

# Killed when the header names the new keyslot; then the disk turns out to have lost its key material, so that no
# passphrase opens it. What the record knows of it finds it all the same, and no other that took its number.
in_use() { kvmcrypt show --json "$1" | jq -c '[.luks.keyslots[] | select(.state == "active") | .slot]'; }
killed_midway() { # killed_midway VOLUME: at the first write to it after which it has one more keyslot
	local n before
	before=$(slots "$1")
	for ((n = 1; n <= 12; n++)); do
		strace -f -qq -o /dev/null -P "$PWD/$1" -e trace=fsync,fdatasync -e inject=fsync,fdatasync:signal=KILL:when=$n \
			"$KVMCRYPT" rotate -q "$1" >/dev/null 2>&1
		[ "$(slots "$1")" = "$before" ] || return 0
		kvmcrypt recover -q
	done 2>/dev/null
	return 1
}
lose_material() { # lose_material VOLUME SLOT
	local at
	at=$(cryptsetup luksDump "$1" | awk -v s="$2" '/^Key Slot/ { on = $3 == s ":" } /^  [0-9]+: luks2/ { on = $1 == s ":" }
		on && /Key material offset/ { print $4 * 512 } on && /Area offset/ { sub(/.*:/, ""); print $1 }')
	dd if=/dev/zero of="$1" bs=512 seek=$((at / 512)) count=500 conv=notrunc status=none
}
if strace -o /dev/null true 2>/dev/null; then
	kvmcrypt create -q --luks 2 l.raw 8M
	kvmcrypt create -q k.raw 8M
	export ASAN_OPTIONS=detect_leaks=0
	for f in k.raw l.raw; do
		was=$(in_use $f)
		check "$f: a rotation is killed with its keyslot written" killed_midway $f
		new=$(comm -13 <(jq .[] <<<"$was" | sort) <(in_use $f | jq .[] | sort))
		lose_material $f "$new"
		check "$f: recover" kvmcrypt recover -q
		check_is "$was" "$(in_use $f)" "$f: the keyslot that opens nothing is gone"
		check "$f: rotated" kvmcrypt rotate -q $f
		check_is 1 "$(slots $f)" "$f: into one keyslot"
		was=$(in_use $f)
		killed_midway $f
		new=$(comm -13 <(jq .[] <<<"$was" | sort) <(in_use $f | jq .[] | sort))
		passphrase_of $f >key.now
		cryptsetup luksKillSlot -q --key-file key.now $f "$new"
		check "$f: its number is taken" cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-slot "$new" --key-file key.now $f person
		check "$f: recover after somebody took its number" kvmcrypt recover -q
		check "$f: leaves theirs" opens $f person
	done
	unset ASAN_OPTIONS
else
	skip "a keyslot that lost its key material: strace cannot trace here"
fi
