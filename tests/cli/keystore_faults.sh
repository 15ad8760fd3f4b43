#!/bin/bash
# Whatever changes the seal or the store as a whole, with a fault at every call that changes the disk: kill, a torn
# write, EIO, ENOSPC, a power cut. Then: the keystore unseals by a key that its owner has, every record opens, the check
# finds nothing; and the same command again ends well.
# FAULT_FULL=1 takes every call; else a sample, and of the errors in the store's syncs all.
. "$(dirname "$0")/../lib/test.sh"
INJECT=$ROOT/$BUILD/fault/inject.so
[ -e "$INJECT" ] || skip_all "no $INJECT: run make $BUILD/fault/inject.so"
! nm -D "$KVMCRYPT" 2>/dev/null | grep -q __asan || skip_all "a library cannot be preloaded beside the address sanitizer"
sample=${FAULT_SAMPLE:-9}
[ -z "${FAULT_FULL:-}" ] || sample=1
cd "$T" || exit 1
kvmcrypt() { "$KVMCRYPT" "$@" </dev/null; }
head -c 64 /dev/urandom >root.key
head -c 64 /dev/urandom >second.key
head -c 64 /dev/urandom >third.key

kvmcrypt init -q --key-file root.key >/dev/null
kvmcrypt keystore add-slot -q --key-file second.key >/dev/null
kvmcrypt create -q a.raw 64K
kvmcrypt keystore backup -q older.backup
# From here on the seal is another than the backup's, while the backup's trail is the beginning of the store's.
head -c 64 /dev/urandom >later.key
kvmcrypt keystore add-slot -q --key-file later.key >/dev/null
kvmcrypt create -q b.raw 64K
kvmcrypt passphrase show --yes a.raw >a.want
kvmcrypt passphrase show --yes b.raw >b.want
mkdir state && cp -a --sparse=always keystore pins state/

restore_state() { # restore_state [nothing]: the keystore as it was, or none
	rm -rf keystore pins ./*.made before-*
	[ "${1:-}" = nothing ] || cp -a --sparse=always state/keystore state/pins .
}
with_fault() { # with_fault KIND N COMMAND...
	local kind=$1 n=$2
	shift 2
	FAULT_KIND=$kind FAULT_AT=$n FAULT_SEED=$n FAULT_COUNT=$T/count LD_PRELOAD=$INJECT "$KVMCRYPT" "$@" </dev/null >out 2>err
}
# sound WHAT: says what does not hold. Both keys of the state are carried through all commands but a removal.
sound() {
	kvmcrypt keystore status --json >status 2>&1 || { echo "status: $(cat status)"; return 1; }
	kvmcrypt keystore check -q >check 2>&1 || { echo "check: $(cat check)"; return 1; }
	cmp -s <(kvmcrypt passphrase show --yes a.raw 2>&1) a.want || { echo "a.raw: $(kvmcrypt passphrase show --yes a.raw 2>&1)"; return 1; }
	case $1 in
	restore*) ;; # the backup has it not
	*) cmp -s <(kvmcrypt passphrase show --yes b.raw 2>&1) b.want || { echo "b.raw: $(kvmcrypt passphrase show --yes b.raw 2>&1)"; return 1; } ;;
	esac
}

sweep() { # sweep WHAT STATE COMMAND...
	local what=$1 state=$2 calls kind n landed=0 bad=0 why code step
	shift 2
	restore_state "$state"
	with_fault none 0 "$@" || { not_ok "$what works without a fault: $(cat err)"; return; }
	calls=$(cat count)
	for kind in ${KINDS:-kill torn eio enospc power}; do
		step=$sample
		[ $kind != eio ] || step=$(((sample + 2) / 3))
		for ((n = 1 + (${#kind} * 5 + ${#what}) % step; n <= calls; n += step)); do
			restore_state "$state"
			with_fault $kind "$n" "$@"
			code=$?
			landed=$((landed + 1))
			# A keystore that was never there may still not be there: the same command again makes it.
			if [ "$state" != nothing ] && ! why=$(sound "$what"); then
				bad=$((bad + 1))
				echo "# $what: $kind at call $n of $calls (exit $code, $(cat err)): $why"
				continue
			fi
			"$KVMCRYPT" "$@" </dev/null >out 2>err
			case $?:$what in
			0:*) ;;
			4:remove-slot) ;; # it was removed
			10:backup | 10:init | 10:add-slot) ;; # it was made
			*)
				bad=$((bad + 1))
				echo "# $what: $kind at call $n of $calls (exit $code), again: $(cat err)"
				continue
				;;
			esac
			why=
			[ "$what" = init ] || why=$(sound "$what")
			if [ -n "$why" ] || { [ -e keystore/seal.new ] && [ "$what" != backup ] && why="seal.new is left"; }; then
				bad=$((bad + 1))
				echo "# $what: $kind at call $n of $calls, after the same again: $why"
			fi
		done
	done 2>/dev/null
	check_is "0 lost" "$bad lost" "$what: $landed faults at $calls calls"
}

for what in ${SWEEP:-rekey restore restore-anew add-slot remove-slot backup init}; do
	case $what in
	rekey) sweep rekey same keystore rekey -q --yes ;;
	restore) sweep restore same keystore restore -q --yes "$T/older.backup" ;;
	restore-anew) sweep restore-anew nothing keystore restore -q "$T/older.backup" ;;
	add-slot) sweep add-slot same keystore add-slot -q --key-file "$T/third.key" ;;
	remove-slot) sweep remove-slot same keystore remove-slot -q --yes 1 ;;
	backup) sweep backup same keystore backup -q "$T/new.made" ;;
	init) sweep init nothing init -q --key-file "$T/root.key" ;;
	esac
done
