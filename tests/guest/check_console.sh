#!/bin/bash
# kvmcrypt check, topic "console": VNC in eight configurations, websockets and serial ports of real guests, looked at as
# those who reach them see them.
[ -n "${KVMCRYPT_TEST_NET:-}" ] || [ "$(id -u)" != 0 ] || exec env KVMCRYPT_TEST_NET=1 unshare -n "$BASH" "$0" "$@"
. "$(dirname "$0")/../lib/guest.sh"
. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/pki.sh"
ip link set lo up
libvirtd_dirs
keystore_new
# Nobody but root has an account here, until somebody has.
grep -v ':x:[1-9][0-9][0-9][0-9]:' /etc/passwd >"$T/passwd"
chmod a+r "$T/passwd"
mount --bind "$T/passwd" /etc/passwd
pki="$T/pki"
pki_ca "$pki"
pki_cert "$pki" server "$(hostname)"
pki_cert "$pki" client admin.test
chgrp -R libvirt-qemu "$pki"
chmod 0750 "$pki"
chmod 0640 "$pki"/*
cp /etc/libvirt/qemu.conf "$T/qemu.conf"
# conf LINES...: qemu.conf anew; guests that run keep what they have.
conf() {
	{
		cat "$T/qemu.conf"
		# Of two lines with one name libvirt takes the first.
		printf '%s\n' "$@" "vnc_tls_x509_cert_dir = \"$pki\""
	} >/etc/libvirt/qemu.conf
	[ -z "${LIBVIRTD_PID:-}" ] || libvirtd_kill
	libvirtd_start
}
# guest DEVICES: domain "web" with these, which stands still.
guest() {
	virsh -q destroy web >/dev/null 2>&1
	machine web pc "$1"
	virsh -q start --paused web
}
vnc="<graphics type='vnc' autoport='yes'/>"
ids="listen auth tls verify certificate served password"
verdicts() { for i in $ids; do verdict "console.$i"; done | xargs; }
na=not_applicable

# 1. As libvirt does it by itself: any program of the host has the console.
conf
guest "$vnc"
look 0 "VNC as it is by default" console
check_is "pass warn pass $na $na $na pass" "$(verdicts)" "a warning, as nobody has an account"
check_is 1 "$(said console.auth | grep -c '^warn running domain web: 127.0.0.1:5900 gives the console to every program')" "as the console is given to who asks"
echo 'somebody:x:1001:1001::/home/somebody:/bin/bash' >>"$T/passwd"
look 1 "once somebody has an account" console.auth
check_is 1 "$(said console.auth | grep -c '^fail running domain web: .* and 1 beside root may log in')" "he has the console, too"
virsh dominfo web | grep -q tainted
check_is 1 "$?" "and looking taints nothing"
check_is 1 "$(virsh -q domstate web | grep -c paused)" "nor does it wake the guest"

# 2. A password, for everybody to guess.
guest "<graphics type='vnc' autoport='yes' listen='0.0.0.0' passwd='secret12'/>"
look 1 "a password at all addresses" console
check_is "fail warn fail $na $na $na fail" "$(verdicts)" "is reached, guessed, read on the way and in the file"
check_is 1 "$(said console.auth | grep -c "^warn running domain web: 0.0.0.0:5900 asks for VNC's own password")" "as it is asked for"
check_is 0 "$(kvmcrypt check -v console 2>&1 | grep -c secret12)" "the password is not shown"
check_is 1 "$(virsh -q domdisplay web | grep -c localhost)" "libvirt itself says it is local"

# 3. TLS, and nothing else.
conf 'vnc_tls = 1' 'vnc_listen = "0.0.0.0"'
guest "$vnc"
look 1 "TLS alone" console
check_is "fail fail pass fail pass pass pass" "$(verdicts)" "encrypts, and lets everybody in"
check_is 1 "$(said console.verify | grep -c '^fail running domain web: 0.0.0.0:5900 gives the console to who has no certificate')" "who has no certificate"
check_is 1 "$(said console.tls | grep -c '^pass running domain web: 0.0.0.0:5900 speaks TLSv1.3')" "with TLS 1.3"

# 4. TLS, and a certificate is asked for. QEMU itself says the very same of both.
conf 'vnc_tls = 1' 'vnc_listen = "0.0.0.0"' 'vnc_tls_x509_verify = 1'
look 1 "configured, and not yet so" console.verify
check_is "fail running/pass configured" "$(said console.verify | cut -d: -f1 | sed "s/ domain.*//; s| /etc.*||" | paste -sd /)" "is told apart"
guest "$vnc"
look 0 "TLS with certificates" console
check_is "warn pass pass pass pass pass pass" "$(verdicts)" "passes; that it is reached from elsewhere is said"
check_is 1 "$(said console.verify | grep -c '^pass running domain web: .* ends the connection of who has no certificate')" "who has none is cut off"
pki_cert "$pki" server "$(hostname)"
chgrp libvirt-qemu "$pki"/server-*
chmod 0640 "$pki"/server-*
look 1 "the file has a new certificate" console.served
check_is 1 "$(said console.served | grep -c '^fail running domain web: still shows a certificate with serial')" "the guest shows the old one"
PKI_DAYS=0 pki_cert "$pki" server "$(hostname)"
look 1 "a certificate that has ended" console.certificate
check_is 1 "$(said console.certificate | grep -c '^fail configured .*/server-cert.pem: its certificate ended')" "is found"
chmod 0644 "$pki/server-key.pem"
look 1 "a key for all" console.certificate
check_is 1 "$(said console.certificate | grep -c '^fail configured .*/server-key.pem: mode 0644')" "is found"
pki_cert "$pki" server "$(hostname)"
chgrp libvirt-qemu "$pki"/server-*
chmod 0640 "$pki"/server-*

