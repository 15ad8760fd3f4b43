# shellcheck shell=bash
# What the kill sweeps of tests/vm share: a keystore in $T, counters, and at which calls to kill: a
# sample in `make test`, every single one in `make fault`, which sets FAULT_FULL.
keystore_new
cd "$T" || exit 1
landed=0 wrong=0
killed_at() { # killed_at SYSCALL N COMMAND...: kvmcrypt COMMAND; true if the kill landed
	local call=$1 n=$2
	shift 2
	# In a shell of its own, which has nothing to say about the kill.
	(kill_at "$call" "$n" "$KVMCRYPT" "$@"; exit $?) >/dev/null 2>&1
	[ $? -ge 128 ]
}
points() { # points SYSCALL SAMPLES COMMAND...: runs the command once in full to count its calls
	local call=$1 samples=$2 total
	shift 2
	total=$(kill_at "$call" 0 "$KVMCRYPT" "$@" 2>/dev/null | tail -n 1)
	[ -z "$FAULT_FULL" ] || samples=$total
	[ "$samples" -le "$total" ] || samples=$total
	seq 1 "$samples" | awk -v n="$samples" -v t="$total" '{ print int(t * $1 / n + 0.5) }'
}
# in_full WORD...: what only the complete sweep does
in_full() { [ -z "$FAULT_FULL" ] || echo "$@"; }
bad() { wrong=$((wrong + 1)); echo "# $*"; }
recovered() {
	kvmcrypt recover -q >recover.out 2>&1 || { echo "# recover: $(cat recover.out)"; return 1; }
	! kvmcrypt list 2>/dev/null | grep -qE 'creating|erasing' || { echo "# not ready"; return 1; }
	[ -z "$(find . -name '*.kvmcrypt-new')" ] || { echo "# temporary file left"; return 1; }
}
nothing_mapped() { # no mapping, and no loop device a moment later: the kernel closes it for the killed
	dmsetup ls | grep -v 'No devices' && { dmsetup remove_all; return 1; }
	no_loops() { [ -z "$(losetup -a)" ]; }
	wait_for no_loops && return
	echo "# loop device left: $(losetup -a)"
	return 1
}
verdict() { # verdict WHAT AT-LEAST
	check_is 0 $wrong "$1: $landed kills, nothing lost, nothing left"
	check_is yes "$([ $landed -ge "$2" ] && echo yes)" "$1: the kills really landed ($landed)"
	landed=0 wrong=0
}
