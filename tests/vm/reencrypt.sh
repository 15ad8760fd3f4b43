#!/bin/bash
# rotate --volume-key in place: block devices, and LUKS2 volumes that are mapped and in use.
VM_DISKS="20M"
. "$(dirname "$0")/../lib/vm.sh"
. "$(dirname "$0")/../lib/vm-kill.sh"
digest() { cryptsetup luksDump "$1" | sed -n '/^Digests/,$s/^\tDigest: *//p'; }
plain() { # plain VOLUME: the sum of all its data
	kvmcrypt open -q "$1" probe && sha256sum </dev/mapper/probe | cut -d' ' -f1
	kvmcrypt close -q "$1"
}
metadata() { cryptsetup luksDump --dump-json-metadata "$1"; }
how() { jq -r '.volumes[0] | "\(.outcome) \(.how) \(.generation)"' "$T/stdout"; }

# A block device that nobody has open
kvmcrypt create -q /dev/vdb --yes-destroy /dev/vdb
kvmcrypt open -q /dev/vdb probe && head -c 16M /dev/urandom >/dev/mapper/probe && sync && kvmcrypt close -q /dev/vdb
was=$(plain /dev/vdb)
key=$(digest /dev/vdb)
passphrase_of /dev/vdb >old
head -c 4M /dev/vdb >old.hdr
check "a block device" kvmcrypt rotate --volume-key --json /dev/vdb
check_is "rotated in place 2" "$(how)" "it says so"
check_is "$was" "$(plain /dev/vdb)" "the data is the same"
check_is no "$([ "$key" = "$(digest /dev/vdb)" ] || echo no)" "the volume key is another"
check_exit 2 "the old passphrase opens nothing" cryptsetup open --test-passphrase --key-file old /dev/vdb
check "the old header does open," cryptsetup open --header old.hdr --key-file old /dev/vdb peer
check_is no "$([ "$was" = "$(sha256sum </dev/mapper/peer | cut -d' ' -f1)" ] || echo no)" "but not the data"
cryptsetup close peer
check_is ready "$(kvmcrypt show --json /dev/vdb | jq -r .state)" "the workflow is done"

# A file that is mapped, with a file system that is written to all the time
kvmcrypt create -q m.raw 24M --luks 2
kvmcrypt open -q m.raw m
mkfs.ext4 -q /dev/mapper/m && mkdir mnt && mount /dev/mapper/m mnt
head -c 6M /dev/urandom >mnt/data
was=$(sha256sum <mnt/data)
key=$(digest m.raw)
passphrase_of m.raw >old
n=0
(while [ ! -e stop ]; do n=$((n + 1)); seq $n $((n + 2000)) >mnt/f$((n % 20)); sync -f mnt; echo $n >written; done) &
check "a mapped file in use" kvmcrypt rotate --volume-key --json m.raw
touch stop
wait
check_is "rotated online 2" "$(how)" "it says so"
echo "# files written meanwhile: $(cat written)"
check_is crypt "$(dmsetup table m | cut -d' ' -f3)" "the mapping is a plain one again"
check_is 1 "$(dmsetup ls | wc -l)" "nothing is left beside it"
umount mnt
echo 3 >/proc/sys/vm/drop_caches
mount /dev/mapper/m mnt
check_is "$was" "$(sha256sum <mnt/data)" "the data is the same"
last=$(cat written)
check "what was written last is there" cmp mnt/f$((last % 20)) <(seq "$last" $((last + 2000)))
umount mnt
check_is no "$([ "$key" = "$(digest m.raw)" ] || echo no)" "the volume key is another"
check_exit 2 "the old passphrase opens nothing" cryptsetup open --test-passphrase --key-file old m.raw
check "close" kvmcrypt close -q m.raw
check "open" kvmcrypt open -q m.raw m
mount /dev/mapper/m mnt
check_is "$was" "$(sha256sum <mnt/data)" "the data is the same after it was opened anew"
umount mnt
kvmcrypt close -q m.raw
check_is 0 "$(grep -c cryptsetup: /proc/keys)" "no key is left in a keyring"
check "nothing mapped" nothing_mapped

# Detached header
kvmcrypt create -q d.raw 8M --header d.hdr
kvmcrypt open -q d.raw probe
head -c 8M /dev/urandom >/dev/mapper/probe
was=$(sha256sum </dev/mapper/probe)
kvmcrypt close -q d.raw
key=$(digest d.hdr)
check "a detached header, at rest" kvmcrypt rotate --volume-key --json d.raw
check_is "rotated in place 2" "$(how)" "it says so"
check_is no "$([ "$key" = "$(digest d.hdr)" ] || echo no)" "the volume key is another"
kvmcrypt open -q d.raw probe
check_is "$was" "$(sha256sum </dev/mapper/probe)" "the data is the same"
check "a detached header, mapped" kvmcrypt rotate --volume-key --json d.raw
check_is "rotated online 3" "$(how)" "it says so"
check_is "$was" "$(sha256sum </dev/mapper/probe)" "the data is the same"
kvmcrypt close -q d.raw
kvmcrypt open -q d.raw probe
check_is "$was" "$(sha256sum </dev/mapper/probe)" "and opened anew"
kvmcrypt close -q d.raw

