#!/bin/bash
# The main job: guests under a real libvirtd boot from volumes of both formats and keep them over
# a stop and start; the disk holds only ciphertext.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin

for f in boot.qcow2 boot.raw; do
	vm=vm-${f#*.}
	guest_define "$vm" install
	check "$f: create" kvmcrypt create $f 64M
	check "$f: attach" kvmcrypt attach "$vm" $f --boot-order 1
	check "$f: the guest starts" virsh -q start "$vm"
	check "$f: and ends" guest_wait_off "$vm"
	check "$f: it has installed a root file system" guest_said "$vm" installed
	guest_job "$vm" boot
	for n in 1 2; do
		check "$f: start $n" virsh -q start "$vm"
		check "$f: and end" guest_wait_off "$vm"
		check "$f: it booted from the encrypted disk, time $n" guest_said "$vm" "boot $n from the encrypted disk"
	done
	check_is 0 "$(grep -a -c 'from the encrypted disk' $f)" "$f: the text of its init is not readable in the image"
done
check "qemu-img check of the qcow2 that a guest has written" image_check boot.qcow2

# A chain: an overlay whose backing file is encrypted too, and one with a plain backing file.
guest_define vm-chain read
check_error 9 'domain vm-qcow2 has' "no overlay on the disk of a domain, also one that is off" kvmcrypt create -q over.qcow2 --backing boot.qcow2
check "no image of it" test ! -e over.qcow2
chmod a-w boot.qcow2
check "frozen it can be a base" kvmcrypt create -q --dry-run over.qcow2 --backing boot.qcow2
chmod u+w boot.qcow2
check "an overlay on a volume, where a person knows" kvmcrypt create over.qcow2 --backing boot.qcow2 --backing-in-use
check "attach the overlay" kvmcrypt attach vm-chain over.qcow2
check_is 2 "$(virsh dumpxml vm-chain | grep -c "<encryption format='luks'")" "the chain is written out with a secret each"
check_is 2 "$(virsh -q secret-list | wc -l | awk '{print ($1 >= 2) ? 2 : $1}')" "both secrets are there"
guest_job vm-chain boot
check "the guest boots from the overlay" virsh -q start vm-chain
check "and ends" guest_wait_off vm-chain
check "it continues where the backing file was" guest_said vm-chain "boot 3 from the encrypted disk"
guest_job vm-qcow2 boot
check "the backing file's own guest" virsh -q start vm-qcow2
guest_wait_off vm-qcow2
check_is 1 "$(grep -a -c 'boot 3 from' "$T/guest/vm-qcow2.console")" "does not see what the overlay's guest wrote"

# Unencrypted backing
truncate -s 16M plain.raw
chmod a+r plain.raw
guest_define vm-plain write "marker=OVER-PLAIN"
check "an overlay on a plain raw image" kvmcrypt create op.qcow2 --backing plain.raw
check "attach it" kvmcrypt attach vm-plain op.qcow2
check "start" virsh -q start vm-plain
check "end" guest_wait_off vm-plain
check "it wrote" guest_said vm-plain wrote
check_is "0 0" "$(grep -a -c OVER-PLAIN op.qcow2) $(grep -a -c OVER-PLAIN plain.raw)" "the text is in neither file"
check "the keystore checks clean" kvmcrypt keystore check
