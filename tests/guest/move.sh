#!/bin/bash
# kvmcrypt move with domains: their configurations name the image, never another one; a running guest goes over to a copy.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_namespace "$@"
libvirtd_start
guest_files
keystore_new
mkdir "$T/disks" "$T/far"
mount -t tmpfs -o size=256m,mode=755 far "$T/far"
chmod a+x "$T/disks"
cd "$T/disks" || exit 1
mkdir sub
chmod a+x sub
at() { kvmcrypt show --json "$1" | jq -r "$2"; }
# What a configuration names, the whole chain: a line an element.
named() { virsh -q dumpxml --inactive "$1" | sed -nE "s/.*<source (file|dev|pool)='([^']*)'.*/\2/p" | tr '\n' ' '; }
plain_define() { # plain_define NAME [DISKS]
	virsh -q undefine "$1" >/dev/null 2>&1
	cat >"$T/$1.xml" <<-XML
	<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
	<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
	<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/>${2:-}</devices></domain>
	XML
	virsh -q define "$T/$1.xml" >/dev/null
}
disk() { # disk SOURCE-ATTRIBUTES TYPE
	echo "<disk type='$2' device='disk'><driver name='qemu' type='qcow2' cache='none' discard='unmap'/><source $1><encryption format='luks' engine='qemu'><secret type='passphrase' uuid='$secret'/></encryption></source><target dev='vdc' bus='virtio'/><serial>S1</serial><boot order='3'/></disk>"
}

# ---- at rest
kvmcrypt create -q base.qcow2 16M
kvmcrypt create -q --backing base.qcow2 over.qcow2
plain_define vm
check "attach" kvmcrypt attach vm over.qcow2
check_is "$PWD/over.qcow2 $PWD/base.qcow2 " "$(named vm)" "the configuration has the chain"
check "move the base" kvmcrypt move --json base.qcow2 sub/b.qcow2
check_is "1 1" "$(jq -r '"\(.configurations) \(.overlays)"' "$T/stdout")" "  one disk and one overlay were told"
check_is "$PWD/over.qcow2 $PWD/sub/b.qcow2 " "$(named vm)" "  the configuration names the new place"
check "move the overlay to another file system" kvmcrypt move --json over.qcow2 "$T/far/"
check_is "copy $T/far/over.qcow2 $PWD/sub/b.qcow2 " "$(jq -r .how "$T/stdout") $(named vm)" "  and of the other"
check "the guest starts" virsh -q start vm
check_error 6 'domain vm runs with' "while it runs: not without --live" kvmcrypt move -q "$T/far/over.qcow2" .
check_error 6 'in use' "  nor its base" kvmcrypt move -q sub/b.qcow2 .
check "  where it is already" kvmcrypt move -q "$T/far/over.qcow2" "$T/far/over.qcow2"
virsh -q destroy vm
# It was moved by others.
mv "$T/far/over.qcow2" sub/o
check "moved by others: note is taken" kvmcrypt move -q "$T/far/over.qcow2" sub/o
check_is "$PWD/sub/o $PWD/sub/b.qcow2 " "$(named vm)" "  and the configuration is right"
check "  the guest starts" virsh -q start vm
virsh -q destroy vm
# Everything else in the disk stays, whatever the old name was.
kvmcrypt create -q d.qcow2 16M
secret=$(at d.qcow2 .secret.uuid)
kvmcrypt load -q d.qcow2 >/dev/null
ln -s "$PWD" "$T/links"
virsh -q pool-define-as pool dir --target "$PWD" >/dev/null
virsh -q pool-start pool >/dev/null
for source in "file='$PWD/d.qcow2'|file" "file='$T/links/d.qcow2'|file" "pool='pool' volume='d.qcow2'|volume"; do
	[ -e d.qcow2 ] || kvmcrypt move -q sub/d.qcow2 .
	plain_define other "$(disk "${source%|*}" "${source#*|}")"
	check "named by ${source%%=*}" kvmcrypt move -q d.qcow2 sub/
	check_is "$PWD/sub/d.qcow2 " "$(named other)" "  names the new place"
	check_is "none unmap S1 3 $secret qcow2 vdc" "$(virsh -q dumpxml --inactive other | tr '\n' ' ' | sed -nE "s/.*<driver name='qemu' type='([a-z0-9]*)' cache='([a-z]*)' discard='([a-z]*)'.*uuid='([^']*)'.*<target dev='(vd.)'.*<serial>(S1)<.*<boot order='(3)'.*/\2 \3 \6 \7 \4 \1 \5/p")" "  and is else as it was"
