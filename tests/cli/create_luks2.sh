#!/bin/bash
# kvmcrypt create --luks 2 on files: headers that cryptsetup opens, detached headers, bad input.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
opens() { # opens HEADER VOLUME [OPTIONS]: cryptsetup opens it with the passphrase that is shown
	local passphrase
	passphrase=$(passphrase_of "$2") && printf %s "$passphrase" |
		cryptsetup open --test-passphrase --type luks2 --key-file - "$1"
}
dump() { cryptsetup luksDump --dump-json-metadata "$1" | jq -r "$2"; }

check "create" kvmcrypt create a.raw 64M --luks 2
check_is $(((64 + 4) << 20)) "$(stat -c %s a.raw)" "the file is SIZE and the header, to the byte"
check "cryptsetup opens it" opens a.raw a.raw
check_is "crypt 4096 4194304 aes-xts-plain64" "$(dump a.raw '.segments["0"] | "\(.type) \(.sector_size) \(.offset) \(.encryption)"')" "one segment with 4096-byte sectors"
check_is "pbkdf2 1000 64" "$(dump a.raw '.keyslots["0"] | "\(.kdf.type) \(.kdf.iterations) \(.key_size)"')" "a minimal keyslot for a key of full entropy"
check_is "crypto_LUKS a.raw" "$(blkid -p -s TYPE -o value a.raw) $(blkid -p -s LABEL -o value a.raw)" "blkid knows what it is"
check_is "$(kvmcrypt show --json a.raw | jq -r .luks.uuid)" "$(blkid -p -s UUID -o value a.raw)" "and the UUID of the record"
check_is "2 4096 null null" "$(kvmcrypt show --json a.raw | jq -r '.luks | "\(.version) \(.sector_size) \(.integrity) \(.header_path)"')" "show says the same"
check_is "" "$(find . -name '*.kvmcrypt-new')" "no temporary file is left"
check_error 10 'is a volume' "not overwritten" kvmcrypt create -q a.raw 64M --luks 2
check_exit 0 "--if-absent: the same again" kvmcrypt create -q a.raw 64M --luks 2 --if-absent
check_error 10 'another LUKS version' "--if-absent: LUKS1" kvmcrypt create -q a.raw 64M --if-absent
check_error 10 'another sector size' "--if-absent: other sectors" kvmcrypt create -q a.raw 64M --if-absent --sector-size 512
check "a size that is no multiple of 4096" kvmcrypt create -q odd.raw 1048064 --luks 2
check_is 512 "$(dump odd.raw '.segments["0"].sector_size')" "gets small sectors"
check "--sector-size means LUKS2" kvmcrypt create -q s.raw 8M --sector-size 512
check_is "2 512" "$(kvmcrypt show --json s.raw | jq -r '.luks | "\(.version) \(.sector_size)"')" "with those sectors"
check "another cipher" kvmcrypt create -q c.raw 8M --luks 2 --cipher aes-cbc-essiv:sha256
check_is "aes-cbc-essiv:sha256 32" "$(dump c.raw '"\(.segments["0"].encryption) \(.keyslots["0"].key_size)"')" "is in the header"
check "full preallocation" kvmcrypt create -q f.raw 8M --luks 2 --preallocation full
check "import of a copy elsewhere is refused, it has the UUID" bash -c "cp a.raw copy.raw; passphrase=\$('$KVMCRYPT' passphrase show --yes a.raw); printf %s \"\$passphrase\" | '$KVMCRYPT' import -q --passphrase-file - copy.raw; [ \$? = 10 ]"
check "erase" kvmcrypt erase -q --yes --no-libvirt --keep-file a.raw
check "leaves no header" bash -c "! cryptsetup isLuks a.raw"

