#!/bin/bash
# A LUKS header that somebody edited, checksums right: every field that the record knows is compared before anything is
# opened. And where `header restore` does not write.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
export LC_ALL=C

# json_edit FILE JQ: both copies of a LUKS2 header.
json_edit() {
	local at sum
	for at in 0 16384; do
		dd if="$1" of=hdr bs=4096 skip=$((at / 4096)) count=4 status=none
		{
			head -c 4096 hdr
			tail -c +4097 hdr | tr -d '\0' | jq -jc "$2"
		} >new
		truncate -s 16384 new
		dd if=/dev/zero of=new bs=1 seek=448 count=64 conv=notrunc status=none
		sum=$(sha256sum <new | head -c 64 | sed 's/../\\x&/g')
		# shellcheck disable=SC2059
		printf "$sum" | dd of=new bs=1 seek=448 conv=notrunc status=none
		dd if=new of="$1" bs=4096 seek=$((at / 4096)) conv=notrunc status=none
	done
}
# refused NAME IS WAS FILE: each command that would open it ends with 7 and both values, and writes nothing.
refused() {
	local sum
	sum=$(sha256sum <"$4")
	check_error 7 "has $1 $2, and its record has $3" "$1 $2: rotate" kvmcrypt rotate -q "$4"
	check_error 7 "has $1 $2, and its record has $3" "$1 $2: resize" kvmcrypt resize -q "$4" +8M
	check_error 7 "has $1 $2, and its record has $3" "$1 $2: rotate --volume-key" kvmcrypt rotate -q --volume-key "$4"
	check_is damaged "$(kvmcrypt show --json "$4" | jq -r .state)" "$1 $2: show"
	check_is "$sum" "$(sha256sum <"$4")" "$1 $2: nothing was written"
}

kvmcrypt create -q --luks 2 a.raw 24M
cp a.raw whole
json_edit a.raw .
check "edited without a change it is as it was" kvmcrypt rotate -q a.raw
cp a.raw whole
edit() {
	cp whole a.raw
	json_edit a.raw "$1"
}
edit '.segments."0".encryption = "aes:2-ecb"'
refused cipher aes:2-ecb aes-xts-plain64 a.raw
edit '.segments."0".sector_size = 512'
refused 'sector size' 512 4096 a.raw
edit '.segments."0".iv_tweak = "8"'
refused iv_tweak 8 0 a.raw
edit '.segments."0".offset = "17825792"'
refused 'data offset' 17825792 4194304 a.raw
edit '.segments."0".size = "8388608"'
refused 'data size' 8388608 0 a.raw
edit '.segments."0".integrity = {type: "hmac(sha256)", journal_encryption: "none", journal_integrity: "none"}'
check_error 7 "integrity" "integrity: rotate" kvmcrypt rotate -q a.raw
edit '.segments."0".encryption = "aes:2-ecb"'
check "header restore makes it as it was" kvmcrypt header restore --yes -q a.raw
check "and rotate works" kvmcrypt rotate -q a.raw

kvmcrypt create -q --luks 1 b.raw 24M
cp b.raw whole1
printf '\x00\x00\x10\x10' | dd of=b.raw bs=1 seek=104 conv=notrunc status=none
refused 'data offset' 2105344 2097152 b.raw
cp whole1 b.raw

# Where no header goes.
cp b.raw whole1
dd if=/dev/zero of=b.raw bs=1M count=2 conv=notrunc status=none
truncate -s 20M b.raw
sum=$(sha256sum <b.raw)
check_error 9 'has 20971520 bytes.*truncate -s' "a file of another size gets no header" kvmcrypt header restore -q --yes b.raw
check_is "$sum" "$(sha256sum <b.raw)" "nothing was written"
truncate -s 26M b.raw
check "made as long as it was, it does" kvmcrypt header restore -q --yes b.raw
truncate -s 26M b.raw
mkfs.ext4 -q -F b.raw
sum=$(sha256sum <b.raw)
check_error 9 'ext4.*overwrite-foreign' "a file with a file system in it gets none either" kvmcrypt header restore -q --yes b.raw
check_is "$sum" "$(sha256sum <b.raw)" "nothing was written there"
check "--overwrite-foreign" kvmcrypt header restore -q --yes --overwrite-foreign b.raw
kvmcrypt create -q c.qcow2 24M
kvmcrypt create -q d.qcow2 32M
cp d.qcow2 c.qcow2
at=$(grep -abo $'LUKS\xba\xbe' c.qcow2 | head -n 1 | cut -d: -f1)
dd if=/dev/zero of=c.qcow2 bs=4096 seek=$((at / 4096)) count=1 conv=notrunc status=none
check_error 9 'disk of 33554432 bytes' "nor another qcow2" kvmcrypt header restore -q --yes c.qcow2
exit $FAILED
