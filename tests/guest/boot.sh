#!/bin/bash
# kvmcrypt load --ram and --start: keys in memory before libvirt's daemon starts, guests that start with it, a
# daemon that is killed again and again, and nothing of a key on any disk.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin
secrets=/etc/libvirt/secrets
disk=$T/libvirt$secrets	# what is on the disk, whatever is mounted there
mkdir -p "$disk"
# A domain that is up or not, and one line of JSON.
state() { virsh -q domstate "$1" 2>/dev/null | head -n 1; }
is_state() { [ "$(state "$1")" = "$2" ]; }
json() { jq -r "$1" "$T/stdout"; }
# libvirt starts what is marked for autostart once after a boot of the host, which this file tells.
new_boot() { rm -f /run/libvirt/qemu/autostarted; }
daemon_down() {
	for d in $(virsh -q list --name); do virsh -q destroy "$d"; done
	kill "$LIBVIRTD_PID"
	wait "$LIBVIRTD_PID" 2>/dev/null
	LIBVIRTD_PID=
	new_boot
}

guest_define enc up
guest_define plain up
guest_define manual up
guest_define broken up
kvmcrypt create -q enc.qcow2 32M
kvmcrypt create -q base.qcow2 32M
kvmcrypt create -q overlay.qcow2 --backing base.qcow2
kvmcrypt create -q broken.raw 16M
kvmcrypt create -q unused.raw 16M
kvmcrypt attach -q enc enc.qcow2
kvmcrypt attach -q manual overlay.qcow2
kvmcrypt attach -q broken broken.raw
for d in enc plain broken; do virsh -q autostart $d; done >/dev/null
secret_of() { kvmcrypt show --json --no-libvirt "$1" | jq -r .secret.uuid; }

