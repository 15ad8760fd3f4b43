#!/bin/bash
# Ways to unseal that need no person or a device: TPM2, Tang, PKCS#11, systemd credential; and FIDO2 as far as
# a machine without such a token goes. swtpm, tangd and SoftHSM are real.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/devices.sh"
cd "$T" || exit 1
keyctl show @u >/dev/null 2>&1 || skip_all "no kernel keyring here"
slots() { kvmcrypt keystore status --json | jq -r '[.slots[] | "\(.slot)=\(.type)"] | join(" ")'; }
slot_of() { kvmcrypt keystore status --json | jq -r --arg l "$1" '.slots[] | select(.label == $l) | .slot'; }
tokens() { cryptsetup luksDump --dump-json-metadata "$KVMCRYPT_KEYSTORE/seal" | jq -r '[.tokens[].type] | sort | join(" ")'; }
n=0
works() { n=$((n + 1)); setsid "$KVMCRYPT" create -q "w$n.raw" 1M; }

tpm_start
echo 12-34 >pin
echo 99-99 >bad
check "init with a TPM" kvmcrypt init -q --tpm2="$TPM" --recovery-key rec --label first
check_is "0=tpm2 1=recovery" "$(slots)" "makes its slot, and no other stays"
check_is "2" "$(cryptsetup luksDump --dump-json-metadata "$KVMCRYPT_KEYSTORE/seal" | jq '.keyslots | length')" "in the LUKS2 header neither"
check_is "kvmcrypt kvmcrypt systemd-tpm2" "$(tokens)" "with systemd's token beside ours"
check "commands unseal by themselves" works
check_is "" "$(tpm_handles)" "and leave no session in the TPM"
check_is "7 $TPM" "$(kvmcrypt keystore status --json | jq -r '.slots[0] | "\(.pcrs) \(.device)"')" "JSON says how it was made"
check "a slot with a PIN, asked for twice" on_terminal "$KVMCRYPT keystore add-slot --tpm2=$TPM --tpm2-with-pin --tpm2-pcrs=7+8 --label pinned" \
	"New PIN" $'12-34\r' "again" $'12-34\r'
pinned=$(slot_of pinned)
strace -f -qq -v -s 4096 -e trace=execve -o execs "$KVMCRYPT" keystore add-slot -q --tpm2="$TPM" --tpm2-with-pin --pin-file pin --label extra
check_is 0 "$(grep -c 12-34 execs)" "no argument and no environment of any child has the PIN"
check_is yes "$(grep -q systemd-cryptenroll execs && echo yes)" "and they were watched"
check "remove it" kvmcrypt keystore remove-slot -q --yes "$(slot_of extra)"
check_is "kvmcrypt kvmcrypt kvmcrypt systemd-tpm2 systemd-tpm2" "$(tokens)" "its tokens go with it"
check "the PIN unseals" kvmcrypt unseal -q --slot "$pinned" --pin-file pin
kvmcrypt seal -q
check_error 5 "slot $pinned \(tpm2\): wrong PIN" "a wrong one does not" kvmcrypt unseal -q --slot "$pinned" --pin-file bad
check_error 2 'slot 0 has no PIN' "a PIN for a slot without one never reaches the TPM" kvmcrypt unseal -q --slot 0 --pin-file pin
check_error 4 'no slot 9' "an absent slot" kvmcrypt unseal -q --slot 9
check_error 2 '--tpm2-with-pin goes with --tpm2' "a word more of a way that is not asked for" kvmcrypt keystore add-slot -q --tpm2-with-pin
check_error 2 'one slot at a time' "two ways at once" kvmcrypt keystore add-slot -q --tpm2="$TPM" --tang=http://127.0.0.1:1
sum=$(sha256sum <"$KVMCRYPT_KEYSTORE/seal")
check_exit 1 "a TPM that is not there" kvmcrypt keystore add-slot -q --tpm2=swtpm:host=127.0.0.1,port=1
check_is "$sum" "$(sha256sum <"$KVMCRYPT_KEYSTORE/seal")" "changes nothing"
check_is "" "$(ls "$KVMCRYPT_KEYSTORE"/*new* 2>/dev/null)" "and leaves nothing"

