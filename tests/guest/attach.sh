#!/bin/bash
# kvmcrypt attach and detach: live and in the configuration, repeated, and every refusal.
. "$(dirname "$0")/../lib/guest.sh"
guest_begin
guest_define vm watch
kvmcrypt create -q a.qcow2 32M
kvmcrypt create -q b.raw 32M
state() { virsh -q dumpxml "$@" | md5sum; }
disks() { virsh -q domblklist "$@" | awk '{print $1}' | tr '\n' ' '; }

check "attach to a domain that does not run" kvmcrypt attach vm a.qcow2
check_is "vda " "$(disks vm)" "it is vda"
check_is 1 "$(virsh -q secret-list | wc -l)" "one secret"
uuid=$(virsh -q secret-list | awk '{print $1}')
check_is "$(kvmcrypt show --json a.qcow2 | jq -r .secret.uuid)" "$uuid" "show names it"
check_is "ephemeral='yes' private='yes'" "$(virsh secret-dumpxml "$uuid" | grep -o "ephemeral='[a-z]*' private='[a-z]*'")" "it is private and ephemeral"
check_exit 1 "libvirt does not give its value" virsh secret-get-value "$uuid"
check_is 0 "$(find /etc/libvirt/secrets -type f 2>/dev/null | wc -l)" "no file of it"
before=$(state vm)
check_exit 0 "attach again" kvmcrypt attach vm a.qcow2
check_is "$before" "$(state vm)" "changed nothing"
check_is false "$(kvmcrypt attach -q --json vm a.qcow2 | jq .changed)" "and says so in JSON"
check_is "vm vda" "$(kvmcrypt show --json a.qcow2 | jq -r '.domains[] | .name + " " + .target')" "show names domain and target"

check "start" virsh -q start vm
check "the guest is up and sees vda" guest_wait_said vm "disks vda"
check "attach live" kvmcrypt attach vm b.raw
check "the guest sees it" guest_wait_said vm "disks vda vdb"
check_is "vda vdb " "$(disks vm)" "live: vda and vdb"
check_is "vda vdb " "$(disks vm --inactive)" "configuration: vda and vdb"
check_exit 0 "attach live again" kvmcrypt attach vm b.raw
check_is "vda vdb " "$(disks vm)" "changed nothing"
check "detach live" kvmcrypt detach vm b.raw
check_is "vda /vda " "$(disks vm)/$(disks vm --inactive)" "gone from both"
check_is 1 "$(virsh -q secret-list | wc -l)" "its secret too"
check_exit 0 "detach again" kvmcrypt detach vm b.raw
check_is false "$(kvmcrypt detach -q --json vm b.raw | jq .changed)" "changed nothing"

check "--live only" kvmcrypt attach vm b.raw --live --target vdf
check_is "vda vdf /vda " "$(disks vm)/$(disks vm --inactive)" "is in the guest only"
check "detach" kvmcrypt detach vm b.raw
check "--config only, another bus, read-only" kvmcrypt attach vm b.raw --config --bus scsi --readonly
check_is "vda /sda vda " "$(disks vm)/$(disks vm --inactive | tr ' ' '\n' | sort | grep . | tr '\n' ' ')" "is in the configuration only"
check_is 1 "$(virsh -q dumpxml --inactive vm | grep -c '<readonly/>')" "and read-only"
check "detach" kvmcrypt detach vm b.raw

check_is "vm" "$(kvmcrypt --dump-values domains)" "completion knows the domains"
check_is "vm" "$(bash -c 'source "$1/completions/kvmcrypt.bash"; COMP_WORDS=("$2" attach v); COMP_CWORD=2; COMPREPLY=(); _kvmcrypt 2>/dev/null; echo "${COMPREPLY[@]}"' _ "$ROOT" "$KVMCRYPT")" "and bash offers them"

