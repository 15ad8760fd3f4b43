#!/bin/bash
# Somebody may write to the keystore's directory, and edits the seal: what it says reaches no program and no file.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/devices.sh"
cd "$T" || exit 1
printf 'correct horse' >pass
kvmcrypt init -q --passphrase-file pass || exit 1
kvmcrypt unseal -q --passphrase-file pass || exit 1
tang_start a
tang_start b
kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a)" || exit 1
kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a),$(tang_url b)" --tang-threshold 1 || exit 1
kvmcrypt seal -q
cp "$KVMCRYPT_KEYSTORE/seal" seal.good

# curl reads options from the file that -K names: from there it writes any file as root.
mkdir -p "$KVMCRYPT_KEYSTORE/x/rec"
echo attack >payload
kid=$(cryptsetup token export --token-id "$(token_id clevis 1)" seal.good 2>/dev/null | jq -r .jwe.protected | jose b64 dec -i- | jq -r .kid)
printf 'url = "file://%s/payload"\noutput = "%s/written"\n' "$T" "$T" >"$KVMCRYPT_KEYSTORE/x/rec/$kid"
forge_url 1 "-K$KVMCRYPT_KEYSTORE/x"
check_error 7 'tampered with.*slot 1.*is no URL of a Tang server' "a Tang URL that is an option of curl" kvmcrypt unseal -q --slot 1

check_is no "$([ -e written ] && echo yes || echo no)" "and has nothing written"
for url in "file://$T/payload" "http://" "http:///x" "http://a b" "http://-K" "http://h/\$(id)" "http://h#f" "http://u@h" "http://h?q" "ftp://h"; do
	forge_url 1 "$url"
	check_error 7 'tampered with.*slot 1.*is no URL of a Tang server' "nor is $url a URL" kvmcrypt unseal -q --slot 1
	check_error 2 'is no URL of a Tang server' "neither in an option" kvmcrypt init -q --keystore "$T/other" --tang="$url"
done
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
forge 1 ".servers = \"http://127.0.0.1:1\""
check_error 7 "tampered with: the servers of slot 1 are http://127.0.0.1:1 in one token, $(tang_url a) in the other" "the servers of one token alone" kvmcrypt unseal -q --slot 1
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
forge 2 ".servers = \"$(tang_url b),$(tang_url a)\""
check_error 7 'tampered with: the servers of slot 2' "their order" kvmcrypt unseal -q --slot 2
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
forge 2 ".threshold = \"2\""
check_error 7 'tampered with: the servers of slot 2' "how many have to answer" kvmcrypt unseal -q --slot 2
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
check "as it was it unseals" kvmcrypt unseal -q --slot 2
kvmcrypt seal -q

# What the seal says is checked under the root key that it gives: whatever was edited stops everything.
other=$T/seal.other
unfit='not the one that was stored last.*keystore check --repair'
kvmcrypt unseal -q --passphrase-file pass
head -c 64 /dev/urandom >own.key
kvmcrypt keystore add-slot -q --key-file own.key || exit 1
file_slot=$(kvmcrypt keystore status --json | jq '.slots[] | select(.type == "key-file") | .slot')
cp "$KVMCRYPT_KEYSTORE/seal" seal.good
kvmcrypt seal -q
forge "$file_slot" ".path = \"$T/mine.key\""
cp own.key mine.key
check_error 7 "$unfit" "a key file of another name, which the next rekey would seal the root key to" kvmcrypt unseal -q --passphrase-file pass
check_exit 7 "no command unseals by itself" setsid "$KVMCRYPT" create x.raw 1M
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
kvmcrypt unseal -q --passphrase-file pass
forge "$file_slot" ".path = \"$T/mine.key\""
cp "$KVMCRYPT_KEYSTORE/seal" "$other"
check_error 7 "$unfit" "also where the root key is in the keyring: no rekey" kvmcrypt keystore rekey -q --drop-others
check_error 7 "$unfit" "no new slot" kvmcrypt keystore add-slot -q --recovery-key r.txt
check_error 7 "$unfit" "no slot is removed" kvmcrypt keystore remove-slot -q --yes 0
check_error 7 "$unfit" "none is renewed" kvmcrypt keystore reseal -q 1
check_is "" "$(cmp "$other" "$KVMCRYPT_KEYSTORE/seal" 2>&1)$(ls r.txt "$KVMCRYPT_KEYSTORE/seal.new" 2>/dev/null)" "nothing is changed"
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
# An old seal, with a passphrase that was removed since.
printf 'old passphrase' >oldpass
kvmcrypt keystore add-slot -q --passphrase-file oldpass || exit 1
cp "$KVMCRYPT_KEYSTORE/seal" seal.old
kvmcrypt keystore remove-slot -q --yes "$(kvmcrypt keystore status --json | jq '.slots[-1].slot')" || exit 1
cp "$KVMCRYPT_KEYSTORE/seal" seal.good
cp seal.old "$KVMCRYPT_KEYSTORE/seal"
check_error 7 "$unfit" "an old seal makes no new slot" kvmcrypt keystore add-slot -q --recovery-key r.txt
kvmcrypt seal -q
check_error 7 "$unfit" "and its removed passphrase opens nothing" kvmcrypt unseal -q --passphrase-file oldpass
check_exit 7 "the check says what it has" kvmcrypt keystore check --passphrase-file pass
check_is 1 "$(grep -c "it has slot 0 (passphrase); slot 1 (tang, $(tang_url a), signing keys .*); .*key-file, $T/own.key); slot [0-9]* (passphrase)" stdout)" "slot by slot, with what each trusts"
check_error 9 'add --yes' "and asks before it accepts" setsid "$KVMCRYPT" keystore check -q --repair --passphrase-file pass
check "accepted" kvmcrypt keystore check --repair --yes --passphrase-file pass
check_is 1 "$(kvmcrypt keystore log --json | jq '[.rows[] | select(.action == "repair" and (.detail | startswith("the seal was accepted as it was found, with slot 0 (passphrase);")))] | length')" "the trail has what"
check "it unseals" kvmcrypt unseal -q --passphrase-file oldpass
kvmcrypt keystore check -q --repair --yes || exit 1