# Another program's persistent secret, which is a file on disk as ever.
cat >"$T/other.xml" <<XML
<secret ephemeral='no' private='no'><uuid>11111111-2222-3333-4444-555555555555</uuid>
<usage type='ceph'><name>client.other</name></usage></secret>
XML
virsh -q secret-define "$T/other.xml" >/dev/null
virsh -q secret-set-value 11111111-2222-3333-4444-555555555555 --file <(printf other-value) --plain >/dev/null 2>&1
other() { virsh -q secret-get-value 11111111-2222-3333-4444-555555555555 2>/dev/null | base64 -d; }
check_is other-value "$(other)" "another's persistent secret is there"
files_before=$(cd "$disk" && sha256sum ./* | sort)

# The daemon runs.
check_error 6 'stop it first' "--ram while the daemon runs and its secrets are not in memory" kvmcrypt load -q --all --ram
check_error 6 'stop it first' "unload --ram likewise" kvmcrypt unload -q --all --ram
check_error 2 'exclude each other' "--ram with --start" kvmcrypt load -q --all --ram --start
check_error 2 'goes with --ram' "--secrets-dir without --ram" kvmcrypt load -q --all --secrets-dir /nowhere
check_error 2 'give either' "nothing named" kvmcrypt load -q
daemon_down

# What happens without us: the guest that needs a key does not start.
libvirtd_start
wait_for is_state plain running
check_is "shut off" "$(state enc)" "an ephemeral secret: the encrypted guest does not start with the daemon"
check_is running "$(state plain)" "the plain one does"
check "--start, dry" kvmcrypt load --start --dry-run --json
check_is "broken enc false" "$(json '[.started[].name] | sort | join(" ")') $(json '[.started[].started] | any')" "names the guests that wait, and starts none"
check_is "shut off" "$(state enc)" "so it is"
mv broken.raw away.raw
check_exit 8 "--start, with an image missing" kvmcrypt load --start --json
check_is "enc true null/broken false" "$(json '[.started[] | select(.name == "enc") | .name, (.started | tostring), (.error | tostring)] | join(" ")')/$(json '[.started[] | select(.name == "broken") | .name, (.started | tostring)] | join(" ")')" "starts the one, and says of the other why not"
check_is "running/shut off" "$(state enc)/$(state manual)" "a guest that is not to start by itself stays off"
mv away.raw broken.raw
check "--start again" kvmcrypt load --start --json
check_is broken "$(json '[.started[].name] | join(" ")')" "starts what is left"
check "and again" kvmcrypt load --start --json
check_is "[]" "$(json '.started | tostring')" "nothing is left to start"
daemon_down

# Before the daemon starts.
check_exit 0 "--dry-run" kvmcrypt load --all --ram --dry-run --json
check_is 0 "$(grep -c " $secrets " /proc/self/mountinfo)" "mounts nothing"
used() { kvmcrypt keystore log --json | jq '[.rows[] | select(.action == "load")] | length'; }
before=$(used)
check "load --all --ram" kvmcrypt load --all --ram --json
check_is "base.qcow2 broken.raw enc.qcow2 overlay.qcow2" "$(json '[.volumes[].path | split("/")[-1]] | sort | join(" ")')" "what domains have, backing files included, and nothing else"
check_is true "$(json .ram)" "in memory"
check_is "ramfs 700 root" "$(stat -f -c %T $secrets) $(stat -c '%a %U' $secrets)" "a ramfs for root alone"
check_is "600 600" "$(stat -c %a "$secrets/$(secret_of enc.qcow2).base64" "$secrets/$(secret_of enc.qcow2).xml" | xargs)" "with files for root alone"
check_is "" "$(find / -maxdepth 1 -name '*-*-*-*-*.base64')" "and none where the ramfs only seemed to be"
check_is "$files_before" "$(cd "$disk" && sha256sum ./* | sort)" "on disk is what was there"
check_is "$files_before" "$(cd $secrets && sha256sum ./11111111* | sort)" "which is in memory, too"
check_exit 0 "again" kvmcrypt load --all --ram --json
check_is "false" "$(json '[.volumes[].changed] | any')" "changes nothing"
check_is 1 "$(grep -c " $secrets " /proc/self/mountinfo)" "mounts nothing"
check_is $((before + 8)) "$(used)" "and each use of a key is in the audit trail"
libvirtd_start
wait_for is_state enc running
check_is running "$(state enc)" "the encrypted guest starts with the daemon"
check "and sees its disk" guest_wait_said enc "up with vda"
check_is other-value "$(other)" "another's secret has its value"
check_is "ephemeral='no' private='yes'" "$(virsh secret-dumpxml "$(secret_of enc.qcow2)" | grep -o "ephemeral='[a-z]*' private='[a-z]*'")" "ours is private"
check_exit 1 "and not given out" virsh secret-get-value "$(secret_of enc.qcow2)"

# The daemon runs and has its secrets in memory: as without --ram.
check_exit 0 "load --ram while the daemon runs" kvmcrypt load --all --ram --json
check "attach while secrets are in memory" kvmcrypt attach -q plain unused.raw --config
check "its secret is a file in memory" test -e "$secrets/$(secret_of unused.raw).base64"
check "unload" kvmcrypt unload unused.raw
check_exit 1 "takes the file away" test -e "$secrets/$(secret_of unused.raw).base64"
kvmcrypt load -q unused.raw >/dev/null
check "detach" kvmcrypt detach plain unused.raw

# Another program defines a secret now: it is in memory first.
sed 's/11111111-2222/99999999-2222/; s/client.other/client.new/' "$T/other.xml" >"$T/new.xml"
virsh -q secret-define "$T/new.xml" >/dev/null

# Killed twenty times around starts of the guest.
good=0
for i in $(seq 20); do
	virsh -q destroy enc >/dev/null 2>&1
	if [ $((i % 2)) = 0 ]; then
		virsh -q start enc >/dev/null 2>&1 &
		starter=$!
		# Somewhere in the first half second of a start.
		sleep "0.0$((RANDOM % 10))" "0.$((RANDOM % 5))"
		libvirtd_kill
		wait $starter
	else
		libvirtd_kill
	fi
	libvirtd_start
	is_state enc running || virsh -q start enc >/dev/null 2>&1
	is_state enc running && good=$((good + 1))
done
check_is 20 "$good" "the daemon killed 20 times around the guest's start: it comes back, and so does the guest"
check_is other-value "$(other)" "another's secret outlives it"
hits() {
	# Everything that this test's directories hold on a disk: what is mounted in them is left out.
	find "$T" -xdev -type f ! -name keys -print0 | xargs -0 grep -laF -f "$T/../kvmcrypt-boot-keys.$$" 2>/dev/null
}
keys=$T/../kvmcrypt-boot-keys.$$
forget_keys() { rm -f "$keys"; }
on_exit forget_keys
for v in enc.qcow2 base.qcow2 overlay.qcow2 broken.raw unused.raw; do
	passphrase_of $v
	echo
	passphrase_of $v | base64 -w 0
	echo
done >"$keys"
check_is 10 "$(grep -c . "$keys")" "keys to look for"
check_is "" "$(hits)" "no key, nor its base64, in any file on a disk"
check "the same look into memory finds one" grep -rqaF -f "$keys" $secrets
check_is "$files_before" "$(cd "$disk" && sha256sum ./* | sort)" "and libvirt's directory on disk is as before"

# The way back.
virsh -q secret-undefine 11111111-2222-3333-4444-555555555555 >/dev/null
daemon_down
check "unload --all --ram" kvmcrypt unload --all --ram --json
check_is 0 "$(grep -c " $secrets " /proc/self/mountinfo)" "unmounts it"
check_is "99999999-2222-3333-4444-555555555555.xml" "$(ls "$disk")" "another's new secret is on disk now, one that was undefined is not"
check_is "" "$(hits)" "and no key of ours"
check_exit 0 "again" kvmcrypt unload --all --ram

# What fails keeps nobody else from starting.
mv "$T/root.key" "$T/away"
check_exit 3 "sealed" kvmcrypt load --all --ram
check_is 1 "$(grep -c 'kvmcrypt unseal.*kvmcrypt load --start' "$T/stderr")" "one line says what to do"
check_is "1 99999999-2222-3333-4444-555555555555.xml" "$(grep -c " $secrets " /proc/self/mountinfo) $(ls $secrets)" "the directory is in memory all the same, with others' secrets"
libvirtd_start
wait_for is_state plain running
check_is "running/shut off" "$(state plain)/$(state enc)" "libvirt is up with the plain guest, the encrypted one waits"
mv "$T/away" "$T/root.key"
check "load --start" kvmcrypt load --start --json
check_is "broken enc" "$(json '[.started[].name] | sort | join(" ")')" "brings up what waited"
libvirtd_kill
libvirtd_start
virsh -q destroy enc
check "and its secret outlives the daemon" virsh -q start enc
daemon_down
check "unload" kvmcrypt unload -q --all --ram
cp -a "$KVMCRYPT_KEYSTORE" "$T/intact"
sqlite3 "$KVMCRYPT_KEYSTORE/keystore.db" "UPDATE volume SET envelope = zeroblob(length(envelope)) WHERE path LIKE '%/broken.raw'"
check_exit 7 "a damaged record" kvmcrypt load --all --ram --json
check_is "base.qcow2 enc.qcow2 overlay.qcow2 damaged" "$(json '[.volumes[] | select(.secret.registered).path | split("/")[-1]] | sort | join(" ")') $(json .error.kind)" "the others are loaded"
libvirtd_start
wait_for is_state enc running
check_is running "$(state enc)" "and their guests start"
daemon_down
rm -rf "$KVMCRYPT_KEYSTORE"
mv "$T/intact" "$KVMCRYPT_KEYSTORE"
printf 'x' | dd of="$KVMCRYPT_KEYSTORE/keystore.db" bs=1 seek=20 conv=notrunc 2>/dev/null
truncate -s 1000 "$KVMCRYPT_KEYSTORE/keystore.db"
rm -f "$KVMCRYPT_KEYSTORE"/keystore.db-*
check "a damaged keystore is an error" not kvmcrypt load --all --ram
check "unload --ram gives others their secrets back all the same" not kvmcrypt unload --all --ram
check_is "0 99999999-2222-3333-4444-555555555555.xml" "$(grep -c " $secrets " /proc/self/mountinfo) $(ls "$disk")" "so it did"
