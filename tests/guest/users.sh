#!/bin/bash
# Who has an image: a domain may call it by any name that leads there, and may have it elsewhere than
# in its configuration. attach, detach and erase find it all the same.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin --bare
mkdir "$T/links"
chmod a+x "$T/links"
gone() { virsh -q undefine "$1" --managed-save --snapshots-metadata >/dev/null; }

kvmcrypt create -q a.qcow2 8M
uuid=$(kvmcrypt show --json a.qcow2 | jq -r .uuid)
other="uuid='$(cat /proc/sys/kernel/random/uuid)'"
ours="uuid='$(secret_of a.qcow2)'"
ln -s "$PWD/a.qcow2" "$T/links/symbolic"
ln a.qcow2 hard
ln -s "$PWD" "$T/links/directory"
virsh -q pool-define-as pool dir --target "$PWD" >/dev/null
virsh -q pool-start pool >/dev/null

# By each name with another secret, so that nothing but the image itself tells.
while read -r what source type; do
	source=${source//|/ }
	SECRET=$other
	machine vm pc "$(encrypted_disk "$source" "$SECRET" "$type")"
	check_error 9 'with another secret' "$what: attach does not add it a second time" kvmcrypt attach -q vm a.qcow2
	machine vm2 pc
	check_error 6 'disk of domain vm' "$what: nor to another domain" kvmcrypt attach -q vm2 a.qcow2
	check_error 9 'domain vm has' "$what: erase is refused" kvmcrypt erase -q --yes a.qcow2
	check "$what:   and the image is there" test -e a.qcow2
	SECRET=$ours
	machine vm pc "$(encrypted_disk "$source" "$SECRET" "$type")"
	check_is "false vda" "$(kvmcrypt attach -q --json vm a.qcow2 | jq -r '"\(.changed) \(.target)"')" "$what: with our secret it is attached already"
	check_is "true" "$(kvmcrypt detach -q --json vm a.qcow2 | jq .changed)" "$what: detach"
	check_is "" "$(targets vm --inactive)" "$what:   took it away"
	check_is 0 "$(virsh -q secret-list | wc -l)" "$what:   and the secret"
	gone vm
	gone vm2
done <<-NAMES
	its-path file='$PWD/a.qcow2' file
	a-symbolic-link file='$T/links/symbolic' file
	a-link-to-its-directory file='$T/links/directory/a.qcow2' file
	a-hard-link file='$PWD/hard' file
	two-slashes file='$T//disks/./a.qcow2' file
	pool-and-volume pool='pool'|volume='a.qcow2' volume
NAMES

# A secret may be named by its usage.
SECRET="usage='kvmcrypt/$uuid'"
machine vm pc "$(encrypted_disk "file='$T/other.qcow2'" "$SECRET")"
check_error 9 'domain vm has' "a secret by its usage: erase is refused" kvmcrypt erase -q --yes a.qcow2
machine vm pc "$(encrypted_disk "file='$PWD/a.qcow2'" "$SECRET")"
check_is false "$(kvmcrypt attach -q --json vm a.qcow2 | jq .changed)" "a secret by its usage: it is attached already"
gone vm
virsh -q secret-undefine "$(secret_of a.qcow2)"

# What cannot be asked is no "no".
SECRET=$other
machine vm pc "$(encrypted_disk "pool='nowhere' volume='a.qcow2'" "$SECRET" volume)"
machine vm2 pc
check_error 8 "pool 'nowhere'" "a pool that is not there: erase is refused" kvmcrypt erase -q --yes a.qcow2
check_error 8 "pool 'nowhere'" "  and attach" kvmcrypt attach -q vm2 a.qcow2
check "the image is there" test -e a.qcow2
gone vm

# A volume that libvirt's pool has not noticed yet, and a pool that is stopped.
kvmcrypt create -q late.qcow2 8M
machine vm pc "$(encrypted_disk "pool='pool' volume='late.qcow2'" "$SECRET" volume)"
check_error 9 'domain vm has' "a volume that its pool has not noticed" kvmcrypt erase -q --yes late.qcow2
virsh -q pool-destroy pool >/dev/null
check_error 9 'domain vm has' "a pool that is stopped" kvmcrypt erase -q --yes late.qcow2
virsh -q pool-start pool >/dev/null
gone vm

# A block device by any of its names.
if loop=$(truncate -s 8M "$T/device" && losetup -f --show "$T/device" 2>/dev/null); then
	drop_loop() { losetup -d "$loop"; }
	on_exit drop_loop
	ln -s "$loop" "$T/links/by-id"
	kvmcrypt create -q --luks 1 --yes-destroy "$loop" "$loop"
	machine vm pc "$(encrypted_disk "dev='$T/links/by-id'" "$SECRET" block raw)"
	check_error 9 'with another secret' "a device by a link: attach" kvmcrypt attach -q vm "$loop"
	check_error 9 'domain vm has' "a device by a link: erase" kvmcrypt erase -q --yes "$loop"
	mknod "$T/links/node" b "$(stat -c 0x%t "$loop")" "$(stat -c 0x%T "$loop")"
	machine vm pc "$(encrypted_disk "dev='$T/links/node'" "$SECRET" block raw)"
	check_error 9 'domain vm has' "another node of the device: erase" kvmcrypt erase -q --yes "$loop"
	gone vm
	check_is "$loop" "$(kvmcrypt show --json "$T/links/by-id" | jq -r .path)" "VOLUME by a link to the device"
	check_is "$loop" "$(kvmcrypt show --json "$T/links/node" | jq -r .path)" "VOLUME by another node of the device"
else
	skip "a block device by any of its names: no loop devices here"
fi

# VOLUME itself, by whatever name.
check_is "$PWD/a.qcow2" "$(kvmcrypt show --json "$T/links/symbolic" | jq -r .path)" "VOLUME by a symbolic link"
check_is "$PWD/a.qcow2" "$(kvmcrypt show --json hard | jq -r .path)" "VOLUME by a hard link"
check_is "$PWD/a.qcow2" "$(kvmcrypt show --json pool/a.qcow2 | jq -r .path)" "VOLUME as POOL/VOLUME"
check_is "$PWD/late.qcow2" "$(kvmcrypt show --json pool/late.qcow2 | jq -r .path)" "one that the pool has not noticed"
check_error 4 "no storage pool 'puddle'|puddle/a.qcow2" "a pool that is not there" kvmcrypt show -q puddle/a.qcow2
cp a.qcow2 copy.qcow2
check_error 4 'the keystore knows at' "a copy is not the volume" kvmcrypt show -q copy.qcow2
rm copy.qcow2

# A saved state: the configuration may say another thing.
machine vm pc
check "attach" kvmcrypt attach vm a.qcow2
check "start" virsh -q start vm
check "save" virsh -q managedsave vm
virsh -q detach-disk vm vda --config >/dev/null
check_error 9 'saved state of domain vm' "a saved state has it: erase is refused" kvmcrypt erase -q --yes a.qcow2
check_error 6 'saved state' "  detach says so" kvmcrypt detach -q vm a.qcow2
check_error 6 'saved state of domain vm' "  it goes to no other domain" kvmcrypt attach -q vm2 a.qcow2
check_is 1 "$(virsh -q secret-list | wc -l)" "  and the secret stays"
check "the saved guest starts" virsh -q start vm
virsh -q destroy vm
check "detach" kvmcrypt detach vm a.qcow2

# Only a snapshot tells of it.
machine vm pc
check "attach" kvmcrypt attach vm a.qcow2
{
	echo "<domainsnapshot><name>s1</name><state>shutoff</state><creationTime>1</creationTime><disks><disk name='vda' snapshot='internal'/></disks>"
	virsh -q dumpxml --inactive vm
	echo "</domainsnapshot>"
} >"$T/s1.xml"
check "a snapshot's metadata" virsh -q snapshot-create vm "$T/s1.xml" --redefine
check "detach" kvmcrypt detach vm a.qcow2
check_is 1 "$(virsh -q secret-list | wc -l)" "the snapshot's secret stays"
check_error 9 'snapshot s1 of domain vm' "a snapshot has it: erase is refused" kvmcrypt erase -q --yes a.qcow2
check_error 6 'snapshot s1 of domain vm' "  it goes to no other domain" kvmcrypt attach -q vm2 a.qcow2
check "  but to its own again" kvmcrypt attach vm a.qcow2
check "detach" kvmcrypt detach vm a.qcow2
virsh -q snapshot-delete vm s1 --metadata >/dev/null

# Somebody's overlay above it.
check "attach" kvmcrypt attach vm a.qcow2
check "start" virsh -q start vm
check "somebody makes an overlay" virsh -q snapshot-create-as vm --disk-only --no-metadata --diskspec "vda,snapshot=external,file=$PWD/overlay"
check_error 6 'below .*overlay.* as vda' "below an overlay: detach says so" kvmcrypt detach -q vm a.qcow2
check_error 6 'below .*overlay.* as vda' "  and attach" kvmcrypt attach -q vm a.qcow2
check_error 9 'domain vm has' "  and erase" kvmcrypt erase -q --yes a.qcow2
check_is 1 "$(virsh -q secret-list | wc -l)" "  and the secret stays"
virsh -q destroy vm
gone vm
rm -f overlay

# The domain itself under another name, redefined, or gone.
machine vm pc
check "attach" kvmcrypt attach vm a.qcow2
virsh -q domrename vm renamed >/dev/null
check "start" virsh -q start renamed
check_is "live renamed" "$(kvmcrypt rotate -q --json a.qcow2 | jq -r '.volumes[0] | "\(.how) \(.domain)"')" "renamed: rotate finds the guest"
check_is renamed "$(kvmcrypt resize -q --json a.qcow2 16M | jq -r .domain)" "renamed: resize finds the guest"
virsh -q destroy renamed
gone renamed
SECRET=$ours
machine new pc "$(encrypted_disk "file='$PWD/a.qcow2'" "$SECRET")"
check "start" virsh -q start new
check_is "live new" "$(kvmcrypt rotate -q --json a.qcow2 | jq -r '.volumes[0] | "\(.how) \(.domain)"')" "redefined under another name and UUID: rotate finds the guest"
check_is new "$(kvmcrypt resize -q --json a.qcow2 24M | jq -r .domain)" "  and resize"
virsh -q destroy new
check "detach" kvmcrypt detach new a.qcow2
gone new
check_is vm "$(kvmcrypt show --json a.qcow2 | jq -r '.domains[].name')" "the record still names the one that is gone"
check_is true "$(kvmcrypt detach -q --json vm a.qcow2 | jq .changed)" "detach clears it"
check_is 0 "$(kvmcrypt show --json a.qcow2 | jq '.domains | length')" "  and it is no more"
check_error 4 "no domain 'vm'" "once more: there is no such domain" kvmcrypt detach -q vm a.qcow2
check "erase, now that nobody has it" kvmcrypt erase --yes a.qcow2
