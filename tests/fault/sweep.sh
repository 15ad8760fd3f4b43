#!/bin/bash
# Every workflow at rest, with a fault at every call that changes the disk: kill -9, a torn write,
# EIO, ENOSPC, a power cut that loses a random part of what was not synced. Then `kvmcrypt recover`,
# and the invariants: some key in the keystore opens the volume, no keyslot of ours is unknown to it,
# the plaintext is the same, the keystore checks clean, no temporary file is left.
#
# `make test` takes a sample, `make fault` (FAULT_FULL=1) all. It prints how many faults landed.
. "$(dirname "$0")/../lib/test.sh"
INJECT=$ROOT/$BUILD/fault/inject.so
[ -e "$INJECT" ] || skip_all "no $INJECT: run make $BUILD/fault/inject.so"
! nm -D "$KVMCRYPT" 2>/dev/null | grep -q __asan || skip_all "a library cannot be preloaded beside the address sanitizer"
sample=${FAULT_SAMPLE:-23}
[ -z "${FAULT_FULL:-}" ] || sample=1
cd "$T" || exit 1
printf old >old
head -c 64 /dev/urandom >root.key
kvmcrypt() { "$KVMCRYPT" "$@" </dev/null; }

# The state before each command is made once, and copied: keystore and image together.
make_state() { # make_state KIND
	rm -rf state keystore v.*
	kvmcrypt init -q --key-file root.key >/dev/null
	case $1 in
	none) ;;
	qcow2) kvmcrypt create -q v.qcow2 8M && image_io qcow2 v.qcow2 -c 'write -P 77 1M 256k' >/dev/null ;;
	raw) kvmcrypt create -q v.raw 4M && image_io raw v.raw -c 'write -P 77 1M 256k' >/dev/null ;;
	luks2) kvmcrypt create -q --luks 2 v.raw 4M ;;
	foreign) truncate -s 6M v.raw && cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 --key-size 512 --key-file old v.raw &&
		qemu-io --object secret,id=s0,file=old --image-opts driver=luks,key-secret=s0,file.filename=v.raw -c 'write -P 77 1M 256k' >/dev/null ;;
	headless) kvmcrypt create -q v.raw 4M && image_io raw v.raw -c 'write -P 77 1M 256k' >/dev/null && dd if=/dev/zero of=v.raw bs=1M count=2 conv=notrunc status=none ;;
	esac
	kvmcrypt seal -q >/dev/null
	# The journal of the database is part of the state.
	mkdir state && cp -a --sparse=always keystore state/
	for f in v.*; do [ ! -e "$f" ] || cp -a --sparse=always "$f" state/; done
}
restore_state() {
	rm -rf keystore v.* .v.*
	cp -a --sparse=always state/. .
}

volume() { for f in v.raw v.qcow2; do [ ! -e $f ] || echo $f; done; }
opens_with_record() { # the volume, with exactly one keyslot that is ours, and $1 others
	local f
	f=$(volume)
	kvmcrypt keyslot list --json "$f" >slots 2>/dev/null &&
		[ "$(jq -r '[.keyslots[] | select(.state == "active") | .owner] | sort | join(" ")' slots)" = "$1" ]
}
same_plaintext() {
	local f
	f=$(volume)
	case $f in
	*.qcow2) image_io qcow2 "$f" -c 'read -P 77 1M 256k' >/dev/null 2>&1 && image_check "$f" ;;
	*) image_io raw "$f" -c 'read -P 77 1M 256k' >/dev/null 2>&1 ;;
	esac
}
# What holds after the recovery, by workflow; says what does not.
invariants() { # invariants WORKFLOW KIND
	local left records
	kvmcrypt recover -q --no-libvirt >recover.out 2>&1 || { echo "recover: $(cat recover.out)"; return 1; }
	kvmcrypt keystore check -q >check.out 2>&1 || { echo "check: $(cat check.out)"; return 1; }
	left=$(find . -name '*.kvmcrypt-new' -not -path './state/*')
	[ -z "$left" ] || { echo "left: $left"; return 1; }
	records=$(kvmcrypt list --json | jq -r '[.volumes[] | .state] | join(" ")')
	case $1:$records in
	create:) [ -z "$(volume)" ] || { echo "an image without a record"; return 1; } ;;
	create:ready) opens_with_record kvmcrypt || { echo "the new volume does not open"; return 1; } ;;
	import:) qemu-io --object secret,id=s0,file=old --image-opts driver=luks,key-secret=s0,file.filename=v.raw -c 'read -P 77 1M 256k' >/dev/null 2>&1 || { echo "the image lost its passphrase"; return 1; } ;;
	import:ready) { opens_with_record "kvmcrypt other" && same_plaintext; } || { echo "the imported volume does not open"; return 1; } ;;
	erase:) [ -z "$(volume)" ] || ! grep -aq LUKS "$(volume)" || { echo "erased, and its header is there"; return 1; } ;;
	header:ready)
		kvmcrypt header restore -q --yes v.raw >/dev/null 2>&1 || { echo "cannot be restored any more"; return 1; }
		{ opens_with_record kvmcrypt && same_plaintext; } || { echo "the restored header opens nothing"; return 1; } ;;
	*:ready)
		opens_with_record kvmcrypt || { echo "keyslots: $(cat slots)"; return 1; }
		[ "$2" = luks2 ] || same_plaintext || { echo "other plaintext"; return 1; } ;;
	*) echo "records: '$records'"; return 1 ;;
	esac
}

