# shellcheck shell=bash
# Devices and servers that unseal, for real: a TPM emulator, Tang servers, a SoftHSM token. Source it
# after tests/lib/test.sh; all end with the test.

# tpm_start: a TPM of its own; TPM is its name for --tpm2. swtpm serves one connection at a time.
tpm_start() {
	mkdir -p "$T/tpm"
	local tries=0
	until [ $tries = 20 ]; do
		tries=$((tries + 1))
		TPM_PORT=$((20000 + RANDOM % 20000))
		tpm_power_on && break
	done
	# shellcheck disable=SC2034
	TPM=swtpm:host=127.0.0.1,port=$TPM_PORT
	on_exit tpm_stop
}
tpm_stop() { [ ! -s "$T/tpm.pid" ] || kill "$(cat "$T/tpm.pid")" 2>/dev/null || :; rm -f "$T/tpm.pid"; }
tpm_power_on() {
	swtpm socket --tpm2 --tpmstate dir="$T/tpm" --ctrl "type=tcp,port=$((TPM_PORT + 1))" \
		--server "type=tcp,port=$TPM_PORT" --flags not-need-init,startup-clear --daemon --pid "file=$T/tpm.pid" \
		>"$T/tpm.log" 2>&1
}
# tpm_reset: as a new start of the host; PCRs are 0 again.
tpm_reset() {
	tpm2_shutdown -T "$TPM" -c
	tpm_stop
	wait_for tpm_power_on
}
tpm_extend() { tpm2_pcrextend -T "$TPM" "$1:sha256=$(printf '%064d' 1)"; }
tpm_handles() { for k in handles-transient handles-loaded-session handles-saved-session; do tpm2_getcap -T "$TPM" $k; done; }

# tang_start NAME: a Tang server with keys of its own; its URL is in $T/tang/NAME/url.
tang_start() {
	local d=$T/tang/$1 port tries=0
	mkdir -p "$d/db"
	[ -n "$(ls "$d/db")" ] || /usr/libexec/tangd-keygen "$d/db" >/dev/null
	until [ $tries = 20 ]; do
		tries=$((tries + 1))
		port=$(cat "$d/port" 2>/dev/null || echo $((20000 + RANDOM % 20000)))
		socat "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" "EXEC:/usr/libexec/tangd $d/db" 2>>"$d/log" </dev/null &
		echo $! >"$d/pid"
		answers() { curl -sf "http://127.0.0.1:$port/adv" || ! kill -0 "$(cat "$d/pid")"; }
		wait_for answers
		kill -0 "$(cat "$d/pid")" 2>/dev/null && break
	done
	echo "$port" >"$d/port"
	echo "http://127.0.0.1:$port" >"$d/url"
	on_exit "tang_stop_$1"
	eval "tang_stop_$1() { tang_stop $1; }"
}
tang_stop() {
	[ -s "$T/tang/$1/pid" ] || return 0
	kill "$(cat "$T/tang/$1/pid")" 2>/dev/null
	wait "$(cat "$T/tang/$1/pid")" 2>/dev/null
	: >"$T/tang/$1/pid"
}
tang_url() { cat "$T/tang/$1/url"; }

# token_start: a SoftHSM token with a key and certificate, PIN 1234; TOKEN is its PKCS#11 URI.
token_start() {
	mkdir -p "$T/home/.config/softhsm2" "$T/softhsm"
	printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$T/softhsm" \
		>"$T/home/.config/softhsm2/softhsm2.conf"
	export HOME=$T/home
	softhsm2-util --init-token --free --label kvmcrypt --pin 1234 --so-pin 5678 >/dev/null
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=kvmcrypt -days 2 -keyout "$T/rsa.pem" -out "$T/cert.pem" 2>/dev/null
	openssl pkcs8 -topk8 -nocrypt -in "$T/rsa.pem" -out "$T/rsa8.pem"
	softhsm2-util --import "$T/rsa8.pem" --token kvmcrypt --label k --id 01 --pin 1234 >/dev/null
	openssl x509 -in "$T/cert.pem" -outform DER -out "$T/cert.der"
	pkcs11-tool --module /usr/lib/softhsm/libsofthsm2.so --token-label kvmcrypt --pin 1234 --login \
		--write-object "$T/cert.der" --type cert --label k --id 01 >/dev/null 2>&1
	# shellcheck disable=SC2034
	TOKEN="pkcs11:token=kvmcrypt;id=%01"
}

# pcr_sign PCR > SIGNATURES: signs the PCR's present value for a signed PCR policy, as systemd-measure
# does (which wants /sys/class/tpm): the policy digest is that of TPM2_PolicyPCR (TPM 2.0 Library, Part 3,
# 23.7), the private key $T/pcr.pem, the public one $T/pcr.pub.
pcr_sign() {
	local select values policy
	hex() { xxd -r -p; }
	[ -e "$T/pcr.pem" ] || openssl genrsa -out "$T/pcr.pem" 2048 2>/dev/null
	openssl rsa -in "$T/pcr.pem" -pubout -out "$T/pcr.pub" 2>/dev/null
	select=$(printf '00000001000b03%02x%02x%02x' $(($1 < 8 ? 1 << $1 : 0)) $(($1 >= 8 && $1 < 16 ? 1 << ($1 - 8) : 0)) $(($1 >= 16 ? 1 << ($1 - 16) : 0)))
	values=$(tpm2_pcrread -T "$TPM" "sha256:$1" -o "$T/pcr.bin" >/dev/null && sha256sum <"$T/pcr.bin" | cut -d' ' -f1)
	policy=$(printf '%064d0000017f%s%s' 0 "$select" "$values" | hex | sha256sum | cut -d' ' -f1)
	printf '{"sha256":[{"pcrs":[%s],"pkfp":"%s","pol":"%s","sig":"%s"}]}\n' "$1" \
		"$(openssl rsa -pubin -in "$T/pcr.pub" -RSAPublicKey_out -outform DER 2>/dev/null | sha256sum | cut -d' ' -f1)" "$policy" \
		"$(hex <<<"$policy" | openssl dgst -sha256 -sign "$T/pcr.pem" | base64 -w0)"
}

# token_id TYPE SLOT: the number of the slot's token of this type in the seal.
token_id() {
	cryptsetup luksDump --dump-json-metadata "$KVMCRYPT_KEYSTORE/seal" | jq -r --arg t "$1" --arg s "$2" \
		'.tokens | to_entries[] | select(.value.type == $t and .value.keyslots == [$s]) | .key'
}
# forge SLOT FILTER [TYPE]: changes our token of the slot, or that of TYPE, as FILTER of jq says.
forge() {
	local id
	id=$(token_id "${3:-kvmcrypt}" "$1")
	cryptsetup token export --token-id "$id" "$KVMCRYPT_KEYSTORE/seal" | jq -c "$2" >"$T/token.json"
	cryptsetup token import --token-id "$id" --token-replace --json-file "$T/token.json" "$KVMCRYPT_KEYSTORE/seal"
}
# base64url: from standard input, as JOSE has it.
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
# forge_url SLOT URL: the server in both tokens of a Tang slot.
forge_url() {
	local header
	header=$(cryptsetup token export --token-id "$(token_id clevis "$1")" "$KVMCRYPT_KEYSTORE/seal" | jq -r .jwe.protected |
		jose b64 dec -i- | jq -c --arg u "$2" '.clevis.tang.url = $u' | base64url)
	forge "$1" ".jwe.protected = \"$header\"" clevis
	forge "$1" ".servers = \"$2\""
}
