#!/bin/bash
# kvmcrypt resize at rest: the guest sees exactly SIZE, data stays, what a backing file has beyond
# the old end does not come into view.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
size_of() { qemu-io --object secret,id=s0,file=<(passphrase_of "$2") --image-opts "$([ "$1" = qcow2 ] && echo "driver=qcow2,encrypt.key-secret=s0" || echo "driver=luks,key-secret=s0"),file.filename=$2" -c length | tr -d ' '; }
for f in a.qcow2 b.raw; do
	format=${f#*.}
	kvmcrypt create -q $f 16M
	image_io "$format" "$T/$f" -c "write -P 0x77 15M 1M" >/dev/null
	check_exit 0 "$f: the same size" kvmcrypt resize $f 16M
	check_exit 0 "$f: --dry-run" kvmcrypt resize $f 64M --dry-run
	check_is 16777216 "$(kvmcrypt show --json $f | jq .size)" "$f: changed nothing"
	check "$f: grow" kvmcrypt resize $f 64M
	check_is 64MiB "$(size_of "$format" $f)" "$f: QEMU sees exactly 64 MiB"
	check_is 67108864 "$(kvmcrypt show --json $f | jq .size)" "$f: the record too"
	check "$f: the data is there" image_io "$format" "$T/$f" -c "read -P 0x77 15M 1M"
	check_error 9 'shrink' "$f: smaller is refused" kvmcrypt resize -q $f 16M
	check "$f: --shrink" kvmcrypt resize $f 16M --shrink
	check "$f: the data is still there" image_io "$format" "$T/$f" -c "read -P 0x77 15M 1M"
	check_error 2 'multiple of 512' "$f: an odd size" kvmcrypt resize -q $f 1000
	check_error 2 'not a size' "$f: a size more that is none" kvmcrypt resize -q $f +x
	check_is 25165824 "$(kvmcrypt resize -q --json --dry-run $f +8M | jq .size)" "$f: +8M, --dry-run"
	check_is "16777216 25165824" "$(kvmcrypt resize -q --json $f +8M | jq -r '"\(.old_size) \(.size)"')" "$f: +8M is 8M more"
	check_is 24MiB "$(size_of "$format" $f)" "$f: QEMU sees so much"
	check_error 2 'larger than a file' "$f: more than there is" kvmcrypt resize -q $f +18446744073709551615
	kvmcrypt resize -q $f 16M --shrink
	check_is "16777216 33554432 true" "$(kvmcrypt resize -q --json $f 32M | jq -r '[.old_size, .size, .changed] | map(tostring) | join(" ")')" "$f: JSON"
done
check "a.qcow2 checks clean" image_check a.qcow2
check_is $((32 * 1024 * 1024 + 2 * 1024 * 1024)) "$(stat -c %s b.raw)" "raw: the header's share comes on top"

kvmcrypt create -q d.raw 16M --header d.hdr
check "a detached header: grow" kvmcrypt resize d.raw 32M
check_is "33554432 33554432" "$(stat -c %s d.raw) $(kvmcrypt show --json d.raw | jq .size)" "the data file is the disk and nothing else"

kvmcrypt create -q base.qcow2 32M
image_io qcow2 "$T/base.qcow2" -c "write -P 0x11 24M 1M" >/dev/null
kvmcrypt create -q over.qcow2 16M --backing base.qcow2
check "an overlay smaller than its backing file grows" kvmcrypt resize over.qcow2 32M
chain="json:{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"s0\"},\"file\":{\"driver\":\"file\",\"filename\":\"$T/over.qcow2\"},\"backing\":{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"s1\"},\"file\":{\"driver\":\"file\",\"filename\":\"$T/base.qcow2\"}}}"
check "what the backing file has there does not come into view" qemu-io --object secret,id=s0,file=<(passphrase_of over.qcow2) --object secret,id=s1,file=<(passphrase_of base.qcow2) "$chain" -c "read -P 0 24M 1M"

passphrase_of b.raw >key
hold_open --object secret,id=s0,file=key --image-opts driver=luks,key-secret=s0,file.filename=b.raw
check_error 6 'in use' "a volume that another process has open" kvmcrypt resize -q b.raw 64M
let_go

landed=0 wrong=0
exec 2>/dev/null
export ASAN_OPTIONS=detect_leaks=0
for call in pwrite64 fdatasync ftruncate; do
	for n in $(seq 1 12); do
		strace -f -qq -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when="$n" "$KVMCRYPT" resize -q a.qcow2 $((40 + n))M >/dev/null 2>&1
		[ $? -ge 128 ] || break
		landed=$((landed + 1))
		kvmcrypt recover -q >/dev/null 2>&1 || wrong=$((wrong + 1))
		[ "$(kvmcrypt show --json a.qcow2 | jq -r '.state + " " + (.size | tostring)')" = "ready $(qemu-img info --output=json -f qcow2 a.qcow2 | jq '."virtual-size"')" ] || wrong=$((wrong + 1))
		image_io qcow2 "$T/a.qcow2" -c "read -P 0x77 15M 1M" >/dev/null || wrong=$((wrong + 1))
	done
done
check_is 0 $wrong "$landed kills during a resize: recover takes over the size that the image has"
check_is yes "$([ $landed -ge 5 ] && echo yes)" "the kills really landed ($landed)"
check "the keystore checks clean" kvmcrypt keystore check

# Each of them adds to what it finds, whoever is first.
kvmcrypt create -q more.raw 16M
for i in 1 2 3; do kvmcrypt resize -q more.raw +8M 2>/dev/null && echo "$i" >>grown & done
wait
check_is $((16 + 8 * $(wc -l <grown)))MiB "$(size_of raw more.raw)" "three times +8M at once: each that ended with 0 counts"
