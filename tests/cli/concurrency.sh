#!/bin/bash
# Eight processes that create, show and erase at once, a thousand operations: nothing lost, nothing
# stuck. And several that fight for the same path: exactly one wins.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
worker() { # 125 operations; each volume is shown, every second one erased
	local w=$1 i v
	for i in $(seq 50); do
		v=w$w-$i.$([ $((i % 2)) = 0 ] && echo raw || echo qcow2)
		kvmcrypt create -q "$v" 4M 2>>"err.$w" || echo "create $v" >>"lost.$w"
		kvmcrypt show "$v" >/dev/null 2>>"err.$w" || echo "show $v" >>"lost.$w"
		if [ $((i % 2)) = 0 ]; then
			kvmcrypt erase -q --yes --no-libvirt "$v" 2>>"err.$w" || echo "erase $v" >>"lost.$w"
		fi
	done
}
for w in 1 2 3 4 5 6 7 8; do worker $w & done
wait
check_is 0 "$(cat lost.* 2>/dev/null | wc -l)" "1,000 operations of 8 processes: none failed"
cat err.* 2>/dev/null | sort | uniq -c | head -n 5 | sed 's/^/# /'
check_is 200 "$(kvmcrypt list --json | jq '[.volumes[] | select(.state == "ready")] | length')" "200 volumes are left, all ready"
check_is 200 "$(find . -name 'w*.qcow2' | wc -l)" "and 200 files"
check_is 0 "$(find . -name '*.raw' -o -name '*.kvmcrypt-new' | wc -l)" "nothing of the erased ones"
check "the keystore checks clean" kvmcrypt keystore check

for i in $(seq 8); do
	kvmcrypt create -q same.qcow2 8M 2>/dev/null && echo won >>same &
done
wait
check_is 1 "$(wc -l <same)" "of 8 creates of one path exactly one wins"
check_is ready "$(kvmcrypt show --json same.qcow2 | jq -r .state)" "and its volume is ready"
for i in $(seq 8); do
	kvmcrypt create -q absent.qcow2 8M --if-absent 2>>absent.err && echo ok >>absent &
done
wait
check_is 8 "$(wc -l <absent)" "with --if-absent all 8 succeed"
sed 's/^/# /' absent.err | head -n 5
for i in $(seq 8); do
	kvmcrypt erase -q --yes --no-libvirt same.qcow2 2>/dev/null
	echo $? >>erased
done &
for i in $(seq 8); do
	kvmcrypt show same.qcow2 >/dev/null 2>&1
done
wait
check_is 1 "$(grep -c '^0$' erased)" "one erase wins, the others find nothing"
check "the keystore still checks clean" kvmcrypt keystore check
