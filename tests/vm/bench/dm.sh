#!/bin/bash
# Inside the virtual machine: kvmcrypt against cryptsetup, both through the same kernel.
. "$(dirname "$0")/../../lib/test.sh"
. "$(dirname "$0")/../../lib/bench.sh"
keystore_new
kvmcrypt unseal -q
cd "$T" || exit 1
head -c 32 /dev/urandom | base64 | tr -d '\n' >key
n=0
ours() {
	n=$((n + 1))
	kvmcrypt create -q o$n.raw 64M --luks 2 && kvmcrypt open -q o$n.raw x && kvmcrypt close -q o$n.raw
}
peer() { # FORMAT OPTIONS...
	n=$((n + 1))
	truncate -s 80M p$n.raw
	cryptsetup luksFormat -q --type luks2 --key-file key "$@" p$n.raw && cryptsetup open --key-file key p$n.raw x && cryptsetup close x
}
a=$(median_ms 7 ours)
b=$(median_ms 7 peer --pbkdf pbkdf2 --pbkdf-force-iterations 1000)
c=$(median_ms 1 peer --pbkdf-memory 262144)
line "create + open + close of kvmcrypt (key sealed in the keystore)" "$a"
line "luksFormat + open + close, fastest flags (PBKDF2, 1000 iterations)" "$b"
line "the same with cryptsetup's defaults (Argon2id, memory bounded to 256 MiB)" "$c"
echo "  ratio: $(ratio "$b" "$a")x against the fastest flags, $(ratio "$c" "$a")x against the defaults"

kvmcrypt create -q /dev/vdb --luks 2 2>/dev/null || kvmcrypt create -q t.raw 256M --luks 2
v=$(kvmcrypt list --json | jq -r '.volumes[] | select(.path == "/dev/vdb") | .path')
v=${v:-t.raw}
passphrase_of "$v" >vkey
rate() { # MiB/s of a read and a write of 128 MiB
	local began w r
	now
	began=$NOW
	dd if=/dev/zero of=/dev/mapper/x bs=1M count=128 oflag=direct 2>/dev/null
	now
	w=$(awk -v t=$((NOW - began)) 'BEGIN { printf "%.0f", 128e6 / t }')
	now
	began=$NOW
	dd if=/dev/mapper/x of=/dev/null bs=1M count=128 iflag=direct 2>/dev/null
	now
	r=$(awk -v t=$((NOW - began)) 'BEGIN { printf "%.0f", 128e6 / t }')
	echo "$w MiB/s written, $r MiB/s read"
}
kvmcrypt open -q "$v" x && echo "  kvmcrypt open:                                    $(rate)"
kvmcrypt close -q "$v"
kvmcrypt open -q --no-read-workqueue --no-write-workqueue "$v" x && echo "  kvmcrypt open --no-read-workqueue --no-write-…:   $(rate)"
kvmcrypt close -q "$v"
cryptsetup open --key-file vkey "$v" x && echo "  cryptsetup open:                                  $(rate)"
cryptsetup close x
cryptsetup open --perf-no_read_workqueue --perf-no_write_workqueue --key-file vkey "$v" x && echo "  cryptsetup open --perf-no_…_workqueue:            $(rate)"
cryptsetup close x