total=0 lost=0
run_with_fault() { # run_with_fault KIND N COMMAND...
	local kind=$1 n=$2
	shift 2
	FAULT_KIND=$kind FAULT_AT=$n FAULT_SEED=$((n * 7 + ${#kind})) FAULT_COUNT=$T/count LD_PRELOAD=$INJECT "$KVMCRYPT" "$@" </dev/null >/dev/null 2>err
}
sweep() { # sweep WORKFLOW IMAGE-KIND COMMAND...
	local workflow=$1 image=$2 calls kind n landed=0 bad=0 why
	shift 2
	make_state "$image"
	restore_state
	run_with_fault none 0 "$@" || { not_ok "$workflow $image: works without a fault"; return; }
	calls=$(cat count)
	for kind in kill torn eio enospc power; do
		# Another phase for each kind, so that a sample does not look at the same calls all the time.
		for ((n = 1 + (${#kind} * 5 + ${#workflow}) % sample; n <= calls; n += sample)); do
			restore_state
			run_with_fault $kind $n "$@" 2>/dev/null
			landed=$((landed + 1))
			if ! why=$(invariants "$workflow" "$image"); then
				bad=$((bad + 1))
				echo "# $workflow $image: $kind at call $n of $calls: $why"
			fi
		done
	done 2>/dev/null
	total=$((total + landed)) lost=$((lost + bad))
	check_is "0 lost" "$bad lost" "$workflow $image: $landed faults at $calls calls"
	rm -rf keystore v.* .v.*
}

# A write of the copy that is silently lost has to be found when it is read back.
lost_writes() { # lost_writes IMAGE-KIND
	local n calls unseen=0
	make_state "$1"
	restore_state
	run_with_fault lost 0 rotate -q --volume-key --no-libvirt "$(volume)"
	calls=$(cat count)
	for ((n = 1; n <= calls; n++)); do
		restore_state
		run_with_fault lost $n rotate -q --volume-key --no-libvirt "$(volume)"
		grep -qE 'keeps its volume key|reads back differently' err && kvmcrypt recover -q --no-libvirt >/dev/null 2>&1 &&
			opens_with_record kvmcrypt && same_plaintext && continue
		unseen=$((unseen + 1))
		echo "# write $n of $calls: $(cat err)"
	done
	check_is "0 yes" "$unseen $([ "$calls" -gt 0 ] && echo yes)" "volume-key $1: $calls silently lost writes, all of them noticed"
	rm -rf keystore v.* .v.*
}

only=${FAULT_ONLY:-}
want() { [ -z "$only" ] || [[ " $only " == *" $1 "* ]]; }
want create && sweep create none create -q v.qcow2 8M
want create && sweep create none create -q v.raw 4M
want create && sweep create none create -q --luks 2 v.raw 4M
want import && sweep import foreign import -q --passphrase-file old v.raw
want rotate && sweep rotate qcow2 rotate -q --no-libvirt v.qcow2
want rotate && sweep rotate raw rotate -q --no-libvirt v.raw
want rotate && sweep rotate luks2 rotate -q --no-libvirt v.raw
want volume-key && sweep volume-key qcow2 rotate -q --volume-key --no-libvirt v.qcow2
want volume-key && sweep volume-key raw rotate -q --volume-key --no-libvirt v.raw
want volume-key && sweep volume-key luks2 rotate -q --volume-key --no-libvirt v.raw
want volume-key && lost_writes raw
want volume-key && lost_writes qcow2
want resize && sweep resize qcow2 resize -q v.qcow2 9M
want resize && sweep resize raw resize -q v.raw 5M
want resize && sweep resize luks2 resize -q v.raw 5M
want header && sweep header headless header restore -q --yes v.raw
want erase && sweep erase qcow2 erase -q --yes --no-libvirt v.qcow2
want erase && sweep erase raw erase -q --yes --no-libvirt v.raw
want erase && sweep erase luks2 erase -q --yes --no-libvirt v.raw
echo "# $total faults injected, $lost volumes lost"