# What a token in the seal says is not believed: the TSS knows a transport that runs a command, and writes to any file.
cp "$KVMCRYPT_KEYSTORE/seal" seal.good
echo precious >victim
for device in "cmd:touch $T/ran" "$T/victim" "device:$T/victim" "/dev/tpm/../..$T/victim" "libtpms:$T/victim"; do
	forge 0 ".device = \"$device\""
	check_error 7 'tampered with.*names no TPM' "a forged device ${device%%[:/]*} in the seal is no TPM" kvmcrypt unseal -q --slot 0
	setsid "$KVMCRYPT" create -q x.raw 1M 2>/dev/null
	check_is "precious no" "$(cat victim) $([ -e ran ] && echo yes || echo no)" "runs nothing and changes no file"
done
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
check_error 2 'names no TPM' "nor is it to a person" kvmcrypt keystore add-slot -q --tpm2="cmd:touch $T/ran"

# A firmware update.
tpm_extend 7
check_error 3 'PCRs are not those.*keystore reseal' "changed PCRs: one line says why and what to do" works
check_error 5 'PCRs' "named by hand too" kvmcrypt unseal -q --slot 0
check "the recovery key still unseals" kvmcrypt unseal -q --passphrase-file rec
check_exit 0 "what reseal would do" kvmcrypt keystore reseal --dry-run --json
check_is "0=tpm2 1=recovery $pinned=tpm2" "$(slots)" "is not done"
check "reseal the slot" kvmcrypt keystore reseal --json 0
check_is '["tpm2",0,"first"]' "$(jq -c '.slots[0] | [.type, .replaced, .label]' stdout)" "JSON says what took its place"
check "reseal the one with the PIN" kvmcrypt keystore reseal -q --pin-file pin "$pinned"
kvmcrypt seal -q
check "commands unseal by themselves again" works
check_is "kvmcrypt kvmcrypt kvmcrypt systemd-tpm2 systemd-tpm2" "$(tokens)" "and the old slots are gone"
check_is "7+8" "$(kvmcrypt keystore status --json | jq -r '.slots[] | select(.label == "pinned") | .pcrs')" "with the options they were made with"
kvmcrypt unseal -q --passphrase-file rec
check_error 4 'no slot 30' "no such slot to reseal" kvmcrypt keystore reseal 30
check_error 2 "type 'recovery'" "one that no machine holds" kvmcrypt keystore reseal "$(kvmcrypt keystore status --json | jq '.slots[] | select(.type == "recovery") | .slot')"
kvmcrypt seal -q

# Too many wrong PINs.
tpm2_dictionarylockout -T "$TPM" --setup-parameters --max-tries=1 --recovery-time=1000 --lockout-recovery-time=1000
pinned=$(slot_of pinned)
kvmcrypt unseal -q --slot "$pinned" --pin-file bad 2>/dev/null
check_error 3 'the TPM is locked after too many wrong PINs' "lock-out is told from a wrong PIN" kvmcrypt unseal -q --slot "$pinned" --pin-file pin
tpm2_dictionarylockout -T "$TPM" --clear-lockout
check "and once cleared the right one works" kvmcrypt unseal -q --slot "$pinned" --pin-file pin
kvmcrypt seal -q

# PCR values signed in advance.
pcr_sign 11 >sig.json
check "a slot for a signed PCR policy" kvmcrypt keystore add-slot -q --tpm2="$TPM" --tpm2-pcrs= --tpm2-public-key=pcr.pub --tpm2-signature=sig.json --label signed
signed=$(slot_of signed)
tpm_extend 11
check_error 5 'no signature for.*present PCR values' "unsigned values" kvmcrypt unseal -q --slot "$signed"
pcr_sign 11 >sig.json
check "signed ones need no new slot" kvmcrypt unseal -q --slot "$signed"
kvmcrypt seal -q

