#!/bin/bash
# rotate --volume-key on every way in which QEMU can lay out a qcow2, its end most of all: nothing of the
# disk, its snapshots, its bitmaps or its tables is lost. QEMU judges.
. "$(dirname "$0")/../lib/test.sh"
. "$ROOT/tests/lib/qcow2.sh"
keystore_new
cd "$T" || exit 1

# rotated NAME IMAGE [PATTERN...]: by a comparison of all, or, where much was never written, by patterns of qemu-io.
rotated() {
	local name=$1 f=$2 p
	shift 2
	qcow2_aside "$f"
	if ! kvmcrypt rotate -q --volume-key "$f" >stdout 2>stderr; then
		not_ok "$name: rotate --volume-key: $(cat stderr)"
		return
	fi
	qcow2_same "$f" ${1:+patterns} >why || { not_ok "$name: $(head -c 500 why)"; return; }
	for p in "$@"; do
		image_io qcow2 "$f" -c "$p" >why 2>&1 || { not_ok "$name: $p: $(head -c 500 why)"; return; }
	done
	ok "$name"
}
odd() { [ $(($(stat -c %s "$1") % 512)) != 0 ] && ok "$2: the file ends at an odd length" || not_ok "$2: the file ends at an odd length"; }
foreign() { # foreign IMAGE SIZE OPTIONS: made by QEMU
	qemu-img create -q -f qcow2 --object secret,id=s0,data=qemusown \
		-o "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10,encrypt.hash-alg=sha512${3:+,$3}" "$1" "$2" >/dev/null &&
		kvmcrypt import -q --passphrase-file <(printf qemusown) "$1"
}

kvmcrypt create -q grown.qcow2 400M
image_io qcow2 grown.qcow2 -c 'write -P 1 10M 5M' -c 'write -P 2 399M 1M' >/dev/null
kvmcrypt resize -q grown.qcow2 1G
odd grown.qcow2 "400M, then 1G"
rotated "an L1 table that grew to the end of the file" grown.qcow2

kvmcrypt create -q more.qcow2 1G
image_io qcow2 more.qcow2 -c 'write -P 3 0 3M' -c 'write -P 4 1000M 2M' >/dev/null
kvmcrypt resize -q more.qcow2 20G
rotated "1G, then 20G" more.qcow2

for p in metadata falloc full; do
	kvmcrypt create -q --preallocation $p p$p.qcow2 70M
	image_io qcow2 p$p.qcow2 -c 'write -P 5 1M 2M' -c 'write -P 6 69M 1M' >/dev/null
	kvmcrypt resize -q p$p.qcow2 2G
	rotated "preallocation=$p, grown" p$p.qcow2 'read -P 5 1M 2M' 'read -P 6 69M 1M' 'read -P 0 100M 100M'
done
foreign pm.qcow2 70M preallocation=metadata
image_io qcow2 pm.qcow2 -c 'write -P 5 1M 2M' >/dev/null
rotated "preallocation=metadata by QEMU" pm.qcow2 'read -P 5 1M 2M'

for c in 512 1k 2k 4k 8k 16k 32k 64k 128k 256k 512k 1M 2M; do
	kvmcrypt create -q --cluster-size $c c$c.qcow2 20M
	image_io qcow2 c$c.qcow2 -c 'write -P 7 100k 3M' -c 'write -P 8 19M 77k' >/dev/null
	kvmcrypt resize -q c$c.qcow2 600M
	image_io qcow2 c$c.qcow2 -c 'write -P 9 599M 9k' >/dev/null
	qcow2_tool c$c.qcow2 snapshot -c one
	image_io qcow2 c$c.qcow2 -c 'write -P 10 1M 200k' >/dev/null
	qcow2_tool c$c.qcow2 bitmap --add b0
	rotated "clusters of $c, grown, with a snapshot and a bitmap" c$c.qcow2
	kvmcrypt erase -q --yes --no-libvirt c$c.qcow2
done

kvmcrypt create -q snap.qcow2 24M
image_io qcow2 snap.qcow2 -c 'write -P 11 0 1M' >/dev/null
for s in one 'second with a longer name' three; do
	qcow2_tool snap.qcow2 snapshot -c "$s"
	image_io qcow2 snap.qcow2 -c "write -P $((12 + ${#s})) 256k 1M" -c 'discard 4M 1M' >/dev/null
