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
check_error 9 'sender is not known.*from.*yes' "without a word for its sender it is refused" setsid "$KVMCRYPT" keystore import -q --keystore "$T/other" --directory b bundle
check_is 0 "$(other list --json | jq '.volumes | length')" "and nothing is taken in"
check "import" other keystore import --yes --json --directory b bundle
check_is "true true" "$(jq -r '[.volumes[].changed] | join(" ")' stdout)" "both are new"
check_is "unknown" "$(jq -r '.volumes[0].sender' stdout)" "JSON says that the sender is not known"
check_is "$(cat p1)" "$(other passphrase show --yes b/one.qcow2)" "the key is the same"
check "and opens the image" other show b/two.raw
check_is ready "$(other show --json b/two.raw | jq -r .state)" "which is ready"
check "again" other keystore import --yes --json --directory b bundle
check_is "false false" "$(jq -r '[.volumes[].changed] | join(" ")' stdout)" "is no change"
other rotate -q b/one.qcow2
check_error 10 'with other keys' "a volume that has gone on is not set back" other keystore import -q --yes --directory b bundle
check_is 10 "$(other keystore import --json --yes --directory b bundle 2>/dev/null | jq .error.exit_code)" "JSON says so too"
check "the other store is clean" other keystore check -q
check_error 5 'not for this keystore' "it opens in no other keystore" kvmcrypt keystore import -q bundle

echo "correct horse battery" >pass
echo "wrong" >wrong
check "export with a passphrase" kvmcrypt keystore export -q --passphrase-file pass --output by-pass a/three.raw
check_error 5 'passphrase does not open it' "a wrong one" other keystore import -q --passphrase-file wrong by-pass
check_exit 5 "none" other keystore import -q by-pass
mv a/three.raw away
check_error 9 'alone says where' "where the image is not there, a person says that it may come there" setsid "$KVMCRYPT" keystore import -q --keystore "$T/other" --passphrase-file pass by-pass
mv away a/three.raw
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

# Who made it.
kvmcrypt keystore certificate >own.pem
check_is 2 "$(grep -c 'BEGIN CERTIFICATE' own.pem)" "a certificate to encrypt to, and one to know who signed"
kvmcrypt create -q a/four.raw 8M
kvmcrypt create -q a/five.raw 8M
cp a/four.raw a/five.raw b/
check "a signed bundle" kvmcrypt keystore export -q --sign --to other.pem -o signed a/four.raw
kvmcrypt keystore export -q --to other.pem -o unsigned a/four.raw
head -c 64 /dev/urandom >third.key
kvmcrypt init -q --keystore "$T/third" --key-file third.key
kvmcrypt keystore certificate --keystore "$T/third" >third.pem
check_error 9 'not signed' "--from takes none that is not signed" other keystore import -q --from own.pem --directory b unsigned
check_error 7 'not signed by the keystore of this certificate' "nor one that another signed" other keystore import -q --from third.pem --directory b signed
check_error 2 'no key that signs' "nor the certificate of an older kvmcrypt" bash -c "openssl x509 -in own.pem -out old.pem && '$KVMCRYPT' keystore import -q --keystore '$T/other' --from old.pem --directory b signed"
check "and asks nothing where all is known" setsid "$KVMCRYPT" keystore import --json --keystore "$T/other" --from own.pem --directory b signed
check_is certificate "$(jq -r '.volumes[0].sender' stdout)" "JSON says who"
check "the volume opens" other show b/four.raw
check "a signed one by passphrase" kvmcrypt keystore export -q --sign --passphrase-file pass -o signed-pass a/five.raw
check_error 7 'not signed by' "is refused from another" other keystore import -q --from third.pem --passphrase-file pass --directory b signed-pass
check "and taken from him" other keystore import -q --from own.pem --passphrase-file pass --directory b signed-pass

# What lies where it says is another image.
kvmcrypt create -q a/six.raw 8M
kvmcrypt keystore export -q --to other.pem -o six a/six.raw
cp a/five.raw b/six.raw
check_error 7 'not this volume' "another image at its place" other keystore import -q --yes --directory b six
rm b/six.raw
ln -s /etc/passwd b/six.raw
check_error 7 'not this volume' "nor a link to some file" other keystore import -q --yes --directory b six
rm b/six.raw
check "nothing there" other keystore import -q --yes --directory b six
check "both stores are clean" bash -c "'$KVMCRYPT' keystore check -q && '$KVMCRYPT' keystore check -q --keystore '$T/other'"
other keystore rekey -q --yes
check_error 5 'not for this keystore' "a new root key is a new certificate" other keystore import -q --yes --directory b bundle
check "both stores are clean" bash -c "'$KVMCRYPT' keystore check -q && '$KVMCRYPT' keystore check -q --keystore '$T/other'"
