#!/bin/bash
# New passphrases against qemu-img amend and cryptsetup luksChangeKey, a thousand volumes, and new
# volume keys against qemu-img convert and cryptsetup reencrypt, with the limits of this machine.
. "$(dirname "$0")/../tests/lib/test.sh"
. "$(dirname "$0")/../tests/lib/bench.sh"
keystore_new
kvmcrypt unseal -q
cd "$T" || exit 1
rounds=${BENCH_ROUNDS:-9}
mib=${BENCH_MIB:-1024}
printf 'the old passphrase' >old
printf 'the new passphrase' >new

ours() { "$KVMCRYPT" rotate -q --no-libvirt v.qcow2; }
# Adds a keyslot, then removes the one of the passphrase before, as its manual says; and swaps the files.
amend() { # amend IMAGE DRIVER ITER-TIME
	local options
	case $2 in qcow2) options="driver=qcow2,encrypt.key-secret=s0,file.filename=$1" p=encrypt. ;; *) options="driver=luks,key-secret=s0,file.filename=$1" p= ;; esac
	# It measures CPU time and fails at random: then again.
	until qemu-img amend -q --object secret,id=s0,file=old --object secret,id=s1,file=new --image-opts "$options" \
		-o "${p}state=active,${p}new-secret=s1,${p}iter-time=$3" 2>/dev/null; do retries=$((retries + 1)); done
	qemu-img amend -q --object secret,id=s0,file=new --object secret,id=s1,file=old --image-opts "$options" \
		-o "${p}state=inactive,${p}old-secret=s1" || return
	mv old swap && mv new old && mv swap new
}
change_key() { cryptsetup luksChangeKey -q --key-file old "$@" peer.luks new && mv old swap && mv new old && mv swap new; }
retries=0
kvmcrypt create -q v.qcow2 1G
until qemu-img create -q -f qcow2 --object secret,id=s0,file=old -o encrypt.format=luks,encrypt.key-secret=s0 peer.qcow2 1G 2>/dev/null; do :; done
a=$(median_ms "$rounds" ours)
b=$(median_ms 3 amend peer.qcow2 qcow2 2000)
line "kvmcrypt rotate, at rest" "$a"
line "qemu-img amend, add and remove, on its own default image" "$b"
verdict "rotate against qemu-img's defaults" "$(ratio "$b" "$a")" 100
kvmcrypt create -q w.qcow2 1G
kvmcrypt keyslot add -q --recovery-key rec w.qcow2
tr -d '\n' <rec >old
c=$(median_ms 5 amend w.qcow2 qcow2 1)
line "qemu-img amend on our header, iter-time 1" "$c"
echo "  on equal headers: $(ratio "$c" "$a")x"
printf 'the old passphrase' >old
printf 'the new passphrase' >new
truncate -s 64M peer.luks
cryptsetup luksFormat -q --type luks1 --key-size 512 --pbkdf-force-iterations 1000 --key-file old peer.luks
d=$(median_ms "$rounds" change_key --pbkdf-force-iterations 1000)
line "cryptsetup luksChangeKey on an equal LUKS1 header" "$d"
echo "  against it: $(ratio "$d" "$a")x (ours seals the key, logs it, and proves both ways)"
cryptsetup luksFormat -q --type luks2 --key-file old peer.luks
e=$(median_ms 3 change_key)
line "cryptsetup luksChangeKey, its default LUKS2" "$e"
echo "  against it: $(ratio "$e" "$a")x"
[ $retries = 0 ] || echo "  ($retries failed attempts of qemu-img are in its times)"

mkdir many
for i in $(seq "${BENCH_MANY:-1000}"); do kvmcrypt create -q "many/$i.qcow2" 1G; done
all() { "$KVMCRYPT" rotate -q --all --no-libvirt; }
line "kvmcrypt rotate --all, ${BENCH_MANY:-1000} volumes" "$(once_ms all)"
rm -r many

