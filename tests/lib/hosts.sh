# shellcheck shell=bash
# Two hosts: this script's (client.test, 10.99.0.1) and remote.test (10.99.0.2), each with mount, network and UTS
# namespaces of its own and a libvirtd, joined by a veth pair. Source it in the place of guest.sh, call hosts_begin.
. "$(dirname "${BASH_SOURCE[0]}")/test.sh"
. "$(dirname "${BASH_SOURCE[0]}")/libvirtd.sh"

hosts_namespace() {
	[ -n "${KVMCRYPT_TEST_NS:-}" ] && return
	[ "$(id -u)" = 0 ] || skip_all "two hosts need root"
	unshare -m -n -u true 2>/dev/null || skip_all "namespaces are not allowed here"
	rm -rf "$T"
	exec env KVMCRYPT_TEST_NS=1 unshare -m -n -u --propagation private "$BASH" "$0" "$@"
}

on_remote() { nsenter -t "$REMOTE_PID" -m -n -u "$@"; }

# A file of this host's /etc in the place of the machine's own.
put_file() {
	cat >"$T/$1"
	[ -e "$2" ] || : >"$2"
	mount --bind "$T/$1" "$2"
}

certificate() { # NAME SUBJECT [EXTENSIONS]: $T/pki/NAME.pem and NAMEkey.pem, of our CA
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/pki/$1key.pem" -out "$T/pki/$1.csr" -subj "/CN=$2" 2>/dev/null
	openssl x509 -req -in "$T/pki/$1.csr" -CA "$T/pki/cacert.pem" -CAkey "$T/pki/cakey.pem" -CAcreateserial -days 30 \
		-out "$T/pki/$1.pem" -extfile <(printf 'keyUsage=digitalSignature,keyEncipherment\n%b' "${3:-}") 2>/dev/null
}

certificates() {
	mkdir "$T/pki"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/pki/cakey.pem" -out "$T/pki/cacert.pem" \
		-subj "/CN=test CA" -days 30 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign 2>/dev/null
	certificate server remote.test 'subjectAltName=DNS:remote.test,IP:10.99.0.2'
	certificate clientcert client.test
	mv "$T/pki/clientcertkey.pem" "$T/pki/clientkey.pem"
	# What nobody has vouched for.
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/pki/middlekey.pem" -out "$T/pki/middle.pem" \
		-subj "/CN=remote.test" -days 30 2>/dev/null
}

ssh_between() {
	mkdir -p "$T/ssh" "$T/remote/ssh" /run/sshd
	chmod 700 "$T/ssh"
	ssh-keygen -q -t ed25519 -N '' -f "$T/ssh/id_ed25519"
	ssh-keygen -q -t ed25519 -N '' -f "$T/remote/ssh/host"
	echo "remote.test $(cat "$T/remote/ssh/host.pub")" >"$T/ssh/known_hosts"
	cp "$T/ssh/id_ed25519.pub" "$T/remote/ssh/authorized_keys"
	# root's own files, and a shell that reads none.
	mkdir -p /root/.ssh
	mount --bind "$T/ssh" /root/.ssh
	cat >"$T/remote/ssh/config" <<-CONF
	HostKey $T/remote/ssh/host
	AuthorizedKeysFile $T/remote/ssh/authorized_keys
	PidFile $T/remote/ssh/pid
	StrictModes no
	UsePAM no
	PermitRootLogin prohibit-password
	CONF
	[ ! -e /root/.bashrc ] || on_remote mount --bind /dev/null /root/.bashrc
	on_remote /usr/sbin/sshd -f "$T/remote/ssh/config" -D -e >"$T/remote/sshd.log" 2>&1 &
}

