#!/bin/bash
# kvmcrypt keystore backup, restore, rekey: nothing newer is lost, nothing old stays.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
keyctl show @u >/dev/null 2>&1 || skip_all "no kernel keyring here"
ks=$KVMCRYPT_KEYSTORE
head -c 64 /dev/urandom >key
echo "correct horse" >pass
kvmcrypt init -q --key-file key --passphrase-file pass --recovery-key rec
for i in 1 2 3; do kvmcrypt create -q "v$i.raw" 1M; done
passphrase_of v1.raw >p1
clean() { kvmcrypt keystore check -q; }
id() { kvmcrypt keystore status --json | jq -r .root_key_id; }

check "backup" kvmcrypt keystore backup --json first.backup
check_is "3 600" "$(jq -r .volumes stdout) $(stat -c %a first.backup)" "with all volumes, for its owner alone"
check_error 10 'exists already' "an existing file is not overwritten" kvmcrypt keystore backup -q first.backup
mv key key.away
check "a sealed keystore is backed up too" kvmcrypt keystore backup -q sealed.backup
mv key.away key
check_is 0 "$(grep -c -a -F -f p1 first.backup)" "no passphrase is in it"

# On a machine that has none.
check "restore where there is no keystore" kvmcrypt keystore restore --json --keystore "$T/other" first.backup
check_is "3 false" "$(jq -r '"\(.volumes) \(.replaced)"' stdout)" "JSON says so"
check_is "$(cat p1)" "$(kvmcrypt passphrase show --yes --keystore "$T/other" v1.raw)" "it opens with the ways to unseal of then"
check "and checks clean" kvmcrypt keystore check -q --keystore "$T/other"

# Over one that has gone on.
check "nothing newer: no question" kvmcrypt keystore restore -q first.backup
check "the trail of the backup goes on" clean
kvmcrypt rotate -q v2.raw
kvmcrypt create -q v4.raw 1M
sum=$(sha256sum <"$ks/seal")
check_error 9 '2 records.*are newer than in the backup, or not in it.*--yes' "newer records are not lost" kvmcrypt keystore restore -q first.backup
check_exit 9 "not in a dry run either" kvmcrypt keystore restore -q --dry-run first.backup
check "v4 is there" kvmcrypt show v4.raw
kvmcrypt keystore add-slot -q --passphrase-file rec --label added
check "--yes restores all the same" kvmcrypt keystore restore -q --json --yes first.backup
kept=$(jq -r .kept stdout)
check_error 4 'no volume' "v4 is gone" kvmcrypt show v4.raw
check_is "$sum" "$(sha256sum <"$ks/seal")" "the seal is that of the backup"
check "it checks clean" clean
check "what was there was kept" kvmcrypt keystore restore -q --yes "$kept"
check "and comes back" kvmcrypt show v4.raw
check "clean too" clean

# Not a backup.
head -c 100000 /dev/urandom >junk
check_exit 7 "junk" kvmcrypt keystore restore -q --yes junk
cp "$ks/keystore.db" plain.db
check_error 7 'no backup' "a database without a seal" kvmcrypt keystore restore -q --yes plain.db
cp first.backup bad.backup
sqlite3 bad.backup "UPDATE meta SET value = zeroblob(200000) WHERE name = 'seal'"
check_exit 7 "a damaged seal" kvmcrypt keystore restore -q --yes bad.backup
cp first.backup bad.backup
sqlite3 bad.backup "CREATE TRIGGER t AFTER INSERT ON volume BEGIN DELETE FROM volume; END"
check_error 7 'foreign' "a foreign trigger" kvmcrypt keystore restore -q --yes bad.backup
check_error 4 'No such file' "no file" kvmcrypt keystore restore -q none.backup
check "nothing was changed" clean

cp first.backup bad.backup
sqlite3 bad.backup "UPDATE meta SET value = x'' WHERE name = 'seal'"
check_exit 7 "an empty seal" kvmcrypt keystore restore -q --yes bad.backup
cp first.backup bad.backup
sqlite3 bad.backup "UPDATE meta SET value = x'01020304' WHERE name = 'root_key_id'"
check_exit 7 "a root key ID that is too short" kvmcrypt keystore restore -q --yes bad.backup

