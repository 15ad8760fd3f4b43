#!/bin/bash
# Who meets a command that stands still, and was not killed, says after two seconds what it waits for, and ends with 6.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
strace -o /dev/null true 2>/dev/null || skip_all "strace cannot trace here"
# The leak sanitizer wants to trace, which a traced process cannot be.
export ASAN_OPTIONS=detect_leaks=0
kvmcrypt create -q v.raw 8M
strace -qq -o /dev/null -P "$T/v.raw" -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=3600s:when=1 \
	"$KVMCRYPT" rotate -q v.raw & tracer=$!
stop_it() { kill -KILL "$(pgrep -P $tracer)" $tracer 2>/dev/null; }
on_exit stop_it
is_at_it() { [ "$(kvmcrypt list --json | jq -r '.volumes[0].state')" = rotating ]; }
check "a rotation stands still in its middle" wait_for is_at_it
still=$(pgrep -P $tracer)

check_exit 6 "a rotation beside it" kvmcrypt rotate v.raw
mv "$T/stderr" said
check "says what it waits for, and the process" grep -q "waiting, as another kvmcrypt is working on this volume (process $still)" said
check "and to try again" grep -q 'try again when it is done' said
check_is in_progress "$(kvmcrypt recover --json | jq -r '.volumes[0].outcome')" "recover does not wait for it"

flock --exclusive keystore sleep 4 & holder=$!
check "the seal is locked" wait_for not flock -n keystore true
check "a change of the seal waits" kvmcrypt keystore backup b1
mv "$T/stderr" said
check "and says so" grep -q 'waiting, as another process changes the seal (process [0-9]*)' said
wait $holder
stop_it
wait $tracer 2>/dev/null
check "once it is dead" kvmcrypt rotate -q v.raw
check_is ready "$(kvmcrypt show --json v.raw | jq -r .state)" "the volume is ready"
