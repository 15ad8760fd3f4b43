#!/bin/bash
# LUKS2 volumes and libvirt on one host: attach maps and adds the block device, detach unmaps, load
# brings mappings back. A real libvirtd and QEMU in the virtual machine.
VM_HOST=1
. "$(dirname "$0")/../lib/vm.sh"
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_namespace "$@"
libvirtd_start
keystore_new
mkdir -p "$T/disks"
cd "$T/disks" || exit 1
cat >"$T/vm.xml" <<XML
<domain type='qemu'><name>vm</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='none'/></devices></domain>
XML
check "define a domain" virsh -q define "$T/vm.xml"
kvmcrypt create -q a.raw 32M --luks 2
uuid=$(kvmcrypt show --no-libvirt --json a.raw | jq -r .uuid)
name=kvmcrypt-$uuid
check "attach in the configuration" kvmcrypt attach vm a.raw
check_is "/dev/mapper/$name" "$(virsh -q domblklist vm | awk '{print $2}')" "the disk is the mapping"
check_is crypt "$(dmsetup table "$name" | cut -d' ' -f3)" "which dm-crypt makes"
check_is "block raw" "$(virsh dumpxml vm | sed -n "s/.*<disk type='\([a-z]*\)'.*/\1/p; s/.*<driver name='qemu' type='\([a-z0-9]*\)'.*/\1/p" | tr '\n' ' ' | sed 's/ $//')" "a plain block device for QEMU"
check_is 0 "$(virsh -q secret-list | grep -c .)" "no secret is registered for it"
check_exit 0 "attach again" kvmcrypt attach vm a.raw
check_is false "$(kvmcrypt attach -q --json vm a.raw | jq .changed)" "changed nothing"
check "the guest starts" virsh -q start vm
check_error 6 'in use' "close while a guest has it" kvmcrypt close -q a.raw
kvmcrypt create -q b.raw 32M --luks 2
check "attach to the running guest" kvmcrypt attach vm b.raw
check_is 2 "$(virsh -q domblklist vm | grep -c /dev/mapper/kvmcrypt-)" "it is there"
check "resize while attached" kvmcrypt resize a.raw 64M
check_is $((64 << 20)) "$(virsh domblkinfo vm vda | awk '/Capacity/{print $2}')" "libvirt sees 64 MiB"
check_is $((64 << 20)) "$(virsh qemu-monitor-command vm --hmp 'info block' >/dev/null; virsh qemu-monitor-command vm '{"execute":"query-block"}' | jq '[.return[].inserted.image."virtual-size"] | max')" "and so does QEMU"
check_error 9 'detach vm' "erase while attached" kvmcrypt erase -q --yes a.raw
virsh -q destroy vm
check "detach" kvmcrypt detach vm b.raw
check_exit 1 "its mapping is gone" dmsetup info "kvmcrypt-$(kvmcrypt show --no-libvirt --json b.raw | jq -r .uuid)"
check "unload" kvmcrypt unload a.raw
check_exit 1 "the mapping is gone" dmsetup info "$name"
check_exit 1 "so the guest does not start" virsh -q start vm
check "load --all" kvmcrypt load --all
check "maps what a domain has" dmsetup info "$name"
check_exit 1 "and nothing else" dmsetup info "kvmcrypt-$(kvmcrypt show --no-libvirt --json b.raw | jq -r .uuid)"
# As locked as if a guest had the file: nothing opens the ciphertext below the mapping.
check_exit 1 "QEMU opens no file that is mapped" qemu-io -f raw "$T/disks/a.raw" -c "read 0 512"
check_is 1 "$(grep -c lock "$T/stderr")" "and says that it is locked"
check_exit 1 "not read-only either" qemu-io -r -f raw "$T/disks/a.raw" -c "read 0 512"
check "one that is not mapped it does" qemu-io -r -f raw "$T/disks/b.raw" -c "read 0 512"
check "now it starts" virsh -q start vm
virsh -q destroy vm
check "detach" kvmcrypt detach vm a.raw
check "erase" kvmcrypt erase -q --yes a.raw
check_is 0 "$(dmsetup ls 2>/dev/null | grep -c kvmcrypt-)" "no mapping is left"
check_is 0 "$(grep -c cryptsetup: /proc/keys)" "no key is left in a keyring"
check "the keystore checks clean" kvmcrypt keystore check
