#!/bin/bash
# kill -9 of open and close at calls to device-mapper and the loop driver: the volume opens again and
# closes, and nothing is left.
. "$(dirname "$0")/../lib/vm.sh"
. "$(dirname "$0")/../lib/vm-kill.sh"
kvmcrypt create -q o.raw 2M --luks 2
kvmcrypt create -q oi.raw 2M --integrity hmac-sha256
for v in o.raw oi.raw; do
	for call in ioctl $(in_full add_key keyctl pwrite64); do
		at=$(points $call 4 open -q $v m)
		kvmcrypt close -q $v || bad "nothing to sweep over"
		for n in $at; do
			killed_at $call "$n" open -q $v m || { kvmcrypt close -q $v; continue; }
			landed=$((landed + 1))
			# Half of them by recover, half by the next open.
			[ $((landed % 2)) = 1 ] || recovered || bad "open $v killed at $call $n"
			kvmcrypt open -q $v m || bad "open $v killed at $call $n: does not open again"
			dd if=/dev/mapper/m of=/dev/null bs=4096 count=1 2>/dev/null || bad "open $v killed at $call $n: does not read"
			kvmcrypt close -q $v || bad "open $v killed at $call $n: does not close"
			nothing_mapped || bad "open $v killed at $call $n: mapping left"
		done
	done
done
verdict "open" 6
for v in o.raw oi.raw; do
	kvmcrypt open -q $v m
	for n in $(points ioctl 3 close -q $v); do
		kvmcrypt open -q $v m
		killed_at ioctl "$n" close -q $v || continue
		landed=$((landed + 1))
		recovered || bad "close $v killed at $n"
		kvmcrypt close -q $v || bad "close $v killed at $n: does not close"
		nothing_mapped || bad "close $v killed at $n: mapping left"
	done
	kvmcrypt close -q $v
done
verdict "close" 4
check_is 0 "$(grep -c cryptsetup: /proc/keys)" "no key is left in a keyring"
check "the keystore checks clean" kvmcrypt keystore check
