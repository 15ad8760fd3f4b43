#!/bin/bash
# The key is in no argv, environment, log, XML, temporary file or core of any process involved:
# every exec of kvmcrypt, libvirtd and QEMU is traced, every file and the daemon's logs are scanned.
. "$(dirname "$0")/../lib/guest.sh"
libvirtd_dirs
strace -o /dev/null true 2>/dev/null || skip_all "strace cannot trace here"
# Its own default differs between versions; this is what boot enable --no-core-dumps sets.
echo 'max_core = 1' >>/etc/libvirt/qemu.conf
# Everything libvirt would log at debug level belongs to the scan.
cat >>/etc/libvirt/libvirtd.conf <<CONF
log_filters = "1:qemu 1:secret 1:util.command 3:util 3:object 3:event 1:rpc"
log_outputs = "1:file:$T/libvirtd.debug"
CONF
guest_begin
guest_define vm watch "marker=LEAK-TEST"
strace -f -qq -p "$LIBVIRTD_PID" -o "$T/daemon.exec" -e trace=execve,execveat -v -s 65536 &
tracer=$!
traced() { # every thread of it
	local s
	for s in /proc/"$1"/task/*/status; do grep -q '^TracerPid:[[:space:]]*[1-9]' "$s" || return 1; done
}
wait_for traced "$LIBVIRTD_PID"
trace() { strace -f -qq -yy -o "$T/exec.$((++count))" -e trace=execve,execveat,openat,creat,write,pwrite64,sendmsg,sendto -v -s 65536 "$@"; }
count=0
check "create" trace "$KVMCRYPT" create a.qcow2 32M
check "show" trace "$KVMCRYPT" show -v --json a.qcow2
check "attach" trace "$KVMCRYPT" attach -v vm a.qcow2
check "start" virsh -q start vm
check "the guest runs" guest_wait_said vm "disks vda"
check "attach a live disk" bash -c "'$KVMCRYPT' create -q b.raw 16M && '$KVMCRYPT' attach vm b.raw"

# The keys, as text, as base64, as hex, and the volume keys that they open.
"$KVMCRYPT" passphrase show --yes a.qcow2 >"$T/../kvmcrypt-keys.$$"
keys=$T/../kvmcrypt-keys.$$
cleanup_keys() { rm -f "$keys" "$keys".*; }
on_exit cleanup_keys
printf '\n' >>"$keys"
"$KVMCRYPT" passphrase show --yes b.raw >>"$keys"
printf '\n' >>"$keys"
while read -r k; do
	printf '%s' "$k" | base64 -w 0; echo
	printf '%s' "$k" | od -An -v -tx1 | tr -d ' \n'; echo
done <"$keys" >"$keys.more"
cat "$keys.more" >>"$keys"
check_is 6 "$(grep -c . "$keys")" "six forms of two keys to look for"
for pid in $(pgrep -f "guest=vm,.*$T/") "$LIBVIRTD_PID"; do
	tr '\0' '\n' <"/proc/$pid/cmdline" >>"$T/argv"
	tr '\0' '\n' <"/proc/$pid/environ" >>"$T/environ"
done
check "QEMU and libvirtd were looked at" grep -q qemu-system "$T/argv"
qemu=$(pgrep -f "guest=vm,.*$T/" | head -n 1)
check "QEMU can leave no core either" grep -qE 'Max core file size +1 +1' "/proc/$qemu/limits"
virsh dumpxml --security-info vm >"$T/live.xml"
virsh dumpxml --inactive --security-info vm >"$T/config.xml"
virsh secret-list >"$T/secrets.txt"
virsh qemu-monitor-command vm '{"execute":"query-named-block-nodes"}' >"$T/nodes.json"
kvmcrypt keystore log >"$T/audit.txt"
kvmcrypt keystore log --json >"$T/audit.json"
gcore_dir=$T/core
mkdir "$gcore_dir"

kill $tracer 2>/dev/null
wait $tracer 2>/dev/null
check "the daemon's execs were seen" grep -q execve "$T/daemon.exec"
# A key on its way to libvirt crosses a UNIX socket; that, and nothing else, may show in a trace of
# system calls. Everything else that was traced may not hold it.
for f in "$T"/exec.[0-9]; do grep -vE '^[0-9]+ +(sendmsg|sendto|write)\([0-9]+<UNIX' "$f" >"$f.filtered"; done
check "the trace sees a key that crosses the socket" grep -a -q -F -f "$keys" "$T"/exec.3
hits=$(grep -a -F -l -f "$keys" "$T"/exec.*.filtered "$T/daemon.exec" 2>/dev/null | tr '\n' ' ')
check_is "" "$hits" "no key in an argv, environment, file name or file write of any exec"
# That scan finds a key that is put where it must not be.
read -r first <"$keys"
strace -f -qq -v -s 65536 -o "$T/exec.control" -e trace=execve env LEAKED="$first" true
check "the scan would find a key in an environment" grep -a -q -F -f "$keys" "$T/exec.control"
hits=$(grep -r -a -F -l -f "$keys" "$T" --exclude='exec.*' 2>/dev/null | tr '\n' ' ')
check_is "" "$hits" "no key in any file: image, keystore, XML, log, audit trail, libvirt's directories"
hits=$(grep -a -F -l -f "$keys" "$T/libvirtd.debug" "$T/libvirtd.out" /var/log/libvirt/qemu/*.log 2>/dev/null | tr '\n' ' ')
check_is "" "$hits" "no key in libvirt's debug log"

# No core: a kvmcrypt that is killed while it has the root key in memory leaves none, where another
# program does.
ulimit -c unlimited
cd "$gcore_dir" || exit 1
mkfifo "$T/fifo"
crash() { # READY COMMAND...: killed by SIGSEGV when its /proc/PID/limits has READY
	local ready=$1 pid
	shift
	"$@" >/dev/null 2>&1 &
	pid=$!
	is_ready() { [ "$(cat "/proc/$1/comm")" != bash ] && grep -qE "$2" "/proc/$1/limits"; }
	wait_for is_ready $pid "$ready"
	grep 'Max core' "/proc/$pid/limits" >"$T/limits" 2>/dev/null
	kill -SEGV $pid
	wait $pid 2>/dev/null
}
crash 'core file size +unlimited' sleep 1000
if [ -n "$(find . -type f)" ]; then
	rm -f ./*
	# One that is not in the keystore, so that its passphrase is waited for.
	kvmcrypt create -q "$T/disks/c.qcow2" 4M && kvmcrypt keystore forget -q --yes "$T/disks/c.qcow2"
	crash 'core file size +0 +0' "$KVMCRYPT" import --passphrase-file "$T/fifo" "$T/disks/c.qcow2"
	check "a running kvmcrypt has a core limit of zero" grep -qE 'Max core file size +0 +0' "$T/limits"
	check_is 0 "$(find . -type f | wc -l)" "and leaves no core where sleep leaves one"
else
	skip "this machine writes cores elsewhere ($(cat /proc/sys/kernel/core_pattern))"
fi
cd "$T/disks" || exit 1
check "detach" kvmcrypt detach vm b.raw
hits=$(grep -r -a -F -l -f "$keys" "$T" --exclude='exec.*' 2>/dev/null | tr '\n' ' ')
check_is "" "$hits" "nor after detach"
