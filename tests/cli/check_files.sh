#!/bin/bash
# kvmcrypt check --root: topics management and console on the files of a host that does not run, each with one that
# passes and ones that fail.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/pki.sh"
cd "$T" || exit 1
root=$T/root
etc=$root/etc
mkdir -p "$etc/libvirt" "$etc/pki/CA" "$etc/pki/libvirt/private" "$etc/sasl2" "$etc/default" "$etc/polkit-1/rules.d" "$etc/pki/libvirt-vnc" "$etc/pki/qemu"
echo kvm1 >"$etc/hostname"
echo 'libvirtd_opts="--listen"' >"$etc/default/libvirtd"
at() { look "$1" "$2" --root "$root" "${@:3}"; }
# has ID PATTERN DESCRIPTION: exactly one of its notes is like that.
has() { check_is 1 "$(said "$1" | grep -c -- "$2")" "$3"; }

pki=$T/pki
pki_ca "$pki"
# install NAME: that certificate becomes the host's.
install() {
	cp "$pki/ca-cert.pem" "$etc/pki/CA/cacert.pem"
	cp "$pki/$1-cert.pem" "$etc/pki/libvirt/servercert.pem"
	cp "$pki/$1-key.pem" "$etc/pki/libvirt/private/serverkey.pem"
}
pki_cert "$pki" good kvm1
install good
at 0 "a good certificate" management.certificate
check_is pass "$(verdict management.certificate)" "passes"
pki_cert "$pki" good kvm1.example.org
install good
at 0 "with a domain" management.certificate
check_is pass "$(verdict management.certificate)" "is this host's, too"
bad() { # bad PATTERN DESCRIPTION [HOST]: what PKI_… asks for is found
	pki_cert "$pki" bad "${3:-kvm1}"
	install bad
	at 1 "$2" management.certificate
	has management.certificate "$1" "is found"
}
PKI_DAYS=0 bad '^fail .*servercert.pem: its certificate ended' "a certificate that has ended"
bad '^fail .*servercert.pem: names other hosts and not kvm1' "another host's" kvm10
PKI_SAN='' bad '^fail .*servercert.pem: has no subject alternative name' "a name as common name only"
PKI_USAGE=digitalSignature bad 'lacks key encipherment' "no key encipherment"
PKI_EKU=clientAuth bad 'extended key usage is not that of a server' "a client's as a server's"
PKI_KEY='-newkey rsa:1024' bad 'its RSA key has 1024 bits' "a short key"
PKI_HASH=-sha1 bad 'it is signed with SHA-1' "SHA-1"
PKI_DAYS=20 pki_cert "$pki" soon kvm1
install soon
at 0 "one that ends in twenty days" management.certificate
check_is warn "$(verdict management.certificate)" "is a warning"
install good
openssl genpkey -algorithm ed25519 -out "$etc/pki/libvirt/private/serverkey.pem" 2>/dev/null
at 1 "another's key" management.certificate
has management.certificate '^fail .*serverkey.pem: is not the key of' "is found"
openssl genpkey -algorithm rsa -aes256 -pass pass:x -out "$etc/pki/libvirt/private/serverkey.pem" 2>/dev/null
at 0 "an encrypted key" management.certificate </dev/null
check_is unknown "$(verdict management.certificate)" "is not asked for, and unknown"
pki_ca "$T/other"
install good
cp "$T/other/ca-cert.pem" "$etc/pki/CA/cacert.pem"
at 1 "another authority" management.certificate
has management.certificate '^fail .*servercert.pem: is not one of /etc/pki/CA/cacert.pem' "is found"
cp "$etc/pki/libvirt/servercert.pem" "$etc/pki/CA/cacert.pem"
at 1 "a server's certificate as authority" management.certificate
has management.certificate '^fail .*cacert.pem: is not the certificate of an authority' "is found"
install good
for garbage in "" "x" "-----BEGIN CERTIFICATE-----" "$(head -c 5000 /dev/urandom | tr -d '\0')"; do
	printf '%s' "$garbage" >"$etc/pki/libvirt/servercert.pem"
	at 1 "garbage (${#garbage}) in the place of a certificate" management.certificate
	has management.certificate '^fail .*servercert.pem: is no certificate' "is said"
