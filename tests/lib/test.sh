# shellcheck shell=bash
# What every test script sources. Each check is one "ok" or "not ok" line; tests/run counts them.
set -u
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${BUILD:-build}
KVMCRYPT=${KVMCRYPT:-$ROOT/$BUILD/kvmcrypt}
T=$(mktemp -d "${TMPDIR:-/tmp}/kvmcrypt-test.XXXXXX")
export KVMCRYPT_KEYSTORE=$T/keystore
# Nor may one touch the pins of this machine.
export KVMCRYPT_PINS=$T/pins
unset LIBVIRT_DEFAULT_URI VIRSH_DEFAULT_CONNECT_URI
# No command of a test may reach a libvirt of this machine.
export LIBVIRT_DEFAULT_URI="qemu+unix:///system?socket=$T/no-libvirt"
umask 077

EXIT_HOOKS=()
on_exit() { EXIT_HOOKS=("$1" "${EXIT_HOOKS[@]}"); }
run_exit_hooks() {
	local code=$? hook
	set +e # a script that ends at its first failure still clears up, and keeps its own exit code
	trap - EXIT
	trap '' INT TERM HUP
	for hook in "${EXIT_HOOKS[@]}"; do "$hook"; done
	leave_nothing
	[ -d "$KVMCRYPT_KEYSTORE" ] && "$KVMCRYPT" seal -q >/dev/null 2>&1
	if [ -n "${KEEP:-}" ]; then echo "# kept: $T"; else rm -rf "$T" 2>/dev/null; fi
	exit $code
}
# Processes that work below $T: its name is in their arguments (in JSON the slashes are others), or in the
# environment that they have from this script.
processes_of_test() {
	local p
	for p in /proc/[0-9]*; do
		case ${p#/proc/} in "$$" | "$BASHPID") continue ;; esac
		grep -qaF -e "${T##*/}" "$p/cmdline" "$p/environ" 2>/dev/null && echo "${p#/proc/}"
	done
}
# What an interrupted script had no time to end: daemons, guests, mounts, loop devices.
leave_nothing() {
	local left signal dev path tries
	for signal in TERM KILL; do
		for ((tries = 0; tries < 40; tries++)); do
			# The look itself is made of processes that are gone by now.
			left=$(processes_of_test)
			left=$(for p in $left; do [ ! -e "/proc/$p" ] || echo "$p"; done)
			[ -n "$left" ] || break 2
			# shellcheck disable=SC2086
			[ $tries != 0 ] || kill -$signal $left 2>/dev/null
			sleep 0.05
		done
	done
	awk -v t="$T/" 'index($5, t) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
		while read -r path; do umount -l "$path" 2>/dev/null; done
	losetup -nlO NAME,BACK-FILE 2>/dev/null | awk -v t="$T/" 'index($2, t) == 1 { print $1 }' |
		while read -r dev; do losetup -d "$dev"; done
	return 0
}
trap run_exit_hooks EXIT
trap 'exit 130' INT TERM HUP

FAILED=0
ok() { echo "ok - $*"; }
not_ok() {
	FAILED=1
	echo "not ok - $*"
	[ -s "$T/stderr" ] && sed 's/^/#   /' "$T/stderr" | head -n 5
	[ -s "$T/stdout" ] && sed 's/^/#   /' "$T/stdout" | head -n 5
	return 0
}
skip() { echo "skip - $*"; }
skip_all() {
	skip "$*"
	exit 0
}

# check DESCRIPTION COMMAND...: succeeds. Output is in $T/stdout and $T/stderr.
check() {
	local what=$1
	shift
	if "$@" >"$T/stdout" 2>"$T/stderr"; then ok "$what"; else not_ok "$what (exit $?)"; fi
}
# check_exit CODE DESCRIPTION COMMAND...: ends with exactly this code.
check_exit() {
	local want=$1 what=$2 code
	shift 2
	"$@" >"$T/stdout" 2>"$T/stderr"
	code=$?
	if [ $code = "$want" ]; then ok "$what"; else not_ok "$what (exit $code, not $want)"; fi
}
# check_error CODE REGEX DESCRIPTION COMMAND...: also one line on stderr that matches.
check_error() {
	local want=$1 regex=$2 what=$3 code
	shift 3
	"$@" >"$T/stdout" 2>"$T/stderr"
	code=$?
	if [ $code = "$want" ] && [ "$(wc -l <"$T/stderr")" = 1 ] && grep -qE -- "$regex" "$T/stderr"; then
		ok "$what"
	else
		not_ok "$what (exit $code, want $want and one line matching '$regex')"
	fi
}
# check_is WANT GOT DESCRIPTION
check_is() { if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3 (want '$1', got '$2')"; fi; }

# wait_for COMMAND...: until it succeeds. The limit only ends what would hang: a check may never
# depend on how fast the machine is.
WAIT_SECONDS=300
wait_for() {
	local end=$((SECONDS + WAIT_SECONDS))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "# not after $WAIT_SECONDS s: $*"; return 1; }
		sleep 0.05
	done
}
not() { ! "$@"; }

# on_terminal COMMAND QUESTION ANSWER [QUESTION ANSWER]...: runs COMMAND on a terminal of its own, waits
# for each question (a pattern of expect) and types the answer, or runs it if it begins with "!". What the terminal saw is in $T/terminal.
on_terminal() {
	local command=$1
	shift
	rm -f "$T/terminal"
	expect -f - -- "$T/terminal" "$command" "$@" >/dev/null <<-'EXPECT'
	lassign $argv log command
	set timeout 300
	log_file -noappend $log
	spawn -noecho bash -c "exec $command"
	foreach {question answer} [lrange $argv 2 end] {
		expect $question {} timeout { exit 98 } eof { exit 97 }
		if {[string match "!*" $answer]} {
			exec sh -c [string range $answer 1 end]
		} else {
			send -- $answer
		}
	}
	expect timeout { exit 98 } eof {}
	lassign [wait] pid id failed code signal name
	if {$signal eq "CHILDKILLED"} { puts stderr $name; exit 96 }
	exit $code
	EXPECT
}

# hold_open QEMU-IO-OPTIONS...: a qemu-io that has an image open till let_go.
hold_open() {
	rm -f "$T/hold.in"
	mkfifo "$T/hold.in"
	: >"$T/hold.out"
	qemu-io "$@" <"$T/hold.in" >"$T/hold.out" 2>&1 &
	HOLDER=$!
	exec 7>"$T/hold.in"
	# Its prompt comes when it has the image and its locks.
	wait_for grep -q 'qemu-io>' "$T/hold.out" || cat "$T/hold.out"
}
let_go() {
	exec 7>&-
	wait "$HOLDER" 2>/dev/null
}

kvmcrypt() { "$KVMCRYPT" "$@"; }

# fault_dir: sets FAULT_DIR, where the sweeps work: in memory if there is room, as they bring back a keystore thousands
# of times.
fault_dir() {
	local base=${FAULT_BASE:-/dev/shm}
	FAULT_DIR=$T
	if [ "$(df -P -k "$base" 2>/dev/null | awk 'NR == 2 { print $1, ($4 >= 524288) }')" = "tmpfs 1" ]; then
		FAULT_DIR=$(mktemp -d "$base/kvmcrypt-fault.XXXXXX")
		fault_dir_gone() { rm -rf "$FAULT_DIR"; }
		on_exit fault_dir_gone
	fi
	export FAULT_DIR
}

# A keystore that every command can unseal by itself: the key file stands for a person.
keystore_new() {
	head -c 64 /dev/urandom >"$T/root.key"
	kvmcrypt init -q --key-file "$T/root.key" >/dev/null || { echo "not ok - make a keystore for the test"; exit 1; }
	# Under emulation, reading the key file anew for every command is a fifth of the test's time.
	[ -z "${KVMCRYPT_VM:-}" ] || kvmcrypt unseal -q
}

# The passphrase of a volume through a descriptor, for the peers' tools.
passphrase_of() { kvmcrypt passphrase show --yes "$1"; }

# image_io FORMAT VOLUME ARGUMENTS...: qemu-io on a volume with its passphrase. FORMAT qcow2 or raw.
image_io() {
	local format=$1 volume=$2
	shift 2
	case $format in
	qcow2) set -- --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$volume" "$@" ;;
	raw) set -- --image-opts "driver=luks,key-secret=s0,file.filename=$volume" "$@" ;;
	esac
	qemu-io --object secret,id=s0,file=<(passphrase_of "$volume") "$@"
}

# image_check VOLUME: qemu-img check of a qcow2 volume, its backing file left out; says nothing if clean.
image_check() {
	local out
	out=$(qemu-img check --object secret,id=s0,file=<(passphrase_of "$1") \
		"json:{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"s0\"},\"backing\":null,\"file\":{\"driver\":\"file\",\"filename\":\"$(realpath "$1")\"}}" 2>&1) &&
		[[ $out == "No errors were found on the image."* ]] && return
	echo "$out"
	return 1
}