# The TPM is gone: others take over, and each that failed is a line.
tang_start a
tang_start b
kvmcrypt unseal -q --passphrase-file rec
check_error 9 'Tang server.*signs with the key.*--yes' "a Tang server nobody has vouched for" setsid "$KVMCRYPT" keystore add-slot -q --tang="$(tang_url a)"
check "is trusted by an answer" on_terminal "$KVMCRYPT keystore add-slot --tang=$(tang_url a) --label one" "Trust it" $'yes\r'
check_is "$(tang-show-keys "$(cat tang/a/port)")" "$(kvmcrypt keystore status --json | jq -r '.slots[] | select(.label == "one") | .thumbprints')" "with the thumbprint that Tang shows"
check_exit 1 "a wrong thumbprint" kvmcrypt keystore add-slot -q --tang="$(tang_url a)" --tang-thumbprint=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
check "two servers, one is enough" kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a),$(tang_url b)" --tang-threshold=1 --label two
check_error 2 'threshold of 3' "more than there are" kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a)" --tang-threshold=3
check_error 2 'threshold of 4294967295' "a number that does not fit is not cut down to 1" kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a),$(tang_url b)" --tang-threshold=4294967297
check_error 2 '2 Tang servers need as many thumbprints' "a server without a thumbprint" kvmcrypt keystore add-slot -q --tang="$(tang_url a),$(tang_url b)" --tang-thumbprint="$(tang-show-keys "$(cat tang/a/port)")"

# Servers that send anything but an advertisement. They answer once each.
# The request is read first: closing with it unread would reset the connection, and the answer be lost.
cat >hostile-server <<-'SERVER'
#!/bin/bash
while read -r line && [ -n "${line%$'\r'}" ]; do :; done
cat "${0%/*}/answer"
SERVER
chmod 700 hostile-server
hostile() {
	printf 'HTTP/1.0 200 OK\r\n\r\n' >answer
	cat >>answer
	hostile_port=$((20000 + RANDOM % 20000))
	socat "TCP-LISTEN:$hostile_port,bind=127.0.0.1,fork,reuseaddr" "EXEC:$T/hostile-server" 2>/dev/null &
	hostile_pid=$!
	hears() { bash -c ": </dev/tcp/127.0.0.1/$hostile_port"; }
	wait_for hears
}
for answer in '{"payload":null}' '{"payload":""}' '{"payload":[1]}' '{"payload":"    "}' '{"payload":"eyJrZXlzIjpbbnVsbCwxXX0"}' '[null]' 'null' '' ; do
	hostile <<<"$answer"
	check_error 7 'what it sends is no advertisement' "a server that sends '$answer'" kvmcrypt keystore add-slot -q --yes --tang="http://127.0.0.1:$hostile_port"
	kill "$hostile_pid"
done
hostile < <(head -c 3000000 /dev/zero | tr '\0' '[')
check_error 7 'what it sends is no advertisement' "one that sends megabytes" kvmcrypt keystore add-slot -q --yes --tang="http://127.0.0.1:$hostile_port"
kill "$hostile_pid"
one=$(slot_of one) two=$(slot_of two)
check "clevis's own tools read the slot" bash -c "clevis luks pass -d '$KVMCRYPT_KEYSTORE/seal' -s $one | cryptsetup open --test-passphrase --key-file - '$KVMCRYPT_KEYSTORE/seal'"
kvmcrypt seal -q
check "Tang unseals" kvmcrypt unseal -q --slot "$one"
kvmcrypt seal -q
# clevis runs whichever pin a token names: one that no enrolment writes is not given to it.
cp "$KVMCRYPT_KEYSTORE/seal" seal.good
for header in '{"clevis":{"pin":"../evil"}}' '{"clevis":{"pin":"sss","sss":{"jwe":["e30.a.b.c.d"]}}}' '{"clevis":{"pin":"sss","sss":{"jwe":[1]}}}' '{}' 'x'; do
	forge "$one" ".jwe.protected = \"$(printf %s "$header" | base64url)\"" clevis
	check_error 7 'tampered with.*not one for Tang servers' "a forged token with the header $header" kvmcrypt unseal -q --slot "$one"
