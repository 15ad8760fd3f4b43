#!/bin/bash
# The start of a host whose keystore is unsealed by a TPM or by Tang servers: with neither there, libvirt and the plain
# guest start all the same, the encrypted one waits, and a person's recovery key starts it.
. "$(dirname "$0")/../lib/guest.sh"
. "$(dirname "$0")/../lib/devices.sh"
libvirtd_start
guest_files
tpm_start
tang_start one
disks_dir
state() { virsh -q domstate "$1" 2>/dev/null | head -n 1; }
is_state() { [ "$(state "$1")" = "$2" ]; }
daemon_down() {
	for d in $(virsh -q list --name); do virsh -q destroy "$d"; done
	kill "$LIBVIRTD_PID"
	wait "$LIBVIRTD_PID" 2>/dev/null
	LIBVIRTD_PID=
	# libvirt starts what is marked for autostart once after a boot of the host, which this file tells.
	rm -f /run/libvirt/qemu/autostarted
}
check "a keystore with a TPM2" kvmcrypt init -q --tpm2="$TPM" --recovery-key "$T/recovery"
check "and a Tang server" kvmcrypt keystore add-slot -q --tang="$(tang_url one)" --yes
guest_define enc up
guest_define plain up
kvmcrypt create -q enc.qcow2 32M
kvmcrypt attach -q enc enc.qcow2
for d in enc plain; do virsh -q autostart $d; done >/dev/null
daemon_down

for way in tpm2 tang; do
	kvmcrypt seal -q
	[ $way = tpm2 ] && tang_stop one
	[ $way = tang ] && tpm_stop
	check "load --all --ram with $way alone" kvmcrypt load -q --all --ram
	[ $way = tpm2 ] && tang_start one
	libvirtd_start
	wait_for is_state enc running
	check_is running "$(state enc)" "the encrypted guest starts with the daemon"
	daemon_down
	check "unload" kvmcrypt unload -q --all --ram
done
tang_stop one
kvmcrypt seal -q
check_exit 3 "with neither" kvmcrypt load -q --all --ram
mv "$T/stderr" "$T/said"
check_is 3 "$(wc -l <"$T/said")" "three lines say why"
check "the TPM's" grep -q 'slot 0 (tpm2): no TPM answers at' "$T/said"
check "the server's" grep -q 'slot 2 (tang): too few Tang servers answer' "$T/said"
check "and one with the next step" grep -q 'kvmcrypt unseal.*kvmcrypt load --start' "$T/said"
cat "$T/said"
libvirtd_start
wait_for is_state plain running
check_is "running/shut off" "$(state plain)/$(state enc)" "libvirt is up with the plain guest, the encrypted one waits"
check "the recovery key unseals" kvmcrypt unseal -q --passphrase-file "$T/recovery"
check "load --start" kvmcrypt load -q --start
check_is running "$(state enc)" "starts what waited"
check "from its disk" guest_wait_said enc "up with vda"
