#!/bin/bash
# kill -9 of create at many system calls, on files and devices, detached and with integrity: recover
# puts it right, no mapping, loop device or temporary file is left. SWEEP_STEP=1 takes every call of the last.
VM_DISKS="40M"
. "$(dirname "$0")/../lib/vm.sh"
. "$(dirname "$0")/../lib/vm-kill.sh"

sweep_create() { # sweep_create WHAT IMAGE HEADER CALLS AT COMMAND...
	local what=$1 image=$2 header=$3 calls=$4 at=$5 call n
	shift 5
	for call in $calls; do
		for n in $at; do
			kill_at "$call" "$n" create -q "$@" || break
			landed=$((landed + 1))
			recovered || bad "$what killed at $call $n"
			nothing_mapped || bad "$what killed at $call $n: mapping left"
			if kvmcrypt open -q "$image" probe 2>/dev/null; then
				kvmcrypt close -q "$image" && kvmcrypt erase -q --yes --no-libvirt "$image" || bad "$what killed at $call $n: cannot go on"
			elif [ -f "$image" ] || [ -e "$header" ]; then
				bad "$what killed at $call $n: a file without its record"
				rm -f "$image" "$header"
			fi
		done
		kvmcrypt erase -q --yes --no-libvirt "$image" 2>/dev/null
	done
}
sweep_create "create --luks 2" v.raw none 'pwrite64 renameat2' '1 4 7 9 11 13 15 17' v.raw 2M --luks 2
verdict "create --luks 2" 5
sweep_create "create DEVICE" /dev/vdb none pwrite64 '8 9 12 13 14 15 17 19' /dev/vdb --yes-destroy /dev/vdb
verdict "create DEVICE" 5
sweep_create "create --header" d.raw d.hdr 'renameat2 pwrite64' '1 2 9 12' d.raw 2M --header d.hdr
verdict "create --header" 3
sweep_create "create --integrity" i.raw none ioctl "$(seq -s ' ' 3 "${SWEEP_STEP:-4}" 60)" i.raw 2M --integrity hmac-sha256
verdict "create --integrity" 6
check "the keystore checks clean" kvmcrypt keystore check
