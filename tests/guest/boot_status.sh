#!/bin/bash
# kvmcrypt boot status tells the truth: it tries what the start of the host will try. And: load --start says what it
# did, and what waits for libvirt says so.
. "$(dirname "$0")/../lib/guest.sh"
libvirtd_dirs
keystore_new
mkdir "$T/units"
mount --bind "$T/units" /etc/systemd/system
# Where systemd finds credentials: made anew for this namespace alone.
mount -t tmpfs tmpfs /run
mkdir -p /run/credstore /run/libvirt
mount --bind "$T/libvirt/run/libvirt" /run/libvirt
disks_dir
# domain NAME VOLUME: starts with the host.
domain() {
	mkdir -p /etc/libvirt/qemu/autostart
	cat >/etc/libvirt/qemu/"$1".xml <<-XML
	<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory><os><type machine='pc'>hvm</type></os><devices>${2:+<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$PWD/$2'><encryption format='luks'><secret type='passphrase' uuid='$(kvmcrypt show --no-libvirt --json "$2" | jq -r .secret.uuid)'/></encryption></source><target dev='vda' bus='virtio'/></disk>}</devices></domain>
	XML
	ln -sf "../$1.xml" "/etc/libvirt/qemu/autostart/$1.xml"
}
json() { jq -r "$1" "$T/stdout"; }
guests() { json '[.guests[] | "\(.name) \(.starts)"] | sort | join(", ")'; }

check_exit 1 "no units" kvmcrypt boot status --json
make -s -C "$ROOT" BUILD="$BUILD" install DESTDIR="$T/host" prefix=/usr >"$T/make" 2>&1 || cat "$T/make"
cp "$T"/host/usr/lib/systemd/system/kvmcrypt-*.service "$T/units/"
check "enable" kvmcrypt boot enable
kvmcrypt create -q web.qcow2 4M
kvmcrypt create -q db.qcow2 4M
domain web web.qcow2
domain db db.qcow2
domain plain ""
check "all is well" kvmcrypt boot status --json
check_is "key-file/db true, web true/0" "$(json '.unseals_with | join(" ")')/$(guests)/$(json '.findings | length')" "the way that works, and the guests that would start"
mv "$T/root.key" "$T/away"
check_exit 1 "the key file is missing" kvmcrypt boot status --json
check_is "/db false, web false/1" "$(json '.unseals_with | join(" ")')/$(guests)/$(json '.findings | length')" "the guests would wait"
check_is 1 "$(grep -c 'key-file.*root.key' "$T/stderr")" "it says why"
kvmcrypt unseal -q --key-file "$T/away"
check_exit 1 "unsealed by hand: the key is not in the keyring after a restart" kvmcrypt boot status
kvmcrypt seal -q
cp "$T/away" /run/credstore/kvmcrypt.key
check_exit 0 "a credential of the units opens it" kvmcrypt boot status --json
check_is "credential db true, web true" "$(json '.unseals_with[0]') $(guests)" "it says so"
check_is 1 "$(grep -c 'note: .*key-file.*root.key' "$T/stderr")" "and tells of the way that does not work"
rm /run/credstore/kvmcrypt.key
mv "$T/away" "$T/root.key"
mv db.qcow2 elsewhere
check_exit 1 "an image is missing" kvmcrypt boot status --json
check_is "db false, web true" "$(guests)" "its guest would wait, the other not"
mv elsewhere db.qcow2
kvmcrypt boot disable -q >/dev/null
check_exit 1 "the units are not enabled" kvmcrypt boot status --json
check_is "db false, web false" "$(guests)" "the guests would wait"

# A credential of libvirt's daemon that this host cannot open: it was copied from another, or the TPM is a new one.
kvmcrypt boot enable -q >/dev/null
credential=$T/secrets-encryption-key
printf '[Service]\nLoadCredentialEncrypted=secrets-encryption-key:%s\n' "$credential" >"$T/units/virtsecretd.service"
echo "no credential" | base64 >"$credential"
check_exit 1 "a credential that cannot be opened" kvmcrypt boot status --json
check_is 1 "$(json '.findings[]' | grep -c "virtsecretd.service would not start.*$credential")" "is a finding"
mkdir -p "$T/systemd"
mount --bind "$T/systemd" /var/lib/systemd
head -c 32 /dev/urandom | systemd-creds encrypt --with-key=host --name=secrets-encryption-key - "$credential" 2>"$T/creds"
check "one that can is none" kvmcrypt boot status
rm "$T/units/virtsecretd.service"
kvmcrypt boot disable -q >/dev/null

# As newer versions of libvirt have it by default.
echo 'max_core = "unlimited"' >>/etc/libvirt/qemu.conf
# Whose limits may be changed by a root that lacks CAP_SYS_RESOURCE, too.
printf 'user = "root"\ngroup = "root"\n' >>/etc/libvirt/qemu.conf

# load --start, when there is something to do and when not.
libvirtd_start
wait_for test "$(virsh -q list --all --name | wc -l)" -ge 3
check "load --start" kvmcrypt load --start
check_is 2 "$(grep -c '^domain .* started' "$T/stderr")" "says which guests it started"
check "once more" kvmcrypt load --start
check_is 1 "$(grep -c 'no guest was waiting' "$T/stderr")" "says that there was nothing to do"

# Guests that run, and what a crash would leave of them.
pid=$(cat /run/libvirt/qemu/web.pid)
for limit in unlimited 1; do
	prlimit --pid "$pid" --core=$limit:
	kvmcrypt boot status --json >"$T/stdout" 2>"$T/stderr"
	case $limit in
	1) check_is "false 0" "$(json '.core_dumps | contains(["web"])') $(grep -c 'guest web crash' "$T/stderr")" "a core limit of 1 is never dumped" ;;
	*) check_is "true 1" "$(json '.core_dumps | contains(["web"])') $(grep -c "guest web crash.*prlimit --pid $pid" "$T/stderr")" "no limit: status warns of the guest" ;;
	esac
done
prlimit --pid "$pid" --core=unlimited:
check "attach" kvmcrypt attach --json web web.qcow2
check_is "true 1" "$(json .core_dumps) $(grep -c 'guest web crash.*no-core-dumps' "$T/stderr")" "attach warns, too"
prlimit --pid "$pid" --core=0:
check "attach, the limit being 0" kvmcrypt attach --json web web.qcow2
check_is "$(case $(cat /proc/sys/kernel/core_pattern) in '|'*) echo true ;; *) echo false ;; esac)" "$(json .core_dumps)" "which only programs that dumps are piped to do not heed"

# A daemon that hangs.
kill -STOP "$LIBVIRTD_PID"
kvmcrypt load web.qcow2 >load.out 2>load.err &
loader=$!
check "a daemon that does not answer: it says what it waits for" wait_for grep -q "waiting for libvirt's daemon" load.err
kill -CONT "$LIBVIRTD_PID"
wait $loader
check_is "0 1" "$? $(grep -c waiting load.err)" "  once, and then goes on"
