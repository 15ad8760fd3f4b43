#!/bin/bash
# A machine that lacks something: its true message, nothing is called damaged, nothing changes, nobody waits.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 8M
kvmcrypt create -q a.raw 8M
commands=("show a.raw" "show a.qcow2" "create -q n.raw 8M" "create -q n.qcow2 8M" "rotate -q a.raw"
	"rotate -q --volume-key a.raw" "resize -q a.raw +1M" "header show a.raw" "keyslot list a.raw"
	"erase -q --yes --no-libvirt a.raw" "keystore check" "keystore backup -q b" "recover" "unseal")
: >locks
state() { sha256sum a.raw a.qcow2; kvmcrypt list --json | jq -c '.volumes[] | [.path, .state, .generation, .size]'; ls; }

# survives WHAT MESSAGE RUNNER...: every command in it ends with 0, or with 1 and MESSAGE.
survives() {
	local what=$1 message=$2 c code said bad='' before
	shift 2
	before=$(state)
	for c in "${commands[@]}"; do
		# shellcheck disable=SC2086
		said=$("$@" "$KVMCRYPT" $c 2>&1)
		code=$?
		[[ $code = 0 || ($code = 1 && $said =~ $message) ]] && ! grep -qi damaged <<<"$said" || bad+="$c ($code): $said; "
		[ $code = 0 ] && [ "$c" != "${c#create}" ] && kvmcrypt erase -q --yes --no-libvirt "$(cut -d ' ' -f 3 <<<"$c")"
		rm -f b
	done
	check_is "" "$bad" "$what: every command ends well, or with the true message"
	check_is "$before" "$(state)" "$what: and changed nothing"
}
in_namespace() { unshare -m bash -c "mount -t tmpfs none $1 && shift && exec \"\$@\"" _ "$@"; }
empty_dev() { in_namespace /dev "$@"; }
empty_proc() { in_namespace /proc "$@"; }
no_locks() { strace -f -qq -o "$T/locks" -e trace=fcntl,flock -e inject=fcntl,flock:error=ENOLCK "$@"; }
small_files() (
	ulimit -f 64
	exec "$@"
)

for sealed in sealed unsealed; do
	if unshare -m true 2>/dev/null; then
		survives "empty /dev, $sealed" '/dev/[a-z/]* ' empty_dev
		survives "empty /proc, $sealed" '/proc' empty_proc
	else
		skip "mount namespaces are not allowed here"
	fi
	survives "no locks, $sealed" 'No locks available' no_locks
	survives "a limit of file sizes, $sealed" 'File too large' small_files
	kvmcrypt unseal -q
	# What may end with 0 here would change a volume, which is not the subject.
	commands=("show a.raw" "create -q n.raw 8M" "create -q n.qcow2 8M" "keystore check" "keystore backup -q b" "header show a.raw" "keyslot list a.raw")
done
no_locks "$KVMCRYPT" list >/dev/null 2>&1
check_is yes "$([ "$(wc -l <locks)" -lt 50 ] && echo yes)" "no locks: nobody tries for a minute"
check "all is as it was" kvmcrypt keystore check
