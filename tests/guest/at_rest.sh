#!/bin/bash
# Nothing at rest while guests run, either: what a disk that is pulled from the running host has of libvirt's files opens
# none of its guests' volumes.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin
qemu=/var/lib/libvirt/qemu
disk=$T/libvirt	# what is on the disk, whatever is mounted over it
json() { jq -r "$1" "$T/stdout"; }
daemon_down() {
	kill "$LIBVIRTD_PID"
	wait "$LIBVIRTD_PID" 2>/dev/null
	LIBVIRTD_PID=
}
# What a thief does: each line of a log that has a passphrase, decrypted with each thing on the disk that could be the
# key. Prints what he gets that opens a volume.
thief() {
	local key log data iv
	while read -r key; do
		while read -r log; do
			while IFS=' ' read -r data iv; do
				base64 -d <<<"$data" | openssl enc -d -aes-256-cbc -K "$(xxd -p -c 64 "$key")" \
					-iv "$(base64 -d <<<"$iv" | xxd -p)" 2>/dev/null >"$T/../loot.$$" &&
					grep -qaxFf "$T/../wanted.$$" "$T/../loot.$$" && cat "$T/../loot.$$" && echo
			done < <(grep -ao '"data":"[^"]*","keyid":"masterKey0","iv":"[^"]*"' "$log" | sed 's/"data":"\([^"]*\)".*"iv":"\([^"]*\)"/\1 \2/')
		done < <(find "$disk/var/log" -xdev -name '*.log')
	done < <(find "$disk" -xdev -type f -size 32c)
}
loot_gone() { rm -f "$T/../loot.$$" "$T/../wanted.$$"; }
on_exit loot_gone

kvmcrypt create -q a.qcow2 16M
passphrase_of a.qcow2 >"$T/../wanted.$$"
guest_define vm up
guest_define other up
kvmcrypt attach -q vm a.qcow2
virsh -q start vm
check_is 1 "$(thief | sort -u | grep -c .)" "without it: the passphrase comes out of the disk of a running host"
check "show says so" kvmcrypt show --json a.qcow2
check_is "vm master-key" "$(json '.exposed[] | "\(.domain) \(.what)"')" "  which guest, and what"
kvmcrypt boot status --json >"$T/stdout" 2>"$T/stderr"
check_is "vm master-key false" "$(json '"\(.exposed[] | "\(.domain) \(.what)") \(.guests_in_memory)"')" "boot status likewise"
check_is 1 "$(grep -c 'master-key of guest vm is on a disk.*boot enable' "$T/stderr")" "  and how to close it"

