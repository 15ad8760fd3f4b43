#!/bin/bash
# kvmcrypt keyslot add|remove|list: other ways into a volume, which rotation leaves alone.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
printf 'of a person' >person
opens() { cryptsetup open --test-passphrase --key-file "$2" "$1"; }
owners() { kvmcrypt keyslot list --json "$1" | jq -r '[.keyslots[] | select(.state == "active") | "\(.slot):\(.owner)"] | join(" ")'; }
for v in 1 2; do
	f=v$v.raw
	kvmcrypt create -q --luks $v $f 20M
	check_is "0:kvmcrypt" "$(owners $f)" "LUKS$v: one keyslot"
	check "LUKS$v: add a person's" kvmcrypt keyslot add --json --passphrase-file person $f
	check_is "1 other" "$(jq -r '"\(.slot) \(.owner)"' "$T/stdout")" "LUKS$v: it says which"
	check "LUKS$v: it opens" opens $f person
	[ $v = 1 ] && want=true || want=argon2id
	got=$(kvmcrypt keyslot list --json $f | jq -r '.keyslots[1] | if .kdf == "pbkdf2" then .iterations >= 1000000 else .kdf end')
	check_is "$want" "$got" "LUKS$v: at a proper cost"
	check_error 10 'already' "LUKS$v: the same again" kvmcrypt keyslot add -q --passphrase-file person $f
	check "LUKS$v: a recovery key" kvmcrypt keyslot add -q --recovery-key rec$v $f
	tr -d '\n' <rec$v >rec
	check "LUKS$v: opens as it is written" opens $f rec
	check "LUKS$v: repeated it is so already" kvmcrypt keyslot add -q --recovery-key rec$v $f
	check_is "$(cat rec)" "$(tr -d '\n' <rec$v)" "LUKS$v: its file is not overwritten"
	check_error 10 'exists' "LUKS$v: nor is another's" kvmcrypt keyslot add -q --recovery-key person $f
	check_is "0:kvmcrypt 1:other 2:recovery" "$(owners $f)" "LUKS$v: three, and whose"
	check "LUKS$v: rotate" kvmcrypt rotate -q $f
	check_is "1:other 2:recovery 3:kvmcrypt" "$(owners $f)" "LUKS$v: touches its own alone"
	check "LUKS$v: the person's opens" opens $f person
	check_error 9 'own' "LUKS$v: our own is not removed" kvmcrypt keyslot remove -q --yes $f 3
	check_error 4 'not in use' "LUKS$v: nor an empty one" kvmcrypt keyslot remove -q --yes $f 7
	check_error 2 'not the number' "LUKS$v: nor a word" kvmcrypt keyslot remove -q --yes $f first
	check_error 9 'yes' "LUKS$v: without a terminal it needs --yes" setsid "$KVMCRYPT" keyslot remove -q $f 1
	check "LUKS$v: remove the person's" kvmcrypt keyslot remove --yes -q $f 1
	check_exit 2 "LUKS$v: which opens no more" opens $f person
	check "LUKS$v: remove the recovery key" kvmcrypt keyslot remove --yes -q $f 2
	check_is "3:kvmcrypt" "$(owners $f)" "LUKS$v: ours is left"
done
kvmcrypt create -q q.qcow2 20M
check "in a qcow2" kvmcrypt keyslot add -q --recovery-key q.rec q.qcow2
check "it opens" bash -c "tr -d '\n' <q.rec >q.key; qemu-io --object secret,id=s0,file=q.key --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=q.qcow2 -c 'read 0 512'"
check "list sealed" kvmcrypt keyslot list q.qcow2
check_error 2 'one keyslot' "a passphrase and a recovery key" kvmcrypt keyslot add -q --recovery-key x --passphrase-file person q.qcow2
check_error 2 'JSON' "a recovery key in JSON" kvmcrypt keyslot add --json -q --recovery-key - q.qcow2 2>/dev/null
check "the image is clean" image_check q.qcow2

# The age of keys.
check "nothing is due" kvmcrypt list --due 1d
check_is 0 "$(kvmcrypt list --due 1d --json | jq '.volumes | length')" "an empty list"
sleep 2.1
check_error 1 'older than 1s.*rotate' "three are older than a second" kvmcrypt list --due 1s --json
check_is 3 "$(jq '.volumes | length' "$T/stdout")" "and listed"
check_is true "$(jq '.volumes[0].key_age >= 2' "$T/stdout")" "with their age"
