#!/bin/bash
# kill -9 of create, import and erase at every write-like call: recover finishes or undoes, no key
# is lost, nothing is left behind.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
strace -o /dev/null true 2>/dev/null || skip_all "strace cannot trace here"
printf old >old
# The leak sanitizer wants to trace, which a traced process cannot be.
export ASAN_OPTIONS=detect_leaks=0
# kill_at SYSCALL N COMMAND...: true if the kill landed
exec 2>/dev/null # bash would tell of every kill
kill_at() {
	local call=$1 n=$2
	shift 2
	strace -f -qq -o /dev/null -e trace="$call" -e inject="$call":signal=KILL:when="$n" "$@" >/dev/null 2>&1
	[ $? -ge 128 ]
}
# The first 40 or so of pwrite64 go to memory only: SQLite's index of the log, copies of headers.
points() { if [ "$1" = pwrite64 ]; then seq 42 2 400; else seq 1 400; fi; }
landed=0 wrong=0 open=0
sound() { # the invariants after a recover
	kvmcrypt list --json | jq -e '[.volumes[] | select(.state != "ready")] | length > 0' >/dev/null && open=$((open + 1))
	kvmcrypt recover -q >recover.out 2>&1 || { echo "# recover: $(cat recover.out)"; return 1; }
	[ "$(kvmcrypt list --json | jq '[.volumes[] | select(.state != "ready")] | length')" = 0 ] || { echo "# not ready"; return 1; }
	kvmcrypt keystore check -q >check.out 2>&1 || { echo "# check: $(cat check.out)"; return 1; }
	[ -z "$(find . -name '*.kvmcrypt-new')" ] || { echo "# temporary file left"; return 1; }
}
usable() { # every volume of the keystore opens with its passphrase
	local p
	while read -r p; do
		[ -n "$p" ] || continue
		[ "$(kvmcrypt show --json "$p" | jq -r '[.luks.keyslots[] | select(.owner == "kvmcrypt")] | length')" = 1 ] || { echo "# $p does not open"; return 1; }
	done < <(kvmcrypt list --json | jq -r '.volumes[].path')
}
calls='pwrite64 fsync fdatasync renameat2 ftruncate unlink'
for call in $calls; do
	for n in $(points $call); do
		kill_at $call "$n" "$KVMCRYPT" create -q v.qcow2 8M || break
		landed=$((landed + 1))
		sound && usable || { wrong=$((wrong + 1)); echo "# create killed at $call $n"; }
		# A file at the path is a volume, a volume has its file.
		[ "$(test -e v.qcow2 && echo 1)" = "$(kvmcrypt show -q v.qcow2 >/dev/null 2>&1 && echo 1)" ] || { wrong=$((wrong + 1)); echo "# create killed at $call $n: file and record disagree"; }
		[ ! -e v.qcow2 ] || kvmcrypt erase -q --yes --no-libvirt v.qcow2
		rm -f v.qcow2
	done
	[ -e v.qcow2 ] && kvmcrypt erase -q --yes --no-libvirt v.qcow2
done
check_is 0 $wrong "create: $landed kills, nothing lost"
check_is yes "$([ $landed -ge 30 ] && [ $open -ge 10 ] && echo yes)" "the kills really landed ($landed, of which $open within the workflow)"

landed=0 wrong=0 open=0
truncate -s 24M import.orig
cryptsetup luksFormat --type luks1 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --batch-mode --key-file old import.orig
for call in $calls; do
	for n in $(points $call); do
		cp import.orig i.raw
		kill_at $call "$n" "$KVMCRYPT" import -q --passphrase-file old i.raw || break
		landed=$((landed + 1))
		sound && usable || { wrong=$((wrong + 1)); echo "# import killed at $call $n"; }
		cryptsetup open --test-passphrase --type luks1 --key-file old i.raw || { wrong=$((wrong + 1)); echo "# the old key is lost at $call $n"; }
		kvmcrypt erase -q --yes --no-libvirt i.raw >/dev/null 2>&1
		rm -f i.raw
	done
	kvmcrypt erase -q --yes --no-libvirt i.raw >/dev/null 2>&1
done
check_is 0 $wrong "import: $landed kills, nothing lost"
check_is yes "$([ $landed -ge 30 ] && [ $open -ge 10 ] && echo yes)" "the kills really landed ($landed, of which $open within the workflow)"

landed=0 wrong=0 open=0
for call in $calls; do
	for n in $(points $call); do
		kvmcrypt create -q e.raw 8M || break
		kill_at $call "$n" "$KVMCRYPT" erase -q --yes --no-libvirt e.raw || break
		landed=$((landed + 1))
		sound && usable || { wrong=$((wrong + 1)); echo "# erase killed at $call $n"; }
		kvmcrypt erase -q --yes --no-libvirt e.raw >/dev/null 2>&1
		rm -f e.raw
	done
	kvmcrypt erase -q --yes --no-libvirt e.raw >/dev/null 2>&1
done
check_is 0 $wrong "erase: $landed kills, each finished or undone"
check_is yes "$([ $landed -ge 30 ] && [ $open -ge 10 ] && echo yes)" "the kills really landed ($landed, of which $open within the workflow)"
