#!/bin/bash
# Names in QEMU are shared by all disks of a guest: rotations of several at once keep apart, in one process and in two.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin --bare
ours_in() { qmp "$1" '{"execute":"qom-list","arguments":{"path":"/objects"}}' | grep -o 'kvmcrypt-[a-z0-9-]*'; }
jobs_in() { qmp "$1" '{"execute":"query-jobs"}' | jq -r '.return[].id'; }
generations() { for v; do kvmcrypt show --json "$v" | jq .generation; done | sort -u | tr '\n' ' '; }
leave() { # leave NAME: as a killed command does
	qmp "$vm" "{\"execute\":\"object-add\",\"arguments\":{\"qom-type\":\"secret\",\"id\":\"$1\",\"data\":\"stale\"}}" >/dev/null
}

for n in 2 4; do
	vm=vm$n disks=()
	machine $vm pc
	for ((i = 1; i <= n; i++)); do
		disks[i]=$n-$i.$([ $((i % 2)) = 0 ] && echo raw || echo qcow2)
		kvmcrypt create -q "${disks[i]}" 16M
		kvmcrypt attach -q "$vm" "${disks[i]}"
	done
	check "$n disks: start" virsh -q start "$vm"
	check "$n disks: all in as many threads" kvmcrypt rotate -q --json --jobs "$n" "${disks[@]}"
	check_is "live rotated " "$(jq -r '.volumes[] | "\(.how) \(.outcome)"' "$T/stdout" | sort -u | tr '\n' ' ')" "$n disks:   each is rotated, live"
	check "$n disks:   each is whole" whole "${disks[@]}"
	check_is "/" "$(ours_in "$vm")/$(jobs_in "$vm")" "$n disks:   nothing of ours stays in QEMU"
	half=$((n / 2))
	kvmcrypt rotate -q "${disks[@]:1:half}" >one.out 2>&1 & one=$!
	kvmcrypt rotate -q "${disks[@]:half+1}" >two.out 2>&1
	two=$?
	wait $one
	check_is "0 0" "$? $two" "$n disks: two processes at once" || cat one.out two.out
	check "$n disks:   each is whole" whole "${disks[@]}"
	check_is "3 " "$(generations "${disks[@]}")" "$n disks:   in its third passphrase"
	for v in "${disks[@]:1:2}"; do
		uuid=$(kvmcrypt show --json "$v" | jq -r .uuid)
		leave "kvmcrypt-current-$uuid"
		leave "kvmcrypt-fresh-$uuid"
	done
	leave kvmcrypt-current
	leave kvmcrypt-fresh
	check "$n disks: with what killed commands left" kvmcrypt rotate -q --jobs "$n" "${disks[@]}"
	check_is "/" "$(ours_in "$vm")/$(jobs_in "$vm")" "$n disks:   which is swept"
	check "$n disks:   each is whole" whole "${disks[@]}"
	virsh -q destroy "$vm"
	check "$n disks: the guest starts with the new ones" virsh -q start "$vm"
	virsh -q destroy "$vm"
done

# A command that was killed while QEMU worked for it left a job as well.
vm=vm2
virsh -q start $vm
a=2-1.qcow2
for n in 3 4 5 6; do
	strace -f -qq -o /dev/null -e trace=clock_nanosleep -e inject=clock_nanosleep:signal=KILL:when=$n "$KVMCRYPT" rotate -q $a >/dev/null 2>&1
	check "killed while QEMU works ($n): again" kvmcrypt rotate -q $a
	check "  whole" whole $a
	check_is "/" "$(ours_in $vm)/$(jobs_in $vm)" "  nothing of ours stays in QEMU"
done
virsh -q destroy $vm
