#!/bin/bash
# The root key of a keystore is pinned outside of its directory: another keystore in its place is refused by every command.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
printf 'correct horse' >pass
printf wrong >wrong
pinned() { grep -hE '^(root|next) ' "$T"/pins/*.pin 2>/dev/null; }
id_of() { kvmcrypt keystore status --json "$@" | jq -r .root_key_id; }
kvmcrypt init -q --passphrase-file pass || exit 1
id=$(id_of)
check_is "root $id" "$(pinned)" "init pins it"
kvmcrypt unseal -q --passphrase-file pass
kvmcrypt create -q a.raw 1M || exit 1
kvmcrypt keystore backup -q first.backup

# Somebody puts his keystore in the place of ours; his key file opens it by itself.
head -c 64 /dev/urandom >his.key
KVMCRYPT_PINS=$T/his-pins kvmcrypt init -q --keystore "$T/his" --key-file his.key || exit 1
his=$(KVMCRYPT_PINS=$T/his-pins id_of --keystore "$T/his")
mv keystore ours
cp -r his keystore
refused="its root key is $his, and not $id.*$T/pins/.*--expect-root"
check_error 9 "$refused" "create stores no key for him" kvmcrypt create -q b.raw 1M
check_error 9 "$refused" "nor does rotate" kvmcrypt rotate -q a.raw
check_error 9 "$refused" "nor list show what he has" kvmcrypt list
check_error 9 "$refused" "nor status" kvmcrypt keystore status
check_error 9 "$refused" "a passphrase is not said to be right" kvmcrypt unseal -q --passphrase-file pass
check_error 9 "$refused" "init does not take it for ours" kvmcrypt init -q --if-absent --passphrase-file pass
check_is "root $id" "$(pinned)" "the pin stays"
check_error 9 'has the root key .*not the one that is expected' "--expect-root with ours" kvmcrypt unseal -q --expect-root "$id" --passphrase-file pass
check_error 2 'no ID of a root key' "or with none" kvmcrypt unseal -q --expect-root x
check "a person may say that it is right" kvmcrypt unseal -q --expect-root "$his"
check_is "root $his" "$(pinned)" "and then it is pinned"
kvmcrypt seal -q
check_error 9 "the backup has the root key $id.*--expect-root $id" "our backup is refused there" kvmcrypt keystore restore -q --yes first.backup
check "unless its root key is named" kvmcrypt keystore restore -q --yes --expect-root "$id" first.backup
check_is "root $id" "$(pinned)" "which is pinned then"
check "it is ours" kvmcrypt unseal -q --passphrase-file pass

# By another path to it: a link that is turned.
rm -rf keystore
mv ours ours2
mkdir behind
mv ours2 behind/ours
ln -s behind/ours link
kvmcrypt unseal -q --keystore "$T/link" --passphrase-file pass
check_is 3 "$(pinned | wc -l)" "a keystore behind a link is pinned by both of its names"
ln -sfn "$T/his" link
check_error 9 "its root key is $his, and not $id" "and the link may not lead elsewhere" kvmcrypt list --keystore "$T/link"
rm link
mv behind/ours keystore

# One that was made before there were pins.
rm -rf pins
check_exit 0 "a keystore without a pin is used" kvmcrypt list
head -c 64 /dev/urandom >own.key
check "a slot is added" kvmcrypt keystore add-slot -q --key-file own.key
kvmcrypt seal -q
check "it unseals by itself" setsid "$KVMCRYPT" unseal
check_is 1 "$(grep -c 'note: no root key is pinned' stderr)" "and that no root key is pinned is said"
check_is "" "$(pinned)" "a key file that the seal names proves nothing"
check_exit 5 "a wrong passphrase" kvmcrypt unseal -q --passphrase-file wrong
check_is "" "$(pinned)" "proves nothing, either"
check "a passphrase does" kvmcrypt unseal -q --passphrase-file pass
check_is "root $id" "$(pinned)" "and pins it"

# A new root key, killed at every rename on the way: either it is the pinned one, or the old one is.
kvmcrypt seal -q
cp -r keystore keystore.was
cp -r pins pins.was
bad='' n=0
for ((n = 1; n < 40; n++)); do
	rm -rf keystore pins
	cp -r keystore.was keystore
	cp -r pins.was pins
	{ strace -f -qq -o /dev/null -e trace=rename,renameat,renameat2,linkat,unlinkat -e inject=rename,renameat,renameat2,linkat,unlinkat:signal=KILL:when=$n "$KVMCRYPT" keystore rekey -q --yes --drop-others </dev/null; } >/dev/null 2>&1
	code=$?
	kvmcrypt list >/dev/null 2>err || bad+="$n: $(cat err) "
	kvmcrypt recover -q >/dev/null 2>&1
	[ "$(pinned)" = "root $(id_of)" ] || bad+="$n: $(pinned | tr '\n' ' ')"
	[ $code != 0 ] || break
done
check_is "" "$bad" "killed at each of $((n - 1)) renames of a rekey, the keystore and its pin agree"
check_is no "$([ "$(pinned)" = "root $id" ] && echo yes || echo no)" "a new root key is pinned"

# Where the pin is no file of ours.
chmod 666 pins/*.pin
check_error 9 'is not yours alone' "a pin that others may write" kvmcrypt list
chmod 644 pins/*.pin
echo nonsense >"$(ls pins/*.pin)"
check_error 7 'is damaged.*--expect-root' "one that says nothing" kvmcrypt list
check "is written anew with the ID" kvmcrypt unseal -q --expect-root "$(sqlite3 keystore/keystore.db "SELECT lower(hex(value)) FROM meta WHERE name = 'root_key_id'" | sed -E 's/(.{8})(.{4})(.{4})(.{4})/\1-\2-\3-\4-/')"
check "and all is well" kvmcrypt list
exit $FAILED
