#!/bin/bash
# keystore forget: the record goes, the disk stays.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.raw 64K
kvmcrypt create -q base.qcow2 64K
kvmcrypt create -q --backing base.qcow2 over.qcow2
printf 'my own passphrase' >mine
kvmcrypt keyslot add -q --passphrase-file mine a.raw
sum=$(sha256sum <a.raw)
kvmcrypt keystore forget --yes a.raw >/dev/null 2>&1
check_is 8 $? "libvirt that is away is an error"
check_exit 0 "the record is still there" kvmcrypt show -q --no-libvirt a.raw
check_error 9 'add --yes if you are sure' "without a terminal it needs --yes" kvmcrypt keystore forget --no-libvirt a.raw
check "a dry run" kvmcrypt keystore forget -q --dry-run --no-libvirt a.raw
check_exit 0 "changes nothing" kvmcrypt show -q --no-libvirt a.raw
check_error 9 'base.qcow2 is the backing file of volume .*over.qcow2, which would be lost' "a base that another volume needs is refused" \
	kvmcrypt keystore forget --yes --no-libvirt base.qcow2
kvmcrypt keystore forget --json --yes --no-libvirt a.raw >out 2>err
check_is "true null $T/a.raw" "$(jq -r '"\(.forgotten) \(.moved) \(.path)"' out)" "it is forgotten, and says so"
check_is "$sum" "$(sha256sum <a.raw)" "not a byte of the disk has changed"
check_exit 4 "the record is gone" kvmcrypt show -q --no-libvirt a.raw
check_exit 4 "a second time there is none" kvmcrypt keystore forget --yes --no-libvirt a.raw
check_is forget "$(kvmcrypt keystore log --json | jq -r '.rows[-1].action')" "the audit trail keeps the fact"
check "it can be taken in again with a passphrase in it" kvmcrypt import -q --passphrase-file mine a.raw
check "the keystore is intact" kvmcrypt keystore check -q
