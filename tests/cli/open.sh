#!/bin/bash
# kvmcrypt open and close: what can be said without device-mapper. The rest is tests/vm/open.sh.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.raw 8M --luks 2
kvmcrypt create -q q.qcow2 8M
check_error 2 'only a raw volume' "qcow2 is not for dm-crypt" kvmcrypt open -q q.qcow2
check_error 2 'no name for a mapping' "a name with a slash" kvmcrypt open -q a.raw ../a
check_error 2 'no name for a mapping' "an empty name" kvmcrypt open -q a.raw ""
check_error 2 'no name for a mapping' "control is device-mapper's own" kvmcrypt open -q a.raw control
check_error 4 'no volume' "a file that is no volume" kvmcrypt open -q root.key
check_error 2 'LUKS1' "--persistent on LUKS1" bash -c "'$KVMCRYPT' create -q one.raw 8M && exec '$KVMCRYPT' open -q --persistent one.raw"
if [ -e /sys/module/dm_mod ]; then
	skip "this kernel has device-mapper"
else
	check_error 1 'no device-mapper' "without device-mapper it says so" kvmcrypt open -q a.raw
	check_error 1 'no device-mapper' "so does create --integrity" kvmcrypt create -q i.raw 8M --integrity aead
	check "which left nothing" test ! -e i.raw
	check_is "failed 1" "$(kvmcrypt open --json -q a.raw 2>/dev/null | jq -r '"\(.error.kind) \(.error.exit_code)"')" "in JSON too"
	check "list goes on working" kvmcrypt list
fi
check_exit 0 "close of a volume that is not open" kvmcrypt close a.raw
check_is "null null" "$(kvmcrypt close --json -q a.raw | jq -r '"\(.mapping) \(.mapped)"')" "JSON of it"
mv root.key away
check_exit 0 "close needs no key" kvmcrypt close -q a.raw
check_exit 3 "open does" kvmcrypt open -q a.raw
