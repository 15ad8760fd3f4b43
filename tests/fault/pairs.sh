#!/bin/bash
# Two commands at once, for every ordered pair: the first is stopped at each lock, open, name and sync, the second runs
# until it ends or waits, the first goes on. It has to look as if one had come after the other, exit codes too.
# tests/fault/pairs.c says how, verbs.c has the commands.
#
# `make test` takes a sample; `make fault` (FAULT_FULL=1) all, SHARD=i/n a part. FAULT_PAIRS="rotate+erase,grow" picks.
. "$(dirname "$0")/../lib/test.sh"
PAIRS=$ROOT/$BUILD/fault/pairs
[ -x "$PAIRS" ] || skip_all "no $PAIRS: run make $BUILD/fault/pairs"
fault_dir
step=${FAULT_SAMPLE:-401}
[ -z "${FAULT_FULL:-}" ] || step=1
IFS=, read -r -a only <<<"${FAULT_PAIRS:-}"
"$PAIRS" -s "$step" -p "${SHARD:-1/1}" "$KVMCRYPT" "${only[@]}" &
# Of a command in front bash would take no signal.
wait $!
exit $?