done
rotated "three snapshots" snap.qcow2
qcow2_tool snap.qcow2 snapshot -d one
qcow2_tool snap.qcow2 snapshot -a three
rotated "one deleted, one gone back to" snap.qcow2
kvmcrypt resize -q snap.qcow2 500M
rotated "snapshots of another size than the disk" snap.qcow2

kvmcrypt create -q bits.qcow2 300M
for b in b0 b1 'a bitmap with a long name'; do qcow2_tool bits.qcow2 bitmap --add -g 65536 "$b"; done
qcow2_tool bits.qcow2 bitmap --disable b1
image_io qcow2 bits.qcow2 -c 'write -P 21 1M 5M' -c 'write -P 22 200M 64k' >/dev/null
odd bits.qcow2 "a bitmap directory"
want=$(qcow2_bitmap bits.qcow2 b0)
rotated "persistent bitmaps" bits.qcow2
[[ $want == *'1048576 5242880'* ]] && ok "a bitmap has bits" || not_ok "a bitmap has bits: $want"
check_is "$want" "$(qcow2_bitmap bits.qcow2 b0)" "and the same ones after it"

for o in extended_l2=on,cluster_size=64k extended_l2=on,cluster_size=16k lazy_refcounts=on compat=0.10 refcount_bits=1 refcount_bits=64 \
	compat=0.10,cluster_size=4k encrypt.cipher-alg=aes-128; do
	foreign o.qcow2 30M $o || { not_ok "$o: cannot be made"; continue; }
	image_io qcow2 o.qcow2 -c 'write -P 31 1M 6k' -c 'write -P 32 5M 1M' >/dev/null
	kvmcrypt resize -q o.qcow2 900M
	image_io qcow2 o.qcow2 -c 'write -P 33 899M 6k' >/dev/null
	case $o in refcount_bits=1) ;; *) qcow2_tool o.qcow2 snapshot -c one ;; esac
	rotated "$o" o.qcow2
	kvmcrypt erase -q --yes --no-libvirt o.qcow2
done

foreign dirty.qcow2 30M lazy_refcounts=on
image_io qcow2 dirty.qcow2 -c 'write -P 41 2M 1M' -c flush -c abort >/dev/null 2>&1
[[ $(qemu-img info -f qcow2 dirty.qcow2 2>&1; xxd -s 72 -l 8 -p dirty.qcow2) == *0000000000000001 ]] && ok "an image that is marked dirty" || not_ok "an image that is marked dirty"
rotated "the dirty bit" dirty.qcow2 'read -P 41 2M 1M'

# What cannot be carried over is refused before anything is begun.
refused() { # refused NAME IMAGE CODE REGEX
	local before
	before=$(sha256sum <"$2")
	check_error "$3" "$4" "$1: refused" kvmcrypt rotate -q --volume-key "$2"
	check_error "$3" "$4" "$1: by --dry-run too" kvmcrypt rotate -q --volume-key --dry-run "$2"
	check_is "ready $before" "$(kvmcrypt show --json --no-libvirt "$2" | jq -r .state) $(sha256sum <"$2")" "$1: nothing is begun"
}
poke() { printf "%0$((2 * $3))x" "$4" | xxd -r -p | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
peek() { echo $((16#$(xxd -s "$2" -l 8 -p "$1"))); }
kvmcrypt create -q bad.qcow2 24M
image_io qcow2 bad.qcow2 -c 'write -P 51 0 1M' >/dev/null
l1=$(peek bad.qcow2 40)
l2=$(($(peek bad.qcow2 $l1) & 0xfffffffffffe00))
entry=$(peek bad.qcow2 $l2)
poke bad.qcow2 $l2 8 $((l2 | 1 << 63))
refused "guest data upon a table" bad.qcow2 7 'guest data|more than one'
poke bad.qcow2 $l2 8 $((entry & ~(1 << 63) | 1 << 62))
refused "a compressed cluster" bad.qcow2 1 'compressed'
poke bad.qcow2 $l2 8 $(((1 << 40) | 1 << 63))
refused "an entry outside the file" bad.qcow2 7 'outside'
poke bad.qcow2 $l2 8 "$entry"
rotated "and mended" bad.qcow2
check "the keystore is clean" kvmcrypt keystore check -q
