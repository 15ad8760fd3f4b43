#!/bin/bash
# QEMU opens the image: our header against the header QEMU itself makes by default.
. "$(dirname "$0")/../tests/lib/test.sh"
. "$(dirname "$0")/../tests/lib/bench.sh"
keystore_new
kvmcrypt unseal -q
cd "$T" || exit 1
kvmcrypt create -q ours.qcow2 1G
passphrase_of ours.qcow2 >ours.key
head -c 32 /dev/urandom | base64 | tr -d '\n' >peer.key
until qemu-img create -q -f qcow2 --object secret,id=s0,file=peer.key \
	-o encrypt.format=luks,encrypt.key-secret=s0 peer.qcow2 1G 2>/dev/null; do :; done
opens() { qemu-io --object secret,id=s0,file="$1.key" --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1.qcow2" -c "read 0 4k"; }
plain() { qemu-io -f qcow2 -c "read 0 4k" plain.qcow2; }
qemu-img create -q -f qcow2 plain.qcow2 1G
a=$(median_ms 15 opens ours)
b=$(median_ms 5 opens peer)
p=$(median_ms 15 plain)
line "qemu-io opens and reads a volume of kvmcrypt" "$a"
line "the same of qemu-img create with its default header" "$b"
line "the same without any encryption (what QEMU's start costs)" "$p"
verdict "image open" "$(ratio "$b" "$a")" 50
