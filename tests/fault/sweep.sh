#!/bin/bash
# Every command that changes a keystore or a volume at rest, with a fault at every call that changes a file: kill -9,
# a torn write, EIO, ENOSPC, a power cut that also takes back names. Then `kvmcrypt recover`, or the same command
# again; then it has to look as before or as done. tests/fault/sweep.c says how, verbs.c has the commands.
#
# `make test` takes a sample; `make fault` (FAULT_FULL=1) all, SHARD=i/n a part. FAULT_ONLY=rotate,grow picks.
. "$(dirname "$0")/../lib/test.sh"
SWEEP=$ROOT/$BUILD/fault/sweep
[ -x "$SWEEP" ] || skip_all "no $SWEEP: run make $BUILD/fault/sweep"

# A workflow without a line in the table would never be tried.
if workflows=$(kvmcrypt --dump-workflows 2>/dev/null); then
	check_is "" "$(comm -23 <(sort -u <<<"$workflows") <("$SWEEP" -w "$KVMCRYPT" | sort -u))" \
		"every workflow has a line in tests/fault/verbs.c"
else
	skip "every workflow has a line in tests/fault/verbs.c: the program does not list its workflows"
fi

fault_dir
step=${FAULT_SAMPLE:-67}
[ -z "${FAULT_FULL:-}" ] || step=1
# The words are commands of the table: "rotate" is all of its lines, "rotate qcow2" one.
IFS=, read -r -a only <<<"${FAULT_ONLY:-}"
sweep() { # sweep STEP [COMMAND...]
	local every=$1
	shift
	"$SWEEP" -s "$every" -p "${SHARD:-1/1}" "$KVMCRYPT" "$@" &
	# Of a command in front bash would take no signal.
	wait $!
}
sweep "$step" "${only[@]}"
code=$?
# What changes all keys at once has few calls, and the worst to lose.
if [ "$step" = 67 ] && [ ${#only[@]} = 0 ] && [ $code = 0 ]; then
	sweep 17 rekey keystore-restore remove-slot
	code=$?
fi
exit $code
