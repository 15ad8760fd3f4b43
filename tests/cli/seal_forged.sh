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

# Whoever owns a key file decides what unseals the keystore.
head -c 64 /dev/urandom >own.key
head -c 64 /dev/urandom >foreign.key
chmod 600 own.key foreign.key
chown nobody foreign.key
check_error 9 'foreign.key belongs to user [0-9]+, not to you.*chown' "somebody else's key file" kvmcrypt init -q --keystore "$T/other" --key-file foreign.key
check "one's own" kvmcrypt init -q --keystore "$T/other" --key-file own.key
chown nobody own.key
check_error 3 'own.key belongs to user [0-9]+, not to you' "one that changed hands" setsid "$KVMCRYPT" keystore check --keystore "$T/other"
exit $FAILED
