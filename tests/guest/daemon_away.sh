#!/bin/bash
# libvirt's daemon is killed and comes back before a message of attach, detach, rotate and load. Whatever the command
# says is true, libvirt's secret opens the image at every moment, and the same command again ends well.
# AWAY_STEP=1: before every message (make fault); else before each of a sample.
. "$(dirname "$0")/../lib/guest.sh"
away=$ROOT/$BUILD/fault/away.so
[ -e "$away" ] || skip_all "build/fault/away.so is not built"
libvirtd_dirs
keystore_new
disks_dir
kvmcrypt create -q a.qcow2 8M
kvmcrypt load -q --all --ram >/dev/null
libvirtd_start
guest_files
guest_define vm watch
kvmcrypt attach -q vm a.qcow2
virsh -q start vm
check "the guest is up" guest_wait_said vm "disks vda"
secret=$(secret_of a.qcow2)
file=/etc/libvirt/secrets/$secret.base64
mkfifo call "done"

# away_run N COMMAND...: the daemon goes and comes back before the N-th message. Sets code, and hit if it came to that.
away_run() {
	local n=$1 pid
	shift
	hit=0
	exec 8<>call
	LD_PRELOAD=$away AWAY_AT=$n AWAY_COUNT=$T/messages AWAY_CALL=$PWD/call AWAY_DONE=$PWD/done "$KVMCRYPT" "$@" >out 2>err &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		if read -r -n 1 -t 0.1 -u 8 _; then
			hit=1
			libvirtd_kill
			libvirtd_start
			: >"done"
			break
		fi
	done
	wait $pid
	code=$?
	exec 8<&-
}

opens() { qemu-io -U -r --object secret,id=s0,file=<(base64 -d "$file") --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=a.qcow2 -c 'read 0 512' 2>/dev/null | grep -q 'read 512'; }
generation() { kvmcrypt show --no-libvirt --json a.qcow2 | jq .generation; }
has_disk() { [ "$(targets vm)/$(targets vm --inactive)" = "vda /vda " ]; }
has_none() { [ "$(targets vm)/$(targets vm --inactive)" = / ] && ! [ -e "$file" ]; }

# Before each run; what a 0 means; after the command was repeated.
ready_attach() { has_none || kvmcrypt detach -q vm a.qcow2 >/dev/null; }
true_attach() { has_disk && opens; }
end_attach() { true_attach && [ "$(kvmcrypt show --json a.qcow2 | jq -r '[.domains[].name] | join(" ")')" = vm ]; }
ready_detach() { has_disk || kvmcrypt attach -q vm a.qcow2 >/dev/null; }
true_detach() { has_none; }
end_detach() { has_none && [ "$(kvmcrypt show --json a.qcow2 | jq '.domains | length')" = 0 ]; }
ready_rotate() { ready_detach && before=$(generation); }
true_rotate() { [ "$(generation)" -gt "$before" ] && opens && [ "$(base64 -d "$file")" = "$(passphrase_of a.qcow2)" ]; }
end_rotate() { true_rotate && whole a.qcow2; }
ready_load() { ready_detach && kvmcrypt unload -q a.qcow2 >/dev/null; }
true_load() { [ -e "$file" ] && opens; }
end_load() { true_load; }

sweep() { # sweep VERB ARGUMENTS...
	local verb=$1 n count step hits=0 bad=0
	ready_"$verb"
	away_run 0 "$@"
	count=$(cat "$T/messages")
	check_is 0 "$code" "$verb: $count messages"
	step=${AWAY_STEP:-$((count / 5 + 1))}
	for ((n = 1 + RANDOM % step; n <= count; n += step)); do
		ready_"$verb" || { echo "# $verb, message $n: could not make ready"; bad=1; }
		away_run $n "$@"
		hits=$((hits + hit))
		[[ " 0 1 8 " == *" $code "* ]] || { echo "# $verb, message $n: exit $code: $(cat err)"; bad=1; }
		[ $code != 0 ] || true_"$verb" || { echo "# $verb, message $n: 0 is not true"; bad=1; }
		[ ! -e "$file" ] || opens || { echo "# $verb, message $n: libvirt's secret opens nothing (exit $code)"; bad=1; }
		kvmcrypt "$@" >out 2>err || { echo "# $verb, message $n, exit $code: again: $(cat err)"; bad=1; }
		end_"$verb" || { echo "# $verb, message $n, exit $code: not as it should be after the second: $(targets vm)/$(targets vm --inactive)"; bad=1; }
	done
	check_is 0 $bad "$verb: the daemon away $hits times, and all is well after the same command again"
	check "$verb: it was away at all" test $hits -gt 2
}

sweep attach vm a.qcow2
sweep detach vm a.qcow2
sweep rotate a.qcow2
sweep load a.qcow2
check "nothing to recover" bash -c '[ "$("$1" recover --json | jq ".volumes | length")" = 0 ]' _ "$KVMCRYPT"
virsh -q destroy vm
check "the guest starts" virsh -q start --paused vm
check_is vda "$(targets vm | xargs)" "with its disk"
virsh -q destroy vm
