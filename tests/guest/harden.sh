#!/bin/bash
# kvmcrypt harden: from what check found to a host that passes, in one command and one restart; and all of it back.
. "$(dirname "$0")/../lib/guest.sh"
cd "$T" || exit 1
# An /etc of its own, of which nothing reaches this machine's.
mkdir -p etc/upper etc/work
mount -t overlay -o "lowerdir=/etc,upperdir=$T/etc/upper,workdir=$T/etc/work" overlay /etc || skip_all "no overlay file system here"
libvirtd_dirs
mkdir -p /etc/audit/rules.d
cat >>/etc/libvirt/qemu.conf <<'CONF'
# a comment of the administrator's
user = "root"
group = "root"
max_core = "unlimited"
seccomp_sandbox = 0
clear_emulator_capabilities = 0
CONF
cp /etc/libvirt/qemu.conf before
libvirtd_start
guest_files
keystore_new
verdict() { jq -r --arg id "$1" '.findings[] | select(.id == $id).verdict' "$T/look"; }
look() { kvmcrypt check --json --fail-on never process >"$T/look" 2>/dev/null; }
verdicts() { for i in user core sandbox capabilities namespace; do verdict process.$i; done | xargs; }
guest_define web up
virsh -q start web
guest_wait_said web up

look
check_is "fail fail fail fail warn" "$(verdicts)" "a host that was opened"
check_exit 0 "harden --dry-run" kvmcrypt harden --dry-run --json process
check_is "false 7" "$(jq -r '"\(.changed) \(.changes | length)"' "$T/stdout")" "says what it would do"
check "and did nothing" cmp before /etc/libvirt/qemu.conf
check_exit 9 "without a terminal it wants --yes" kvmcrypt harden process
check "still nothing" cmp before /etc/libvirt/qemu.conf
check_exit 0 "harden" kvmcrypt harden --yes --json process
check_is "true guest" "$(jq -r '"\(.changed) \([.changes[].when] | unique | join(" "))"' "$T/stdout")" "at the guests' next start"
check_is 1 "$(grep -c "^# a comment of the administrator's" /etc/libvirt/qemu.conf)" "comments stay"
check_is "0 0" "$(sed -n 's/^max_core *= *//p' /etc/libvirt/qemu.conf) $(grep -c '^user' /etc/libvirt/qemu.conf)" "the keys are written, or taken away"
check "the file that was there is kept" cmp before /etc/libvirt/qemu.conf.kvmcrypt-orig
check_is "$(stat -c %a before)" "$(stat -c %a /etc/libvirt/qemu.conf)" "with its mode"
look
check_is "fail fail" "$(verdict process.user) $(verdict process.core)" "the running guest is as it was"
libvirtd_kill
libvirtd_start
virsh -q destroy web
virsh -q start web
guest_wait_said web up
look
check_is "pass pass pass pass pass" "$(verdicts)" "after a restart of daemon and guest all pass"
check_exit 0 "harden once more" kvmcrypt harden --yes --json process
check_is 0 "$(jq '.changes | length' "$T/stdout")" "finds nothing to do"

# Rules, drop-ins, and what is left for a person.
kvmcrypt harden --dry-run --json audit >would
check_exit 0 "harden audit" kvmcrypt harden --yes --json audit
cp "$T/stdout" audit.json
check_is "$(jq -c .changes would)" "$(jq -c .changes audit.json)" "does what the dry run said"
check "the rules are written" cmp "$ROOT/audit/50-kvmcrypt.rules" /etc/audit/rules.d/50-kvmcrypt.rules
check_is 1 "$(jq '[.changes[] | select(.path == "/etc/audit/rules.d/50-kvmcrypt.rules")] | length' audit.json)" "once for all checks that they mend"
check_is 1 "$(jq '[.left[] | select(.id == "audit.daemon")] | length' audit.json)" "auditd is left to a person"

# Undo: not over somebody's change, and then all of it.
echo '# mine' >>/etc/libvirt/qemu.conf
check_error 9 'qemu.conf was changed since' "undo would lose a change" kvmcrypt harden --undo --yes
check "and has changed nothing" test -e /etc/audit/rules.d/50-kvmcrypt.rules
sed -i '$d' /etc/libvirt/qemu.conf
check_exit 0 "undo --dry-run" kvmcrypt harden --undo --dry-run
check "changes nothing" test -e /etc/audit/rules.d/50-kvmcrypt.rules
check_exit 0 "undo" kvmcrypt harden --undo --yes
check "qemu.conf is what it was" cmp before /etc/libvirt/qemu.conf
check_is "" "$(find /etc/libvirt /etc/audit /etc/kvmcrypt /etc/sysctl.d /etc/udev/rules.d -name '*kvmcrypt*' -type f 2>/dev/null; find /etc/kvmcrypt -name harden.json)" "nothing of ours is left"
check_exit 0 "undo once more" kvmcrypt harden --undo --yes
check_exit 2 "undo of one check" kvmcrypt harden --undo process
echo '{"files": 3' >/etc/kvmcrypt/harden.json
check_exit 7 "a damaged harden.json" kvmcrypt harden --undo --yes
rm /etc/kvmcrypt/harden.json

# Killed at each rename and repeated, it leaves nothing beside what it writes.
mkdir -p off/etc/libvirt
for n in 1 2 3 4; do
	echo 'max_core = "unlimited"' >off/etc/libvirt/qemu.conf
	strace -f -qq -o /dev/null -e trace=/rename -e "inject=/rename:signal=KILL:when=$n" "$KVMCRYPT" harden --yes --root "$PWD/off" process >/dev/null 2>&1
	"$KVMCRYPT" harden --yes --root "$PWD/off" process >/dev/null 2>&1
	check_is "max_core = 0" "$(grep max_core off/etc/libvirt/qemu.conf)" "killed at rename $n: the same command again"
	"$KVMCRYPT" harden --undo --yes --root "$PWD/off" >/dev/null 2>&1
	check_is "off/etc/libvirt/qemu.conf" "$(find off -type f)" "and an undo leave nothing"
	check_is 'max_core = "unlimited"' "$(cat off/etc/libvirt/qemu.conf)" "but what was there"
done

# A file that libvirt would not take is not edited.
echo 'no such line' >>/etc/libvirt/qemu.conf
cp /etc/libvirt/qemu.conf odd
check_exit 0 "harden on a file that is none of libvirt's" kvmcrypt harden --yes process
check "leaves it alone" cmp odd /etc/libvirt/qemu.conf
