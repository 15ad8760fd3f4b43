#!/bin/bash
# kvmcrypt keystore certificate, export, import: the keys of a volume move to another host.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
other() { kvmcrypt "$@" --keystore "$T/other"; }
keystore_new
head -c 64 /dev/urandom >other.key
kvmcrypt init -q --keystore "$T/other" --key-file other.key
mkdir a b
kvmcrypt create -q a/one.qcow2 8M
kvmcrypt create -q --luks 2 a/two.raw 8M
kvmcrypt create -q a/three.raw 8M
passphrase_of a/one.qcow2 >p1

check "the other host's certificate" other keystore certificate
cp stdout other.pem
check "is one" openssl x509 -in other.pem -noout -checkend 86400
check_is "$(other keystore certificate | openssl x509 -noout -pubkey)" "$(openssl x509 -in other.pem -noout -pubkey)" "always for the same key"
check "export to it" kvmcrypt keystore export --json --to other.pem -o bundle a/one.qcow2 a/two.raw
check_is "2 600" "$(jq '.volumes | length' stdout) $(stat -c %a bundle)" "JSON says which; the file is for its owner"
check_is 0 "$(grep -c -a -F -e "$(cat p1)" -e one.qcow2 bundle)" "neither key nor name can be read in it"
check_is id-smime-ct-authEnvelopedData "$(openssl cms -cmsout -print -inform DER -in bundle | sed -n 's/.*contentType: \([a-zA-Z-]*\).*/\1/p' | head -n 1)" "it is a CMS message, authenticated"
check_error 10 'exists already' "an existing file is not overwritten" kvmcrypt keystore export -q --to other.pem -o bundle a/one.qcow2
check_is 2 "$(kvmcrypt keystore log --json | jq '[.rows[] | select(.action == "export")] | length')" "each use of a key is in the audit trail"
cp a/one.qcow2 a/two.raw b/
check_exit 0 "what would come" other keystore import --dry-run --json --directory b bundle
check_is '["b/one.qcow2","b/two.raw"] true' "$(jq -c '[.volumes[].path | sub(".*/b/"; "b/")]' stdout) $(jq '[.volumes[].present] | all' stdout)" "in its place"
check_is 0 "$(other list --json | jq '.volumes | length')" "is not taken in yet"
check "import" other keystore import --json --directory b bundle
check_is "true true" "$(jq -r '[.volumes[].changed] | join(" ")' stdout)" "both are new"
check_is "$(cat p1)" "$(other passphrase show --yes b/one.qcow2)" "the key is the same"
check "and opens the image" other show b/two.raw
check_is ready "$(other show --json b/two.raw | jq -r .state)" "which is ready"
check "again" other keystore import --json --directory b bundle
check_is "false false" "$(jq -r '[.volumes[].changed] | join(" ")' stdout)" "is no change"
other rotate -q b/one.qcow2
check_error 10 'with other keys' "a volume that has gone on is not set back" other keystore import -q --directory b bundle
check_is 10 "$(other keystore import --json --directory b bundle 2>/dev/null | jq .error.exit_code)" "JSON says so too"
check "the other store is clean" other keystore check -q
check_error 5 'not for this keystore' "it opens in no other keystore" kvmcrypt keystore import -q bundle

echo "correct horse battery" >pass
echo "wrong" >wrong
check "export with a passphrase" kvmcrypt keystore export -q --passphrase-file pass --output by-pass a/three.raw
check_error 5 'passphrase does not open it' "a wrong one" other keystore import -q --passphrase-file wrong by-pass
check_exit 5 "none" other keystore import -q by-pass
check "the right one" other keystore import -q --passphrase-file pass by-pass
check "the volume is where it was" other show a/three.raw
check "a person types it" on_terminal "'$KVMCRYPT' keystore import --passphrase --keystore '$T/other' by-pass" 'Passphrase of the bundle*: ' $'correct horse battery\r'
cp by-pass bad
printf '\x55' | dd of=bad bs=1 seek=$(($(stat -c %s bad) - 40)) conv=notrunc status=none
check_exit 5 "a changed bundle" other keystore import -q --passphrase-file pass bad
head -c 500 /dev/urandom >junk
check_error 7 'no bundle' "junk" other keystore import -q --passphrase-file pass junk
openssl cms -encrypt -aes256 -binary -outform DER -in junk -out only-encrypted other.pem 2>/dev/null
check_error 7 'no bundle' "a message that is not authenticated" other keystore import -q only-encrypted
check_error 2 'output is missing' "no file" kvmcrypt keystore export -q --to other.pem a/one.qcow2
check_error 2 'not both' "two ways at once" kvmcrypt keystore export -q --to other.pem --passphrase-file pass -o x a/one.qcow2
check_error 4 'No such file' "no certificate" kvmcrypt keystore export -q --to none.pem -o x a/one.qcow2
check_exit 1 "no certificate either" kvmcrypt keystore export -q --to junk -o x a/one.qcow2
check_error 4 'no volume' "no such volume" kvmcrypt keystore export -q --to other.pem -o x a/none.raw
check_is "" "$(ls x 2>/dev/null)" "nothing was written"
other keystore rekey -q
check_error 5 'not for this keystore' "a new root key is a new certificate" other keystore import -q --directory b bundle
check "both stores are clean" bash -c "'$KVMCRYPT' keystore check -q && '$KVMCRYPT' keystore check -q --keystore '$T/other'"
