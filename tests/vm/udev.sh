#!/bin/bash
# A real udevd with the rules of LVM and of persistent storage: what a guest wrote to its disk is not
# looked at on the host. cryptsetup's own mapping of the same volume shows what would be found.
. "$(dirname "$0")/../lib/vm.sh"
keystore_new
cd "$T" || exit 1
unset DM_DISABLE_UDEV
export LVM_SUPPRESS_FD_WARNINGS=1
mkdir -p /run/udev /run/lvm
check "udevd starts" /lib/systemd/systemd-udevd --daemon
on_exit stop_udevd
stop_udevd() { udevadm control --exit 2>/dev/null; }
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle
property() { udevadm info --query=property --property="$2" --value "/dev/mapper/$1" 2>/dev/null; }
links() { find /dev/disk -lname "*/$(basename "$(readlink -f "/dev/mapper/$1")")" ! -name 'dm-*' 2>/dev/null | sort; }
unseen() { # unseen NAME WHEN: udev knows the device, and nothing of its contents
	udevadm settle
	check_is "1 " "$(property "$1" DM_UDEV_DISABLE_OTHER_RULES_FLAG) $(property "$1" ID_FS_TYPE)" "$2: not probed"
	check_is "" "$(links "$1")" "$2: no link tells of its contents"
	check_is "" "$(ls /run/lvm/pvs_online 2>/dev/null)" "$2: LVM was not told"
}

kvmcrypt create -q pv.raw 32M --luks 2
check "open" kvmcrypt open -q pv.raw guest
check "udev made the node" test -b /dev/mapper/guest
check "the guest's volume group" bash -c "lvm pvcreate -q -y /dev/mapper/guest && lvm vgcreate -q guestvg /dev/mapper/guest && lvm vgchange -qq -an guestvg"
kvmcrypt close -q pv.raw
rm -rf /run/lvm/pvs_online /run/lvm/vgs_online

printf %s "$(passphrase_of pv.raw)" >key
check "an ordinary mapping" cryptsetup open --key-file key pv.raw plain
udevadm settle
check_is LVM2_member "$(property plain ID_FS_TYPE)" "is probed"
check_is 1 "$(links plain | grep -c lvm-pv-uuid)" "has a link that tells of its contents"
check_is 1 "$(ls /run/lvm/pvs_online 2>/dev/null | wc -l)" "and LVM is told: so these tests can fail"
lvm vgchange -qq -an guestvg >/dev/null
cryptsetup close plain
rm -rf /run/lvm/pvs_online /run/lvm/vgs_online

check "open" kvmcrypt open -q pv.raw guest
unseen guest "after open"
udevadm trigger --settle --action=change /dev/mapper/guest
unseen guest "after a change event"
udevadm trigger --settle --action=add /dev/mapper/guest
unseen guest "after a coldplug"
check "resize" kvmcrypt resize -q pv.raw 48M
unseen guest "after a resize"
: </dev/mapper/guest >/dev/mapper/guest
unseen guest "after a writer closed it"
# Commands that scan all devices are another matter; the manual names this filter for them.
check_is 1 "$(lvm pvs --noheadings -o pv_name 2>/dev/null | grep -c .)" "pvs, asked by a person, sees it"
check "close" kvmcrypt close -q pv.raw
uuid=$(kvmcrypt show --json pv.raw | jq -r .uuid)
kvmcrypt open -q pv.raw "kvmcrypt-$uuid"
check_is 0 "$(lvm pvs --config 'devices { global_filter = [ "r|^/dev/mapper/kvmcrypt-|" ] }' --noheadings -o pv_name 2>/dev/null | grep -c .)" "with the filter of the manual it does not"
kvmcrypt close -q pv.raw
udevadm settle
check_is 0 "$(dmsetup ls | grep -vc 'No devices')" "no mapping is left"
kvmcrypt create -q i.raw 2M --integrity hmac-sha256
check "open with integrity" kvmcrypt open -q i.raw i
mkfs.ext4 -q /dev/mapper/i 2>/dev/null
kvmcrypt close -q i.raw
kvmcrypt open -q i.raw i
unseen i "with integrity"
check "close" kvmcrypt close -q i.raw
check_is "0 0" "$(losetup -a | wc -l) $(dmsetup ls | grep -vc 'No devices')" "no loop device and no mapping is left"
