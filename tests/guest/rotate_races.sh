#!/bin/bash
# A rotation at the same moment as another, a guest's start, attach, detach, load, erase: one wins, the
# other waits or is told that the volume is in use; never a mix.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin
rounds=${RACE_ROUNDS:-3}
guest_define vm watch
kvmcrypt create -q a.qcow2 16M
kvmcrypt create -q b.raw 16M
opens() { qemu-io -U -r --object secret,id=s0,file="$2" --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1" -c 'read 0 512' 2>/dev/null | grep -q 'read 512'; }
codes_in() { # codes_in "ALLOWED" CODES...
	local allowed=" $1 " c
	shift
	for c in "$@"; do [[ $allowed == *" $c "* ]] || { echo "# exit $c"; return 1; }; done
}
race() { # race NAME ALLOWED VOLUME FIRST -- SECOND...: a number of rounds with different delays
	local name=$1 allowed=$2 volume=$3 i one two bad=0 first=() round
	shift 3
	while [ "$1" != -- ]; do first+=("$1"); shift; done
	shift
	for ((i = 0; i < rounds; i++)); do
		"${first[@]}" >one.out 2>&1 & round=$!
		sleep "0.0$((i * 2 % 10))"
		"$@" >two.out 2>&1
		two=$?
		wait $round
		one=$?
		codes_in "$allowed" $one $two || { bad=1; cat one.out two.out | sed 's/^/#   /'; }
		whole "$volume" || { bad=1; echo "# not whole after $one $two"; kvmcrypt show "$volume" | sed 's/^/#   /'; }
		[ -z "${AFTER_ROUND:-}" ] || $AFTER_ROUND || { bad=1; echo "# $AFTER_ROUND failed"; }
	done
	check_is 0 $bad "$name: $rounds rounds, nothing mixed"
}
rotate() { "$KVMCRYPT" rotate -q "$@"; }

race "two rotations" "0 6" a.qcow2 rotate a.qcow2 -- rotate a.qcow2
race "a rotation and a new volume key" "0 6" a.qcow2 rotate --volume-key a.qcow2 -- rotate a.qcow2

undo() { "$KVMCRYPT" detach vm a.qcow2 >/dev/null 2>&1; }
AFTER_ROUND=undo race "attach" "0 6" a.qcow2 rotate a.qcow2 -- "$KVMCRYPT" attach -q vm a.qcow2
redo() { "$KVMCRYPT" attach vm a.qcow2 >/dev/null 2>&1; }
redo
AFTER_ROUND=redo race "detach" "0 6" a.qcow2 rotate a.qcow2 -- "$KVMCRYPT" detach -q vm a.qcow2
race "load" "0 6" a.qcow2 rotate a.qcow2 -- "$KVMCRYPT" load -q a.qcow2

# load holds the volume while it hands out the key, and others are not kept waiting by one that is busy.
kvmcrypt create -q c.qcow2 16M
strace -f -qq -o /dev/null -P "$PWD/a.qcow2" -e trace=fsync,fdatasync -e inject=fsync,fdatasync:signal=STOP:when=1 \
	"$KVMCRYPT" rotate -q a.qcow2 &
held=$!
while ! rotating=$(pgrep -P $held) || ! grep -q '^State:.*[Tt]' "/proc/$rotating/status" 2>/dev/null; do sleep 0.05; done
check_exit 0 "another volume is loaded" timeout 20 "$KVMCRYPT" load -q c.qcow2
check_exit 124 "load waits for a rotation" timeout 3 "$KVMCRYPT" load -q a.qcow2
kill -CONT "$rotating"
wait $held
check_exit 0 "and then loads" "$KVMCRYPT" load -q a.qcow2
kvmcrypt unload -q c.qcow2
kvmcrypt erase -q --yes c.qcow2

# libvirt's own failure to start is 1: QEMU found the image locked. Then it starts the next time.
stop() {
	virsh -q destroy vm >/dev/null 2>&1
	virsh -q start vm && virsh -q destroy vm
}
AFTER_ROUND=stop race "a guest's start" "0 1 6" a.qcow2 rotate a.qcow2 -- virsh -q start vm
virsh -q start vm
live_again() { [ "$(virsh -q domblklist vm | grep -c a.qcow2)" = 1 ] || "$KVMCRYPT" attach -q vm a.qcow2 >/dev/null; }
race "two rotations under a guest" "0 6" a.qcow2 rotate a.qcow2 -- rotate a.qcow2
AFTER_ROUND=live_again race "a live detach" "0 6" a.qcow2 rotate a.qcow2 -- "$KVMCRYPT" detach -q vm a.qcow2
virsh -q destroy vm
check "a guest starts after all that" virsh -q start vm
virsh -q destroy vm

for ((i = 0; i < rounds; i++)); do
	[ -e b.raw ] || kvmcrypt create -q b.raw 16M
	rotate b.raw >one.out 2>&1 & one=$!
	sleep "0.0$((i * 2 % 10))"
	"$KVMCRYPT" erase -q --yes b.raw >two.out 2>&1
	two=$?
	wait $one
	one=$?
	if codes_in "0 4 6" $one && codes_in "0 6" $two && { [ $two = 0 ] && [ ! -e b.raw ] || whole b.raw; }; then
		ok "erase, round $i: rotate $one, erase $two"
	else
		not_ok "erase, round $i: rotate $one, erase $two: $(cat one.out two.out)"
	fi
done
check "nothing to recover" bash -c '[ "$("$1" recover --json | jq ".volumes | length")" = 0 ]' _ "$KVMCRYPT"
check "the keystore is clean" kvmcrypt keystore check -q
