#!/bin/bash
# kvmcrypt resize while a guest runs: the guest sees exactly the new size.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin
guest_define vm watch
for f in a.qcow2 b.raw; do
	kvmcrypt create -q $f 32M
	check "attach $f" kvmcrypt attach vm $f
done
check "start" virsh -q start vm
check "the guest sees both" guest_wait_said vm "disks vda vdb"
check "and their sizes" guest_wait_said vm "sizes vda 65536 vdb 65536"
check "grow the qcow2 live" kvmcrypt resize a.qcow2 48M
check "the guest sees 48 MiB" guest_wait_said vm "sizes vda 98304 vdb 65536"
check "grow the raw live" kvmcrypt resize b.raw 64M
check "the guest sees 64 MiB" guest_wait_said vm "sizes vda 98304 vdb 131072"
check_is "50331648 67108864" "$(kvmcrypt show --json a.qcow2 | jq .size) $(kvmcrypt show --json b.raw | jq .size)" "the records say so"
check_is $((66 * 1024 * 1024)) "$(stat -c %s b.raw)" "the raw file is 2 MiB larger, for the header"
check_error 9 'shrink' "smaller is refused" kvmcrypt resize -q a.qcow2 16M
virsh -q destroy vm
check "at rest with a domain known" kvmcrypt resize a.qcow2 80M
check_is 83886080 "$(kvmcrypt show --json a.qcow2 | jq .size)" "works as well"
