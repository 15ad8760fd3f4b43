#!/bin/bash
# libvirt's daemon dies as `rotate --all` begins: nobody says "rotated" while libvirt has the old passphrase.
. "$(dirname "$0")/../lib/guest.sh"
strace -o /dev/null true 2>/dev/null || skip_all "strace cannot trace here"
keystore_new
disks_dir
secrets=/etc/libvirt/secrets
for i in 1 2 3 4; do kvmcrypt create -q $i.qcow2 8M; done

# begin_rotation: stops it, connected to libvirt, before it takes its first lock.
begin_rotation() {
	rm -f trace
	strace -f -qq -o trace -P "$KVMCRYPT_KEYSTORE/workflow.lock" -e trace=openat -e inject=openat:signal=STOP:when=1 \
		"$KVMCRYPT" rotate -q --all --json --jobs 1 >rotated 2>rotate.err &
	rotation=$!
	wait_for grep -q 'stopped by SIGSTOP' trace
}
end_rotation() {
	kill -CONT "$(awk 'NR == 1 { print $1 }' trace)"
	wait $rotation
	code=$?
}
outcomes() { jq -r '.volumes[].outcome' rotated | sort | uniq -c | awk '{ print $1, $2 }' | tr '\n' ' '; }
file_of() { echo "$secrets/$(kvmcrypt show --no-libvirt --json "$1" | jq -r .secret.uuid).base64"; }
fresh_files() {
	local i
	for i in 1 2 3 4; do [ "$(base64 -d "$(file_of $i.qcow2)")" = "$(passphrase_of $i.qcow2)" ] || return 1; done
}
# Others have made these domains: the records do not name them, so libvirt is not asked before the secrets are renewed.
define_all() {
	local i
	for i in 1 2 3 4; do
		cat >"$T/vm.xml" <<-XML
		<domain type='qemu'><name>vm$i</name><memory unit='MiB'>64</memory><os><type machine='pc'>hvm</type></os><devices><memballoon model='none'/>
		<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$PWD/$i.qcow2'><encryption format='luks' engine='qemu'><secret type='passphrase' uuid='$(kvmcrypt show --no-libvirt --json $i.qcow2 | jq -r .secret.uuid)'/></encryption></source><target dev='vda' bus='virtio'/></disk></devices></domain>
		XML
		virsh -q define "$T/vm.xml" >/dev/null
	done
}
starts() {
	local i
	for i in 1 2 3 4; do virsh -q start --paused vm$i && virsh -q destroy vm$i || return 1; done
}

libvirtd_dirs
# The daemon's secrets are in its memory only.
libvirtd_start
define_all
kvmcrypt load -q --all >/dev/null
begin_rotation
libvirtd_kill
end_rotation
check_is "8 4 failed " "$code $(outcomes)" "secrets in the daemon, which is gone: none is rotated"
libvirtd_start
check "recover" kvmcrypt recover
check_is "1 1 1 1 " "$(for i in 1 2 3 4; do kvmcrypt show --json $i.qcow2 | jq -r '[.luks.keyslots[] | select(.state == "active")] | length'; done | tr '\n' ' ')" "one keyslot each"
check "load" kvmcrypt load --all
check "guests start with what libvirt has" starts
begin_rotation
libvirtd_kill
libvirtd_start
end_rotation
check_is "0 4 rotated " "$code $(outcomes)" "the daemon was restarted and has no secrets: rotated"
libvirtd_kill

# Secrets are files in memory.
check "load --ram" kvmcrypt load --all --ram
libvirtd_start
begin_rotation
libvirtd_kill
end_rotation
check_is "8 3 failed 1 rotated " "$code $(outcomes)" "secrets in files in memory, the daemon is gone: the one that was begun is rotated"
check_is true "$(jq -r '.volumes[] | select(.outcome == "rotated") | .secret_renewed' rotated)" "  with its secret"
check "  the files have the passphrases of all" fresh_files
libvirtd_start
check "  which the daemon reads" starts
begin_rotation
libvirtd_kill
libvirtd_start
end_rotation
check_is "0 4 rotated true" "$code $(outcomes)$(jq '[.volumes[].secret_renewed] | all' rotated)" "the daemon was restarted and has read the old ones: it is asked once more"
check "  the files have the passphrases of all" fresh_files
check "  guests start" starts
libvirtd_kill
check_exit 0 "the daemon was not there from the beginning" kvmcrypt rotate -q --all
check "  the files have the passphrases of all" fresh_files
libvirtd_start
check "  guests start" starts

# Threads that do not start; a volume that is named twice.
check_error 1 'cannot start a thread' "a thread that cannot be started" strace -f -qq -o /dev/null -e trace=clone3 -e inject=clone3:error=EAGAIN "$KVMCRYPT" rotate -q --all --jobs 3
check_is 1 "$(kvmcrypt rotate -q --json 1.qcow2 1.qcow2 "$PWD/1.qcow2" | jq '.volumes | length')" "a volume that is named twice is done once"
check "nothing to recover" bash -c '[ "$("$1" recover --json | jq ".volumes | length")" = 0 ]' _ "$KVMCRYPT"