# Stopped while it is mapped: the volume can be used, and the next run goes on.
kvmcrypt create -q s.raw 16M --luks 2
kvmcrypt open -q s.raw probe
head -c 16M /dev/urandom >/dev/mapper/probe
was=$(sha256sum </dev/mapper/probe)
strace -f -qq -o /dev/null -e trace=write -e inject=write:signal=INT:when=25 "$KVMCRYPT" rotate -q --volume-key s.raw >/dev/null 2>&1
check_is "converting true" "$(kvmcrypt show --json s.raw | jq -r .state) $(metadata s.raw | jq '.config.requirements.mandatory == ["online-reencrypt-v2"]')" "stopped by a signal in the middle"
check_is "$was" "$(timeout 60 sha256sum </dev/mapper/probe)" "the data reads as before"
check "goes on" kvmcrypt rotate --volume-key --json s.raw
check_is "rotated online 2" "$(how)" "while it is mapped"
check_is "$was" "$(sha256sum </dev/mapper/probe)" "with the same data"
kvmcrypt close -q s.raw

# kill -9, at rest and mapped; what is left is finished or taken back, by recover or by the next
# rotation. libcryptsetup alone would encrypt twice after the last part of the data.
twice=0 going_on=recovered
again() { kvmcrypt rotate -q --volume-key "$1" >/dev/null 2>again.err || { echo "# again: $(cat again.err)"; return 1; }; }
is_last() { metadata "$1" | jq -e '([.segments[] | select(.flags == null)] | length) == 1 and .config.requirements.mandatory == ["online-reencrypt-v2"] and ([.digests[] | select(.segments | length == 2)] | length) == 1 and ([.segments[] | select(.flags == ["backup-final"])] | length) == 1 and (. as $r | [.digests[] | select(.segments | index("0"))][0].segments | any($r.segments[.].flags == ["backup-final"]))' >/dev/null; }
sweep() { # sweep WHAT VOLUME SAMPLES CALLS
	local what=$1 volume=$2 samples=$3 calls=$4 call n
	for call in $calls; do
		for n in $(points "$call" "$samples" rotate -q --volume-key "$volume"); do
			[ "$what" = "at rest" ] || kvmcrypt open -q "$volume" m
			killed_at "$call" "$n" rotate -q --volume-key "$volume" && landed=$((landed + 1))
			is_last "$volume" && twice=$((twice + 1))
			if [ "$(kvmcrypt show --json "$volume" | jq -r .state)" = converting ]; then
				kvmcrypt open -q "$volume" probe 2>open.err && bad "$what $call $n: opens"
				grep -q 'kvmcrypt recover' open.err || bad "$what $call $n: open says $(cat open.err)"
			fi
			if [ $going_on = recovered ]; then going_on=again; else going_on=recovered; fi
			$going_on "$volume" || bad "$what $call $n: $going_on"
			kvmcrypt recover -q >/dev/null || bad "$what $call $n: recover"
			kvmcrypt close -q "$volume"
			[ "$(plain "$volume")" = "$was" ] || bad "$what $call $n: other data"
			[ "$(metadata "$volume" | jq -c '[.keyslots, .digests, .segments] | map(length)')" = '[1,1,1]' ] || bad "$what $call $n: something is left in the header"
		done
	done
	nothing_mapped || bad "$what: mapping left"
}
was=$(plain /dev/vdb)
sweep "at rest" /dev/vdb 2 "write $(in_full pwrite64 fsync)"
verdict "killed at rest" 1
was=$(plain s.raw)
sweep mapped s.raw 2 "write $(in_full pwrite64 fsync ioctl)"
verdict "killed while mapped" 1
echo "# $twice of them where a resume would encrypt twice"
[ -z "$FAULT_FULL" ] || check_is yes "$([ $twice -ge 1 ] && echo yes)" "some of them where a resume would encrypt twice ($twice)"

# Killed while somebody has it open
kvmcrypt open -q s.raw m
exec 5</dev/mapper/m
killed_at write 25 rotate -q --volume-key s.raw
check_error 6 'in use.*recover' "in use, it says what to do" kvmcrypt rotate -q --volume-key s.raw
exec 5<&-
check "it can be closed" kvmcrypt close -q s.raw
check "then it is put right" recovered
check_is "$was" "$(plain s.raw)" "with the same data"

# Metadata of another hand
passphrase_of /dev/vdb >key
reencrypt_init() { cryptsetup reencrypt -q --init-only --key-file key --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /dev/vdb; }
killed_at write 3 rotate -q --volume-key /dev/vdb
check_is converting "$(kvmcrypt show --json /dev/vdb | jq -r .state)" "one that is begun, and has changed nothing"
head -c 4M /dev/vdb >hdr
check "somebody else's re-encryption" reencrypt_init
check_error 7 'not the one that was begun here' "is not resumed as ours" kvmcrypt rotate -q --volume-key /dev/vdb
check_exit 7 "nor by recover" kvmcrypt recover -q
dd if=hdr of=/dev/vdb bs=1M conv=notrunc 2>/dev/null
check "without it it is taken back" recovered
reencrypt_init
check_error 7 'by another program' "without one of ours it is refused" kvmcrypt rotate -q --volume-key /dev/vdb
check_error 7 'by another program' "by open, too" kvmcrypt open -q /dev/vdb
check_is ready "$(kvmcrypt list --json | jq -r '.volumes[] | select(.path == "/dev/vdb").state')" "the record stays as it was"
dd if=hdr of=/dev/vdb bs=1M conv=notrunc 2>/dev/null
check "the volume is as it was" kvmcrypt open -q /dev/vdb
kvmcrypt close -q /dev/vdb
check "the keystore checks clean" kvmcrypt keystore check
