#!/bin/bash
# A test run that is interrupted leaves nothing behind: no daemon, guest, mount, loop device or file. Interrupted is
# tests/run, or one script, when what it has to end is there.
. "$(dirname "$0")/../lib/test.sh"
cd "$ROOT" || exit 1
mkdir "$T/in"
# QEMU runs as another user, and has to come through to its disks.
chmod a+x "$T" "$T/in"

# Who has our directory in its environment or arguments was started by the run, at whatever remove.
ours() {
	local p
	for p in /proc/[0-9]*; do
		grep -qaF -e "$T/in" "$p/cmdline" "$p/environ" 2>/dev/null && echo "${p#/proc/}"
	done
}
left() {
	local p
	for p in $(ours); do
		[ ! -e "/proc/$p" ] || echo "process $p: $(tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | head -c 200)"
	done
	grep -F " $T/in" /proc/self/mountinfo
	losetup -nlO NAME,BACK-FILE 2>/dev/null | grep -F "$T/in"
	find "$T/in" -mindepth 1 -maxdepth 1 | sed 's/^/file /'
}
# interrupt SIGNAL DESCRIPTION CONDITION COMMAND...: starts it, waits till the condition holds, interrupts, looks.
interrupt() {
	local signal=$1 what=$2 condition=$3 pid
	shift 3
	# A shell's background jobs ignore SIGINT, which nobody can undo but this.
	env --default-signal=INT TMPDIR="$T/in" FAULT_BASE="$T/in" TEST_LOGS="$T/logs" TEST_JOBS=2 "$@" >"$T/out" 2>&1 &
	pid=$!
	there_or_ended() { $condition || ! kill -0 $pid; }
	wait_for there_or_ended
	if ! $condition; then
		wait $pid
		if grep -aq '^skip' "$T/out" "$T"/logs/*.log 2>/dev/null; then
			skip "$what: it cannot run here"
		else
			not_ok "$what: it ended before it was interrupted"
			tail -n 5 "$T/out" | sed 's/^/# /'
		fi
		return
	fi
	kill -"$signal" $pid
	wait $pid
	check_is 130 $? "$what, $signal: it says so"
	sed 's/^/# /' "$T/out" | tail -n 3
	check_is "" "$(left)" "and leaves nothing"
}

mounted() { grep -qF " $T/in" /proc/self/mountinfo; }
sweeps() { [ -n "$(find "$T/in" -path '*/case/keystore/seal')" ]; }
libvirtd_runs() { ours | xargs -I '{}' cat '/proc/{}/comm' 2>/dev/null | grep -qx libvirtd; }
guest_runs() { pgrep -f "qemu-system-x86_64.*$T/in" >/dev/null; }
machine_runs() { pgrep -f "qemu-system-x86_64.*$T/in/kvmcrypt-vm" >/dev/null; }
two_run() { [ "$(find "$T/in" -maxdepth 1 -name 'kvmcrypt-test.*' | wc -l)" -ge 2 ]; }

interrupt TERM "a run of two scripts" two_run bash tests/run cli/create cli/keyslot
interrupt INT "a run" two_run bash tests/run cli/create cli/keyslot
interrupt HUP "one script" mounted bash tests/cli/export.sh
interrupt TERM "a run with a mount" mounted bash tests/run cli/export
interrupt TERM "a sweep" sweeps bash tests/run fault/sweep
interrupt TERM "a libvirtd" libvirtd_runs bash tests/run guest/attach
interrupt TERM "a guest" guest_runs bash tests/guest/attach.sh
interrupt TERM "a virtual machine" machine_runs bash tests/run vm/harness
