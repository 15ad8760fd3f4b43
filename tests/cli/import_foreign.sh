#!/bin/bash
# LUKS headers as others make them: what is supported works to the end, what is not is called so and left alone, and
# no keyslot of a person is lost.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
printf person >person
printf other >other
fast=(-q --pbkdf pbkdf2 --pbkdf-force-iterations 1000)
luks() { # luks VERSION FILE CRYPTSETUP-OPTIONS...
	truncate -s 24M "$2"
	cryptsetup luksFormat "${fast[@]}" --type "luks$1" --key-file person "${@:3}" "$2"
}
# opens KEY-FILE HEADER: a person's passphrase does.
opens() { cryptsetup open --test-passphrase --key-file "$1" "$2"; }
poke() { xxd -r -p <<<"$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# An unbound keyslot, of another length than the volume key, and of the same.
for bits in 256 512; do
	f=unbound$bits.raw
	luks 2 $f
	cryptsetup luksAddKey "${fast[@]}" --unbound --key-size $bits --key-slot 7 $f other 2>/dev/null
	check "unbound of $bits bits: import" kvmcrypt import -q --passphrase-file person $f
	check_is "ready 512" "$(kvmcrypt show --json $f | jq -r '"\(.state) \(.luks.key_bits)"')" "unbound of $bits bits: it is what it is"
	check_is "unbound other" "$(kvmcrypt show --json $f | jq -r '.luks.keyslots[7] | "\(.state) \(.owner)"')" "unbound of $bits bits: shown as such"
	check "unbound of $bits bits: rotate" kvmcrypt rotate -q $f
	check "unbound of $bits bits: rotate --volume-key" kvmcrypt rotate --dry-run --volume-key $f
	check "unbound of $bits bits: header restore" kvmcrypt header restore --yes $f
	check "unbound of $bits bits: recover" kvmcrypt recover
	check "unbound of $bits bits: it is still there" bash -c "cryptsetup luksDump $f | grep -q '7: luks2 (unbound)'"
	check "unbound of $bits bits: the person's too" opens person $f
done
luks 2 alone.raw
cryptsetup luksAddKey "${fast[@]}" --unbound --key-size 256 --key-slot 7 alone.raw other 2>/dev/null
check_error 5 'passphrase' "the passphrase of an unbound keyslot opens no volume" kvmcrypt import -q --passphrase-file other alone.raw

# LUKS1 with a detached header.
truncate -s 24M detached.raw
cryptsetup luksFormat "${fast[@]}" --type luks1 --key-file person --header detached.hdr detached.raw
check_error 2 'detached header' "the header alone is no image" kvmcrypt import -q --passphrase-file person detached.hdr
check "a detached LUKS1 header" kvmcrypt import -q --passphrase-file person --header detached.hdr detached.raw
check_is "ready $((24 << 20))" "$(kvmcrypt show --json detached.raw | jq -r '"\(.state) \(.size)"')" "and all of the file is disk"
check "rotate" kvmcrypt rotate -q detached.raw
check "opens by cryptsetup" opens <(passphrase_of detached.raw) detached.hdr
cp detached.hdr kept.hdr
dd if=/dev/zero of=detached.hdr bs=4096 count=1 conv=notrunc status=none
check "header restore" kvmcrypt header restore -q --yes detached.raw
check "opens by cryptsetup again" opens <(passphrase_of detached.raw) detached.hdr
check_is "$(cryptsetup luksDump kept.hdr | grep Payload)" "$(cryptsetup luksDump detached.hdr | grep Payload)" "with the payload where it was"
check_error 1 'two files' "a new volume key is refused" kvmcrypt rotate -q --volume-key detached.raw

# Not supported is not damaged: 1, the true reason, and nothing is written.
unsupported() { # unsupported NAME FILE REGEX
	local sum
	sum=$(sha256sum <"$2")
	check_error 1 "$3" "$1: import" kvmcrypt import -q --passphrase-file person "$2"
	check_is "$sum" "$(sha256sum <"$2")" "$1: nothing is written"
}
luks 1 md5.raw
poke md5.raw 72 6d6435000000
unsupported "hash md5" md5.raw 'md5.*not supported'
luks 1 old.raw
poke old.raw $((208 + 40)) 00000002
unsupported "the layout of cryptsetup 1.0" old.raw 'cryptsetup 1.0.*not supported'
luks 1 bits384.raw
poke bits384.raw 108 00000030
if [ -e /proc/crypto ] && grep -q '^module.*algif_skcipher' /proc/crypto; then skip "384 bits: this kernel can"; else
	unsupported "a key of 384 bits" bits384.raw '384 bits'
fi
luks 1 damaged.raw
poke damaged.raw 72 00
check_error 7 'hash name' "but no hash at all is damage" kvmcrypt import -q --passphrase-file person damaged.raw

# What dm-crypt opens and QEMU does not: imported with a word, and handed to no QEMU.
for o in '--cipher aes-xts-benbi' '--cipher aes-xts-plain64be' '--hash sha3-256' '--hash whirlpool' '--hash blake2b-512'; do
	rm -f dm.raw
	# shellcheck disable=SC2086
	luks 1 dm.raw $o || { skip "$o: cryptsetup cannot"; continue; }
	check "$o: import" kvmcrypt import --passphrase-file person dm.raw
	grep -q 'only for dm-crypt.*QEMU does not know its' "$T/stderr" && ok "$o: it says for what" || not_ok "$o: it says for what"
	check_error 1 'QEMU does not know its' "$o: not handed to QEMU" kvmcrypt open -q dm.raw --export nbd dm.sock
	kvmcrypt erase -q --yes --no-libvirt dm.raw
done

# header restore: a whole header only gets our keyslot, and what can be read of others' stays.
for v in 1 2; do
	f=whole$v.raw
	luks $v $f
	kvmcrypt import -q --passphrase-file person $f
	ours=$(kvmcrypt show --json $f | jq -r '.luks.keyslots[] | select(.owner == "kvmcrypt").slot')
	cryptsetup luksKillSlot -q $f "$ours"
	check_is locked "$(kvmcrypt header show --json $f | jq -r .found.condition)" "LUKS$v: somebody removed our keyslot"
	sum=$(sha256sum <$f)
	check "LUKS$v: --dry-run" kvmcrypt header restore --dry-run $f
	check_is "$sum" "$(sha256sum <$f)" "LUKS$v: writes nothing"
	check "LUKS$v: header restore" kvmcrypt header restore -q --yes $f
	check "LUKS$v: the person's keyslot is still there" opens person $f
	check "LUKS$v: and ours again" opens <(passphrase_of $f) $f
	check_is ready "$(kvmcrypt show --json $f | jq -r .state)" "LUKS$v: ready"
done
for damage in '104 00000000' '168 0000000000000000' '112 0000000000000000000000000000000000000000' "$((208 + 48 * 5)) 12345678"; do
	f=damage.raw
	rm -f $f
	luks 1 $f
	cryptsetup luksAddKey "${fast[@]}" --key-file person $f other
	kvmcrypt import -q --passphrase-file person $f
	# shellcheck disable=SC2086
	poke $f $damage
	[ "$(kvmcrypt header show --json $f | jq -r .found.condition)" != good ] && ok "damage at ${damage% *}" || not_ok "damage at ${damage% *}"
	check "damage at ${damage% *}: header restore" kvmcrypt header restore -q --yes --overwrite-foreign $f
	check "damage at ${damage% *}: one person's keyslot is kept" opens person $f
	check "damage at ${damage% *}: and another's" opens other $f
	check_is ready "$(kvmcrypt show --json $f | jq -r .state)" "damage at ${damage% *}: ready"
	kvmcrypt erase -q --yes --no-libvirt $f
done
check "the keystore is clean" kvmcrypt keystore check -q
