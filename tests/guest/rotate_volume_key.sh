#!/bin/bash
# kvmcrypt rotate --volume-key under a running guest: it goes on writing, the image has another key.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin
link_of() { find . -name ".$1.*.kvmcrypt-new"; }
source_of() { virsh -q domblklist "$1" ${3:-} | awk -v t="$2" '$1 == t { print $2 }'; }
digest() { kvmcrypt header show --json "$1" | jq -r .found.luks_uuid; dd if="$1" bs=1 skip="$(grep -abo $'LUKS\xba\xbe' "$1" | head -n 1 | cut -d: -f1)" count=132 status=none | tail -c 20 | od -An -tx1; }
export LC_ALL=C

for f in a.qcow2 b.raw over.qcow2; do
	vm=vm-${f/./-}
	guest_define "$vm" busy "marker=$f"
	case $f in
	over.qcow2) kvmcrypt create -q base.qcow2 32M && kvmcrypt create -q --backing base.qcow2 over.qcow2 ;;
	*) kvmcrypt create -q "$f" 32M ;;
	esac
	check "$f: attach" kvmcrypt attach "$vm" "$f"
	check "$f: start" virsh -q start "$vm"
	check "$f: the guest writes" guest_wait_said "$vm" "gap"
	before=$(guest_reports "$vm")
	check "$f: for a while" guest_more_reports "$vm" 2
	normal=$(guest_longest "$vm" "$before")
	before=$(guest_reports "$vm")
	was=$(digest "$f")
	passphrase_of "$f" >old
	check "$f: rotate --volume-key while it does" kvmcrypt rotate --volume-key --json "$f"
	check_is "rotated live $vm" "$(jq -r '.volumes[0] | "\(.outcome) \(.how) \(.domain)"' "$T/stdout")" "$f: it says so"
	check "$f: the guest goes on" guest_more_reports "$vm" 2
	echo "# $f: longest pause of the guest $(guest_longest "$vm" "$before") ms, normal gap $normal ms"
	check_is "$(head -n 1 <<<"$was")" "$(digest "$f" | head -n 1)" "$f: the same LUKS UUID"
	[ "$was" != "$(digest "$f")" ] && ok "$f: another volume key" || not_ok "$f: another volume key"
	check_is "$PWD/$f" "$(source_of "$vm" vda --inactive)" "$f: the configuration names the file"
	check "$f: a link keeps the name that the running guest is known by" test -L "$(link_of "$f")"
	check "$f: rotate again, the passphrase alone" kvmcrypt rotate -q "$f"
	check_error 6 'after its restart' "$f: another volume key has to wait for the guest's restart" kvmcrypt rotate -q --volume-key "$f" </dev/null
	check_is 0 "$(grep -acE 'GUEST: (mismatch|write failed)' "$T/guest/$vm.console")" "$f: the guest read what it wrote"
	virsh -q destroy "$vm"
	: >"$T/guest/$vm.console"
	check "$f: the next start works" virsh -q start "$vm"
	check "$f: and the guest has its disk" guest_wait_said "$vm" "gap"
	check "$f: recover" kvmcrypt recover -q
	check_is "" "$(link_of "$f")" "$f: removes the link, which nobody uses any more"
	virsh -q destroy "$vm"
	check "$f: the image is fine" kvmcrypt show "$f"
	[ "$f" = b.raw ] || check "$f: clean" image_check "$f"
done

# Killed before the pivot, at it, and around the rename: the guest's data is never lost.
vm="vm-a-qcow2"
export ASAN_OPTIONS=detect_leaks=0
landed=0
for points in "fdatasync:4 fdatasync:5 fdatasync:6 renameat:1" symlinkat:1 fdatasync:10; do
	: >"$T/guest/$vm.console"
	virsh -q start $vm
	check "$points: the guest runs" guest_wait_said $vm gap
	for at in $points; do
		strace -f -o /dev/null -e inject="${at%:*}":signal=KILL:when="${at#*:}" "$KVMCRYPT" rotate -q --volume-key a.qcow2 >/dev/null 2>&1 || landed=$((landed + 1))
		check "$at: recover while it runs" kvmcrypt recover --json
		echo "# $at: $(jq -rc '.volumes[] | [.was, .outcome]' "$T/stdout")"
	done
	check "$at: it goes on" guest_more_reports $vm 1
	check_is "0 ready" "$(grep -acE 'GUEST: (mismatch|write failed)' "$T/guest/$vm.console") $(kvmcrypt show --json a.qcow2 | jq -r .state)" "$at: nothing lost, workflow done"
	virsh -q destroy $vm
	check "$at: clean" image_check a.qcow2
	check "$at: recover at rest" kvmcrypt recover -q
	check_is "" "$(link_of a.qcow2)" "$at: neither link nor copy is left"
done
echo "# $landed kills landed"
check_is yes "$([ $landed -ge 5 ] && echo yes)" "kills landed"
check "the keystore is clean" kvmcrypt keystore check -q
