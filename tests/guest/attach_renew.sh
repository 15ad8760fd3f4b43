#!/bin/bash
# What attach writes, into a domain that has the disk already too; and what the machine cannot take.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin --bare
disk_of() { virsh -q dumpxml --inactive "$1" | sed -n '/<disk /,/<\/disk>/p'; }
# Of the disks: with snapshot='no', with an engine, with the secret of a volume.
counts() { disk_of vm | grep -c "snapshot='no'"; disk_of vm | grep -c "engine='qemu'"; disk_of vm | grep -c "$(secret_of "$1")"; }
kvmcrypt create -q base.qcow2 8M
kvmcrypt create -q a.qcow2 --backing base.qcow2

machine vm pc
check "attach" kvmcrypt attach vm a.qcow2
check_is "1 2 1 " "$(counts a.qcow2 | tr '\n' ' ')" "no snapshot by default, an engine for each layer"
virsh -q start vm
check_exit 1 "a snapshot by default is refused" virsh -q snapshot-create-as vm s1 --disk-only
virsh -q destroy vm

# As an earlier version wrote it, with what a person has added.
virsh -q dumpxml --inactive --security-info vm | sed "s/ snapshot='no'//; s/ engine='qemu'//; s|<target dev='vda' bus='virtio'/>|&<serial>mine</serial>|; s/<driver name='qemu' type='qcow2'/& cache='none'/" >old.xml
virsh -q define old.xml
# libvirt itself adds the engine where it is left out.
check_is "0 2 1 " "$(counts a.qcow2 | tr '\n' ' ')" "a disk as it was written before"
address=$(disk_of vm | grep '<address')
check_is false "$(kvmcrypt attach -q --json vm a.qcow2 | jq .changed)" "attach leaves it as it is"
check_is true "$(kvmcrypt attach -q --json --renew --dry-run vm a.qcow2 | jq .changed)" "--renew --dry-run would change it"
check_is "0 2 1 " "$(counts a.qcow2 | tr '\n' ' ')" "  and does not"
check_is true "$(kvmcrypt attach -q --json --renew vm a.qcow2 | jq .changed)" "--renew"
check_is "1 2 1 " "$(counts a.qcow2 | tr '\n' ' ')" "  brings it up to date"
check_is "1 1 $address" "$(disk_of vm | grep -c '<serial>mine</serial>') $(disk_of vm | grep -c "cache='none'") $(disk_of vm | grep '<address')" "  serial, cache and address stay"
check_is false "$(kvmcrypt attach -q --json --renew vm a.qcow2 | jq .changed)" "  once more: nothing to do"
machine other pc
check_error 4 'has no disk that is' "--renew of a domain without the disk" kvmcrypt attach -q --renew other a.qcow2

# A secret of somebody else's.
foreign=$(cat /proc/sys/kernel/random/uuid)
virsh -q dumpxml --inactive --security-info vm | sed "s/$(secret_of a.qcow2)/$foreign/; s/ snapshot='no'//" >old.xml
virsh -q define old.xml
check_error 9 'adopt gives that disk ours' "a disk with another secret" kvmcrypt attach -q vm a.qcow2
check_is true "$(kvmcrypt attach -q --json --adopt vm a.qcow2 | jq .changed)" "--adopt"
check_is "1 2 1 /0" "$(counts a.qcow2 | tr '\n' ' ')/$(disk_of vm | grep -c "$foreign")" "  replaces the secret"
check_is "1 1 $address" "$(disk_of vm | grep -c '<serial>mine</serial>') $(disk_of vm | grep -c "cache='none'") $(disk_of vm | grep '<address')" "  serial, cache and address stay"
check "  and the guest starts" virsh -q start --paused vm
check_is false "$(kvmcrypt attach -q --json --adopt vm a.qcow2 | jq .changed)" "  once more: nothing to do"
virsh -q destroy vm
check "detach" kvmcrypt detach vm a.qcow2

# import --replace would leave a guest with a passphrase that opens nothing.
printf 'old passphrase' >pw
qemu-img create -q --object secret,id=s0,file=pw -f luks -o key-secret=s0,iter-time=10 legacy.raw 4M
machine vm pc "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$PWD/legacy.raw'><encryption format='luks'><secret type='passphrase' uuid='$foreign'/></encryption></source><target dev='vda' bus='virtio'/></disk>"
check_error 9 'domain vm opens .* with another secret' "import --replace of a disk that a domain opens with another secret" kvmcrypt import -q --replace --passphrase-file pw legacy.raw
check_error 4 'no volume' "  is refused before anything is done" kvmcrypt show -q legacy.raw
check "import" kvmcrypt import --passphrase-file pw legacy.raw
check "--adopt" kvmcrypt attach --adopt vm legacy.raw
check "the guest starts with our secret" virsh -q start --paused vm
virsh -q destroy vm

# A secret with our UUID that others have defined is not filled.
define_secret() { # PRIVATE EPHEMERAL USAGE
	virsh -q secret-undefine "$(secret_of legacy.raw)" >/dev/null 2>&1
	echo "<secret private='$1' ephemeral='$2'><uuid>$(secret_of legacy.raw)</uuid><usage type='volume'><volume>$3</volume></usage></secret>" >"$T/secret.xml"
	virsh -q secret-define "$T/secret.xml" >/dev/null
}
ours="kvmcrypt/$(kvmcrypt show --json legacy.raw | jq -r .uuid)"
for kind in "no yes $ours" "yes no $ours" "yes yes other" "no no other"; do
	# shellcheck disable=SC2086
	define_secret $kind
	check "a secret of others' (private, ephemeral, usage: $kind): load" kvmcrypt load legacy.raw
	check_is "ephemeral='yes' private='yes' $ours" "$(virsh secret-dumpxml "$(secret_of legacy.raw)" | grep -o "ephemeral='[a-z]*' private='[a-z]*'") $(virsh secret-dumpxml "$(secret_of legacy.raw)" | sed -n 's|.*<volume>\(.*\)</volume>.*|\1|p')" "  is defined anew"
	check_exit 1 "  and does not give its value" virsh -q secret-get-value "$(secret_of legacy.raw)"
	check_is 0 "$(find /etc/libvirt/secrets -type f | wc -l)" "  no file of it is left"
done

# What the machine does not have.
machine q35 q35
check_error 2 'no ide bus' "a q35 has no IDE" kvmcrypt attach -q q35 a.qcow2 --bus ide
check_error 2 'no ide bus' "  nor by the name of a target" kvmcrypt attach -q q35 a.qcow2 --target hda
check_is 0 "$(disk_of q35 | wc -l)" "  and nothing was added"
for bus in sata usb scsi virtio; do
	check "a q35 and $bus" kvmcrypt attach q35 a.qcow2 --bus $bus
	check "  starts" virsh -q start --paused q35
	virsh -q destroy q35
	check "  detach" kvmcrypt detach q35 a.qcow2
done
machine q35 q35
virsh -q start q35
check_error 2 'no new disk on its sata bus' "SATA while the guest runs" kvmcrypt attach -q q35 a.qcow2 --bus sata
full=0
for i in 1 2 3 4 5 6 7 8; do
	kvmcrypt create -q p$i.raw 1M
	kvmcrypt attach -q --live q35 p$i.raw >/dev/null 2>"$T/stderr" || { full=1; break; }
done
check_is "1 1" "$full $(grep -c 'No more available PCI slots; .*--bus usb.*--config' "$T/stderr")" "no port is free: the way out is said"
check "which is one" kvmcrypt attach --config q35 p$i.raw
virsh -q destroy q35
check "  at its next start" virsh -q start --paused q35
virsh -q destroy q35