# A KDC on this host; a ticket of admin@TEST, which GSSAPI shows to libvirt/remote.test. false: Debian's is not here.
kerberos() {
	command -v krb5kdc >/dev/null && command -v kadmin.local >/dev/null || return 1
	mkdir "$T/krb"
	export KRB5_CONFIG=$T/krb/krb5.conf KRB5_KDC_PROFILE=$T/krb/kdc.conf KRB5CCNAME=FILE:$T/krb/ticket
	cat >"$KRB5_CONFIG" <<-CONF
	[libdefaults]
	default_realm = TEST
	dns_lookup_kdc = false
	dns_canonicalize_hostname = false
	rdns = false
	[realms]
	TEST = {
	kdc = 10.99.0.1:8888
	}
	[domain_realm]
	.test = TEST
	CONF
	cat >"$KRB5_KDC_PROFILE" <<-CONF
	[realms]
	TEST = {
	database_name = $T/krb/db
	key_stash_file = $T/krb/stash
	kdc_ports = 8888
	kdc_tcp_ports = 8888
	}
	CONF
	kdb5_util -r TEST -P master create -s >/dev/null 2>&1 && kadmin.local -q 'addprinc -pw ticket admin' >/dev/null 2>&1 &&
		kadmin.local -q 'addprinc -randkey libvirt/remote.test' >/dev/null 2>&1 &&
		kadmin.local -q "ktadd -k $T/krb/tab libvirt/remote.test" >/dev/null 2>&1 || return 1
	krb5kdc -n >"$T/krb/log" 2>&1 &
	has_ticket() { echo ticket | kinit admin; }
	WAIT_SECONDS=30 wait_for has_ticket
}

# remote_libvirtd LINES: (re)starts it, with these lines in its libvirtd.conf besides.
remote_libvirtd() {
	if [ -e "$T/remote/libvirtd.pid" ]; then
		kill "$(cat "$T/remote/libvirtd.pid")"
		wait_for not kill -0 "$(cat "$T/remote/libvirtd.pid")"
	fi
	cat >"$T/remote/etc/libvirt/libvirtd.conf" <<-CONF
	auth_unix_rw = "none"
	auth_unix_ro = "none"
	log_outputs = "3:file:$T/remote/libvirtd.log"
	host_uuid = "22222222-2222-4222-8222-222222222222"
	listen_tcp = 1
	listen_tls = 1
	listen_addr = "10.99.0.2"
	ca_file = "$T/pki/cacert.pem"
	cert_file = "$T/pki/server.pem"
	key_file = "$T/pki/serverkey.pem"
	$1
	CONF
	on_remote env KRB5_KTNAME="$T/krb/tab" libvirtd --listen --pid-file "$T/remote/libvirtd.pid" >>"$T/remote/libvirtd.out" 2>&1 &
	remote_up() { on_remote virsh -q -c qemu:///system list; }
	wait_for remote_up || cat "$T/remote/libvirtd.out" "$T/remote/libvirtd.log"
}

hosts_begin() {
	local d
	hostname client.test
	libvirtd_dirs
	echo 'host_uuid = "11111111-1111-4111-8111-111111111111"' >>/etc/libvirt/libvirtd.conf
	put_file hosts /etc/hosts <<-HOSTS
	127.0.0.1 localhost
	10.99.0.1 client.test client
	10.99.0.2 remote.test
	HOSTS
	unshare -m -n -u --propagation private sleep infinity &
	REMOTE_PID=$!
	remote_end() { kill $REMOTE_PID 2>/dev/null; }
	on_exit remote_end
	remote_is_apart() { [ "$(readlink /proc/$REMOTE_PID/ns/uts)" != "$(readlink /proc/$$/ns/uts)" ]; }
	wait_for remote_is_apart || exit 1
	ip link set lo up
	ip link add veth0 type veth peer name veth1 netns $REMOTE_PID
	ip addr add 10.99.0.1/24 dev veth0
	ip link set veth0 up
	on_remote sh -c 'hostname remote.test; ip link set lo up; ip addr add 10.99.0.2/24 dev veth1; ip link set veth1 up'
	for d in $LIBVIRTD_DIRS; do
		mkdir -p "$T/remote$d"
		on_remote mount --bind "$T/remote$d" "$d"
	done
	cp "$T/libvirt/etc/libvirt/qemu.conf" "$T/remote/etc/libvirt/qemu.conf"
	chmod -R a+rX "$T/remote"
	# Its disks are its own, at the paths of ours.
	mkdir -p "$T/disks"
	chmod a+x "$T/disks"
	on_remote mount -t tmpfs -o mode=755 none "$T/disks"
	mkdir -p /etc/sasl2
	mkdir "$T/sasl2"
	mount --bind "$T/sasl2" /etc/sasl2
	on_remote mount --bind "$T/sasl2" /etc/sasl2
	certificates
	ssh_between
	libvirtd_start
}