# Somebody stores a record after the old keystore was kept and before it is replaced: it would be in neither.
mkdir race && cp -r "$ks" race/keystore
mkfifo race/sql
sqlite3 race/keystore/keystore.db <race/sql >/dev/null 2>race/errors &
writer=$!
exec 8>race/sql
echo "BEGIN IMMEDIATE; UPDATE meta SET value = zeroblob(144) WHERE name = 'audit_head'; SELECT writefile('race/held', 'x');" >&8
wait_for test -e race/held
kvmcrypt keystore restore -q --yes --keystore "$T/race/keystore" first.backup 2>race/stderr &
restore=$!
wait_for test -e race/keystore/seal.new
echo "COMMIT;" >&8
exec 8>&-
wait $writer
wait $restore
check_is 6 $? "a change behind the copy that was kept is not lost"
check_is yes "$(grep -q 'changed just now: run the command again' race/stderr && echo yes)" "and says what to do"
check_is 4 "$(sqlite3 race/keystore/keystore.db 'SELECT count(*) FROM volume')" "all records are there"
check_is "" "$(comm -13 <(ls "$ks") <(ls race/keystore) | grep before-restore)" "no copy of what was not replaced stays"

# A rekey is interrupted after backup has looked for an interrupted one and before it has its lock: seal and store are of two root
# keys. The lock is refused to it until strace lets go.
cp -r "$ks" torn
strace -f -qq -o torn/trace -e trace=flock "$KVMCRYPT" keystore backup -q --keystore "$T/torn" whole.backup
first=$(grep -n 'LOCK_SH|LOCK_NB' torn/trace | sed -n '1s/:.*//p')
strace -D -I1 -f -qq -o torn/trace -e trace=flock -e inject="flock:error=EAGAIN:when=$first+" "$KVMCRYPT" keystore backup -q --keystore "$T/torn" torn.backup 2>torn/stderr &
backup=$!
refused() { [ "$(grep -c INJECTED torn/trace)" -gt 0 ]; }
wait_for refused
strace -f -qq -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=1 "$KVMCRYPT" keystore rekey -q --yes --keystore "$T/torn" --drop-others --key-file key >/dev/null 2>&1
check "a rekey was interrupted" test -e torn/seal.new
kill "$(sed -n 's/^TracerPid:\s*//p' /proc/$backup/status)"
wait $backup
check_is 6 $? "a backup of seal and store that do not belong together is none"
check_is "no yes" "$([ -e torn.backup ] && echo yes || echo no) $(grep -q 'new root key just now: run the command again' torn/stderr && echo yes)" "and says what to do"
check "which then works" kvmcrypt keystore backup -q --keystore "$T/torn" torn.backup
check "as a backup" kvmcrypt keystore restore -q --keystore "$T/mended" torn.backup

# Killed between the store and the seal: whoever comes next finishes.
was=$(id)
kvmcrypt keystore rekey -q --yes --drop-others --passphrase-file pass --recovery-key rec.b
check_error 9 "has the root key $was, and not the one that is pinned.*--expect-root $was" "a backup of another root key" kvmcrypt keystore restore -q --yes first.backup
check_error 9 'have another root key than the backup' "also where that is named: its records are others" kvmcrypt keystore restore -q --expect-root "$was" first.backup
ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=2 "$KVMCRYPT" keystore restore -q --yes --expect-root "$was" first.backup >/dev/null 2>&1
check_is yes "$([ -e "$ks/seal.new" ] && echo yes)" "restore killed before the seal is in place"
check_is "$(cat p1)" "$(passphrase_of v1.raw)" "the next command finishes it"
check_is "" "$(ls "$ks"/seal.new 2>/dev/null)" "and leaves nothing"
check "clean" clean