done
rm "$etc/pki/libvirt/servercert.pem"
mkfifo "$etc/pki/libvirt/servercert.pem"
at 1 "a pipe in its place" management.certificate
rm "$etc/pki/libvirt/servercert.pem"
at 1 "none, and TLS is on" management.certificate
has management.certificate 'servercert.pem: is not there, and TLS is in use' "is said"
install good

# Who is let in.
at 1 "TLS as it is by default" management
check_is "fail warn warn pass" "$(for i in tls-who both revocation tls-verify; do verdict management.$i; done | xargs)" "lets in every certificate for good"
check_is "pass pass" "$(verdict management.tcp) $(verdict management.keys)" "and plain TCP is off"
echo 'listen_tls = 0' >"$etc/libvirt/libvirtd.conf"
at 0 "no TLS" management.tls-who management.both
check_is "not_applicable not_applicable" "$(verdict management.tls-who) $(verdict management.both)" "does not ask for it"
mkdir -p "$etc/systemd/system/sockets.target.wants"
ln -s /lib/systemd/system/libvirtd-tls.socket "$etc/systemd/system/sockets.target.wants/"
at 1 "systemd's socket" management.tls-who
check_is fail "$(verdict management.tls-who)" "has it on, whatever the file says"
rm "$etc/systemd/system/sockets.target.wants/libvirtd-tls.socket"
printf '%s\n' 'listen_tcp = 1' 'auth_tcp = "none"' >"$etc/libvirt/libvirtd.conf"
at 1 "plain TCP for all" management.tcp
has management.tcp '^fail configured /etc/libvirt/libvirtd.conf: listen_tcp = 1' "is found"
for i in scram-sha-256 gssapi digest-md5 "plain scram-sha-512" cram-md5 anonymous; do
	printf '%s\n' 'auth_tls = "sasl"' 'sasl_allowed_username_list = [ "root/admin" ]' >"$etc/libvirt/libvirtd.conf"
	echo "mech_list: $i" >"$etc/sasl2/libvirt.conf"
	kvmcrypt check --json --root "$root" management.sasl >"$T/stdout" 2>/dev/null
	case $i in scram-sha-256 | gssapi) want=pass ;; *) want=fail ;; esac
	check_is $want "$(verdict management.sasl)" "SASL by $i: $want"
done
echo '# mech_list: gssapi' >"$etc/sasl2/libvirt.conf"
at 1 "no list of mechanisms" management.sasl
has management.sasl 'mech_list is not set' "offers all"
printf '%s\n' 'auth_tls = "sasl"' >"$etc/libvirt/libvirtd.conf"
echo 'mech_list: gssapi' >"$etc/sasl2/libvirt.conf"
at 0 "everybody of a realm" management.sasl
check_is warn "$(verdict management.sasl)" "is a warning"
printf '%s\n' 'no such line' >"$etc/libvirt/libvirtd.conf"
at 0 "a file that libvirt does not take" management.tls-who management.both management.tls-verify
check_is "unknown unknown unknown" "$(for i in tls-who both tls-verify; do verdict management.$i; done | xargs)" "is unknown"
: >"$etc/libvirt/libvirtd.conf"

# Modes.
for mode in 0600:pass 0640:pass 0644:fail 0660:fail; do
	chmod "${mode%:*}" "$etc/pki/libvirt/private/serverkey.pem"
	kvmcrypt check --json --root "$root" management.keys >"$T/stdout" 2>/dev/null
	check_is "${mode#*:}" "$(verdict management.keys)" "a key with mode $mode"
done
chmod 0600 "$etc/pki/libvirt/private/serverkey.pem"

# Revoked certificates.
mkdir crl
: >crl/index.txt
printf '%s\n' '[ca]' 'default_ca = c' '[c]' "database = $T/crl/index.txt" 'default_md = sha256' >crl/conf
revocations() { openssl ca -gencrl -config crl/conf -keyfile "$1/ca-key.pem" -cert "$1/ca-cert.pem" "${@:2}" -out "$etc/pki/CA/cacrl.pem" 2>/dev/null; }
revocations "$pki" -crldays 30
at 0 "a list of revoked certificates" management.revocation
check_is pass "$(verdict management.revocation)" "passes"
revocations "$T/other" -crldays 30
at 1 "one of another authority" management.revocation
has management.revocation 'is not signed by' "is found"
revocations "$pki" -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z
at 1 "one that is overdue" management.revocation
has management.revocation 'is overdue' "is found"
echo garbage >"$etc/pki/CA/cacrl.pem"
at 1 "garbage in its place" management.revocation

