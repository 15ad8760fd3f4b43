#!/bin/bash
# kvmcrypt check rest: disks, layers, saved memory, secrets and master keys, each as it should be and as it should not.
. "$(dirname "$0")/../lib/guest.sh"
. "$(dirname "$0")/../lib/check.sh"
libvirtd_dirs
guest_begin

kvmcrypt create -q web.qcow2 16M
guest_define web up
kvmcrypt attach -q web web.qcow2
look 0 "an encrypted disk at rest" rest
check_is "pass pass pass pass pass pass" "$(for i in disks chain saved secrets master-key header; do verdict rest.$i; done | xargs)" "all of it passes"
kvmcrypt check --json rest --domain web >/dev/null
virsh -q start web
guest_wait_said web up
look 1 "while its guest runs" rest.master-key
check_is "1" "$(said rest.master-key | grep -c '^fail running /var/lib/libvirt/qemu/domain-.*master-key.aes: it is on the disk, in plain')" "libvirt's key for it is on the disk"
virsh -q destroy web

qemu-img create -q -f raw plain.raw 8M
qemu-img create -q -f qcow2 -b web.qcow2 -F qcow2 overlay.qcow2 2>/dev/null || qemu-img create -q -u -f qcow2 -b "$PWD/web.qcow2" -F qcow2 overlay.qcow2 16M
machine plain pc "<disk type='file' device='disk'><source file='$PWD/plain.raw'/><target dev='vda' bus='virtio'/></disk><disk type='file' device='cdrom'><source file='$PWD/plain.raw'/><target dev='sda' bus='sata'/><readonly/></disk>"
look 1 "a plain disk" rest.disks
check_is "1 0" "$(said rest.disks | grep -c '^fail running domain plain, vda: .* is in plain') $(said rest.disks | grep -c sda)" "is told of, a medium that is only read is not"
look 0 "only the other guest" rest.disks --domain web
virsh -q undefine plain
machine layered pc "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$PWD/overlay.qcow2'/><target dev='vda' bus='virtio'/></disk>"
look 1 "a plain layer on an encrypted disk" rest.chain
check_is 1 "$(said rest.chain | grep -c "^fail running domain layered, vda: of the 2 layers of .*overlay.qcow2 is in plain")" "is named"
virsh -q undefine layered
machine forgot pc "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$PWD/web.qcow2'/><target dev='vda' bus='virtio'/></disk>"
look 1 "an encrypted disk without a secret in the definition" rest.disks
check_is 1 "$(said rest.disks | grep -c '^fail configured domain forgot, vda')" "is told of"
virsh -q undefine forgot
rm plain.raw overlay.qcow2

virsh -q start web
guest_wait_said web up
virsh -q managedsave web >/dev/null
look 1 "a managed save" rest.saved
check_is 1 "$(said rest.saved | grep -c 'domain web: its memory is saved in plain.*the keys')" "holds the keys"
virsh -q managedsave-remove web >/dev/null
mkdir -p /var/lib/libvirt/qemu/dump
: >/var/lib/libvirt/qemu/dump/web-dump
look 0 "a dump" rest.saved
check_is "warn" "$(verdict rest.saved)" "is told of"
rm /var/lib/libvirt/qemu/dump/web-dump

uuid=$(</proc/sys/kernel/random/uuid)
cat >secret.xml <<<"<secret ephemeral='no' private='no'><uuid>$uuid</uuid><usage type='volume'><volume>/elsewhere</volume></usage></secret>"
printf secret >value
check "a secret of somebody else" virsh -q secret-define secret.xml
check "its value" virsh -q secret-set-value "$uuid" --file value
look 1 "a secret that persists" rest.secrets
check_is "1 1" "$(said rest.secrets | grep -c '^fail running .*1 value of secrets on the disk, in plain') $(said rest.secrets | grep -c "^warn configured secret $uuid: it is not private")" "on the disk, and not private"
virsh -q secret-undefine "$uuid" >/dev/null

kvmcrypt create -q db.raw 8M
kvmcrypt passphrase show --yes db.raw >pass 2>/dev/null
printf other >other
cryptsetup luksAddKey --pbkdf-force-iterations 1000 --key-file <(tr -d '\n' <pass) db.raw other 2>/dev/null
look 0 "a keyslot of somebody else" rest.header
check_is "warn/1" "$(verdict rest.header)/$(said rest.header | grep -c '^warn running volume .*db.raw: 1 keyslot of somebody else opens it')" "is told of"
kvmcrypt seal -q
look 0 "and while the keystore is sealed" rest.header
check_is warn "$(verdict rest.header)" "too"
dd if=/dev/zero of=web.qcow2 bs=512 count=1 conv=notrunc status=none
look 1 "a header that is gone" rest.header
check_is 1 "$(said rest.header | grep -c '^fail running volume .*web.qcow2')" "fails"
