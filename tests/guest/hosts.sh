#!/bin/bash
# Another host's libvirt: a key goes only where it is known who has it then, and a volume only where its image is.
. "$(dirname "$0")/../lib/hosts.sh"
hosts_namespace "$@"
hosts_begin
if kerberos; then GSSAPI=gssapi; else GSSAPI=''; fi
mechanisms() { printf 'mech_list: %s\nsasldb_path: %s\nkeytab: %s\n' "$1" "$T/remote/passwd.db" "$T/krb/tab" >"$T/sasl2/libvirt.conf"; }
mechanisms "${GSSAPI:-scram-sha-256 digest-md5}"
echo open-sesame | saslpasswd2 -p -f "$T/remote/passwd.db" -a libvirt -u remote.test admin
remote_libvirtd 'auth_tcp = "none"
auth_tls = "none"'
keystore_new
cd "$T/disks" || exit 1
kvmcrypt create -q a.qcow2 16M
passphrase_of a.qcow2 >"$T/key"
echo '<domain type="qemu"><name>vm</name><memory unit="MiB">64</memory><os><type arch="x86_64" machine="pc">hvm</type></os><features><acpi/></features><devices><memballoon model="none"/></devices></domain>' >"$T/vm.xml"
on_remote virsh -q -c qemu:///system define "$T/vm.xml" >/dev/null
pki="pkipath=$T/pki"
tls="qemu+tls://remote.test/system?$pki"
tcp=qemu+tcp://remote.test/system
ssh=qemu+ssh://root@remote.test/system
secrets() { on_remote virsh -q -c qemu:///system secret-list | grep -c .; }
# got_key DESCRIPTION URI; got_nothing DESCRIPTION REGEX URI: what load does with the volume of the keystore.
got_key() {
	check "$1: load" kvmcrypt load -q -c "$2" --all
	check_is 1 "$(secrets)" "  the key is there"
	check "  unload" kvmcrypt unload -q -c "$2" --all
}
got_nothing() {
	check_error 9 "$2" "$1: refused" kvmcrypt load -q -c "$3" --all
	check_is 0 "$(secrets)" "  no key is there"
}
relay() { # FILE LISTEN CONNECT: what goes through is in FILE
	socat -r "$1" "$2" "$3" 2>/dev/null &
	on_exit relays_end
}
relays_end() { jobs -p | xargs -r kill 2>/dev/null; }

# What is as it should be.
got_key "ssh" "$ssh"
got_key "tls" "$tls"
got_key "no_verify=0 is nothing" "$tls&no_verify=0"

# What is not encrypted, or where nobody looks who is there.
got_nothing "tcp" 'not encrypted' $tcp
got_nothing "tls, no_verify" 'no_verify' "$tls&no_verify=1"
got_nothing "  in capitals" 'no_verify' "$tls&NO_VERIFY=1"
got_nothing "  in other letters" 'no_verify' "$tls;no%5Fverify=1"
got_nothing "tls, no_sanity" 'no_sanity' "$tls&no_sanity=1"
got_nothing "ssh, no_verify" 'no_verify' "$ssh?no_verify=1"
printf 'uri_aliases = [ "there=%s&no_verify=1", "good=%s" ]\nuri_default = "%s&no_verify=1"\n' "$tls" "$tls" "$tls" >/etc/libvirt/libvirt.conf
got_nothing "an alias that hides it" 'no_verify' there
got_key "an alias that does not" good
check_error 9 'no_verify' "the default URI that hides it" env -u LIBVIRT_DEFAULT_URI "$KVMCRYPT" load -q --all
check_is 0 "$(secrets)" "  no key is there"

# A man in the middle, with a certificate of nobody's, who passes all on.
relay "$T/middle.dump" "OPENSSL-LISTEN:16514,bind=10.99.0.1,reuseaddr,fork,verify=0,cert=$T/pki/middle.pem,key=$T/pki/middlekey.pem,openssl-max-proto-version=TLS1.2" \
	"OPENSSL:10.99.0.2:16514,verify=0,openssl-max-proto-version=TLS1.2,cert=$T/pki/clientcert.pem,key=$T/pki/clientkey.pem"
listens() { ss -Hltn "sport = :$1" | grep -q .; }
wait_for listens 16514
middle="qemu+tls://client.test/system?$pki"
check "the man in the middle works for who does not look" virsh -c "$middle&no_verify=1" list
check_exit 8 "tls to him" kvmcrypt load -q -c "$middle" --all
check_exit 9 "tls to him, without looking" kvmcrypt load -q -c "$middle&no_verify=1" --all
check_is "0 1" "$(secrets) $(grep -c 'no_verify=1 in .* leave it out' "$T/stderr")" "  no key is there, and it says why"
check_is 0 "$(grep -caFf "$T/key" "$T/middle.dump")" "he has read no key"

# Sockets of this host behind which another may be.
relay "$T/relay.dump" "UNIX-LISTEN:$T/relay.sock,fork" TCP:10.99.0.2:16509
ssh -N -L "$T/forward.sock:/run/libvirt/libvirt-sock" root@remote.test 2>/dev/null &
wait_for test -S "$T/relay.sock"
wait_for test -S "$T/forward.sock"
check "a socket that is relayed over TCP works for virsh" virsh -c "qemu+unix:///system?socket=$T/relay.sock" list
got_nothing "a relayed socket" 'is socat \(process' "qemu+unix:///system?socket=$T/relay.sock"
got_nothing "  without +unix" 'is socat \(process' "qemu:///system?socket=$T/relay.sock"
got_nothing "a forwarded socket" 'is ssh \(process.*qemu\+ssh' "qemu+unix:///system?socket=$T/forward.sock"
check_is 0 "$(grep -caFf "$T/key" "$T/relay.dump")" "the relay has read no key"
mv /run/libvirt/libvirt-sock /run/libvirt/libvirt-sock.away
ln -s "$T/relay.sock" /run/libvirt/libvirt-sock
got_nothing "a relay at libvirt's own place" 'is socat' qemu:///system
mv /run/libvirt/libvirt-sock.away /run/libvirt/libvirt-sock
check "this host's daemon has its key" kvmcrypt load -q -c qemu:///system --all
check "  by its socket's name, too" kvmcrypt load -q -c "qemu+unix:///system?socket=/run/libvirt/libvirt-sock" --all
check "  and no more" kvmcrypt unload -q -c qemu:///system --all

# SASL: a password over TLS, from auth.conf or the terminal; over TCP only what shows who the server is.
remote_libvirtd 'auth_tcp = "sasl"
auth_tls = "sasl"'
if [ -n "$GSSAPI" ]; then
	got_key "tcp, GSSAPI with a ticket" $tcp
	got_key "tls, GSSAPI with a ticket" "$tls"
	kdestroy
	mechanisms "scram-sha-256 digest-md5"
	remote_libvirtd 'auth_tcp = "sasl"
auth_tls = "sasl"'
else
	skip "GSSAPI: krb5-kdc is not installed"
fi
check_error 8 'auth.conf, or typed' "tls and a password that nobody gives" setsid "$KVMCRYPT" load -q -c "$tls" --all
check_error 8 'a password goes only over \+tls' "  by an alias" setsid "$KVMCRYPT" load -q -c good --all
check "a name and a password, typed" on_terminal "'$KVMCRYPT' load -c '$tls' --all" 'Name for libvirt*: ' $'admin\r' 'Password for libvirt*: ' $'open-sesame\r'
check_is "1 0" "$(secrets) $(grep -c sesame "$T/terminal")" "  the key is there, and the password is not echoed"
check_exit 8 "a wrong one" on_terminal "'$KVMCRYPT' load -c '$tls' --all" 'Name for libvirt*: ' $'admin\r' 'Password for libvirt*: ' $'open\r'
printf '[credentials-a]\nauthname=admin\npassword=open-sesame\n[auth-libvirt-remote.test]\ncredentials=a\n' >/etc/libvirt/auth.conf
got_key "tls, name and password in auth.conf" "$tls"
check "  virsh gives that password over TCP" virsh -c $tcp list
check_error 8 'a password goes only over \+tls' "  and load does not" kvmcrypt load -q -c $tcp --all
check_is 0 "$(secrets)" "  no key is there"
remote_libvirtd 'auth_tcp = "none"
auth_tls = "none"'

# A volume is attached there only if it lies there.
disks() { on_remote virsh -q -c qemu:///system domblklist vm | grep -c .; }
check_error 4 'has no file .*a.qcow2' "attach, and it has no such file" kvmcrypt attach -q -c "$tls" vm a.qcow2
kvmcrypt create -q b.qcow2 16M
on_remote cp /dev/stdin "$T/disks/a.qcow2" <b.qcow2
check_error 7 'not the image this record was made for' "attach, and another volume is there" kvmcrypt attach -q -c "$tls" vm a.qcow2
on_remote truncate -s 16M "$T/disks/a.qcow2"
on_remote dd if=/dev/zero of="$T/disks/a.qcow2" bs=1M count=16 status=none
check_error 7 'a.qcow2' "attach, and a plain file is there" kvmcrypt attach -q -c "$tls" vm a.qcow2
check_is "0 0" "$(disks) $(secrets)" "no disk, no secret"
check_is "" "$(on_remote virsh -q -c qemu:///system pool-list --all --name | grep .)" "and no storage pool is left behind"
on_remote cp /dev/stdin "$T/disks/a.qcow2" <a.qcow2
check "attach, and it is there" kvmcrypt attach -q -c "$tls" vm a.qcow2
check_is "1 1" "$(disks) $(secrets)" "a disk and its secret"
check "a second time" kvmcrypt attach -q -c "$ssh" vm a.qcow2
before=$(sha256sum a.qcow2)
for c in "rotate a.qcow2" "rotate --volume-key a.qcow2" "resize a.qcow2 32M" "move a.qcow2 c.qcow2"; do
	# shellcheck disable=SC2086
	check_error 9 'shared-storage' "$c, which would be done to this host's file" kvmcrypt $c -q -c "$tls"
done
check_is "$before" "$(sha256sum a.qcow2)" "nothing was changed here"
check "detach" kvmcrypt detach -q -c "$tls" vm a.qcow2
check_is "0 0" "$(disks) $(secrets)" "  no disk, no secret"
on_remote rm "$T/disks/a.qcow2"
check "attach --shared-storage believes a person" kvmcrypt attach -q -c "$tls" --shared-storage vm a.qcow2
check "  and so does rotate" kvmcrypt rotate -q -c "$tls" --shared-storage a.qcow2
check "  and resize" kvmcrypt resize -q -c "$tls" --shared-storage a.qcow2 32M
check "detach" kvmcrypt detach -q -c "$tls" vm a.qcow2
on_remote virsh -q -c qemu:///system pool-define-as here dir --target "$T/disks" >/dev/null
on_remote virsh -q -c qemu:///system pool-start here
on_remote cp /dev/stdin "$T/disks/a.qcow2" <a.qcow2
check "attach, and it came to a pool that has not seen it yet" kvmcrypt attach -q -c "$tls" vm a.qcow2
check "which stays" on_remote virsh -q -c qemu:///system pool-info here
exit $FAILED
