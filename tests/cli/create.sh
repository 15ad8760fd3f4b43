#!/bin/bash
# kvmcrypt create: images that QEMU opens, nothing overwritten, --if-absent, bad input.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1

check "create qcow2" kvmcrypt create a.qcow2 64M
check "qemu-img check is clean" image_check a.qcow2
check_is 600 "$(stat -c %a a.qcow2)" "mode is 0600"
check_is luks "$(qemu-img info --output=json -f qcow2 a.qcow2 | jq -r '.encrypted, ."format-specific".data.encrypt.format' | tail -n 1)" "it is LUKS inside"
check_is 67108864 "$(qemu-img info --output=json -f qcow2 a.qcow2 | jq '."virtual-size"')" "its size is exact"
check "create raw" kvmcrypt create b.raw 64M
check_is $((64 * 1024 * 1024 + 2 * 1024 * 1024)) "$(stat -c %s b.raw)" "raw is 2 MiB larger, for the header"
check "cryptsetup finds LUKS1 in it" cryptsetup isLuks --type luks1 b.raw

for v in a.qcow2:qcow2 b.raw:raw; do
	f=${v%:*} format=${v#*:}
	check "$format: QEMU writes with the keystore's passphrase" image_io "$format" "$T/$f" -c "write -P 0xa5 1M 1M"
	check "$format: another process reads it back" image_io "$format" "$T/$f" -c "read -P 0xa5 1M 1M"
	check_is 0 "$(head -c 64 </dev/zero | tr '\0' '\245' >pattern; grep -c -a -F -f pattern "$f")" "$format: the pattern is not in the file"
done
check "cryptsetup opens the raw volume with it" bash -c "passphrase=\$('$KVMCRYPT' passphrase show --yes b.raw) && printf %s \"\$passphrase\" | cryptsetup open --test-passphrase --type luks1 --key-file - b.raw"

check_error 10 'exists already|is a volume' "an existing volume is not overwritten" kvmcrypt create -q a.qcow2 64M
echo precious >c.qcow2
check_error 10 'c.qcow2 exists already' "an existing file is not overwritten" kvmcrypt create -q c.qcow2 64M
check_is precious "$(cat c.qcow2)" "it is as it was"
ln -s nowhere d.qcow2
check_error 10 'exists already' "a dangling link is not followed" kvmcrypt create -q d.qcow2 64M

check_exit 0 "--if-absent: the same again" kvmcrypt create a.qcow2 64M --if-absent
check_error 10 'another size' "--if-absent: another size" kvmcrypt create -q a.qcow2 65M --if-absent
check_error 10 'another cluster size' "--if-absent: another cluster size" kvmcrypt create -q a.qcow2 64M --if-absent --cluster-size 4K
check_error 10 'another cipher or key size' "--if-absent: another key size" kvmcrypt create -q a.qcow2 64M --if-absent --key-bits 256
check_error 10 'not in the keystore' "--if-absent: a stranger's file" kvmcrypt create -q c.qcow2 64M --if-absent

check "256 key bits" kvmcrypt create e.raw 8M --key-bits 256
check_is 256 "$(cryptsetup luksDump e.raw | awk '/^MK bits:/{print $3}')" "the header says 256"
check "--mode and --owner" kvmcrypt create f.qcow2 8M --mode 0640 --owner nobody:nogroup
check_is "640 nobody nogroup" "$(stat -c '%a %U %G' f.qcow2)" "are set"
for p in metadata falloc full; do
	check "qcow2 preallocation $p" kvmcrypt create p-$p.qcow2 16M --preallocation $p
	check "qcow2 preallocation $p checks clean" image_check p-$p.qcow2
	[ $p = metadata ] || check "raw preallocation $p" kvmcrypt create p-$p.raw 16M --preallocation $p
done
check_is yes "$([ "$(stat -c %b p-falloc.raw)" -ge $((16 * 2048)) ] && echo yes)" "falloc reserves the blocks"
check_error 2 'is for qcow2' "raw has no metadata to allocate" kvmcrypt create -q g.raw 8M --preallocation metadata

# Backing files
qemu-img create -q -f qcow2 plain.qcow2 32M && qemu-io -f qcow2 -c "write -P 0x11 0 1M" plain.qcow2 >/dev/null
qemu-img create -q -f raw plain.raw 32M
check "overlay on a plain qcow2" kvmcrypt create o1.qcow2 --backing plain.qcow2
check_is 33554432 "$(kvmcrypt show --json o1.qcow2 | jq .size)" "takes the backing file's size"
check "overlay on a plain raw" kvmcrypt create o2.qcow2 40M --backing plain.raw
check "overlay on a volume" kvmcrypt create o3.qcow2 --backing a.qcow2
check "overlay on a raw volume" kvmcrypt create o4.qcow2 --backing b.raw
for o in o1 o2 o3 o4; do check "$o checks clean" image_check $o.qcow2; done
check_is "$T/plain.qcow2 qcow2" "$(qemu-img info --output=json -f qcow2 o1.qcow2 | jq -r '."backing-filename" + " " + ."backing-filename-format"')" "the header names file and format"
check "a guest's view of the overlay: the base shines through" qemu-io --object secret,id=s0,file=<(passphrase_of o1.qcow2) --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=o1.qcow2 -c "read -P 0x11 0 1M"
check "what is written goes encrypted into the overlay" image_io qcow2 "$T/o1.qcow2" -c "write -P 0x5a 4M 1M" -c "read -P 0x5a 4M 1M"
cp plain.qcow2 sneaky.raw
check_error 9 'qcow2 by its contents' "a raw file that looks like qcow2 is refused" kvmcrypt create -q o5.qcow2 --backing sneaky.raw
cp plain.raw plain.disk
check_error 2 'add --backing-format' "an unknown suffix needs a format" kvmcrypt create -q o6.qcow2 --backing plain.disk
check "and takes it" kvmcrypt create o6.qcow2 --backing plain.disk --backing-format raw
qemu-img create -q -f raw deep.raw 4M
qemu-img create -q -f qcow2 -F raw -b deep.raw middle.qcow2
check "a base with a base of its own" kvmcrypt create -q o8.qcow2 --backing middle.qcow2
# As QEMU before 6.1 wrote it: the format of the base's base is not said.
qemu-img create -q -f qcow2 -F raw -b deep.raw unsaid.qcow2
at=$(LC_ALL=C grep -aboF -m 1 $'\xe2\x79\x2a\xca' unsaid.qcow2 | head -n 1 | cut -d: -f1)
printf '\x12\x34\x56\x78' | dd of=unsaid.qcow2 bs=1 seek="$at" conv=notrunc status=none
check_error 9 'does not say the format' "a base whose own base has no format" kvmcrypt create -q o9.qcow2 --backing unsaid.qcow2
check "nothing is left of it" test ! -e o9.qcow2
rm deep.raw
check_error 4 'deep.raw' "a base whose own base is missing" kvmcrypt create -q o9.qcow2 --backing middle.qcow2
head -c 1000001 /dev/zero >odd.raw
check "a base of an odd length" kvmcrypt create -q o10.qcow2 --backing odd.raw
check_is 1000448 "$(kvmcrypt show --json o10.qcow2 | jq .size)" "is rounded up to a sector"
check "and QEMU reads it all" qemu-io --object secret,id=s0,file=<(passphrase_of o10.qcow2) --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=o10.qcow2 -c 'read -P 0 0 1000448'
check_error 4 'No such file' "a missing backing file" kvmcrypt create -q o7.qcow2 --backing none.qcow2
check_error 2 'raw has no backing' "raw with a backing file" kvmcrypt create -q o7.raw 8M --backing plain.qcow2
check_error 2 'preallocated' "preallocation with a backing file" kvmcrypt create -q o7.qcow2 --backing plain.qcow2 --preallocation full

# Bad input: one line, the right code, nothing on disk
before=$(ls -A | sort | md5sum)
check_error 2 'not a size' "a word as size" kvmcrypt create -q x.qcow2 lots
check_error 2 'not a size' "a negative size" kvmcrypt create -q x.qcow2 -- -5G
check_error 2 'zero' "size zero" kvmcrypt create -q x.qcow2 0
check_error 2 'multiple of 512' "an odd size" kvmcrypt create -q x.qcow2 1000
check_error 2 'not a size' "an overflowing size" kvmcrypt create -q x.qcow2 99999999999T
check_error 2 'cluster' "cluster size 1000" kvmcrypt create -q x.qcow2 1G --cluster-size 1000
check_error 2 'cluster|size' "too large for small clusters" kvmcrypt create -q x.qcow2 64T --cluster-size 512
check_error 2 'does not tell' "no suffix, no format" kvmcrypt create -q x 1G
check_error 2 'only aes-xts-plain64' "another cipher" kvmcrypt create -q x.qcow2 1G --cipher cipher_null
check_error 2 '256 or 512' "odd key bits" kvmcrypt create -q x.qcow2 1G --key-bits 128
check_error 2 'unknown' "an unknown option" kvmcrypt create -q x.qcow2 1G --frobnicate
check_error 2 'IMAGE is missing' "no operand" kvmcrypt create -q
check_error 2 'octal' "a bad mode" kvmcrypt create -q x.qcow2 1G --mode rw
check_error 2 'no user' "an unknown user" kvmcrypt create -q x.qcow2 1G --owner nosuchuser
check_error 2 'control characters' "a path with a newline" kvmcrypt create -q $'a\nb.qcow2' 1G
check_error 2 'not UTF-8' "a path that is not UTF-8" kvmcrypt create -q $'latin\xe4.qcow2' 1G
check_error 4 'o such' "a missing directory" kvmcrypt create -q none/x.qcow2 1G
check_is "$before" "$(ls -A | sort | md5sum)" "none of these left anything behind"
check_exit 0 "--dry-run" kvmcrypt create x.qcow2 1G --dry-run
check_is "$before" "$(ls -A | sort | md5sum)" "--dry-run made nothing"
check_exit 4 "nor a record" kvmcrypt show x.qcow2

check_is "created qcow2 67108864 1 aes-xts-plain64 512 1 ready" "created $(kvmcrypt create --json -q j.qcow2 64M | jq -r '[.format, .size, .luks.version, .luks.cipher, .luks.key_bits, .generation, .state] | map(tostring) | join(" ")')" "JSON"
check_is "exists 10" "$(kvmcrypt create --json -q j.qcow2 64M 2>/dev/null | jq -r '[.error.kind, .error.exit_code] | map(tostring) | join(" ")')" "JSON of a failure"
check_is "usage 2 1" "$(kvmcrypt --json nosuch 2>/dev/null | jq -rs '[.[0].error.kind, .[0].error.exit_code, length] | map(tostring) | join(" ")')" "JSON of an unknown command"
check_is "usage 2" "$(kvmcrypt keystore --json 2>/dev/null | jq -r '[.error.kind, .error.exit_code] | map(tostring) | join(" ")')" "JSON of half a command"
check_exit 1 "help that cannot be written" bash -c "'$KVMCRYPT' create --help >/dev/full"
check "the keystore checks clean" kvmcrypt keystore check

# A base that changes makes its overlays worthless.
kvmcrypt create -q base.qcow2 8M
qemu-io --object secret,id=s0,file=<(kvmcrypt passphrase show --yes base.qcow2 | tr -d '\n') --image-opts driver=qcow2,encrypt.format=luks,encrypt.key-secret=s0,file.filename=base.qcow2 -c 'sleep 600000' >/dev/null 2>&1 &
writer=$!
wait_for sh -c "! '$KVMCRYPT' create -q --dry-run over-base.qcow2 --backing base.qcow2"
check_error 9 'open to be written' "an overlay on what a process is writing to" kvmcrypt create -q over-base.qcow2 --backing base.qcow2
check "unless a person knows" kvmcrypt create -q --dry-run over-base.qcow2 --backing base.qcow2 --backing-in-use
kill $writer
wait $writer 2>/dev/null
check "and when it is closed" kvmcrypt create -q over-base.qcow2 --backing base.qcow2