done
# A configuration that nobody could tell.
kvmcrypt move -q --no-libvirt sub/d.qcow2 d.qcow2
check_is "$PWD/sub/d.qcow2 " "$(named other)" "--no-libvirt leaves configurations as they are"
check "  the same place again" kvmcrypt move --json d.qcow2 d.qcow2
check_is "true noted $PWD/d.qcow2 " "$(jq -r '"\(.changed) \(.how)"' "$T/stdout") $(named other)" "  mends them"
check "  once more: nothing" eval '[ "$(kvmcrypt move -q --json d.qcow2 d.qcow2 | jq .changed)" = false ]'
# A copy of it with another name is another image, and stays.
cp --sparse=always d.qcow2 copy.qcow2
plain_define third "$(disk "file='$PWD/copy.qcow2'" file)"
check "a copy in another domain" kvmcrypt move -q d.qcow2 sub/
check_is "$PWD/copy.qcow2 $PWD/sub/d.qcow2 " "$(named third)$(named other)" "  is left alone"
virsh -q undefine third >/dev/null
# Saved states, snapshots, foreign overlays.
virsh -q undefine other >/dev/null
plain_define vm2
check "attach" kvmcrypt attach vm2 sub/d.qcow2
check "start" virsh -q start vm2
check "somebody makes an overlay" virsh -q snapshot-create-as vm2 --disk-only --no-metadata --diskspec "vda,snapshot=external,file=$PWD/foreign"
virsh -q destroy vm2
check_error 9 'below .*foreign, which is no volume' "below somebody's overlay" kvmcrypt move -q sub/d.qcow2 .
virsh -q undefine vm2 >/dev/null
plain_define vm2
kvmcrypt attach -q vm2 sub/d.qcow2
check "start" virsh -q start vm2
check "save" virsh -q managedsave vm2
check_error 9 'saved state of domain vm2' "a saved state names it" kvmcrypt move -q sub/d.qcow2 .
virsh -q managedsave-remove vm2
# libvirt is away.
libvirtd_stop
check_error 8 'domain vm2 has' "libvirt is away" kvmcrypt move -q sub/d.qcow2 .
libvirtd_start
kvmcrypt load -q --all >/dev/null
check "it is back" kvmcrypt move -q sub/d.qcow2 .
check_is "$PWD/d.qcow2 " "$(named vm2)" "  and is told"
# A guest that starts at the same moment has the image, or has not.
for n in 1 2 3; do
	kvmcrypt move -q d.qcow2 sub/ 2>/dev/null & mover=$!
	virsh -q start vm2 >/dev/null 2>&1
	wait $mover
	path=$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("/d.qcow2")) | .path')
	check_is "$path  yes" "$(named vm2) $([ -e "$path" ] && echo yes)" "a move while the guest starts: record and configuration agree"
	kvmcrypt show -q "$path" >/dev/null || not_ok "  it opens"
	virsh -q destroy vm2 >/dev/null 2>&1
	kvmcrypt recover -q >/dev/null
	[ -e d.qcow2 ] || kvmcrypt move -q "$path" d.qcow2
	check "  and it starts" virsh -q start vm2
	virsh -q destroy vm2
done

