# shellcheck shell=bash
# A private libvirtd in a mount namespace of its own: it has its own /etc/libvirt, /run/libvirt
# and /var/*/libvirt below $T/libvirt, so nothing of this machine's libvirt is seen or touched.
# Source it after tests/lib/test.sh, call libvirtd_start; ends with the test.

# shellcheck disable=SC2034
LIBVIRT_DEFAULT_URI=qemu:///system
export LIBVIRT_DEFAULT_URI
LIBVIRTD_DIRS='/etc/libvirt /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt'

# Re-executes the script in a mount namespace; the first thing a script with a libvirtd does.
libvirtd_namespace() {
	[ -n "${KVMCRYPT_TEST_NS:-}" ] && return
	[ "$(id -u)" = 0 ] || skip_all "a private libvirtd needs root"
	unshare -m true 2>/dev/null || skip_all "mount namespaces are not allowed here, or / is no mount point (a chroot)"
	# It comes back with a directory of its own.
	rm -rf "$T"
	exec env KVMCRYPT_TEST_NS=1 unshare -m --propagation private "$BASH" "$0" "$@"
}

libvirtd_dirs() {
	local d
	for d in $LIBVIRTD_DIRS; do
		mkdir -p "$d" "$T/libvirt$d"
		mount --bind "$T/libvirt$d" "$d"
	done
	# Guests run under TCG. A /dev/kvm that opens but does not work would hang libvirt's probing of
	# QEMU, and one that it finds writable but of no use makes it probe anew at every call.
	if [ -e /dev/kvm ]; then
		: >"$T/libvirt/kvm"
		mount --bind "$T/libvirt/kvm" /dev/kvm
		mount -o remount,bind,ro /dev/kvm
	fi
	# QEMU runs as its own user and must get to what the daemon keeps for it.
	chmod -R a+rX "$T/libvirt"
	chmod a+x "$T"
	cat >/etc/libvirt/qemu.conf <<-CONF
	security_driver = "none"
	stdio_handler = "file"
	remember_owner = 0
	namespaces = []
	cgroup_controllers = []
	CONF
	cat >/etc/libvirt/libvirtd.conf <<-CONF
	auth_unix_rw = "none"
	auth_unix_ro = "none"
	log_outputs = "3:file:$T/libvirtd.log"
	${LIBVIRTD_CONF:-}
	CONF
}

libvirtd_start() {
	[ -e /etc/libvirt/libvirtd.conf ] && [ -e "$T/libvirt/etc/libvirt/libvirtd.conf" ] || libvirtd_dirs
	# Its own process ID file, or a second test's daemon would not start beside it.
	libvirtd --pid-file /run/libvirt/libvirtd.pid ${LIBVIRTD_ARGS:-} >>"$T/libvirtd.out" 2>&1 &
	LIBVIRTD_PID=$!
	on_exit libvirtd_stop
	up_or_dead() { virsh -q list || ! kill -0 $LIBVIRTD_PID; }
	wait_for up_or_dead
	virsh -q list >/dev/null 2>&1 && return
	cat "$T/libvirtd.out" "$T/libvirtd.log" >&2
	echo "libvirtd did not start" >&2
	exit 1
}

libvirtd_stop() {
	[ -n "${LIBVIRTD_PID:-}" ] || return 0
	local d
	for d in $(virsh -q list --name 2>/dev/null); do virsh -q destroy "$d" >/dev/null 2>&1 || :; done
	kill "$LIBVIRTD_PID" 2>/dev/null || :
	wait "$LIBVIRTD_PID" 2>/dev/null || :
	LIBVIRTD_PID=
}

# The daemon alone dies, its guests live on.
libvirtd_kill() {
	kill -9 "$LIBVIRTD_PID"
	wait "$LIBVIRTD_PID" 2>/dev/null || :
	LIBVIRTD_PID=
}

# Kernel and initramfs for guests, made once for all tests.
guest_files() {
	GUEST=${GUEST_DIR:-$ROOT/$BUILD/guest}
	# The lock and the stamp let tests run side by side.
	mkdir -p "$GUEST"
	(
		flock 9
		"$ROOT/tests/lib/guest-kernel" "$GUEST"
		if [ ! -e "$GUEST/initramfs" ] || [ "$ROOT/tests/lib/guest-init" -nt "$GUEST/initramfs" ]; then
			"$ROOT/tests/lib/guest-initramfs" "$GUEST" "$GUEST/initramfs.new"
			mv "$GUEST/initramfs.new" "$GUEST/initramfs"
		fi
	) 9>"$GUEST/lock"
	mkdir -p "$T/guest"
	cp "$GUEST/vmlinuz" "$GUEST/initramfs" "$T/guest/"
	chmod a+rx "$T/guest"
	chmod a+r "$T/guest"/*
}

# guest_define NAME JOB [KERNEL ARGUMENTS] [FEATURES]: a domain without disks.
guest_define() {
	cat >"$T/$1.xml" <<-XML
	<domain type='qemu'>
	  <name>$1</name>
	  <memory unit='MiB'>192</memory>
	  <vcpu>1</vcpu>
	  <os>
	    <type arch='x86_64' machine='pc'>hvm</type>
	    <kernel>$T/guest/vmlinuz</kernel>
	    <initrd>$T/guest/initramfs</initrd>
	    <cmdline>console=ttyS0 quiet panic=-1 no_timer_check job=$2 ${3:-}</cmdline>
	  </os>
	  <features>${4-<acpi/>}</features>
	  <on_reboot>destroy</on_reboot>
	  <devices>
	    <emulator>/usr/bin/qemu-system-x86_64</emulator>
	    <serial type='file'><source path='$T/guest/$1.console' append='on'/></serial>
	    <memballoon model='none'/>
	  </devices>
	</domain>
	XML
	: >"$T/guest/$1.console"
	chmod a+rw "$T/guest/$1.console"
	virsh -q define "$T/$1.xml" >/dev/null
}

# guest_job NAME JOB [ARGUMENTS]: changes what the guest will do at its next start.
guest_job() {
	virsh -q dumpxml --inactive --security-info "$1" |
		sed "s|<cmdline>.*</cmdline>|<cmdline>console=ttyS0 quiet panic=-1 no_timer_check job=$2 ${3:-}</cmdline>|" >"$T/$1.new.xml"
	virsh -q define "$T/$1.new.xml" >/dev/null
}

guest_wait_off() {
	is_off() { [ "$(virsh -q domstate "$1" 2>/dev/null)" = "shut off" ]; }
	wait_for is_off "$1" && return
	echo "domain $1 still runs" >&2
	return 1
}

guest_said() { grep -a "GUEST: $2" "$T/guest/$1.console" >/dev/null; }

guest_wait_said() {
	wait_for guest_said "$1" "$2" && return
	echo "guest $1 did not say '$2'" >&2
	tail -n 20 "$T/guest/$1.console" >&2
	return 1
}

# The reports of a guest with job=busy: how many so far; the longest gap, in ms, of those after the
# first N; waiting for N more.
guest_reports() { grep -ac 'GUEST: gap' "$T/guest/$1.console"; }
guest_longest() { grep -a 'GUEST: gap' "$T/guest/$1.console" | tail -n +$(($2 + 1)) | awk '{ if ($3 > m) m = $3 } END { print m * 10 }'; }
guest_has_reported() { [ "$(guest_reports "$1")" -ge "$2" ]; }
guest_more_reports() { wait_for guest_has_reported "$1" $(($(guest_reports "$1") + $2)); }
