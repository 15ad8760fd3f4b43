#!/bin/bash
# What a command costs by itself, the keystore unsealed.
. "$(dirname "$0")/../tests/lib/test.sh"
. "$(dirname "$0")/../tests/lib/bench.sh"
keystore_new
kvmcrypt unseal -q
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 1G
line "kvmcrypt --version" "$(median_ms 31 kvmcrypt --version)"
line "kvmcrypt list (1 volume)" "$(median_ms 31 kvmcrypt list)"
line "kvmcrypt passphrase show (unseals a record, writes the audit trail)" "$(median_ms 31 kvmcrypt passphrase show --yes a.qcow2)"
line "peers: virsh --version" "$(median_ms 31 virsh --version)"
line "       cryptsetup --version" "$(median_ms 31 cryptsetup --version)"