# ---- under a running guest
for f in a.qcow2 b.raw; do
	vm=vm-${f/./-}
	guest_define "$vm" busy "marker=$f"
	kvmcrypt create -q "$f" 32M
	check "$f: attach" kvmcrypt attach "$vm" "$f"
	check "$f: start" virsh -q start "$vm"
	check "$f: the guest writes" guest_wait_said "$vm" "gap"
	passphrase_of "$f" >old
	luks=$(at "$f" .luks.uuid)
	check "$f: move --live to another file system" kvmcrypt move --live --json "$f" "$T/far/"
	check_is "live $T/far/$f ready" "$(jq -r '"\(.how) \(.path) \(.state)"' "$T/stdout")" "$f: it says so"
	check "$f: the guest goes on" guest_more_reports "$vm" 2
	check_is "$T/far/$f $T/far/$f" "$(virsh -q domblklist "$vm" | awk '$1 == "vda" { print $2 }') $(named "$vm" | sed 's/ $//')" "$f: guest and configuration name the new place"
	check_is "no " "$([ -e "$f" ] || [ -L "$f" ] || echo no) $(find . "$T/far" -name '*.kvmcrypt-new')" "$f: nothing is left at the old one"
	check_is "$luks" "$(at "$T/far/$f" .luks.uuid)" "$f: the same volume"
	check "$f: with the same passphrase" cmp <(passphrase_of "$T/far/$f") old
	check "$f: rotate finds the guest" eval '[ "$(kvmcrypt rotate -q --json "$T/far/$f" | jq -r ".volumes[0].how")" = live ]'
	check "$f: back on one file system" kvmcrypt move -q --live "$T/far/$f" "sub/$f"
	check "$f: the guest goes on" guest_more_reports "$vm" 2
	check_is 0 "$(grep -acE 'GUEST: (mismatch|write failed)' "$T/guest/$vm.console")" "$f: the guest read what it wrote"
	virsh -q destroy "$vm"
	: >"$T/guest/$vm.console"
	check "$f: the next start works" virsh -q start "$vm"
	check "$f: and the guest has its disk" guest_wait_said "$vm" "gap"
	virsh -q destroy "$vm"
	[ "$f" = b.raw ] || check "$f: clean" image_check "sub/$f"
done

# Killed at each step of it: the guest's data is never lost, and one image is left.
export ASAN_OPTIONS=detect_leaks=0
landed=0
vm="vm-a-qcow2"
to() { [ -e sub/a.qcow2 ] && echo "$T/far/a.qcow2" || echo "$PWD/sub/a.qcow2"; }
uuid=$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | endswith("/a.qcow2")) | .uuid')
: >"$T/guest/$vm.console"
virsh -q start $vm
check "the guest runs" guest_wait_said $vm gap
for at in renameat2:1 fsync:2 fdatasync:3 fdatasync:4 fdatasync:5 fdatasync:6 renameat2:2 unlinkat:1 unlinkat:2 fdatasync:7; do
	strace -f -o /dev/null -e inject="${at%:*}":signal=KILL:when="${at#*:}" "$KVMCRYPT" move -q --live "$uuid" "$(to)" >/dev/null 2>&1 || landed=$((landed + 1))
	check "$at: recover while it runs" kvmcrypt recover --json
	echo "# $at: $(jq -rc '.volumes[] | [.was, .outcome]' "$T/stdout")"
	path=$(at "$uuid" .path)
	check_is "ready $path $path" "$(at "$uuid" .state) $(virsh -q domblklist $vm | awk '$1 == "vda" { print $2 }') $(named $vm | sed 's/ $//')" "$at: record, guest and configuration agree"
	check_is "1 " "$(find . "$T/far" -name a.qcow2 | wc -l) $(find . "$T/far" -name '*.kvmcrypt-new')" "$at: one image is left"
done
check "it goes on" guest_more_reports $vm 1
check_is 0 "$(grep -acE 'GUEST: (mismatch|write failed)' "$T/guest/$vm.console")" "nothing is lost"
virsh -q destroy $vm
check "clean" image_check "$(at "$uuid" .path)"
echo "# $landed kills landed"
check_is yes "$([ $landed -ge 6 ] && echo yes)" "kills landed"
check "the keystore is clean" kvmcrypt keystore check -q
