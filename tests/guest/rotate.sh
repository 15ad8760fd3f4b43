#!/bin/bash
# kvmcrypt rotate under a running guest that writes and verifies all the time.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin

opens() { qemu-io -U -r --object secret,id=s0,file="$2" --image-opts "$3,file.filename=$1" -c 'read 0 512' 2>/dev/null | grep -q 'read 512'; }
opens_not() { ! opens "$@"; }

for f in a.qcow2 b.raw; do
	vm=vm-${f#*.}
	case $f in *.qcow2) how=driver=qcow2,encrypt.key-secret=s0 ;; *) how=driver=luks,key-secret=s0 ;; esac
	guest_define "$vm" busy "marker=$f"
	kvmcrypt create -q "$f" 32M
	check "$f: attach" kvmcrypt attach "$vm" "$f"
	check "$f: start" virsh -q start "$vm"
	check "$f: the guest writes" guest_wait_said "$vm" "gap"
	before=$(guest_reports "$vm")
	check "$f: for a while" guest_more_reports "$vm" 2
	normal=$(guest_longest "$vm" "$before")
	passphrase_of "$f" >old
	before=$(guest_reports "$vm")
	check "$f: rotate while it does" kvmcrypt rotate --json "$f"
	check_is "rotated live $vm 2 true" "$(jq -r '.volumes[0] | "\(.outcome) \(.how) \(.domain) \(.generation) \(.secret_renewed)"' "$T/stdout")" "$f: it says so"
	check "$f: the guest goes on" guest_more_reports "$vm" 2
	echo "# $f: longest pause of the guest $(guest_longest "$vm" "$before") ms, normal gap $normal ms"
	passphrase_of "$f" >new
	check "$f: the old passphrase opens nothing" opens_not "$f" old "$how"
	check "$f: the new one does" opens "$f" new "$how"
	check_is "1 ready" "$(kvmcrypt show --json "$f" | jq -r '"\([.luks.keyslots[] | select(.state == "active")] | length) \(.state)"')" "$f: one keyslot, workflow done"
	check "$f: once more, with the passphrase that QEMU never opened it with" kvmcrypt rotate "$f"
	check "$f: the guest still goes on" guest_more_reports "$vm" 2
	check_is 0 "$(grep -acE 'GUEST: (mismatch|write failed)' "$T/guest/$vm.console")" "$f: it read what it wrote"
	check_is "" "$(virsh -q qemu-monitor-command "$vm" '{"execute":"qom-list","arguments":{"path":"/objects"}}' | grep -o 'kvmcrypt-[a-z]*')" "$f: no secret of ours stays in QEMU"
	grep -aqFf new -f old "$T/libvirt/var/log/libvirt/qemu/$vm.log" "$T/libvirtd.log" && not_ok "$f: no passphrase in a log" || ok "$f: no passphrase in a log"
	virsh -q destroy "$vm"
	guest_job "$vm" busy "marker=again"
	: >"$T/guest/$vm.console"
	check "$f: the next start works" virsh -q start "$vm"
	check "$f: and the guest has its disk" guest_wait_said "$vm" "gap"
	virsh -q destroy "$vm"
done

# Interrupted at any QMP command, the volume opens, and recover puts it right while the guest runs.
virsh -q start vm-qcow2
check "the guest runs" guest_wait_said vm-qcow2 gap
landed=0
for n in 2 4 6 8; do
	strace -f -o /dev/null -e inject=fdatasync:signal=KILL:when=$n env ASAN_OPTIONS=detect_leaks=0 "$KVMCRYPT" rotate -q a.qcow2 >/dev/null 2>&1 || landed=$((landed + 1))
	check "killed at sync $n: recover" kvmcrypt recover -q
	check_is "1 ready" "$(kvmcrypt show --json a.qcow2 | jq -r '"\([.luks.keyslots[] | select(.state == "active")] | length) \(.state)"')" "one keyslot, ready"
	passphrase_of a.qcow2 >now
	check "that the keystore's passphrase opens" opens a.qcow2 now driver=qcow2,encrypt.key-secret=s0
done
echo "# $landed kills landed"
[ $landed -gt 0 ] && ok "kills landed" || not_ok "kills landed"
kvmcrypt passphrase show --yes a.qcow2 >now
virsh -q destroy vm-qcow2
check "start after all that" virsh -q start vm-qcow2
virsh -q destroy vm-qcow2
libvirtd_stop
check_error 8 'no-libvirt' "without libvirt a guest's volume is refused" kvmcrypt rotate -q a.qcow2
check "--no-libvirt rotates it" kvmcrypt rotate -q --no-libvirt a.qcow2
check "the keystore is clean" kvmcrypt keystore check -q
