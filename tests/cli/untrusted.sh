#!/bin/bash
# Malicious and damaged images: exit 7, one line that says what is wrong, not a byte written, and no
# tool sees the file before.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
printf pass >pass
kvmcrypt create -q good.qcow2 16M
truncate -s 24M good.raw
cryptsetup luksFormat --type luks1 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --batch-mode --key-file pass good.raw

be() { # be BITS VALUE: big-endian bytes
	printf "%0$(($1 / 4))x" "$2" | sed 's/../\\x&/g'
}
patch() { # patch OFFSET BYTES FILE
	printf "$2" | dd of="$3" bs=1 seek="$1" conv=notrunc 2>/dev/null
}
# refused FILE REGEX DESCRIPTION: by import and by its dry run, without a byte written.
refused() {
	local sum
	sum=$(sha256sum "$1")
	check_error 7 "$2" "$3" kvmcrypt import -q --dry-run --passphrase-file pass "$1"
	check_error 7 "$2" "  and for import" kvmcrypt import -q --passphrase-file pass "$1"
	check_is "$sum" "$(sha256sum "$1")" "  nothing was written"
}
case_qcow2() { # case_qcow2 REGEX DESCRIPTION OFFSET BYTES [OFFSET BYTES]...
	local regex=$1 what=$2
	shift 2
	cp good.qcow2 bad.qcow2
	while [ $# -gt 0 ]; do
		patch "$1" "$2" bad.qcow2
		shift 2
	done
	refused bad.qcow2 "$regex" "qcow2: $what"
}
# Header fields: QEMU docs/interop/qcow2.txt, "Header".
case_qcow2 'version' "version 9" 4 "$(be 32 9)"
case_qcow2 'cluster' "cluster_bits 40" 20 "$(be 32 40)"
case_qcow2 'cluster' "cluster_bits 3" 20 "$(be 32 3)"
case_qcow2 'size' "a virtual size of 2^63" 24 "$(be 64 $((1 << 62)))" 24 '\x80'
case_qcow2 'AES|crypt' "legacy AES" 32 "$(be 32 1)"
case_qcow2 'crypt' "crypt method 7" 32 "$(be 32 7)"
case_qcow2 'L1' "an L1 table of 2^30 entries" 36 "$(be 32 $((1 << 30)))"
case_qcow2 'L1' "an L1 table outside the file" 40 "$(be 64 $((1 << 40)))"
case_qcow2 'L1' "an L1 table in the middle of a cluster" 40 "$(be 64 4711)"
case_qcow2 'refcount' "a refcount table outside the file" 48 "$(be 64 $((1 << 40)))"
case_qcow2 'refcount' "a refcount table of 2^20 clusters" 56 "$(be 32 $((1 << 20)))"
case_qcow2 'snapshot' "2^20 snapshots" 60 "$(be 32 $((1 << 20)))"
case_qcow2 'data file' "an external data file" 79 '\x04'
case_qcow2 'corrupt' "the corrupt bit" 79 '\x02'
case_qcow2 'incompatible|unknown' "an unknown incompatible feature" 72 '\x80'
case_qcow2 'refcount' "refcount order 9" 96 "$(be 32 9)"
case_qcow2 'header' "a header length of 60" 100 "$(be 32 60)"
case_qcow2 'header' "a header longer than its cluster" 100 "$(be 32 $((1 << 20)))"
ext=$(od -An -j 100 -N 4 -tu1 good.qcow2 | awk '{print $1 * 16777216 + $2 * 65536 + $3 * 256 + $4}')
find_ext() { # offset of the data of the LUKS extension
	local at
	at=$(LC_ALL=C grep -a -b -o -P '\x05\x37\xbe\x77' good.qcow2 | head -n 1 | cut -d: -f1)
	echo $((at + 8))
}
luks=$(find_ext)
case_qcow2 'LUKS|encryption|header' "a LUKS header outside the file" "$luks" "$(be 64 $((1 << 40)))"
case_qcow2 'LUKS|encryption|header' "a LUKS header over the qcow2 header" "$luks" "$(be 64 0)"
case_qcow2 'LUKS|encryption|header' "a LUKS header of 10 bytes" $((luks + 8)) "$(be 64 10)"
case_qcow2 'LUKS|encryption|header' "a LUKS header of 1 TiB" $((luks + 8)) "$(be 64 $((1 << 40)))"
case_qcow2 'extension' "an extension that overruns" $((luks - 4)) "$(be 32 $((1 << 30)))"

for name in 'json:{"file":{"driver":"file","filename":"/etc/shadow"}}' 'nbd:localhost:10809' 'http://evil/x' 'fat:rw:/etc' 'host_device:/dev/sda'; do
	cp good.qcow2 bad.qcow2
	patch 32768 "$name" bad.qcow2
	patch 8 "$(be 64 32768)" bad.qcow2
	patch 16 "$(be 32 ${#name})" bad.qcow2
	refused bad.qcow2 'backing' "qcow2: backing file '${name%%[:\{]*}:…'"
done
cp good.qcow2 bad.qcow2
truncate -s 300 bad.qcow2
refused bad.qcow2 '.' "qcow2: cut off after 300 bytes"

case_luks() { # case_luks REGEX DESCRIPTION OFFSET BYTES
	cp good.raw bad.raw
	patch "$3" "$4" bad.raw
	refused bad.raw "$1" "LUKS1: $2"
}
# "LUKS1 On-Disk Format", figure 1: payload-offset 104, key-bytes 108, mk-digest-iter 164; key slots
# from 208, 48 bytes each: active, iterations, salt 32, key-material-offset, stripes.
case_luks 'payload|cut off' "a payload outside the file" 104 "$(be 32 $((1 << 30)))"
case_luks 'payload|overlap|material' "a payload over the header" 104 "$(be 32 1)"
case_luks 'key' "a volume key of 4,000 bytes" 108 "$(be 32 4000)"
case_luks 'iteration' "2^31 iterations of the digest" 164 "$(be 32 $((1 << 31)))"
case_luks 'iteration' "2^31 iterations of a keyslot" 212 "$(be 32 $((1 << 31)))"
case_luks 'material|overlap|offset' "key material over the header" 248 "$(be 32 0)"
case_luks 'material|overlap|offset|outside' "key material outside the header" 248 "$(be 32 $((1 << 30)))"
case_luks 'stripes' "a billion stripes" 252 "$(be 32 $((1 << 30)))"
case_luks 'cipher' "the null cipher" 8 'cipher_null\x00'
case_luks 'hash' "an unknown hash" 72 'rot13\x00'
case_luks 'version' "version 3" 6 '\x00\x03'

# LUKS2: a damaged second copy is what libcryptsetup repairs, i.e. writes, when it only looks.
truncate -s 24M two.raw
cryptsetup luksFormat --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --batch-mode --key-file pass two.raw
cp two.raw half.raw
patch 16500 'garbage' half.raw
sum=$(sha256sum half.raw)
kvmcrypt import -q --dry-run --passphrase-file pass half.raw >/dev/null 2>&1
check_is "$sum" "$(sha256sum half.raw)" "LUKS2 with a damaged copy: looking repairs nothing"
cp two.raw null.raw
sed -i 's/aes-xts-plain64/cipher_null-ecb/g' null.raw
refused null.raw '.' "LUKS2: segment changed to the null cipher"

# Strange files
mkfifo pipe
check_exit 2 "a named pipe does not hang" timeout 300 "$KVMCRYPT" import -q --passphrase-file pass pipe
check_exit 2 "/dev/zero is refused" timeout 300 "$KVMCRYPT" import -q --passphrase-file pass /dev/zero
check_exit 2 "an empty file" bash -c ": >empty; '$KVMCRYPT' import -q --passphrase-file pass empty"
printf '\033[31mred' >"$T/evil"
check_is 0 "$(kvmcrypt show "$(printf 'no\033[31m\nsuch')" 2>&1 | LC_ALL=C grep -c -P '\x1b')" "a file name cannot write escape sequences to the terminal"
# A volume in the keystore whose image was replaced by a bad one is damaged, and says why.
cp bad.qcow2 keep.qcow2
cp good.qcow2 saved.qcow2
cp keep.qcow2 good.qcow2
check_is damaged "$(kvmcrypt show --json good.qcow2 | jq -r .state)" "show says damaged"
check "and why" bash -c "'$KVMCRYPT' show good.qcow2 | grep Problem"
cp saved.qcow2 good.qcow2
check_is ready "$(kvmcrypt show --json good.qcow2 | jq -r .state)" "put back, it is ready"
check "the keystore checks clean" kvmcrypt keystore check