# 5. TLS and SASL.
mkdir -p "$T/sasl"
echo 'mech_list: scram-sha-256' >"$T/sasl/qemu.conf"
chmod -R a+rX "$T/sasl"
conf 'vnc_tls = 1' 'vnc_sasl = 1' "vnc_sasl_dir = \"$T/sasl\""
guest "$vnc"
look 0 "TLS and SASL" console
check_is "pass pass pass pass pass pass pass" "$(verdicts)" "passes"
check_is 1 "$(said console.auth | grep -c '^pass running domain web: .* asks for SASL within TLS: SCRAM-SHA-256')" "its mechanisms are seen"

# 6. SASL without TLS: looks guarded, and lets in nobody.
conf 'vnc_sasl = 1' "vnc_sasl_dir = \"$T/sasl\""
guest "$vnc"
look 0 "SASL alone" console.auth
check_is 1 "$(said console.auth | grep -c '^warn running domain web: .* no mechanism that is strong enough')" "has no mechanism"

# 7. A UNIX socket.
conf 'vnc_auto_unix_socket = 1'
guest "$vnc"
look 0 "a UNIX socket" console
check_is "pass pass pass $na $na $na pass" "$(verdicts)" "is for its user only"
sock=$(virsh -q dumpxml web | grep -o "socket='[^']*'" | head -n 1 | cut -d"'" -f2)
chmod a+w "$sock"
chmod a+x "$(dirname "$sock")" "$(dirname "$(dirname "$sock")")"
look 1 "a UNIX socket for all" console.auth
check_is 1 "$(said console.auth | grep -c "^fail running domain web: $sock gives the console to every user of this host")" "is found"

conf 'vnc_tls = 1' 'vnc_tls = 0' 'vnc_listen = "0.0.0.0"'
guest "$vnc"
look 1 "two lines with one name" console.tls console.verify
check_is "1 1" "$(said console.tls | grep -c '^pass running .* speaks TLS') $(said console.tls | grep -c '^pass configured .*: vnc_tls = 1')" "libvirt and we take the first"

# 8. No certificates: such a guest does not start, and the file says why.
mkdir -p "$T/empty"
conf 'vnc_tls = 1' "vnc_tls_x509_cert_dir = \"$T/empty\""
virsh -q destroy web
check_exit 1 "without certificates no guest starts" virsh -q start web
look 1 "a directory without certificates" console.certificate
check_is 1 "$(said console.certificate | grep -c '^fail configured .*/server-cert.pem: is not there, and TLS is in use')" "is found"

# What is beside VNC's own port.
conf
guest "<graphics type='vnc' port='5933' autoport='no' websocket='5777' listen='0.0.0.0'/><serial type='tcp'><source mode='bind' host='0.0.0.0' service='4555'/><protocol type='telnet'/></serial><serial type='tcp'><source mode='bind' host='127.0.0.1' service='4556'/><protocol type='raw'/></serial>"
look 1 "websocket and serial ports in plain" console
check_is "fail fail" "$(verdict console.websocket) $(verdict console.serial)" "are found"
check_is 1 "$(said console.websocket | grep -c '^fail running domain web: 0.0.0.0:5777 speaks HTTP in plain')" "by asking it"
check_is 1 "$(said console.serial | grep -c '^fail running domain web: serial by tcp at 0.0.0.0:4555, in plain')" "a serial port for all"
check_is 1 "$(said console.serial | grep -c '^warn running domain web: serial by tcp at 127.0.0.1:4556, in plain')" "one for this host"
if command -v nft >/dev/null; then
	check_is warn "$(verdict console.ports)" "no filter stops anybody"
else
	check_is unknown "$(verdict console.ports)" "without nft the filter is unknown"
fi
conf 'vnc_tls = 1' 'chardev_tls = 1' "chardev_tls_x509_cert_dir = \"$pki\""
guest "<graphics type='vnc' port='5933' autoport='no' websocket='5777' listen='127.0.0.1'/><serial type='tcp'><source mode='bind' host='127.0.0.1' service='4555'/><protocol type='raw'/></serial>"
look 1 "the same with TLS" console
check_is "pass pass pass" "$(verdict console.websocket) $(verdict console.serial) $(verdict console.ports)" "passes"
check_is 1 "$(said console.websocket | grep -c '^pass running domain web: 127.0.0.1:5777 speaks TLSv1.3')" "the websocket speaks it"

# Guests that hang hold nobody up, and are not taken for good ones.
conf
guest "$vnc"
pid=$(cat /run/libvirt/qemu/web.pid)
kill -STOP "$pid"
look 0 "a guest whose QEMU hangs" console --timeout 2s
kill -CONT "$pid"
check_is "unknown 1" "$(verdict console.tls) $(said console.auth | grep -c ' running ')" "is unknown"
check_is 1 "$(said console.auth | grep -c '^unknown running domain web: .* it does not answer in time')" "as it does not answer"
exit $FAILED
