#!/bin/bash
# kvmcrypt keystore status|add-slot|remove-slot|check|log.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
keystore_new
db=$KVMCRYPT_KEYSTORE/keystore.db
echo "correct horse" >pass
slots() { kvmcrypt keystore status --json | jq -r '[.slots[] | "\(.slot):\(.type)"] | join(" ")'; }

check "status" kvmcrypt keystore status --json
check_is "audit_head backend path root_key_id schema_version sealed sealed_in slots volumes" "$(jq -r 'keys | join(" ")' stdout)" "its keys"
check_is "$T/root.key" "$(jq -r '.slots[0].path' stdout)" "the key file's path"
check "status as text" kvmcrypt keystore status
check_is 2 "$(grep -cE '^(Root key|0 +key-file)' stdout)" "root key and slot are there"

# slots
check "add a passphrase" kvmcrypt keystore add-slot --passphrase-file pass --label mine --json
check_is "1 passphrase mine" "$(jq -r '"\(.slot) \(.type) \(.label)"' stdout)" "JSON: the slot"
check "add a recovery key" kvmcrypt keystore add-slot --recovery-key rec
check_is "0:key-file 1:passphrase 2:recovery" "$(slots)" "all three"
check_error 10 'rec exists' "a recovery key is not overwritten" kvmcrypt keystore add-slot -q --recovery-key rec
check_error 2 'one slot at a time' "two at once" kvmcrypt keystore add-slot -q --recovery-key rec2 --passphrase-file pass
check_is no "$([ -e rec2 ] && echo yes || echo no)" "nothing was written"
check_error 4 'no slot 9' "remove a slot that is not there" kvmcrypt keystore remove-slot -q --yes 9
check_error 2 'number of a slot' "what is no number" kvmcrypt keystore remove-slot -q --yes x
check_error 2 'SLOT is missing' "none" kvmcrypt keystore remove-slot -q --yes
check_error 9 'add --yes' "without a terminal it is not asked" setsid "$KVMCRYPT" keystore remove-slot -q 1
check "remove" kvmcrypt keystore remove-slot --yes 1 --json
check_is "1 passphrase" "$(jq -r '"\(.slot) \(.type)"' stdout)" "JSON: the slot that was removed"
check_error 5 'does not open' "its passphrase is no way in" kvmcrypt unseal -q --passphrase-file pass
check "remove another" kvmcrypt keystore remove-slot -q --yes 2
check_error 9 'is the last way to unseal' "never the last" kvmcrypt keystore remove-slot -q --yes 0
check_is "0:key-file" "$(slots)" "it is there"
check_is no "$([ -e "$KVMCRYPT_KEYSTORE/seal.new" ] && echo yes || echo no)" "no working copy is left"

# log
kvmcrypt create -q a.qcow2 8M
kvmcrypt create -q b.qcow2 8M
uuid=$(kvmcrypt show --json a.qcow2 2>/dev/null | jq -r .uuid)
kvmcrypt passphrase show --yes a.qcow2 >/dev/null
check "log" kvmcrypt keystore log --json
rows=$(jq '.rows | length' stdout)
check_is "1 init" "$(jq -r '.rows[0] | "\(.seq) \(.action)"' stdout)" "begins with init"
check_is "$(id -u)" "$(jq -r '.rows[-1].uid' stdout)" "says who"
check_is "show-passphrase" "$(jq -r '.rows[-1].action' stdout)" "a passphrase shown is in it"
check "log --last 2" kvmcrypt keystore log --last 2 --json
check_is "$((rows - 1)) $rows" "$(jq -r '[.rows[].seq] | join(" ")' stdout)" "the newest two, in order"
check "log of a path" kvmcrypt keystore log --volume a.qcow2 --json
check_is "$uuid" "$(jq -r '[.rows[].volume] | unique | join(" ")' stdout)" "only that volume"
check "erase it" kvmcrypt erase -q --yes a.qcow2
check "log of a UUID that is gone" kvmcrypt keystore log --volume "$uuid" --last 1 --json
check_is "erase" "$(jq -r '.rows[0].action | split("-")[0]' stdout)" "its end is there"
check_error 4 '' "log of an unknown path" kvmcrypt keystore log --volume /nowhere
check "log as text" kvmcrypt keystore log --last 1
check_is 2 "$(wc -l <stdout)" "a heading and a row"