# Detached
check "a detached header" kvmcrypt create -q d.raw 64M --header d.hdr
check_is "$((64 << 20)) $((4 << 20))" "$(stat -c %s d.raw) $(stat -c %s d.hdr)" "two files: the disk alone, the header alone"
check "cryptsetup opens the header" opens d.hdr d.raw
check_is 0 "$(dump d.hdr '.segments["0"].offset')" "the data begins at byte 0"
check_is "$T/d.hdr ready" "$(kvmcrypt show --json d.raw | jq -r '"\(.luks.header_path) \(.state)"')" "show names it"
mv d.hdr away.hdr
check_is missing "$(kvmcrypt show --json d.raw | jq -r .state)" "without the header it is missing"
mv away.hdr d.hdr && mv d.raw away.raw
check_is missing "$(kvmcrypt show --json d.raw | jq -r .state)" "and without the data"
mv away.raw d.raw
check_error 10 'd.hdr exists already' "an existing header is not overwritten" kvmcrypt create -q e.raw 8M --header d.hdr
check "erase" kvmcrypt erase -q --yes --no-libvirt d.raw
check "removes both" test ! -e d.raw -a ! -e d.hdr

# Bad input: one line, the right code, nothing on disk
before=$(ls -A | sort | md5sum)
check_error 2 'raw volumes' "LUKS2 in qcow2" kvmcrypt create -q x.qcow2 8M --luks 2
check_error 2 'for LUKS2' "a detached header of qcow2" kvmcrypt create -q x.qcow2 8M --header h
check_error 2 'for LUKS2' "LUKS1 with a sector size" kvmcrypt create -q x.raw 8M --luks 1 --sector-size 4096
check_error 2 '512, 1024' "an odd sector size" kvmcrypt create -q x.raw 8M --sector-size 1000
check_error 2 'no multiple of the sector' "a size that does not fit" kvmcrypt create -q x.raw 1048064 --sector-size 4096
check_error 2 'none of' "an unknown integrity" kvmcrypt create -q x.raw 8M --integrity crc32
check_error 2 'no cipher' "the null cipher" kvmcrypt create -q x.raw 8M --luks 2 --cipher cipher_null-ecb
check_error 2 'no cipher' "a cipher without mode" kvmcrypt create -q x.raw 8M --luks 2 --cipher aes
check_error 2 'needs --integrity aead' "a cipher that is nothing without its tags" kvmcrypt create -q x.raw 8M --luks 2 --cipher aes-gcm-random
check_error 2 '256 or 512' "key bits" kvmcrypt create -q x.raw 8M --luks 2 --key-bits 128
check_error 2 'another file' "the volume as its own header" kvmcrypt create -q x.raw 8M --header x.raw
check_error 2 'block devices' "--yes-destroy of a file" kvmcrypt create -q x.raw 8M --luks 2 --yes-destroy x.raw
check_error 4 'o such' "a header in a missing directory" kvmcrypt create -q x.raw 8M --header none/h
check_error 2 'luks is 1 or 2' "LUKS3" kvmcrypt create -q x.raw 8M --luks 3
check_exit 0 "--dry-run" kvmcrypt create -q x.raw 8M --header x.hdr --dry-run
check_is "$before" "$(ls -A | sort | md5sum)" "none of these left anything behind"

# kill -9 at every write: recover finishes or undoes
strace -o /dev/null true 2>/dev/null || skip_all "strace cannot trace here"
landed=0 wrong=0
for call in pwrite64 fsync renameat2 ftruncate; do
	for n in $(seq 1 40); do
		(strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when="$n" "$KVMCRYPT" create -q k.raw 2M --header k.hdr; exit $?) >/dev/null 2>&1
		[ $? -ge 128 ] || break
		landed=$((landed + 1))
		kvmcrypt recover -q >/dev/null 2>recover.err || { wrong=$((wrong + 1)); cat recover.err; }
		[ -z "$(find . -name '*.kvmcrypt-new')" ] || { wrong=$((wrong + 1)); echo "# temporary file at $call $n"; }
		if kvmcrypt show -q k.raw --no-libvirt >/dev/null 2>&1; then
			opens k.hdr k.raw || { wrong=$((wrong + 1)); echo "# does not open at $call $n"; }
			kvmcrypt erase -q --yes --no-libvirt k.raw
		elif [ -e k.raw ] || [ -e k.hdr ]; then
			wrong=$((wrong + 1)) && rm -f k.raw k.hdr
			echo "# a file without its record at $call $n"
		fi
	done
	kvmcrypt erase -q --yes --no-libvirt k.raw 2>/dev/null
done
check_is 0 $wrong "$landed kills, nothing lost, nothing left"
check_is yes "$([ $landed -ge 15 ] && echo yes)" "the kills really landed ($landed)"
check "the keystore checks clean" kvmcrypt keystore check