# A new root key.
old=$(id) seal=$(sha256sum <"$ks/seal")
check_error 9 'slot [0-9]+ \(passphrase\), slot [0-9]+ \(recovery\).*--drop-others' "rekey loses no way to unseal by accident" kvmcrypt keystore rekey -q
check_is "$seal" "$(sha256sum <"$ks/seal")" "nothing was changed"
echo "battery staple" >second
kvmcrypt keystore add-slot -q --passphrase-file second --label bob
head -c 64 /dev/urandom >cred; kvmcrypt keystore add-slot -q --credential cred --label unit
check_error 9 'slot [0-9]+ \(passphrase, bob\), slot [0-9]+ \(key-file, unit\).*--drop-others' "nor the second passphrase, nor a credential for a key file" kvmcrypt keystore rekey -q --passphrase-file pass --recovery-key rec.c --key-file key
check_is "" "$(ls rec.c 2>/dev/null)" "and leaves no recovery key that opens nothing"
check "rekey with a credential" kvmcrypt keystore rekey -q --yes --json --drop-others --credential cred --passphrase-file pass
check_is "key-file key-file passphrase" "$(jq -r '[.slots[].type] | sort | join(" ")' stdout)" "the key file is carried over beside it"
kvmcrypt keystore remove-slot -q --yes "$(kvmcrypt keystore status --json | jq '.slots[] | select(.label == "systemd credential") | .slot')"
kvmcrypt keystore add-slot -q --recovery-key rec.d
mv rec.d rec
old=$(id)
cp -r "$ks" before
cp -r pins before.pins
as_before() { rm -rf "$ks" pins && cp -r before "$ks" && cp -r before.pins pins; }
check "rekey" kvmcrypt keystore rekey -q --yes --json --passphrase-file pass --recovery-key rec2
check_is "key-file passphrase recovery" "$(jq -r '[.slots[].type] | sort | join(" ")' stdout)" "the key file is carried over"
new=$(id)
check "another root key" test "$old" != "$new"
check "all checks clean" clean
check_is "$(cat p1)" "$(passphrase_of v1.raw)" "the passphrases are the same"
check_error 5 'does not open' "the old recovery key opens nothing" kvmcrypt unseal -q --passphrase-file rec
check "the new one does" kvmcrypt unseal -q --passphrase-file rec2
hex=$(tr -d - <<<"$old")
check_is "" "$(for f in "$ks"/seal "$ks"/keystore.db*; do xxd -p "$f" | tr -d '\n' | grep -q "$hex" && echo "$f"; done)" "no file names the old root key any more"
cp before/seal "$ks/seal"
kvmcrypt seal -q
check_error 7 'do not belong together' "the old seal put back opens nothing" kvmcrypt unseal -q --passphrase-file pass
for step in fsync renameat pwrite64; do
	for n in 1 2 3 5 8 13 21 34; do
		as_before
		ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null -e trace=$step -e inject=$step:signal=KILL:when=$n "$KVMCRYPT" keystore rekey -q --yes --drop-others >/dev/null 2>&1 && break
		[ "$(passphrase_of v1.raw 2>"$T/stderr")" = "$(cat p1)" ] && clean || not_ok "killed at $step $n"
		kills=$((${kills:-0} + 1))
	done
done
check "killed at $kills points it has happened as a whole or not at all" test "${kills:-0}" -ge 10
as_before

# While others use the keystore.
kvmcrypt unseal -q
for i in 1 2 3 4 5 6 7 8 9 10; do kvmcrypt create -q "c$i.raw" 1M 2>>busy || echo "$?" >>codes; done &
writer=$!
for i in 1 2 3; do kvmcrypt keystore rekey -q --yes --drop-others >>rekeys 2>&1 || echo "failed $?" >>rekeys; kvmcrypt keystore backup -q "live$i.backup" || echo "failed" >>rekeys; done
wait $writer
check_is "" "$(cat rekeys)" "rekey and backup while volumes are made"
check_is "" "$(grep -v 6 codes 2>/dev/null)" "who was in between is told to run again, and nothing else"
check_is "$(ls c*.raw | wc -l)" "$(kvmcrypt list --json | jq '[.volumes[] | select(.path | test("/c[0-9]+.raw$"))] | length')" "every image has its record"
check "recover has nothing to mend" kvmcrypt recover -q
check "the keystore is clean" clean
check "the keyring has the new key" kvmcrypt unseal -q
check_is 1 "$(keyctl list @u | grep -c "kvmcrypt:$(id)")" "and only it"
for i in 1 2 3; do check "a backup made meanwhile restores" kvmcrypt keystore restore -q --keystore "$T/live$i" "live$i.backup"; done