# check
check "check" kvmcrypt keystore check
check "check --json" kvmcrypt keystore check --json
check_is "true 1 0" "$(jq -r '"\(.intact) \(.records) \(.findings | length)"' stdout)" "intact"
head=$(kvmcrypt keystore status --json | jq -r .audit_head)
cp -r "$KVMCRYPT_KEYSTORE" older
check "the head of now" kvmcrypt keystore check --expect-head "$head"
kvmcrypt create -q c.qcow2 8M
check "is still there later" kvmcrypt keystore check --expect-head "$head"
newer=$(kvmcrypt keystore status --json | jq -r .audit_head)
check "an older copy is intact in itself" kvmcrypt keystore check --keystore older
check_exit 7 "but not with the newer head" kvmcrypt keystore check --keystore older --expect-head "$newer"
check_is 1 "$(grep -c 'set back to an older state' stdout)" "and it says so"
check_error 2 'SEQ:HEX' "a head that is none" kvmcrypt keystore check --expect-head x
sqlite3 "$db" "UPDATE audit SET detail = 'x' WHERE seq = 2"
check_exit 7 "a changed row" kvmcrypt keystore check
check_is 1 "$(grep -c '^row 2 of the audit trail was changed' stdout)" "is named on stdout"
check_is 1 "$(grep -c '^kvmcrypt: .*1 finding)' stderr)" "stderr has the verdict"
check_exit 7 "with --json" kvmcrypt keystore check --json
check_is "false 1 damaged" "$(jq -rs '"\(.[0].intact) \(.[0].findings | length) \(.[0].error.kind)"' stdout)" "one document with findings and error"
check_is 1 "$(jq -s length stdout)" "one only"

# A damaged trail stops every use; --repair accepts what is there, and says so in the trail.
check_error 9 'add --yes' "--repair asks" setsid "$KVMCRYPT" keystore check -q --repair </dev/null
sqlite3 "$db" "UPDATE meta SET value = randomblob(144) WHERE name = 'audit_head'; DELETE FROM audit WHERE seq = 4"
check_exit 7 "a damaged head: no key is handed out" kvmcrypt passphrase show --yes b.qcow2
check_is 1 "$(grep -c 'keystore check.*--repair' stderr)" "and it says what to do"
check "--repair" kvmcrypt keystore check --repair --yes
check_is "1 1" "$(grep -c 'rows that did not verify: 2, 5; rows lost: 1;' stderr) $(kvmcrypt keystore log --json | jq '[.rows[] | select(.action == "row-lost")] | length')" "says what did not verify and what is lost"
check_is repair "$(kvmcrypt keystore log --json | jq -r '.rows[-1].action')" "and so does the trail"
check "keys can be used again" kvmcrypt passphrase show --yes b.qcow2
check "it checks clean" kvmcrypt keystore check
check_exit 7 "but a head noted before is missed" kvmcrypt keystore check --expect-head "$newer"
check "nothing to repair is no error" kvmcrypt keystore check --repair --json
check_is "true null" "$(jq -r '"\(.intact) \(.repaired)"' stdout)" "and changes nothing"
sqlite3 "$db" "UPDATE volume SET envelope = zeroblob(length(envelope)) WHERE path LIKE '%/c.qcow2'"
check_exit 7 "a record that does not open" kvmcrypt keystore check --repair --yes --json
check_is "1 damaged 1" "$(jq -r '"\(.findings | length) \(.error.kind) \(.repaired | scan("damaged still: ([0-9]+)")[0])"' stdout)" "is beyond repair, and is said to be"
check "the others are fine" kvmcrypt passphrase show --yes b.qcow2
check_exit 2 "the group alone" kvmcrypt keystore
check "its help" kvmcrypt keystore --help
exit $FAILED
