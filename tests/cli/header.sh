#!/bin/bash
# kvmcrypt header show|restore: a destroyed LUKS header comes back from the keystore, with the data.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
opens() { cryptsetup open --test-passphrase --key-file <(passphrase_of "$1") "${2:-$1}"; }
condition() { kvmcrypt header show --json "$1" | jq -r .found.condition; }
zero() { dd if=/dev/zero of="$1" bs=4096 seek=$(($2 / 4096)) count=$(($3 / 4096)) conv=notrunc status=none; }
luks_at() { grep -abo $'LUKS\xba\xbe' "$1" | head -n 1 | cut -d: -f1; }
export LC_ALL=C

kvmcrypt create -q a.qcow2 24M
kvmcrypt create -q b.raw 24M
kvmcrypt create -q --luks 2 c.raw 24M
kvmcrypt create -q --luks 2 --header d.hdr d.raw 24M
qemu-img create -q -f luks --object secret,id=s0,data=qemusown -o key-secret=s0,cipher-alg=aes-128,iter-time=10,hash-alg=sha512 e.raw 24M
qemu-img create -q -f qcow2 --object secret,id=s0,data=qemusown -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10,encrypt.hash-alg=sha512,cluster_size=4k e.qcow2 24M
printf qemusown >qemu
check "import QEMU's raw" kvmcrypt import -q --passphrase-file qemu e.raw
check "import QEMU's qcow2" kvmcrypt import -q --passphrase-file qemu e.qcow2
truncate -s 40M f.raw
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file qemu f.raw
check "import cryptsetup's LUKS2" kvmcrypt import -q --passphrase-file qemu f.raw

for f in a.qcow2 b.raw e.raw e.qcow2; do
	case $f in *.qcow2) format=qcow2 ;; *) format=raw ;; esac
	image_io $format $f -c 'write -P 99 2M 1M' >/dev/null
	at=$(luks_at $f)
	check_is good "$(condition $f)" "$f: good to begin with"
	check "$f: restoring a good header changes nothing" kvmcrypt header restore --json $f
	check_is false "$(jq .changed "$T/stdout")" "$f: and says so"
	for damage in 4096 1048576; do
		zero $f "$at" 4096
		[ $damage = 4096 ] || dd if=/dev/urandom of=$f bs=512 seek=$(((at + 512) / 512)) count=100 conv=notrunc status=none
		[ "$(condition $f)" != good ] && ok "$f: the damage is seen" || not_ok "$f: the damage is seen"
		check_error 9 yes "$f: without a terminal it needs --yes" setsid "$KVMCRYPT" header restore -q $f
		sum=$(sha256sum <$f)
		check "$f: --dry-run" kvmcrypt header restore --dry-run $f
		check_is "$sum" "$(sha256sum <$f)" "$f: writes nothing"
		check "$f: restore" kvmcrypt header restore --yes $f
		check "$f: the data is back" image_io $format $f -c 'read -P 99 2M 1M'
	done
	[ $format = raw ] || check "$f: the image is clean" image_check $f
	check_is ready "$(kvmcrypt show --json $f | jq -r .state)" "$f: show is content"
	check "$f: rotate works on the new header" kvmcrypt rotate -q $f
done

for f in c.raw f.raw; do
	zero $f 0 1048576
	check_is gone "$(condition $f)" "$f: the header is gone"
	check "$f: restore" kvmcrypt header restore --yes --backup $f.old $f
	check_is 0 "$(head -c 1M $f.old | tr -d '\0' | wc -c)" "$f: what was there is in the backup"
	check "$f: opens" opens $f
	check "$f: blkid knows it" bash -c "blkid -p $f | grep -q crypto_LUKS"
	check_is "$(kvmcrypt show --json $f | jq -r .luks.uuid)" "$(cryptsetup luksUUID $f)" "$f: with the same UUID"
done
check_is "$((16 * 1024 * 1024))" "$(cryptsetup luksDump f.raw | awk '/offset:/ { print $2; exit }')" "f.raw: and its data where it was"

rm d.hdr
check_is missing "$(condition d.raw)" "a detached header's file is missing"
check "is made anew" kvmcrypt header restore --yes d.raw
check "and opens" opens d.raw d.hdr

cp b.raw keep
truncate -s 24M other.raw
cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 --key-file qemu other.raw
dd if=other.raw of=b.raw bs=1M count=2 conv=notrunc status=none
check_is foreign "$(condition b.raw)" "another volume's header is foreign"
check_error 9 'overwrite-foreign' "and refused" kvmcrypt header restore --yes -q b.raw
check "--overwrite-foreign" kvmcrypt header restore --yes --overwrite-foreign b.raw
check "the data is back" image_io raw b.raw -c 'read -P 99 2M 1M'
rm b.raw
check_error 4 'without its data' "a missing file" kvmcrypt header restore --yes -q b.raw
printf 'QFI\xfb' | dd of=a.qcow2 bs=1 seek=100 conv=notrunc status=none
dd if=/dev/zero of=a.qcow2 bs=1 count=4 conv=notrunc status=none
check_exit 7 "a qcow2 whose own header is gone is not written to" kvmcrypt header restore --yes -q a.qcow2

# A re-encryption under way: a new header with the one key would lose what has the other.
kvmcrypt create -q --luks 2 r.raw 8M
passphrase_of r.raw >key
cryptsetup reencrypt -q --init-only --force-offline-reencrypt --key-file key --pbkdf pbkdf2 --pbkdf-force-iterations 1000 r.raw
check_is re-encrypting "$(condition r.raw)" "a re-encryption under way is seen"
sum=$(sha256sum <r.raw)
check_error 9 'has to be finished' "and its header never replaced" kvmcrypt header restore --yes -q r.raw
check_error 9 'has to be finished' "by no option" kvmcrypt header restore --yes --overwrite-foreign -q r.raw
check_is "$sum" "$(sha256sum <r.raw)" "not a byte is written"
kvmcrypt create -q c.raw2.raw 16M
image_io raw c.raw2.raw -c 'write -P 5 0 14M' >/dev/null
ASAN_OPTIONS=detect_leaks=0 strace -f -qq -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=1 "$KVMCRYPT" rotate -q --volume-key c.raw2.raw >/dev/null 2>&1
check_is converting "$(kvmcrypt show --json c.raw2.raw | jq -r .state)" "one of our own, killed"
zero c.raw2.raw 0 4096
check_error 6 'kvmcrypt recover' "is finished or taken back before its header is touched" kvmcrypt header restore --yes -q c.raw2.raw
check "recover takes it back, the header gone or not" kvmcrypt recover -q
check "then the header is restored" kvmcrypt header restore --yes -q c.raw2.raw
check "and the data is there" image_io raw c.raw2.raw -c 'read -P 5 0 14M'
check "the keystore is clean" kvmcrypt keystore check -q
