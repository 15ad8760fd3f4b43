#!/bin/bash
# No key over a connection that is not encrypted: a libvirtd that listens on plain TCP gets none.
LIBVIRTD_ARGS=--listen
port=$((20000 + $$ % 10000))
while (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; do port=$((port + 1)); done
LIBVIRTD_CONF="listen_tls = 0
listen_tcp = 1
listen_addr = '127.0.0.1'
tcp_port = '$port'
auth_tcp = 'none'"
. "$(dirname "$0")/../lib/guest.sh"
libvirtd_start
guest_files
keystore_new
mkdir "$T/disks"
cd "$T/disks" || exit 1
guest_define vm idle
kvmcrypt create -q a.qcow2 16M
tcp=qemu+tcp://127.0.0.1:$port/system
check "the plain connection works for virsh" virsh -c $tcp list
check_error 9 'not encrypted' "attach refuses" kvmcrypt attach -q -c $tcp vm a.qcow2
check_error 9 'not encrypted' "load refuses" kvmcrypt load -q -c $tcp --all
check_is "0 0" "$(virsh -q secret-list | wc -l) $(virsh -q domblklist vm | wc -l)" "no secret, no disk"
check_is 0 "$(kvmcrypt keystore log --json | jq '[.rows[]? | select(.action == "attach" or .action == "load")] | length')" "the key was not even unsealed for it"
check "over the local socket it works" kvmcrypt attach vm a.qcow2
check "and --connect may name it" kvmcrypt -q detach -c qemu:///system vm a.qcow2

# A secrets directory in RAM makes secrets persistent: they survive the daemon and touch no disk.
libvirtd_stop
mkdir -p /etc/libvirt/secrets
mount -t ramfs none /etc/libvirt/secrets
chmod 700 /etc/libvirt/secrets
libvirtd_start
check "attach with a RAM-backed secrets directory" kvmcrypt attach vm a.qcow2
uuid=$(virsh -q secret-list | awk '{print $1}')
check_is "ephemeral='no' private='yes'" "$(virsh secret-dumpxml "$uuid" | grep -o "ephemeral='[a-z]*' private='[a-z]*'")" "the secret is persistent"
libvirtd_kill
libvirtd_start
check_is 1 "$(virsh -q secret-list | wc -l)" "and there after the daemon was killed"
check_is ramfs "$(stat -f -c %T /etc/libvirt/secrets/"$uuid".base64)" "its file is in RAM"
