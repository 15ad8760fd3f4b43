#!/bin/bash
# kvmcrypt init: every way to unseal, nothing overwritten, nothing left behind by a failure.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
echo "correct horse" >pass
head -c 64 /dev/urandom >file.key

check "init with passphrase, key file and recovery key" kvmcrypt init --passphrase-file pass --key-file file.key --recovery-key rec --label main --json
check_is "$KVMCRYPT_KEYSTORE sqlite true 0 2" "$(jq -r '[.path, .backend, .sealed, .volumes, .schema_version] | join(" ")' stdout)" "JSON: path, backend, sealed, volumes, schema_version"
check_is "0 passphrase main,1 key-file main,2 recovery main" "$(jq -r '[.slots[] | "\(.slot) \(.type) \(.label)"] | join(",")' stdout)" "JSON: slots"
check_is 3 "$(jq -r '.slots[].created' stdout | grep -cE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$')" "JSON: created is RFC 3339"
check_is 1 "$(grep -cE '^([A-Z2-7]{4}-){12}[A-Z2-7]{4}$' rec)" "the recovery key is 13 groups of 4"
check_is 0 "$(grep -c -f rec stdout)" "and not in the JSON"
check_is "700 600 600 600" "$(stat -c %a keystore keystore/seal keystore/keystore.db rec | xargs)" "modes"
check "the seal is LUKS2 for cryptsetup" cryptsetup isLuks --type luks2 keystore/seal
check "cryptsetup opens it with the passphrase" bash -c "printf %s 'correct horse' | cryptsetup open --test-passphrase --key-file - keystore/seal"
check "and with the recovery key" bash -c "tr -d '\n' <rec | cryptsetup open --test-passphrase --key-file - keystore/seal"
check_is 0 "$(keyctl list @u | grep -c "$(kvmcrypt keystore status --json | jq -r .root_key_id)")" "it is sealed afterwards"

check_error 10 'keystore at .* already' "a second init" kvmcrypt init -q --key-file file.key
check_error 10 'already' "is JSON too" kvmcrypt init -q --key-file file.key --json
check_is "exists 10" "$(jq -r '.error | "\(.kind) \(.exit_code)"' stdout)" "with kind and exit code"
check_exit 0 "--if-absent" kvmcrypt init --key-file file.key --if-absent
check_error 10 'rec exists already' "a recovery key is never overwritten" kvmcrypt init -q --keystore other --recovery-key rec
check_is no "$([ -e other ] && echo yes || echo no)" "and no keystore was made"

check_error 2 'no terminal|--passphrase-file' "nothing given and no terminal" setsid "$KVMCRYPT" init -q --keystore other
check_error 4 'key file .*none' "an absent key file" kvmcrypt init -q --keystore other --key-file none --recovery-key rec2
check_is no "$([ -e rec2 ] || [ -e other ] && echo yes || echo no)" "leaves neither recovery key nor keystore"
install -m 644 file.key public.key
check_error 9 'public.key can be read or written by everyone.*chmod 600' "a key file that everyone can read" kvmcrypt init -q --keystore other --key-file public.key
mkdir full && touch full/x
check_error 9 'not empty' "a directory that is not empty" kvmcrypt init -q --keystore full --recovery-key rec2
check_is no "$([ -e rec2 ] && echo yes || echo no)" "the recovery key is removed again"
check_error 2 'never part of JSON' "a recovery key is not for JSON" kvmcrypt init -q --keystore other --recovery-key - --json
check_error 2 'exclude each other' "two passphrases" kvmcrypt init -q --keystore other --passphrase-file pass --passphrase-fd 0
: >empty
check_error 2 'empty' "an empty passphrase" kvmcrypt init -q --keystore other --passphrase-file empty
check_error 2 'only a directory' "a URL" kvmcrypt init -q --keystore etcd://h/p --key-file file.key

# A full disk: one line that says so, and nothing left behind; with room enough a keystore that works.
if unshare -m mount -t tmpfs none "$T/full" 2>/dev/null; then
	cat >on-full <<-'SCRIPT'
	mount -t tmpfs -o "size=$1,mode=700" none "$T/full" && cd "$T/full" || exit 99
	"$KVMCRYPT" init -q --keystore "$T/full/ks" --key-file "$T/file.key" || { code=$?; ls -A >"$T/left"; exit $code; }
	"$KVMCRYPT" keystore check -q --keystore "$T/full/ks"
	SCRIPT
	export T KVMCRYPT
	for size in 64k 1m 2080k 2100k 2112k 2120k 2140k 2160k; do
		unshare -m bash on-full $size >stdout 2>stderr
		code=$?
		if [ $code = 0 ]; then
			ok "init with $size of disk works"
		else
			check_is "1 1 0" "$code $(grep -cE 'No space left|disk is full' stderr) $(wc -l <left)" "init with $size of disk says what is wrong and leaves nothing"
		fi
	done
	check_exit 0 "init with 8 MiB of disk works" unshare -m bash on-full 8m
else
	skip "mount namespaces are not allowed here"
fi

check "recovery key on stdout" kvmcrypt init -q --keystore r --recovery-key -
check_is 1 "$(grep -cE '^([A-Z2-7]{4}-){12}[A-Z2-7]{4}$' stdout)" "once, as one line"
cp stdout rec3
check "it unseals" kvmcrypt unseal -q --keystore r --passphrase-file rec3
kvmcrypt seal -q --keystore r
check "passphrase by descriptor, --unseal" kvmcrypt init -q --keystore u --passphrase-fd 3 --unseal 3<pass
check_is false "$(kvmcrypt keystore status --keystore u --json | jq .sealed)" "it is unsealed"
kvmcrypt seal -q --keystore u
check "stdin" kvmcrypt init -q --keystore s --passphrase-file - <pass

# On a terminal: asked twice, not echoed.
typed() { # FIRST SECOND
	on_terminal "'$KVMCRYPT' init --keystore '$T/tty'" 'New passphrase*: ' "$1"$'\r' '(again): ' "$2"$'\r'
}
differ() { # three times, as often as is asked
	on_terminal "'$KVMCRYPT' init --keystore '$T/tty'" 'New passphrase*: ' $'sesame\r' '(again): ' $'sesamE\r' \
		'New passphrase*: ' $'sesame\r' '(again): ' $'sesamE\r' 'New passphrase*: ' $'sesame\r' '(again): ' $'sesamE\r'
}
check_exit 2 "two different passphrases on the terminal, three times" differ
check_is no "$([ -e tty ] && echo yes || echo no)" "make no keystore"
check "the same twice" typed sesame sesame
check_is 0 "$(grep -c sesame terminal)" "it was not echoed"
printf sesame >typed
check "it unseals" kvmcrypt unseal -q --keystore tty --passphrase-file typed
kvmcrypt seal -q --keystore tty
exit $FAILED
