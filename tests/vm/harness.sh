#!/bin/bash
# The virtual machine of these tests is what they take it for.
. "$(dirname "$0")/../lib/vm.sh"
check "device-mapper is there" dmsetup version
for t in crypt integrity; do check "with target $t" bash -c "dmsetup targets | grep -q '^$t '"; done
check "a second disk" test -b /dev/vdb
keystore_new
check "kvmcrypt runs" kvmcrypt create -q "$T/a.raw" 8M
head -c 32 /dev/urandom >"$T/key"
check "cryptsetup formats" cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdb "$T/key"
check "and opens" cryptsetup open --key-file "$T/key" /dev/vdb probe
check_is crypt "$(dmsetup table probe | cut -d' ' -f3)" "which is a dm-crypt mapping"
check "and closes" cryptsetup close probe
