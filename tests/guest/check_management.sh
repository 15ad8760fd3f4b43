#!/bin/bash
# kvmcrypt check, topic "management": a libvirtd that listens by TCP and TLS in a network of its own, looked at as those
# who reach it see it; each check once with a host that passes and once with one that does not.
[ -n "${KVMCRYPT_TEST_NET:-}" ] || [ "$(id -u)" != 0 ] || exec env KVMCRYPT_TEST_NET=1 unshare -n "$BASH" "$0" "$@"
. "$(dirname "$0")/../lib/guest.sh"
. "$(dirname "$0")/../lib/check.sh"
. "$(dirname "$0")/../lib/pki.sh"
ip link set lo up
libvirtd_dirs
mkdir -p "$T/sasl2" "$T/ssh"
mount --bind "$T/sasl2" /etc/sasl2
keystore_new
pki="$T/pki"
pki_ca "$pki"
pki_cert "$pki" server "$(hostname)"
pki_cert "$pki" client admin.test

# daemon LINES...: libvirtd anew, with these lines in its file beside those that every test has. --listen with TLS.
cp /etc/libvirt/libvirtd.conf "$T/libvirtd.conf"
LIBVIRTD_ARGS=--listen
daemon() {
	libvirtd_stop
	{
		cat "$T/libvirtd.conf"
		printf '%s\n' "key_file = \"$pki/server-key.pem\"" "cert_file = \"$pki/server-cert.pem\"" "ca_file = \"$pki/ca-cert.pem\"" "$@"
	} >/etc/libvirt/libvirtd.conf
	libvirtd_start
}

daemon 'unix_sock_rw_perms = "0700"'
look 1 "a daemon that listens by TLS" management
check_is pass "$(verdict management.tcp)" "takes no plain TCP"
check_is 1 "$(said management.tcp | grep -c "^pass running libvirt's daemon: no port")" "no port of it does"
check_is pass "$(verdict management.tls-verify)" "it refuses who has no certificate"
check_is 2 "$(said management.tls-verify | grep -c '^pass running .*:16514: ends the connection')" "seen at both addresses"
check_is fail "$(verdict management.tls-who)" "every certificate of the authority is an administrator"
check_is warn "$(verdict management.both)" "and nothing else is asked for"
check_is pass "$(verdict management.certificate)" "the certificate is good"
check_is pass "$(verdict management.served)" "and is the one that is shown"
check_is 2 "$(said management.served | grep -c '^pass running .* speaks TLSv1.3')" "with TLS 1.3"
check_is pass "$(verdict management.keys)" "only root reads the key"
check_is pass "$(verdict management.socket)" "the socket is root's"
check_is pass "$(verdict management.clients)" "nobody is connected"
if command -v nft >/dev/null; then
	check_is 2 "$(said management.address | grep -c '^fail running .*:16514: all addresses, and no filter')" "it listens at all addresses, and nothing filters"
else
	check_is 2 "$(said management.address | grep -c '^warn running .*:16514: all addresses; whether a filter')" "it listens at all addresses, and whether something filters is not known"
fi
check_is warn "$(verdict management.revocation)" "nothing can be revoked"
check_is not_applicable "$(verdict management.sasl)" "SASL is not in use"

# Who is let in.
daemon 'tls_no_verify_certificate = 1' 'tls_no_sanity_certificate = 1' 'tls_allowed_dn_list = [ "CN=admin.test" ]' 'listen_addr = "127.0.0.1"'
look 1 "a daemon that verifies nobody" management
check_is fail "$(verdict management.tls-verify)" "is found"
check_is 1 "$(said management.tls-verify | grep -c '^fail running 127.0.0.1:16514: lets in a client that has no certificate')" "by a client that has none"
check_is pass "$(verdict management.tls-who)" "a list of names passes"
check_is 1 "$(said management.address | grep -c '^pass running 127.0.0.1:16514')" "one address passes"
daemon 'tls_allowed_dn_list = [ "*" ]'
look 0 "a list that has a star" management.tls-who --fail-on never
check_is warn "$(verdict management.tls-who)" "is seen through"
if command -v nft >/dev/null; then
check "a filter of this host" nft -f - <<<'table inet t { chain i { type filter hook input priority 0; tcp dport { 22, 16000-17000 } ip saddr != 10.0.0.0/8 drop; }; }'
look 0 "is seen" management.address
check_is 2 "$(said management.address | grep -c '^warn running .*a filter of this host has rules')" "as one that may stop others"
nft flush ruleset
else
	skip "a filter of this host: needs nft"
