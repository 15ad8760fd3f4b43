#!/bin/bash
# kvmcrypt show, list, passphrase show: what they say, sealed and unsealed, and that they only look.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 64M
kvmcrypt create -q b.raw 32M
uuid=$(kvmcrypt show --json a.qcow2 | jq -r .uuid)
sum=$(sha256sum a.qcow2 b.raw)
stamp=$(stat -c '%Y %Z' a.qcow2)

check "show by path" kvmcrypt show a.qcow2
check_is "State: ready" "$(kvmcrypt show a.qcow2 | sed -n 's/^\(State\) *: */\1: /p; s/^State  */State: /p' | head -n 1)" "text says ready"
check_is "$T/a.qcow2" "$(kvmcrypt show --json "$uuid" | jq -r .path)" "show by UUID"
check_is "created domains export exposed format generation in_use key_age last_used luks mapped mapping path problem rotated secret size state uuid backing_file" \
	"$(kvmcrypt show --json a.qcow2 | jq -r 'keys | map(select(. != "backing_file")) + ["backing_file"] | join(" ")')" "JSON keys"
check_is "null" "$(kvmcrypt show --json a.qcow2 | jq -r .secret.registered)" "no libvirt: registered is null"
check_is "$sum" "$(sha256sum a.qcow2 b.raw)" "show wrote nothing"
looked_at() { kvmcrypt keystore log --json | jq '.rows | length'; kvmcrypt show --json a.qcow2 | jq .last_used; }
before=$(looked_at)
kvmcrypt show a.qcow2 >/dev/null
kvmcrypt show --json "$uuid" >/dev/null
check_is "$before" "$(looked_at)" "looking is not use: no row in the audit trail, the same last use"
check_is kvmcrypt "$(kvmcrypt show --json a.qcow2 | jq -r '.luks.keyslots[0].owner')" "and still it knows our keyslot"
check_is "$stamp" "$(stat -c '%Y %Z' a.qcow2)" "nor touched the file"
check_error 4 'no volume' "a stranger's file" kvmcrypt show -q "$KVMCRYPT"
check_error 4 'no volume|o such' "an unknown UUID" kvmcrypt show -q 00000000-0000-4000-8000-000000000000

check_is "2" "$(kvmcrypt list --json | jq '.volumes | length')" "list has both"
check_is "$T/a.qcow2 $T/b.raw" "$(kvmcrypt list --json | jq -r '[.volumes[].path] | join(" ")')" "in order of path"
check_is 3 "$(kvmcrypt list | wc -l)" "a heading and two lines"
check_is 0 "$(kvmcrypt list --state creating --json | jq '.volumes | length')" "--state filters"

mv a.qcow2 moved.qcow2
check_is missing "$(kvmcrypt show --json "$uuid" | jq -r .state)" "a file that is gone is missing"
check_error 4 'kvmcrypt move ' "the moved file is recognised" kvmcrypt show -q moved.qcow2
cp b.raw a.qcow2
check_is damaged "$(kvmcrypt show --json "$uuid" | jq -r .state)" "another image at its place is damaged"
rm a.qcow2 && mv moved.qcow2 a.qcow2

check_is 43 "$(kvmcrypt passphrase show --yes b.raw | wc -c)" "the passphrase has 43 characters and no newline"
check_error 9 'yes' "without a terminal it needs --yes" setsid "$KVMCRYPT" passphrase show b.raw
check_error 2 'never part of JSON' "never in JSON" bash -c "'$KVMCRYPT' passphrase show --yes --json b.raw >/dev/null"
check "it is in the audit trail" bash -c "'$KVMCRYPT' keystore log | grep show-passphrase"

mv "$T/root.key" "$T/away"
check_error 3 'kvmcrypt unseal' "sealed: no passphrase" kvmcrypt passphrase show --yes b.raw
check_error 3 'kvmcrypt unseal' "sealed: no create" kvmcrypt create c.raw 8M
check_is 2 "$(kvmcrypt list --json | jq '.volumes | length')" "sealed: list works"
check "sealed: show works" kvmcrypt show b.raw
check_is null "$(kvmcrypt show --json b.raw | jq -r '.luks.keyslots[0].owner')" "sealed: whose keyslot is not known"
mv "$T/away" "$T/root.key"

# A keystore from an older backup: show says what helps, and that helps.
kvmcrypt create -q old.qcow2 8M
image_io qcow2 old.qcow2 -c 'write -P 7 0 64k' >/dev/null
kvmcrypt keystore backup -q "$T/before.backup"
kvmcrypt rotate -q --no-libvirt old.qcow2
kvmcrypt keystore restore -q --yes "$T/before.backup"
problem() { kvmcrypt show --json "$1" | jq -r '.problem // ""'; }
has_problem() { problem "$1" | grep -q "$2"; }
check "older than a rotation: header restore is named" has_problem old.qcow2 'kvmcrypt header restore'
check_error 5 'no keyslot' "rotate does not begin with a passphrase that opens nothing" kvmcrypt rotate -q --no-libvirt old.qcow2
check "and does" kvmcrypt header restore -q --yes old.qcow2
check_is "" "$(problem old.qcow2)" "nothing is wrong then"
check "the data is there" image_io qcow2 old.qcow2 -c 'read -P 7 0 64k'
mkdir elsewhere
kvmcrypt move -q old.qcow2 elsewhere/
kvmcrypt keystore restore -q --yes "$T/before.backup"
check "older than a move: move is named" has_problem "$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("/old.qcow2")) | .uuid')" 'kvmcrypt move'
check "and takes note" kvmcrypt move -q "$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("/old.qcow2")) | .uuid')" elsewhere/old.qcow2
check "the image is found again" test "$(kvmcrypt show --json elsewhere/old.qcow2 | jq -r .state)" != missing
kvmcrypt header restore -q --yes elsewhere/old.qcow2
kvmcrypt keystore backup -q "$T/older.backup"
kvmcrypt rotate -q --volume-key --no-libvirt elsewhere/old.qcow2
kvmcrypt keystore backup -q "$T/newer.backup"
kvmcrypt keystore restore -q --yes "$T/older.backup"
check "older than a volume key: only a newer backup helps" has_problem elsewhere/old.qcow2 'newer backup'
kvmcrypt keystore restore -q --yes "$T/newer.backup"
check_is "" "$(problem elsewhere/old.qcow2)" "and does"
