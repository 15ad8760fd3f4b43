#!/bin/bash
# kvmcrypt import: volumes that others made; --replace; nothing written where nothing should be.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
printf 'old passphrase' >old
fast="--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --batch-mode --key-file old"
truncate -s 24M l1.raw l2.raw
# shellcheck disable=SC2086
cryptsetup luksFormat --type luks1 $fast l1.raw && cryptsetup luksFormat --type luks2 $fast l2.raw
# QEMU's PBKDF benchmark fails at random with sha256 on some machines.
for _ in $(seq 50); do
	qemu-img create -q -f qcow2 --object secret,id=s0,file=old -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=50,encrypt.hash-alg=sha512 q.qcow2 32M 2>/dev/null && break
done
opens() { cryptsetup open --test-passphrase --type luks --key-file "$2" "$1"; }

for f in l1.raw l2.raw q.qcow2; do
	sum=$(sha256sum $f)
	check "$f: --dry-run" kvmcrypt import --dry-run --passphrase-file old $f
	check_is "$sum" "$(sha256sum $f)" "$f: --dry-run wrote nothing"
	check_error 5 'passphrase' "$f: a wrong passphrase" kvmcrypt import -q --passphrase-file <(printf wrong) $f
	check_is "$sum" "$(sha256sum $f)" "$f: a wrong passphrase wrote nothing"
	check "$f: import" kvmcrypt import --passphrase-file old $f
	check "$f: show" kvmcrypt show $f
	check_is "ready 2" "$(kvmcrypt show --json $f | jq -r '[.state, ([.luks.keyslots[] | select(.state == "active")] | length)] | map(tostring) | join(" ")')" "$f: two keyslots, ready"
	check_is "kvmcrypt" "$(kvmcrypt show --json $f | jq -r '[.luks.keyslots[] | select(.owner == "kvmcrypt")][0].owner')" "$f: one is known as ours"
	check_exit 0 "$f: importing again changes nothing" kvmcrypt import --passphrase-file old $f
done
check "l1.raw: the old passphrase still opens" opens l1.raw old
check "l1.raw: ours opens" bash -c "'$KVMCRYPT' passphrase show --yes l1.raw | cryptsetup open --test-passphrase --type luks --key-file - l1.raw"
check "l2.raw: ours opens" bash -c "'$KVMCRYPT' passphrase show --yes l2.raw | cryptsetup open --test-passphrase --type luks --key-file - l2.raw"
check "q.qcow2: QEMU opens with ours" image_io qcow2 "$T/q.qcow2" -c "read 0 64k"
check_is 0 "$(kvmcrypt show --json q.qcow2 >/dev/null; echo $?)" "show after import"

truncate -s 24M r.raw
# shellcheck disable=SC2086
cryptsetup luksFormat --type luks1 $fast r.raw
printf 'second' >second
cryptsetup luksAddKey --type luks1 --pbkdf-force-iterations 1000 --key-file old r.raw second --batch-mode
check "--replace" kvmcrypt import --replace --passphrase-file old r.raw
check_exit 2 "the given passphrase opens nothing any more" opens r.raw old
check "another person's keyslot is untouched" opens r.raw second
check "--replace again changes nothing" kvmcrypt import --replace --passphrase-file old r.raw
check "another person's keyslot is still untouched" opens r.raw second
check "--replace of a volume that was imported without it" kvmcrypt import --replace --passphrase-file old l1.raw
check_exit 2 "the old passphrase opens nothing any more" opens l1.raw old
passphrase_of l1.raw >ours
check "--replace with the keystore's own passphrase" kvmcrypt import --replace --passphrase-file ours l1.raw
check "leaves its keyslot" opens l1.raw ours
truncate -s 24M twice.raw
# shellcheck disable=SC2086
cryptsetup luksFormat --type luks1 $fast twice.raw
cryptsetup luksAddKey --pbkdf-force-iterations 1000 --key-file old twice.raw old --batch-mode
check "--replace of a passphrase that has two keyslots" kvmcrypt import --replace --passphrase-file old twice.raw
check_exit 2 "removes both" opens twice.raw old

cp r.raw copy.raw
check_error 10 'LUKS UUID' "a copy of a known volume" kvmcrypt import -q --passphrase-file second copy.raw
truncate -s 1M empty.raw
check_error 2 'not encrypted' "a file without LUKS" kvmcrypt import -q --passphrase-file old empty.raw
qemu-img create -q -f qcow2 plain.qcow2 8M
check_error 2 'not encrypted' "a qcow2 without LUKS" kvmcrypt import -q --passphrase-file old plain.qcow2
check_error 4 'o such' "a missing file" kvmcrypt import -q --passphrase-file old none.raw
check_exit 2 "a directory" kvmcrypt import -q --passphrase-file old "$T"
cp copy.raw $'red\e[31m.raw'
cp copy.raw $'latin\xe4.raw'
check_error 2 'control characters' "a path that libvirt's XML would change" kvmcrypt import -q --passphrase-file second $'red\e[31m.raw'
check_error 2 'not UTF-8' "a path that JSON cannot hold" kvmcrypt import -q --passphrase-file second $'latin\xe4.raw'
check_error 10 'LUKS UUID' "a known one: nobody is asked" setsid "$KVMCRYPT" import -q copy.raw
cryptsetup luksUUID --batch-mode --uuid "$(cat /proc/sys/kernel/random/uuid)" copy.raw
check_error 2 'no terminal to ask for the passphrase' "no terminal, no passphrase" setsid "$KVMCRYPT" import -q copy.raw

# In use by QEMU
truncate -s 24M busy.raw
# shellcheck disable=SC2086
cryptsetup luksFormat --type luks1 $fast busy.raw
hold_open --object secret,id=s0,file=old --image-opts driver=luks,key-secret=s0,file.filename=busy.raw
sum=$(sha256sum busy.raw)
check_error 6 'in use|lock' "an image that QEMU has open" kvmcrypt import -q --passphrase-file old busy.raw
check_is "$sum" "$(sha256sum busy.raw)" "was not touched"
let_go
check "free again" kvmcrypt import -q --passphrase-file old busy.raw
check "the keystore checks clean" kvmcrypt keystore check