fi

# The certificate in memory is not that of the file any more; nor is it good.
cp "$pki/server-cert.pem" "$T/old-cert.pem"
pki_cert "$pki" server "$(hostname)"
look 1 "the file has a new certificate" management.served
check_is 2 "$(said management.served | grep -c '^fail running .* still shows a certificate with serial')" "the daemon shows the old one still"
daemon
look 0 "started anew" management.served
check_is pass "$(verdict management.served)" "it shows the new one"

# Plain TCP.
daemon 'listen_tls = 0' 'listen_tcp = 1' 'auth_tcp = "none"'
virsh -c qemu+tcp://127.0.0.1/system -q list >/dev/null # it works for whoever comes
coproc HELD { exec virsh -c qemu+tcp://127.0.0.1/system 2>/dev/null; }
is_connected() { virt-admin client-list libvirtd | grep -q ' tcp '; }
wait_for is_connected
look 1 "plain TCP for everybody" management
check_is fail "$(verdict management.tcp)" "is found"
check_is 2 "$(said management.tcp | grep -c '^fail running .*:16509: takes orders from whoever connects')" "by asking at both addresses"
check_is 1 "$(said management.tcp | grep -c '^fail configured .*auth_tcp = "none"')" "and in the file"
check_is fail "$(verdict management.clients)" "somebody is connected by it now"
check_is 1 "$(said management.clients | grep -c '^fail running client 127.0.0.1:[0-9]*: is connected by plain TCP')" "and from where"
eval "exec ${HELD[1]}>&-"
wait "$HELD_PID"
is_gone() { ! is_connected; }
wait_for is_gone
for ((i = 0; i < 10; i++)); do
	kvmcrypt check --json management >"$T/stdout" 2>/dev/null
	verdict management.clients
done | sort -u >"$T/verdicts"
check_is pass "$(cat "$T/verdicts")" "who looks is not taken for a client"
echo 'mech_list: digest-md5' >/etc/sasl2/libvirt.conf
daemon 'listen_tls = 0' 'listen_tcp = 1' 'auth_tcp = "sasl"'
look 1 "plain TCP with SASL" management
check_is 2 "$(said management.tcp | grep -c '^fail running .* plain TCP, with SASL by DIGEST-MD5')" "its mechanisms are asked for"
check_is fail "$(verdict management.sasl)" "DIGEST-MD5 is none that holds"
echo 'mech_list: scram-sha-256' >/etc/sasl2/libvirt.conf
daemon 'listen_tls = 0' 'listen_tcp = 1' 'auth_tcp = "sasl"'
look 0 "SCRAM over plain TCP" management.tcp management.sasl
check_is "warn warn" "$(verdict management.tcp) $(verdict management.sasl)" "cannot work"
daemon 'auth_tls = "sasl"'
echo 'sasldb_path: /etc/libvirt/passwd.db' >>/etc/sasl2/libvirt.conf
echo x >/etc/libvirt/passwd.db
chmod 0600 /etc/libvirt/passwd.db
look 0 "TLS and SCRAM" management.tls-who management.both management.sasl management.keys
check_is "pass pass pass pass" "$(for i in tls-who both sasl keys; do verdict management.$i; done | xargs)" "is the right way"
chmod 0644 /etc/libvirt/passwd.db
chmod 0640 "$pki/server-key.pem"
chgrp 1 "$pki/server-key.pem"
look 1 "passwords that others read" management.keys management.sasl
check_is "fail fail" "$(verdict management.keys) $(verdict management.sasl)" "are found"
check_is 1 "$(said management.keys | grep -c '^warn configured .*server-key.pem: mode 0640')" "and a key for a group"

# The sockets of this host.
daemon 'unix_sock_rw_perms = "0777"'
look 1 "a socket for all" management.socket
check_is 1 "$(said management.socket | grep -c '^fail running /run/libvirt/libvirt-sock: mode 0777')" "is found"
check_is 1 "$(said management.socket | grep -c '^fail configured .*unix_sock_rw_perms = 0777')" "and in the file"
mkdir "$T/etc"
cp /etc/group "$T/etc/group"
echo 'operators:x:4711:alice,bob' >>"$T/etc/group"
mount --bind "$T/etc/group" /etc/group
daemon 'unix_sock_rw_perms = "0770"' 'unix_sock_group = "operators"'
look 0 "a socket for a group" management.socket
check_is 1 "$(said management.socket | grep -c '^warn running .*: these are root of the host by it: alice,bob')" "whose members are named"

# SSH, as the server would read its own files.
cp -r /etc/ssh/. "$T/ssh/"
mount --bind "$T/ssh" /etc/ssh
rm -rf /etc/ssh/sshd_config.d
ssh-keygen -A >/dev/null
mkdir -p /run/sshd
printf 'PermitRootLogin yes\nPasswordAuthentication yes\n' >/etc/ssh/sshd_config
look 1 "root by password" management.ssh
check_is fail "$(verdict management.ssh)" "is found"
printf 'PermitRootLogin prohibit-password\nAllowTcpForwarding no\n' >/etc/ssh/sshd_config
look 0 "root by key" management.ssh
check_is pass "$(verdict management.ssh)" "passes"
printf 'PermitRootLogin no\n' >/etc/ssh/sshd_config
look 0 "with forwarding" management.ssh
check_is warn "$(verdict management.ssh)" "is a warning"
echo 'NoSuchLine yes' >/etc/ssh/sshd_config
look 0 "a file that sshd does not take" management.ssh
check_is unknown "$(verdict management.ssh)" "is unknown"

# From another network namespace its ports cannot be seen, though its socket can.
daemon
check_exit 0 "from another network namespace" unshare -n "$KVMCRYPT" check --json management.tcp
check_is "unknown 1" "$(verdict management.tcp) $(said management.tcp | grep -c '^unknown running .*in another network namespace')" "its ports are unknown"

# What does not answer, and what lies.
kill -STOP "$LIBVIRTD_PID"
look 0 "a daemon that hangs" management process.user --timeout 2s --fail-on never
cp "$T/stdout" "$T/hangs"
check_exit 8 "and whose answer is wanted" kvmcrypt check -c qemu:///system --timeout 1s
check_is 1 "$(grep -c 'does not answer in time at /run/libvirt/libvirt-sock' "$T/stderr")" "is told of"
cp "$T/hangs" "$T/stdout"
kill -CONT "$LIBVIRTD_PID"
check_is "unknown unknown unknown unknown" "$(for i in management.tls-verify management.clients management.served process.user; do verdict $i; done | xargs)" "is unknown"
libvirtd_stop
socat TCP-LISTEN:16514,fork,reuseaddr SYSTEM:'head -c 64 /dev/urandom; sleep 300' &
on_exit kill_socat
kill_socat() { kill $! 2>/dev/null; }
listens() { ss -Hltn 'sport = 16514' | grep -q .; }
wait_for listens
LIBVIRT_DEFAULT_URI=test:///default look 0 "somebody else's port" management.tls-verify management.served management.tcp --timeout 2s
check_is "unknown unknown unknown" "$(for i in tls-verify served tcp; do verdict management.$i; done | xargs)" "is unknown"
exit $FAILED
