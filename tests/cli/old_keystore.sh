#!/bin/bash
# A keystore made by the first release (tests/data/README): its records open as they are, and are version 2 once changed.
. "$(dirname "$0")/../lib/test.sh"
# The records name absolute paths, so one run at a time.
OLD=/tmp/kvmcrypt-030c29a
exec 8>>/tmp/kvmcrypt-030c29a.lock && flock 8 || exit 1
gone() { rm -rf $OLD; }
on_exit gone
gone
tar -C /tmp --no-same-owner -xzf "$ROOT/tests/data/keystore-030c29a.tar.gz" || exit 1
export KVMCRYPT_KEYSTORE=$OLD/keystore
states() { kvmcrypt list --json | jq -r '[.volumes[] | (.path | sub(".*/"; "")) + "=" + .state] | sort | join(" ")'; }
# version PATH: of the record's format
version() { sqlite3 $OLD/keystore/keystore.db "SELECT hex(substr(envelope, 5, 4)) FROM volume WHERE path = '$1'"; }

check_is "converting.raw=converting ready.qcow2=ready resizing.qcow2=resizing retiring.raw=rotating rotating.qcow2=rotating unsettled.qcow2=ready" \
	"$(states)" "every state is read"
check "the keystore is intact" kvmcrypt keystore check
check "its image opens with the passphrase of the record" image_io qcow2 $OLD/ready.qcow2 -c 'read 0 64k'
check_is 00000001 "$(version $OLD/ready.qcow2)" "looking changes no record"
check "a passphrase is rotated" kvmcrypt rotate -q --no-libvirt $OLD/ready.qcow2
check_is 00000002 "$(version $OLD/ready.qcow2)" "the record is version 2 then"
check_is 00000001 "$(version $OLD/rotating.qcow2)" "and no other is"
# What the first release did not note of a header, the record knows since.
at=$(LC_ALL=C grep -abo $'LUKS\xba\xbe' $OLD/ready.qcow2 | head -n 1 | cut -d: -f1)
printf sha512 | dd of=$OLD/ready.qcow2 bs=1 seek=$((at + 72)) conv=notrunc status=none
check_error 7 'has hash sha512, and its record has sha256' "it has learned the fields of its header" \
	kvmcrypt rotate -q --no-libvirt $OLD/ready.qcow2
printf sha256 | dd of=$OLD/ready.qcow2 bs=1 seek=$((at + 72)) conv=notrunc status=none
check "the image opens with the new passphrase" image_io qcow2 $OLD/ready.qcow2 -c 'read 0 64k'
check "a backup is made" kvmcrypt keystore backup "$T/backup"
check "what was interrupted is settled" kvmcrypt recover -q --no-libvirt
check_is "converting.raw=ready ready.qcow2=ready resizing.qcow2=ready retiring.raw=ready rotating.qcow2=ready unsettled.qcow2=ready" \
	"$(states)" "all are ready"
for v in rotating.qcow2 retiring.raw converting.raw; do
	check_is kvmcrypt "$(kvmcrypt keyslot list --json $OLD/$v | jq -r '[.keyslots[] | select(.state == "active") | .owner] | join(" ")')" \
		"$v has one keyslot, and it is the record's"
done
check "a new root key, for records of both versions" kvmcrypt keystore rekey -q --yes
check "the keystore is intact" kvmcrypt keystore check
check_is "" "$(sqlite3 $OLD/keystore/keystore.db "SELECT path FROM volume WHERE hex(substr(envelope, 5, 4)) <> '00000002'")" \
	"all records are version 2"
check "the backup with records of both versions is put back" kvmcrypt keystore restore -q --yes "$T/backup"
check "the keystore is intact" kvmcrypt keystore check
