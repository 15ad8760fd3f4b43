#!/bin/bash
# What a TPM answers, by systemd's plug-in of whichever version is here: each reason is told from the others, and
# nothing is bound to what nobody asked for. swtpm is real.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/devices.sh"
cd "$T" || exit 1
keyctl show @u >/dev/null 2>&1 || skip_all "no kernel keyring here"
slot_of() { kvmcrypt keystore status --json | jq -r --arg l "$1" '.slots[] | select(.label == $l) | .slot'; }
# The token of systemd's that opens the slot.
token_of() {
	cryptsetup luksDump --dump-json-metadata "$KVMCRYPT_KEYSTORE/seal" |
		jq -c --arg s "$1" '.tokens[] | select(.type == "systemd-tpm2" and .keyslots == [$s])'
}
unseals() { kvmcrypt unseal -q --slot "$1" "${@:2}" && kvmcrypt seal -q; }
add() { kvmcrypt unseal -q --passphrase-file rec && kvmcrypt keystore add-slot -q --tpm2="$TPM" "$@" && kvmcrypt seal -q; }
tpm_start
echo 12-34 >pin
echo 99-99 >bad
check "a keystore" kvmcrypt init -q --recovery-key rec
pcr_sign 11 >sig.json

# systemd-cryptenroll takes what it finds in its own directories.
mkdir -p /run/systemd
found() {
	unshare --mount bash -c 'mkdir -p /run/systemd && mount -t tmpfs tmpfs /run/systemd && cp pcr.pub /run/systemd/tpm2-pcr-public-key.pem &&
		cp sig.json /run/systemd/tpm2-pcr-signature.json && echo "{}" >/run/systemd/pcrlock.json && exec "$0" "$@"' "$@"
}
kvmcrypt unseal -q --passphrase-file rec
check "a slot, where a public key and a policy lie about" found "$KVMCRYPT" keystore add-slot -q --tpm2="$TPM" --label plain
check_is '[7] null' "$(token_of "$(slot_of plain)" | jq -cr '"\(."tpm2-pcrs") \(.tpm2_pubkey_pcrs // .tpm2_pcrlock | if . == [] or . == false then null else . end)"')" \
	"is bound to the PCRs that were asked for, and to nothing else"
kvmcrypt seal -q
check "and opens without either" unseals "$(slot_of plain)"

# Each reason by itself, then those that come together.
check "a slot with a PIN" add --tpm2-with-pin --pin-file pin --label pinned
check "one for signed values" add --tpm2-pcrs= --tpm2-public-key=pcr.pub --tpm2-signature=sig.json --label signed
check "one for both" add --tpm2-pcrs=8 --tpm2-public-key=pcr.pub --tpm2-signature=sig.json --tpm2-with-pin --pin-file pin --label all
plain=$(slot_of plain) pinned=$(slot_of pinned) signed=$(slot_of signed) all=$(slot_of all)
check "the PIN" unseals "$pinned" --pin-file pin
check "the signature" unseals "$signed"
check "both" unseals "$all" --pin-file pin
for s in $pinned $all; do
	check_error 5 'wrong PIN' "slot $s with a wrong PIN" kvmcrypt unseal -q --slot "$s" --pin-file bad
done
tpm2_dictionarylockout -T "$TPM" --clear-lockout
mv sig.json away.json
for s in $signed $all; do
	pin=() && [ "$s" = "$signed" ] || pin=(--pin-file pin)
	check_error 5 'no signature for.*present PCR values' "slot $s without the file of signatures" kvmcrypt unseal -q --slot "$s" "${pin[@]}"
done
echo '{"sha256":[]}' >sig.json
check_error 5 'no signature for.*present PCR values' "and with one that holds none" kvmcrypt unseal -q --slot "$signed"
mv away.json sig.json
tpm_extend 11
check_error 5 'no signature for.*present PCR values' "PCRs whose values nobody has signed" kvmcrypt unseal -q --slot "$signed"
check_error 5 'no signature for.*present PCR values' "are no wrong PIN" kvmcrypt unseal -q --slot "$all" --pin-file pin
pcr_sign 11 >sig.json
check "signed ones open" unseals "$all" --pin-file pin
tpm_extend 8
check_error 5 'PCRs are not those.*keystore reseal' "a PCR that was bound has changed, the signed one has not" kvmcrypt unseal -q --slot "$all" --pin-file pin
tpm_extend 7
check_error 5 'PCRs are not those.*keystore reseal' "changed PCRs" kvmcrypt unseal -q --slot "$plain"
check_error 5 'PCRs are not those.*keystore reseal' "are no wrong PIN either" kvmcrypt unseal -q --slot "$pinned" --pin-file pin
kvmcrypt unseal -q --passphrase-file rec
check "reseal" kvmcrypt keystore reseal -q --pin-file pin "$pinned"
kvmcrypt seal -q
pinned=$(slot_of pinned)
tpm2_dictionarylockout -T "$TPM" --clear-lockout
tpm2_dictionarylockout -T "$TPM" --setup-parameters --max-tries=2 --recovery-time=1000 --lockout-recovery-time=1000
check_error 5 'wrong PIN' "the first wrong PIN" kvmcrypt unseal -q --slot "$pinned" --pin-file bad
check_exit 5 "the one that locks the TPM" kvmcrypt unseal -q --slot "$pinned" --pin-file bad
check_error 3 'the TPM is locked after too many wrong PINs' "then no PIN is called wrong" kvmcrypt unseal -q --slot "$pinned" --pin-file bad
check_error 3 'the TPM is locked after too many wrong PINs' "the right one neither" kvmcrypt unseal -q --slot "$pinned" --pin-file pin
tpm2_dictionarylockout -T "$TPM" --clear-lockout
check "unlocked, it opens" unseals "$pinned" --pin-file pin

# A policy of systemd-pcrlock, which foresees what an update measures.
pcrlock=/usr/lib/systemd/systemd-pcrlock
if [ -x $pcrlock ]; then
	: >empty.log
	measured() { printf '{"pcr":9,"digests":[{"hashAlg":"sha256","digest":"%064d"}]%s}' "$1" "${2:-}"; }
	component() { printf '{"records":[%s]}' "$(measured "$1")" >"lock/500-program.pcrlock.d/$1.pcrlock"; }
	policy() {
		env SYSTEMD_TPM2_DEVICE="$TPM" SYSTEMD_MEASURE_LOG_FIRMWARE="$T/empty.log" SYSTEMD_MEASURE_LOG_USERSPACE="$T/log" \
			$pcrlock make-policy --pcr=9 --policy="$T/policy.json" --components="$T/lock" --recovery-pin=no --location=
	}
	boot() {
		tpm_reset && tpm2_pcrextend -T "$TPM" "9:sha256=$(printf '%064d' "$1")" &&
			{ printf '\036'; measured "$1" ',"content_type":"systemd","content":{"string":"program"}'; echo; } >log
	}
	mkdir -p lock/500-program.pcrlock.d
	component 1
	check "the host starts with program 1" boot 1
	check "which a policy foresees" policy
	check "a slot for the policy" add --tpm2-pcrlock=policy.json --label locked
	locked=$(slot_of locked)
	check_is "null $T/policy.json" "$(kvmcrypt keystore status --json | jq -r '.slots[] | select(.label == "locked") | "\(.pcrs) \(.pcrlock)"')" "JSON names it"
	check "opens" unseals "$locked"
	component 2
	check "an update is foreseen" policy
	boot 2
	check "and opens the slot as it is, without reseal" unseals "$locked"
	boot 3
	check_error 5 "PCRs are not those that the policy $T/policy.json foresees.*systemd-pcrlock make-policy" "what nobody foresaw does not" kvmcrypt unseal -q --slot "$locked"
	mv policy.json away.json
	check_error 5 "the policy $T/policy.json" "nor does a lost policy" kvmcrypt unseal -q --slot "$locked"
	mv away.json policy.json
	boot 1
	check "the older one still does" unseals "$locked"
else
	kvmcrypt unseal -q --passphrase-file rec
	check_error 2 'takes no pcrlock policy.*systemd 255' "a policy of systemd-pcrlock, where there is none" kvmcrypt keystore add-slot -q --tpm2="$TPM" --tpm2-pcrlock=sig.json
	kvmcrypt seal -q
fi
check_is "" "$(tpm_handles)" "no session is left in the TPM by any of this"
tpm_stop
for s in $plain $pinned $signed; do
	pin=() && [ "$s" != "$pinned" ] || pin=(--pin-file pin)
	check_error 3 'no TPM answers at swtpm:' "a TPM that is gone: slot $s" kvmcrypt unseal -q --slot "$s" "${pin[@]}"
done
