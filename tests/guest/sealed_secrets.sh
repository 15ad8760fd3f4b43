#!/bin/bash
# libvirt 12.1 and later keep a secret's value as UUID.aes256cbc, under a key that systemd hands their daemon. Such files
# beside ours and others', in the directory in memory and on disk; no daemon is needed to see what becomes of them.
. "$(dirname "$0")/../lib/guest.sh"
libvirtd_dirs
keystore_new
disks_dir
secrets=/etc/libvirt/secrets
mkdir -p $secrets /etc/libvirt/qemu/autostart
kvmcrypt create -q web.qcow2 4M
ours=$(kvmcrypt show --no-libvirt --json web.qcow2 | jq -r .secret.uuid)
cat >/etc/libvirt/qemu/web.xml <<-XML
<domain type='qemu'><name>web</name><memory unit='MiB'>64</memory><os><type machine='pc'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$PWD/web.qcow2'><encryption format='luks'><secret type='passphrase' uuid='$ours'/></encryption></source><target dev='vda' bus='virtio'/></disk></devices></domain>
XML
ln -s ../web.xml /etc/libvirt/qemu/autostart/
other() { printf "<secret ephemeral='no' private='no'><uuid>%s</uuid><usage type='ceph'><name>%s</name></usage></secret>\n" "$1" "$1" >"$secrets/$1.xml"; }
sealed=11111111-2222-3333-4444-555555555555
became=22222222-2222-3333-4444-555555555555
gone=33333333-2222-3333-4444-555555555555
for u in $sealed $became $gone; do other $u; done
echo sealed >$secrets/$sealed.aes256cbc
echo plain >$secrets/$became.base64
echo sealed >$secrets/$gone.aes256cbc
chmod 600 $secrets/*

check "load --ram" kvmcrypt load --all --ram --json
check_is "sealed" "$(cat $secrets/$sealed.aes256cbc)" "another's sealed secret is in memory as it was on disk"
check_is "$(passphrase_of web.qcow2)" "$(base64 -d "$secrets/$ours.base64")" "ours in the form that every libvirt reads"
# As if the daemon was given values since.
echo "sealed under a key of before" >"$secrets/$ours.aes256cbc"
check "load --ram again" kvmcrypt load --all --ram --json
check_is true "$(jq '.volumes[0].changed' "$T/stdout")" "says that a secret was not as it should be"
check_exit 1 "the sealed value of ours, which libvirt would take first, is gone" test -e "$secrets/$ours.aes256cbc"
check_is "sealed" "$(cat $secrets/$sealed.aes256cbc)" "the other one is not"
check "once more" kvmcrypt load --all --ram --json
check_is false "$(jq '.volumes[0].changed' "$T/stdout")" "changes nothing"
echo "sealed anew" >"$secrets/$ours.aes256cbc"
rm $secrets/$became.base64 $secrets/$gone.*
echo "sealed now" >$secrets/$became.aes256cbc
check "unload --ram" kvmcrypt unload --all --ram
check_is "$sealed.aes256cbc $sealed.xml $became.aes256cbc $became.xml" "$(cd $secrets && echo *)" "on disk is what others have now: nothing of ours, nothing undefined, no clear value beside a sealed one"
check_is "sealed/sealed now" "$(cat $secrets/$sealed.aes256cbc)/$(cat $secrets/$became.aes256cbc)" "as it was in memory"