# Refusals: each its own code, nothing half done.
before=$(state vm)$(virsh -q secret-list | md5sum)
same() { check_is "$before" "$(state vm)$(virsh -q secret-list | md5sum)" "  and nothing has changed"; }
check_error 4 "no domain 'none'" "a missing domain" kvmcrypt attach -q none b.raw
check_error 4 'o such|no volume' "a missing volume" kvmcrypt attach -q vm none.qcow2
check_error 10 'another disk as vda' "a taken target" kvmcrypt attach -q vm b.raw --target vda
same
check_error 10 'is vda of domain vm already' "another target for an attached volume" kvmcrypt attach -q vm a.qcow2 --target vdx
guest_define vm2 idle
check_error 6 'disk of domain vm' "an image that another domain has" kvmcrypt attach -q vm2 a.qcow2
same
virsh -q attach-disk vm2 "$PWD/b.raw" vda --config --subdriver raw >/dev/null
check_error 9 'without encryption' "a domain that has the image without encryption" kvmcrypt attach -q vm2 b.raw
virsh -q detach-disk vm2 vda --config >/dev/null
passphrase_of b.raw >key
hold_open --object secret,id=s0,file=key --image-opts driver=luks,key-secret=s0,file.filename=b.raw
check_error 6 'in use by another process' "an image that another process has open" kvmcrypt attach -q vm b.raw
same
let_go
rm key
check_error 2 'exclude each other' "--live and --config" kvmcrypt attach -q vm b.raw --live --config
check_error 1 'not running' "--live on a domain that does not run" kvmcrypt attach -q vm2 b.raw --live
check_error 8 'cannot connect' "a wrong URI" kvmcrypt -c qemu+unix:///system?socket=/nowhere -q attach vm b.raw
check_error 8 'cannot connect' "an unknown driver" kvmcrypt attach -q -c frob:///system vm b.raw
check_error 9 'detach vm' "erase of an attached volume" kvmcrypt erase -q --yes a.qcow2
mv "$T/root.key" "$T/away"
check_error 3 'kvmcrypt unseal' "a sealed keystore" kvmcrypt attach -q vm b.raw
mv "$T/away" "$T/root.key"
same
check_exit 0 "--dry-run" kvmcrypt attach vm b.raw --dry-run
same

# A disk whose attach fails in libvirt leaves no secret.
check_exit 8 "libvirt refuses the disk (a name that is none)" kvmcrypt attach vm b.raw --bus virtio --target 'no name'
same
check_error 2 'no new disk on its ide bus' "a bus that takes no disk while the guest runs" kvmcrypt attach -q vm b.raw --bus ide
same

guest_define noacpi watch "" ""
check "start a guest without ACPI" virsh -q start noacpi
check_error 8 'no <acpi/>' "attach live says why the machine cannot take it" kvmcrypt attach -q noacpi b.raw
check "--config works" kvmcrypt attach noacpi b.raw --config
virsh -q destroy noacpi
check "detach" kvmcrypt detach noacpi b.raw

# Daemon killed: the guest lives on, load brings the secret back.
libvirtd_kill
check_error 8 'cannot connect' "libvirtd down" kvmcrypt attach -q vm b.raw
check_error 8 'cannot connect|no-libvirt' "libvirtd down: erase of an attached volume" kvmcrypt erase -q --yes a.qcow2
libvirtd_start
check_is 0 "$(virsh -q secret-list | wc -l)" "the ephemeral secret died with the daemon"
virsh -q destroy vm
check_exit 1 "so the guest does not start" virsh -q start vm
check "load" kvmcrypt load --all
check "now it starts" virsh -q start vm
check_exit 0 "load again" kvmcrypt load a.qcow2
check_is false "$(kvmcrypt load -q --json a.qcow2 | jq '.volumes[0].changed')" "changed nothing"
cp -a "$KVMCRYPT_KEYSTORE" "$T/intact"
sqlite3 "$KVMCRYPT_KEYSTORE/keystore.db" "UPDATE volume SET envelope = zeroblob(length(envelope)) WHERE path LIKE '%/b.raw'"
check "unload" kvmcrypt unload a.qcow2
check_exit 7 "load --all with a damaged record" kvmcrypt load --all --json
check_is "true damaged" "$(jq -r '(.volumes[] | select(.path | endswith("a.qcow2")) | .secret.registered | tostring) + " " + .error.kind' "$T/stdout")" "loads the others and tells of it"
rm -rf "$KVMCRYPT_KEYSTORE"
mv "$T/intact" "$KVMCRYPT_KEYSTORE"
check "unload" kvmcrypt unload a.qcow2
check_is running "$(virsh -q domstate vm)" "a running guest goes on"
check_exit 0 "unload again" kvmcrypt unload a.qcow2
virsh -q destroy vm
check "detach without a secret there" kvmcrypt detach vm a.qcow2
check "erase after detach" kvmcrypt erase --yes a.qcow2
check "the keystore checks clean" kvmcrypt keystore check
