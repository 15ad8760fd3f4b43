#!/bin/bash
# A host that loses power, with everything real but the hardware: systemd, libvirtd, the units as `make install` puts
# them, a TPM, an encrypted guest that is marked for autostart. Each job runs in one boot (jobs/); between two the plug is
# pulled.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/libvirtd.sh"
. "$(dirname "$0")/../lib/host.sh"
[ "$(id -u)" = 0 ] || skip_all "a host's root is made as root"
guest_files
host_make
make -s -C "$ROOT" BUILD="$BUILD" install DESTDIR="$T/installed" >/dev/null 2>&1 || { not_ok "make install"; exit 1; }

boot() { # JOB: its checks are ours
	local began=$SECONDS
	rm -rf "$T/job"
	mkdir "$T/job"
	cp "$ROOT/tests/reboot/jobs/lib.sh" "$T/job/"
	cp "$ROOT/tests/reboot/jobs/$1" "$T/job/job"
	if [ "$1" = setup ]; then
		# Nothing is unpacked under two layers of emulation.
		cp "$GUEST/vmlinux" "$T/job/vmlinux" 2>/dev/null || cp "$GUEST/vmlinuz" "$T/job/vmlinux"
		cp "$GUEST/initramfs" "$T/job/"
		tar -C "$T/installed" -cf "$T/job/program.tar" .
	fi
	echo "# $1"
	host_boot "$T/job" || not_ok "the boot '$1' came to its end"
	grep -aE '^(ok|not ok|skip|#)' "$T/said" | grep -v '^# all done'
	echo "# $1: $((SECONDS - began)) s"
}
# Two hosts that are set up alike. Each job finds what the one before it left; REBOOT_JOBS are some of them.
boot setup
cp "$T/host.qcow2" "$T/setup.qcow2"
cp -r "$T/tpm" "$T/setup.tpm"
for job in ${REBOOT_JOBS:-power_lost firmware missing damaged ephemeral ways tang neither}; do
	case $job in
	firmware) HOST_CMDLINE=changed-firmware boot firmware ;;
	ways)
		rm -rf "$T/tpm"
		cp -r "$T/setup.tpm" "$T/tpm"
		cp "$T/setup.qcow2" "$T/host.qcow2"
		HOST_TANG=up boot ways
		;;
	tang) HOST_CMDLINE=changed-firmware HOST_TANG=up boot tang ;;
	neither) HOST_TPM=no boot neither ;;
	*) boot "$job" ;;
	esac
done