# Rules of polkit, migration, URIs.
echo 'polkit.addRule(function(action, subject) { if (action.id == "org.libvirt.unix.manage") return polkit.Result.YES; });' >"$etc/polkit-1/rules.d/50-all.rules"
at 1 "a rule that says yes to all" management.access
has management.access '^fail configured /etc/polkit-1/rules.d/50-all.rules: says yes to everybody' "is found"
echo 'polkit.addRule(function(action, subject) { if (action.id == "org.libvirt.unix.manage" && subject.isInGroup("ops")) return polkit.Result.YES; });' >"$etc/polkit-1/rules.d/50-all.rules"
echo 'access_drivers = [ "polkit" ]' >"$etc/libvirt/libvirtd.conf"
at 0 "one that asks who it is, and access_drivers" management.access
check_is pass "$(verdict management.access)" "passes"
at 1 "migration as it is by default" management.migration
check_is fail "$(verdict management.migration)" "sends memory in plain"
cp "$pki/good-cert.pem" "$etc/pki/qemu/server-cert.pem"
at 0 "with certificates" management.migration
check_is warn "$(verdict management.migration)" "it may be asked for"
echo 'migrate_tls_force = 1' >"$etc/libvirt/qemu.conf"
at 0 "and forced" management.migration
check_is pass "$(verdict management.migration)" "passes"
echo 'default_tls_x509_verify = 0' >>"$etc/libvirt/qemu.conf"
at 0 "and nobody is verified" management.migration
check_is warn "$(verdict management.migration)" "is a warning"
at 0 "no URI" management.client-uri
check_is pass "$(verdict management.client-uri)" "passes"
cat >"$etc/libvirt/libvirt.conf" <<-'CONF'
	# uri_default = "qemu+tcp://commented.out/system"
	uri_aliases = [
	  "a=qemu+tcp://a/system",
	  "b=qemu+tls://b/system?no_verify=1",
	  "c=qemu+unix:///system?socket=/tmp/x",
	  "d=qemu+libssh://d/system?known_hosts_verify=ignore",
	  "e=qemu+ssh://e/system?xno_verify=10",
	]
	uri_default = "qemu:///system"
CONF
at 1 "URIs that trust too much" management.client-uri
check_is "fail fail fail warn pass pass" "$(said management.client-uri | cut -d' ' -f1 | xargs)" "are told from those that do not"

# Consoles.
: >"$etc/libvirt/qemu.conf"
at 0 "consoles as they are by default" console
check_is "pass warn pass" "$(for i in listen auth tls; do verdict console.$i; done | xargs)" "ask for nothing, on this host"
echo 'vnc_listen = "0.0.0.0"' >"$etc/libvirt/qemu.conf"
at 1 "at all addresses" console
check_is "fail fail fail" "$(for i in listen auth tls; do verdict console.$i; done | xargs)" "is found"
printf '%s\n' 'vnc_listen = "0.0.0.0"' 'vnc_tls = 1' 'vnc_tls_x509_verify = 1' 'vnc_password = "secret12"' >"$etc/libvirt/qemu.conf"
for i in server-cert:good-cert server-key:good-key ca-cert:ca-cert; do cp "$pki/${i#*:}.pem" "$etc/pki/libvirt-vnc/${i%:*}.pem"; done
at 1 "with TLS, and a password in the file" console
check_is "warn pass pass pass pass fail" "$(for i in listen auth tls verify certificate password; do verdict console.$i; done | xargs)" "only the password fails"
check_is 0 "$(grep -c secret12 "$T/stdout")" "and is not shown"

# Who may not read check.conf is told so, and gets the checks all the same.
if [ "$(id -u)" = 0 ]; then
	mkdir -p closed/etc/kvmcrypt
	echo "process.core until 2999-01-01: x" >closed/etc/kvmcrypt/check.conf
	chmod 700 closed/etc/kvmcrypt
	chmod a+x "$T" .
	check_exit 0 "another user, and a check.conf that is not his to read" setpriv --reuid 65534 --clear-groups "$KVMCRYPT" check --root "$PWD/closed" --fail-on never process.core
	check_is 1 "$(grep -c '^note: nothing is excused: ' "$T/stderr")" "is told that nothing is excused"
fi
exit $FAILED
