#!/bin/bash
# Somebody may write to the keystore's files, and puts older records back: none of them is used, also where the database
# was made to hide the newer ones.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
keystore_new
db=$KVMCRYPT_KEYSTORE/keystore.db
kvmcrypt create -q a.qcow2 1M || exit 1
kvmcrypt create -q b.qcow2 1M || exit 1
sqlite3 "$db" "VACUUM INTO '$T/old.db'"
old=$(passphrase_of a.qcow2)
kvmcrypt rotate -q a.qcow2 || exit 1
cp -r "$KVMCRYPT_KEYSTORE" good
again() { rm -rf "$KVMCRYPT_KEYSTORE" && cp -r good "$KVMCRYPT_KEYSTORE"; }
put_back() { sqlite3 "$db" "ATTACH '$T/old.db' AS old; DELETE FROM volume WHERE path LIKE '%a.qcow2'; INSERT INTO volume SELECT * FROM old.volume WHERE path LIKE '%a.qcow2'"; }
# hide CONDITION: rows of the trail out of its index over volumes, whose definition stays what it was.
hide() {
	local was
	was=$(sqlite3 "$db" "SELECT sql FROM sqlite_schema WHERE name = 'audit_volume'")
	sqlite3 "$db" ".dbconfig defensive off" "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = sql || ' AND $1' WHERE name = 'audit_volume'" >/dev/null
	sqlite3 "$db" ".dbconfig defensive off" "REINDEX audit_volume; PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = '$was' WHERE name = 'audit_volume'" >/dev/null
}
put_back
check_error 7 'not the one that was stored last' "an older record" kvmcrypt passphrase show --yes a.qcow2
again
# The row that stored the old record, and those that stored newer ones.
first=$(sqlite3 old.db "SELECT max(seq) FROM audit WHERE kind = 3 AND volume = (SELECT uuid FROM volume WHERE path LIKE '%a.qcow2')")
newer=$(sqlite3 "$db" "SELECT group_concat(seq) FROM audit WHERE kind = 3 AND seq > $first AND volume = (SELECT volume FROM audit WHERE seq = $first)")
put_back
hide "seq NOT IN ($newer)"
check_is "$first" "$(sqlite3 "$db" "SELECT max(seq) FROM audit INDEXED BY audit_volume WHERE volume = (SELECT volume FROM audit WHERE seq = $first) AND kind = 3 AND volume IS NOT NULL")" "the index hides what came after it"
check_error 7 'not the one that was stored last' "an older record behind an index that hides the newer one" kvmcrypt passphrase show --yes a.qcow2
check_is 0 "$(grep -cF "$old" stdout)" "its passphrase is not handed out"
check_exit 7 "nor used to rotate" kvmcrypt rotate -q a.qcow2
check "another volume is used as before" kvmcrypt passphrase show --yes b.qcow2
check_exit 7 "the check tells" kvmcrypt keystore check
again
uuid=$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("b.qcow2")) | .uuid')
sqlite3 "$db" "DELETE FROM volume WHERE path LIKE '%b.qcow2'"
check_error 7 'was stored and is gone' "a record that was removed past the trail is no record that never was" kvmcrypt passphrase show --yes "$uuid"

# An index of a name that is SQLite's, which SQLite did not make.
again
plant() { sqlite3 "$db" ".dbconfig defensive off" "PRAGMA writable_schema=ON; $1" >/dev/null; }
sqlite3 "$db" "CREATE INDEX planted ON volume(path) WHERE revision < 0"
plant "UPDATE sqlite_schema SET name = 'sqlite_planted', sql = replace(sql, 'planted', 'sqlite_planted') WHERE name = 'planted'"
check_error 7 "foreign or changed 'sqlite_planted'" "an index that has a name of SQLite's own" kvmcrypt list
again
sqlite3 "$db" "CREATE TABLE planted(x)"
plant "UPDATE sqlite_schema SET name = 'sqlite_stat1', tbl_name = 'sqlite_stat1', sql = 'CREATE TABLE sqlite_stat1(x)' WHERE name = 'planted'"
check_error 7 "foreign or changed 'sqlite_stat1'" "a table that has" kvmcrypt list
again
sqlite3 "$db" ANALYZE
check "what SQLite's ANALYZE makes is SQLite's" kvmcrypt passphrase show --yes a.qcow2
exit $FAILED