done
cp seal.good "$KVMCRYPT_KEYSTORE/seal"
strace -f -qq -o made -e trace=openat,creat "$KVMCRYPT" unseal -q --slot "$one"
check_is "" "$(grep -E 'O_CREAT|creat\(' made | grep -v ENOENT | grep -vF -e "$KVMCRYPT_KEYSTORE/keystore.db-" -e '"/dev/null"')" "no program on the way puts anything into a file"
check_is yes "$(grep -q clevis made && echo yes)" "and clevis was watched, too"
kvmcrypt seal -q
tpm_stop
check_error 3 "slot $pinned \(tpm2\): no TPM answers at swtpm:" "a TPM that is gone is no wrong PIN" kvmcrypt unseal -q --slot "$pinned" --pin-file pin
check_exit 0 "without the TPM commands go on" setsid "$KVMCRYPT" create t.raw 1M
check_is 1 "$(grep -c '^note: slot .*tpm2, first' stderr)" "and say what failed"
tang_stop a
check_error 3 "too few Tang servers" "a server that is down" kvmcrypt unseal -q --slot "$one"
check "the other one is enough for the second slot" kvmcrypt unseal -q --slot "$two"
kvmcrypt seal -q
tang_stop b
check_exit 3 "with everything down" setsid "$KVMCRYPT" create -q u.raw 1M
check_is "$(kvmcrypt keystore status --json | jq '[.slots[] | select(.pin == false and .type != "recovery")] | length')" "$(grep -c '^kvmcrypt: slot ' stderr)" "each way that failed is a line of its own"
check_is 1 "$(grep -c 'the keystore is sealed: run .kvmcrypt unseal' stderr)" "and the last says what to do"
# One that takes the connection and says nothing.
socat "TCP-LISTEN:$(cat tang/a/port),bind=127.0.0.1,fork,reuseaddr" EXEC:'sleep 600' &
mute=$!
is_up() { bash -c ": </dev/tcp/127.0.0.1/$(cat tang/a/port)"; }
wait_for is_up
check_error 1 'clevis gave no answer in [0-9]+ seconds' "a server that never answers does not hang a command" kvmcrypt unseal -q --slot "$one"
kill "$mute"
pkill -P "$mute" 2>/dev/null
check "the recovery key goes on working" kvmcrypt unseal -q --passphrase-file rec
check "Tang and TPM slots can be removed without them" kvmcrypt keystore remove-slot -q --yes "$two"
kvmcrypt seal -q

# A keystore for each of the rest.
export KVMCRYPT_KEYSTORE=$T/keystore2
head -c 64 /dev/urandom >cred.key
check "a key that will come as systemd's credential" kvmcrypt init -q --credential cred.key
check_error 3 'sealed' "is not looked for elsewhere" works
mkdir credentials
cp cred.key credentials/kvmcrypt.key
check "and unseals by itself where the credential is" env CREDENTIALS_DIRECTORY="$T/credentials" setsid "$KVMCRYPT" create -q c.raw 1M
head -c 64 /dev/urandom >credentials/kvmcrypt.key
check_error 3 'systemd credential kvmcrypt.key: this passphrase or key does not open' "a wrong one is named" env CREDENTIALS_DIRECTORY="$T/credentials" setsid "$KVMCRYPT" create -q d.raw 1M
kvmcrypt unseal -q --key-file cred.key
token_start
echo 1234 >pin
check_error 2 "may not hold the PIN" "a PIN in a URI" kvmcrypt keystore add-slot -q --pkcs11 "$TOKEN?pin-value=1234"
check "a PKCS#11 token" kvmcrypt keystore add-slot -q --pkcs11 "$TOKEN" --pin-file pin --label card
kvmcrypt seal -q
check "unseals with its PIN" kvmcrypt unseal -q --pin-file pin
kvmcrypt seal -q
check_error 5 'wrong PIN' "not with another" kvmcrypt unseal -q --pin-file bad
check "at a terminal the PIN is asked for" on_terminal "$KVMCRYPT unseal" "PIN of slot 1" $'1234\r'
check_exit 1 "no FIDO2 token here" kvmcrypt keystore add-slot -q --fido2
check_is 1 "$(grep -ci 'No FIDO' stderr)" "is said in one line"
check "the keystore is clean" kvmcrypt keystore check -q
kvmcrypt seal -q
export KVMCRYPT_KEYSTORE=$T/keystore
