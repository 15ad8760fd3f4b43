# shellcheck shell=bash
# A whole host in a virtual machine, for the reboot test: tests/reboot/make-root makes it, here it is
# switched on and off. Source it after tests/lib/test.sh.

host_make() {
	HOST=${HOST_DIR:-$ROOT/$BUILD/reboot}
	mkdir -p "$HOST"
	(
		flock 9
		"$ROOT/tests/reboot/make-root" "$HOST"
	) 9>"$HOST/lock" || { echo "cannot make the host's root" >&2; exit 1; }
	HOST_PID=''
	TPM_PID=''
	on_exit host_off
	qemu-img create -q -f qcow2 -b "$HOST/host.ext4" -F raw "$T/host.qcow2"
	mkdir -p "$T/tpm" "$T/tang"
	/usr/libexec/tangd-keygen "$T/tang" >/dev/null
}

host_off() {
	[ -z "$HOST_PID" ] || { kill -9 "$HOST_PID"; wait "$HOST_PID"; } 2>/dev/null
	[ -z "$TPM_PID" ] || { kill "$TPM_PID"; wait "$TPM_PID"; } 2>/dev/null
	HOST_PID=''
	TPM_PID=''
}

# A TPM that outlives the machine, as the chip on a board does; started anew with each boot, which is
# what resets its PCRs.
host_tpm_start() {
	swtpm socket --tpm2 --tpmstate "dir=$T/tpm" --ctrl "type=unixio,path=$T/tpm.sock" --flags startup-clear \
		>"$T/swtpm.log" 2>&1 &
	TPM_PID=$!
	wait_for test -S "$T/tpm.sock"
}

# host_boot DIRECTORY: switches the host on; it gets the directory, runs `job` in it and is switched
# off, by pulling the plug, when that has ended. What the job said is in $T/said. QEMU emulates an AMD CPU whose SVM
# works, so that its guests run by KVM and not under a second layer of emulation, which is ten times slower. Without la57:
# with five-level page tables Debian's kernel cannot read the names of mount points under emulation (they are all x).
# HOST_TPM=no: a board without that chip. HOST_TANG=up: on its network, which has DHCP and nothing else, a Tang server
# answers at http://10.0.2.100; without it nobody does.
HOST_SECONDS=1200
host_boot() {
	local kernel=$HOST/vmlinuz network=user,id=n,restrict=on tpm=()
	tar -C "$1" -cf "$T/job.tar" .
	truncate -s %1M "$T/job.tar"
	: >"$T/said"
	: >"$T/console"
	# QEMU gives it the connection as stderr, too.
	printf '#!/bin/sh\nexec /usr/libexec/tangd "%s" 2>>"%s"\n' "$T/tang" "$T/tangd.log" >"$T/tangd"
	chmod 700 "$T/tangd"
	[ "${HOST_TANG:-}" = up ] && network+=",guestfwd=tcp:10.0.2.100:80-cmd:$T/tangd"
	if [ "${HOST_TPM:-}" != no ]; then
		host_tpm_start
		tpm=(-chardev "socket,id=c,path=$T/tpm.sock" -tpmdev "emulator,id=t,chardev=c" -device "tpm-crb,tpmdev=t")
	fi
	qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max,-la57,-avx2,-avx,-fma \
		-smp 2 -m 2048 -nodefaults -no-user-config -display none -monitor none -no-reboot \
		-serial "file:$T/console" -serial "file:$T/said" \
		-drive "file=$T/host.qcow2,format=qcow2,if=virtio,cache=writeback" \
		-drive "file=$T/job.tar,format=raw,if=virtio,readonly=on" \
		-netdev "$network" -device virtio-net-pci,netdev=n,romfile= "${tpm[@]}" \
		-kernel "$kernel" -initrd "$HOST/initramfs" \
		-append "console=ttyS0 panic=-1 no_timer_check nokaslr mitigations=off cryptomgr.notests tsc=reliable systemd.log_target=journal ${HOST_CMDLINE:-}" \
		</dev/null >"$T/qemu.log" 2>&1 &
	HOST_PID=$!
	ended() { grep -aq '^# all done' "$T/said" || ! kill -0 "$HOST_PID"; }
	WAIT_SECONDS=$HOST_SECONDS wait_for ended
	host_off
	rm -f "$T/tpm.sock"
	sed -i 's/\r$//' "$T/said"
	grep -aq '^# all done' "$T/said" && return
	echo "# the host did not come to the end of its job; its console ends with:"
	tail -n 15 "$T/console" | tr -d '\r' | sed 's/^/#   /'
	tail -n 3 "$T/qemu.log" | sed 's/^/#   /'
	return 1
}