echo
echo "  a new volume key for $mib MiB of data:"
rate() { awk -v ms="$1" -v mib="$mib" 'BEGIN { printf "%.0f", mib * 1000 / ms }'; }
speed() { printf '  %-58s %10s MiB/s\n' "$1" "$(rate "$2")"; }
kvmcrypt create -q big.raw "${mib}M"
kvmcrypt create -q big.qcow2 "${mib}M"
image_io raw big.raw -c "write -P 7 0 ${mib}M" >/dev/null
image_io qcow2 big.qcow2 -c "write -P 7 0 ${mib}M" >/dev/null
sync
new_key() { "$KVMCRYPT" rotate -q --no-libvirt --volume-key "$1"; }
# What the disk does beside it: the same amount read, written and synced by dd. In turns, because a
# disk that others use as well is another one a minute later.
copy() { rm -f out && sync . && dd if=big.raw of=out bs=1M conv=fsync status=none; }
turns=(new_key:big.raw new_key:big.qcow2 copy:)
for i in $(seq 5); do
	for t in "${turns[@]}"; do echo "$t $(once_ms "${t%%:*}" "${t#*:}")" >>turns; done
done
rm -f out
middle() { sed -n "s/^$1 //p" turns | sort -n | sed -n 3p; }
raw=$(middle new_key:big.raw)
qcow2=$(middle new_key:big.qcow2)
disk=$(middle copy:)
passphrase_of big.raw >k
convert() { # convert FORMAT OPTIONS: with QEMU's own header
	rm -f out
	until qemu-img convert -q --object secret,id=s0,file=k --image-opts driver=luks,key-secret=s0,file.filename=big.raw -O "$1" -o "$2" out 2>/dev/null; do rm -f out; done
	sync out
}
q1=$(median_ms 3 convert luks key-secret=s0)
q2=$(median_ms 3 convert qcow2 encrypt.format=luks,encrypt.key-secret=s0)
into() { # into an image of ours, made before
	qemu-img convert -q -n -W -m 16 --object secret,id=s0,file=k --object secret,id=s1,file=k2 --image-opts driver=luks,key-secret=s0,file.filename=big.raw \
		--target-image-opts driver=luks,key-secret=s1,file.filename=target.raw
	sync target.raw
}
kvmcrypt create -q target.raw "${mib}M"
passphrase_of target.raw >k2
q3=$(median_ms 3 into)
truncate -s $((mib + 16))M peer2.luks
cryptsetup luksFormat -q --type luks2 --key-size 512 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size 4096 --key-file old peer2.luks
dd if=/dev/urandom of=peer2.luks bs=1M seek=16 count="$mib" conv=notrunc status=none
sync
reencrypt() { cryptsetup reencrypt -q --force-offline-reencrypt --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file old "$@" peer2.luks && sync peer2.luks; }
c1=$(median_ms 1 reencrypt)
c2=$(median_ms 1 reencrypt --resilience none)
xts=$(openssl speed -elapsed -seconds 2 -bytes 512 -evp aes-256-xts 2>/dev/null | awk 'tolower($1) == "aes-256-xts" { sub("k", "", $NF); printf "%.0f", $NF * 1000 / 1048576 }')
speed "kvmcrypt rotate --volume-key, raw (verified, synced)" "$raw"
speed "kvmcrypt rotate --volume-key, qcow2 (verified, synced)" "$qcow2"
speed "qemu-img convert to raw LUKS, its defaults" "$q1"
speed "qemu-img convert to qcow2 LUKS, its defaults" "$q2"
speed "qemu-img convert -n -W -m 16 into an image of ours" "$q3"
speed "cryptsetup reencrypt (checksums)" "$c1"
speed "cryptsetup reencrypt --resilience none" "$c2"
speed "limit: the same amount read, written and synced by dd" "$disk"
printf '  %-58s %10s MiB/s\n' "limit: AES-256-XTS on one core, sectors of 512 bytes" "$xts"
percent=$(awk -v d="$disk" -v r="$raw" 'BEGIN { printf "%.0f", 100 * d / r }')
printf '  %-58s %9s%%   (wanted: 80)\n' "raw, of the lower limit" "$percent"
