# shellcheck shell=bash
# An authority and certificates for tests, by OpenSSL. Sourced after tests/lib/test.sh.

# pki_ca DIR: DIR/ca-cert.pem and its key.
pki_ca() {
	mkdir -p "$1"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1/ca-key.pem" -out "$1/ca-cert.pem" \
		-days "${PKI_CA_DAYS:-400}" -subj "/CN=${PKI_CA_NAME:-test authority}" \
		-addext 'keyUsage=critical,keyCertSign,cRLSign' 2>/dev/null
}

# pki_cert DIR NAME HOST: DIR/NAME-cert.pem and NAME-key.pem for HOST, signed by its authority. PKI_DAYS (0: it has
# ended), PKI_KEY (arguments of `openssl req`), PKI_USAGE, PKI_EKU, PKI_SAN, PKI_HASH change what it is.
pki_cert() {
	# shellcheck disable=SC2086
	openssl req ${PKI_KEY:--newkey ec -pkeyopt ec_paramgen_curve:P-256} -nodes -keyout "$1/$2-key.pem" -out "$T/$2.csr" \
		-subj "/CN=$3" 2>/dev/null
	printf '%s\n' "keyUsage=${PKI_USAGE-digitalSignature,keyEncipherment}" "extendedKeyUsage=${PKI_EKU-serverAuth,clientAuth}" \
		${PKI_SAN-"subjectAltName=DNS:$3"} >"$T/$2.ext"
	openssl x509 -req -in "$T/$2.csr" -CA "$1/ca-cert.pem" -CAkey "$1/ca-key.pem" -out "$1/$2-cert.pem" \
		-days "${PKI_DAYS:-90}" -set_serial "0x$(openssl rand -hex 8)" "${PKI_HASH:--sha256}" -extfile "$T/$2.ext" 2>/dev/null
	chmod 0600 "$1/$2-key.pem"
	# OpenSSL makes none that ended before it began.
	[ "${PKI_DAYS:-90}" != 0 ] || sleep 1.1
}
