# shellcheck shell=bash
# What tests with a libvirtd and guests begin with, and what several of them ask. Sourced first.
. "$(dirname "${BASH_SOURCE[0]}")/test.sh"
. "$(dirname "${BASH_SOURCE[0]}")/libvirtd.sh"
libvirtd_namespace "$@"

# The current directory is one that QEMU's user gets to.
disks_dir() {
	mkdir -p "$T/disks"
	chmod a+x "$T/disks"
	cd "$T/disks" || exit 1
}

# guest_begin [--bare]: the daemon, a keystore, the directory; without --bare also what guests boot from.
guest_begin() {
	libvirtd_start
	[ "${1:-}" = --bare ] || guest_files
	keystore_new
	disks_dir
}

# machine NAME TYPE [DEVICES]: a domain that boots nothing, of a machine type (pc, q35). One of the name goes first.
machine() {
	virsh -q undefine "$1" >/dev/null 2>&1
	cat >"$T/$1.xml" <<-XML
	<domain type='qemu'><name>$1</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='$2'>hvm</type></os><features><acpi/></features><devices><memballoon model='none'/>${3:-}</devices></domain>
	XML
	virsh -q define "$T/$1.xml" >/dev/null
}

# encrypted_disk SOURCE SECRET [TYPE [FORMAT]]: the <disk> as others write it; both are attributes.
encrypted_disk() {
	echo "<disk type='${3:-file}' device='disk'><driver name='qemu' type='${4:-qcow2}'/><source $1><encryption format='luks'><secret type='passphrase' $2/></encryption></source><target dev='vda' bus='virtio'/></disk>"
}

# Targets of a domain's disks: of the guest, or with --inactive of the configuration.
targets() { virsh -q domblklist "$@" | awk 'NF { print $1 }' | tr '\n' ' '; }
secret_of() { kvmcrypt show --no-libvirt --json "$1" | jq -r .secret.uuid; }
qmp() { virsh -q qemu-monitor-command "$1" "$2"; }

# Each volume has one keyslot, which the keystore's passphrase opens, and nothing is begun.
whole() {
	local v
	for v; do
		[ "$(kvmcrypt show --json "$v" | jq -r '"\([.luks.keyslots[] | select(.state == "active") | .owner] | join(" ")) \(.state)"')" = "kvmcrypt ready" ] ||
			{ echo "# $v is not whole"; return 1; }
	done
}