# Into memory while that guest goes on: it keeps its directory, and what was left by one that is gone is wiped.
mkdir -p $qemu/nvram $qemu/foreign $qemu/domain-77-gone
echo mine >$qemu/nvram/vm_VARS.fd
echo his >$qemu/foreign/file
echo top >$qemu/top-file
ln -s nvram $qemu/link
head -c 32 /dev/urandom >$qemu/domain-77-gone/master-key.aes
daemon_down
check "load --all --ram" kvmcrypt load --all --ram
check_is 1 "$(grep -c 'key of the guest of .*domain-1-vm was on the disk' "$T/stderr")" "the guest that runs is told of"
check_is "" "$(thief)" "nothing on the disk opens its volume any more"
check_is 3 "$(grep -c 'is not known to this program' "$T/stderr")" "names that nobody knows are told of"
check_is "ramfs mine his top nvram" "$(stat -f -c %T $qemu) $(cat $qemu/nvram/vm_VARS.fd $qemu/foreign/file $qemu/top-file | tr '\n' ' ')$(readlink $qemu/link)" "what is to stay is there"
check_is "$(stat -c '%a %U %G' "$disk$qemu")" "$(stat -c '%a %U %G' $qemu)" "owner and mode are the directory's"
check_is "" "$(find "$disk$qemu/domain-77-gone" -type f)" "the key of the guest that is gone is wiped"
check_is "" "$(grep kvmcrypt-domains /proc/self/mountinfo)" "nothing is left where it was put together"
check "a second time" kvmcrypt load --all --ram
check_is 1 "$(grep -c " $qemu ramfs\| $qemu .* - ramfs" /proc/self/mountinfo)" "  it is mounted once"
libvirtd_start
check_is running "$(virsh domstate vm | head -1)" "libvirt has found its guest"
kvmcrypt create -q b.qcow2 16M
check "and gives it another disk, encrypted with its key" kvmcrypt attach -q --live vm b.qcow2
check "  rotates the first" kvmcrypt rotate -q a.qcow2
passphrase_of a.qcow2 >"$T/../wanted.$$"
check "a file that it makes is on the disk" virsh -q managedsave vm
check_is 1 "$(find "$disk$qemu/save" -xdev -name 'vm.save' | grep -c .)" "  the managed save for one"
check "show says that it holds keys" kvmcrypt show --json a.qcow2
check_is "managed-save" "$(json '[.exposed[].what] | join(" ")')" "  and that the guest's key is on the disk no more"
virsh -q managedsave-remove vm
rm -rf "$disk"/var/log/libvirt/qemu/*
kvmcrypt rotate -q a.qcow2
passphrase_of a.qcow2 >"$T/../wanted.$$"

# A guest that starts now.
virsh -q start vm
virsh -q start other
check_is "ramfs" "$(stat -f -c %T $qemu/domain-*-vm/master-key.aes)" "a guest's key is in memory"
check_is 1 "$(grep -l masterKey0 "$disk"/var/log/libvirt/qemu/vm.log | grep -c .)" "its log on the disk has the passphrase, encrypted"
check_is "" "$(thief)" "nothing on the disk opens it"
kvmcrypt boot status --json >"$T/stdout" 2>"$T/stderr"
check_is "0 true" "$(json '"\(.exposed | length) \(.guests_in_memory)"')" "boot status has nothing to tell"
check "show neither" kvmcrypt show --json a.qcow2
check_is 0 "$(json '.exposed | length')" "  exposed is empty"
check "rotate while it runs" kvmcrypt rotate -q a.qcow2

# The way back.
check_error 6 'stop it first' "unload while the daemon runs" kvmcrypt unload -q --all --ram
daemon_down
check "unload while guests run" kvmcrypt unload --all --ram
check_is "1 ramfs" "$(grep -c 'guests run that have their directories' "$T/stderr") $(stat -f -c %T $qemu)" "  it stays, and says why"
kvmcrypt load -q --all --ram
libvirtd_start
virsh -q destroy vm
virsh -q destroy other
daemon_down
echo new >$qemu/something-new
check_error 9 'something-new is in memory alone' "unload, and there is a file that would be lost" kvmcrypt unload -q --all --ram
rm $qemu/something-new
check "unload" kvmcrypt unload --all --ram
check_is 0 "$(grep -c stays "$T/stderr")" "  nothing stays"
check_is "0 mine" "$(grep -c " $qemu" /proc/self/mountinfo) $(cat $qemu/nvram/vm_VARS.fd)" "  all is as it was"
check "again" kvmcrypt unload -q --all --ram

# Killed at any moment: it is there whole, or not at all.
for call in mount move_mount open_tree umount2 mkdir mknodat mkdirat; do
	for n in 1 2 5; do
		(strace -f -o /dev/null -e "inject=$call:signal=KILL:when=$n" "$KVMCRYPT" load -q --all --ram; :) >/dev/null 2>&1
		case $(stat -f -c %T $qemu) in
		ramfs) [ -e $qemu/nvram/vm_VARS.fd ] && [ -e $qemu/foreign/file ] ;;
		*) [ -e $qemu/nvram/vm_VARS.fd ] ;;
		esac || not_ok "killed at $call $n: half of it"
		kvmcrypt load -q --all --ram && [ "$(stat -f -c %T $qemu)" = ramfs ] || not_ok "killed at $call $n: not done after it"
		kvmcrypt unload -q --all --ram || not_ok "killed at $call $n: no way back"
	done
done
ok "killed at mounts"
check_is "" "$(grep " $qemu\|kvmcrypt-domains" /proc/self/mountinfo)" "and nothing is left"
exit $FAILED