# A new root key goes to nobody that was not named.
check_error 9 "These unseal the new root key.*slot 1 \\(tang, $(tang_url a), signing keys .*slot $file_slot \\(key-file, $T/own.key\\).*--yes" "rekey names each slot that it carries over" setsid "$KVMCRYPT" keystore rekey -q --drop-others
check_is "" "$(cmp seal.old "$KVMCRYPT_KEYSTORE/seal" 2>&1)" "and changes nothing without a yes"
check_exit 9 "nor after a no" on_terminal "$KVMCRYPT keystore rekey --drop-others" "Type yes" $'no\r'
check_is 1 "$(grep -c 'These unseal the new root key' terminal)" "which was asked for"

# What a person gives is tried, although the keystore is unsealed.
printf wrong >wrong
check_error 5 'does not open the keystore' "a wrong passphrase is told of" kvmcrypt unseal -q --passphrase-file wrong
check "a right one is right" kvmcrypt unseal -q --passphrase-file pass

# Other programs: what repairs only bytes is no change, a slot more or less is one.
printf damage | dd of="$KVMCRYPT_KEYSTORE/seal" bs=1 seek=20480 conv=notrunc status=none
before=$(sha256sum <"$KVMCRYPT_KEYSTORE/seal")
cryptsetup luksDump "$KVMCRYPT_KEYSTORE/seal" >/dev/null
check_is yes "$([ "$before" = "$(sha256sum <"$KVMCRYPT_KEYSTORE/seal")" ] || echo yes)" "cryptsetup luksDump writes a damaged copy of the header anew"
kvmcrypt seal -q
check "which is no change of what the seal says" kvmcrypt unseal -q --passphrase-file pass
cp "$KVMCRYPT_KEYSTORE/seal" seal.good
printf added >added
cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file own.key "$KVMCRYPT_KEYSTORE/seal" added
kvmcrypt seal -q
check_error 7 "$unfit" "cryptsetup luksAddKey is" kvmcrypt unseal -q --passphrase-file pass
check "and may be accepted" kvmcrypt keystore check --repair --yes --passphrase-file pass
check_is 1 "$(kvmcrypt keystore status --json | jq '[.slots[] | select(.type == "other")] | length')" "as a slot of another program"
check "then it unseals" kvmcrypt unseal -q --passphrase-file pass
kvmcrypt seal -q
PASSWORD=$(cat pass) systemd-cryptenroll --wipe-slot="$(kvmcrypt keystore status --json | jq '.slots[] | select(.type == "other") | .slot')" "$KVMCRYPT_KEYSTORE/seal" >/dev/null 2>&1
check_error 7 "$unfit" "systemd-cryptenroll --wipe-slot is" kvmcrypt unseal -q --passphrase-file pass
check "and may be accepted, too" kvmcrypt keystore check --repair --yes --passphrase-file pass
check "the keystore is whole" kvmcrypt keystore check --passphrase-file pass
kvmcrypt seal -q

# Whoever owns a key file decides what unseals the keystore.
head -c 64 /dev/urandom >foreign.key
chown nobody foreign.key
check_error 9 'foreign.key belongs to user [0-9]+, not to you.*chown' "somebody else's key file" kvmcrypt init -q --keystore "$T/other" --key-file foreign.key
check "one's own" kvmcrypt init -q --keystore "$T/other" --key-file own.key
chown nobody own.key
check_error 3 'own.key belongs to user [0-9]+, not to you' "one that changed hands" setsid "$KVMCRYPT" keystore check --keystore "$T/other"
exit $FAILED
