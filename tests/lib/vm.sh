# shellcheck shell=bash
# What a test of tests/vm sources first. The same file runs twice: on this machine, which may have
# no device-mapper, it boots a virtual machine that runs it; in there it is an ordinary test.
# VM_HOST, set before, runs it there on this machine's file system (a private, writable view of it).
# VM_DISKS, set before, gives the sizes of /dev/vdb, /dev/vdc … (default: those of
# tests/lib/vm-run). Scripts that set neither share virtual machines (tests/run)..
if [ -z "${KVMCRYPT_VM:-}" ]; then
	set -u
	command -v qemu-system-x86_64 >/dev/null || { echo "skip - no qemu-system-x86_64"; exit 0; }
	vm_args=()
	vm_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	[ -z "${VM_HOST:-}" ] || vm_args+=(-H)
	[ -z "${VM_DISKS:-}" ] || vm_args+=(-d "1G $VM_DISKS")
	# A complete sweep takes as long as it takes; tests/run ends it.
	[ -z "${FAULT_FULL:-}" ] || VM_SECONDS=7000
	"$vm_root/tests/lib/vm-run" -t "${VM_SECONDS:-3000}" "${vm_args[@]}" "tests/vm/$(basename "$0")" &
	vm_pid=$!
	trap 'kill $vm_pid; wait $vm_pid; exit 130' INT TERM HUP
	wait $vm_pid
	vm_code=$?
	[ $vm_code = 0 ] || echo "not ok - the script in the virtual machine ended with $vm_code"
	exit $vm_code
fi
if [ -n "${VM_HOST:-}" ] && [ -z "${VM_CHROOT:-}" ]; then
	read -r vm_root </kvmcrypt/root
	mkdir -p /view/lower /view/rw
	mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=1048576 host /view/lower || exit 1
	mount -t tmpfs rw /view/rw && mkdir -p /view/rw/upper /view/rw/work /view/root
	mount -t overlay -o lowerdir=/view/lower,upperdir=/view/rw/upper,workdir=/view/rw/work overlay /view/root || exit 1
	for vm_d in proc sys dev run; do mount --rbind /$vm_d /view/root/$vm_d; done
	mkdir -p /view/root/scratch
	mount --bind /scratch /view/root/scratch
	exec chroot /view/root /usr/bin/env VM_CHROOT=1 BUILD="${BUILD:-build}" "$BASH" "$vm_root/tests/vm/$(basename "$0")"
fi
. "$(dirname "${BASH_SOURCE[0]}")/test.sh"
