#!/bin/bash
# What a command costs by itself, the keystore unsealed.
. "$(dirname "$0")/../tests/lib/test.sh"
. "$(dirname "$0")/../tests/lib/bench.sh"
keystore_new
kvmcrypt unseal -q
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 1G
line "kvmcrypt --version" "$(median_of 61 "$KVMCRYPT" --version)"
line "kvmcrypt list (1 volume)" "$(median_of 61 "$KVMCRYPT" list)"
line "kvmcrypt passphrase show (unseals a record, writes the audit trail)" "$(median_of 61 "$KVMCRYPT" passphrase show --yes a.qcow2)"
line "peers: virsh --version" "$(median_of 61 virsh --version)"
line "       cryptsetup --version" "$(median_of 61 cryptsetup --version)"
