#!/bin/bash
# What the start of a host costs: unsealing by each method; a thousand and ten thousand secrets for libvirt, by
# its API and by its directory, against a shell loop of virsh; a guest's start with our header and with QEMU's own.
. "$(dirname "$0")/../tests/lib/test.sh"
. "$(dirname "$0")/../tests/lib/libvirtd.sh"
. "$(dirname "$0")/../tests/lib/devices.sh"
. "$(dirname "$0")/../tests/lib/bench.sh"
libvirtd_namespace "$@"
cd "$T" || exit 1
rounds=${BENCH_ROUNDS:-9}

# ---- unsealing ----
tpm_start
tang_start a
tang_start b
head -c 64 /dev/urandom >key
echo "correct horse battery staple" >pass
echo 1234 >pin
kvmcrypt init -q --key-file key --passphrase-file pass --recovery-key rec
kvmcrypt unseal -q --key-file key
kvmcrypt keystore add-slot -q --tpm2="$TPM" --label "a TPM (emulated, through TCP)"
kvmcrypt keystore add-slot -q --tpm2="$TPM" --tpm2-with-pin --pin-file pin --label "a TPM with a PIN"
kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a)" --label "a Tang server"
kvmcrypt keystore add-slot -q --yes --tang="$(tang_url a),$(tang_url b)" --tang-threshold=2 --label "two Tang servers"
(token_start >/dev/null) # its home is needed here too
HOME=$T/home kvmcrypt keystore add-slot -q --pkcs11 "pkcs11:token=kvmcrypt;id=%01" --pin-file pin --label "a PKCS#11 token (SoftHSM)"
kvmcrypt seal -q
way() { "$KVMCRYPT" unseal -q "$@" && "$KVMCRYPT" seal -q; }
line "unseal and seal with a key file" "$(median_ms "$rounds" way --key-file key)"
line "with a recovery key" "$(median_ms "$rounds" way --passphrase-file rec)"
line "with a passphrase (Argon2id)" "$(median_ms "$rounds" way --passphrase-file pass)"
while read -r slot with label; do
	pin=()
	[ "$with" = false ] || pin=(--pin-file pin)
	line "with $label" "$(HOME=$T/home median_ms "$rounds" way --slot "$slot" "${pin[@]}")"
done < <(kvmcrypt keystore status --json | jq -r '.slots[] | select(.label) | "\(.slot) \(.pin) \(.label)"')
one=$(kvmcrypt keystore status --json | jq -r '.slots[] | select(.label == "a Tang server") | .slot')
pass_only() { clevis luks pass -d "$KVMCRYPT_KEYSTORE/seal" -s "$one"; }
line "peer: clevis luks pass, the Tang part alone" "$(median_ms "$rounds" pass_only)"

# ---- secrets ----
libvirtd_start
rm -rf "$KVMCRYPT_KEYSTORE"
kvmcrypt init -q --key-file key
kvmcrypt unseal -q --key-file key
peer=200
peer_loop() {
	local i uuid
	for i in $(seq $peer); do
		read -r uuid </proc/sys/kernel/random/uuid
		echo "<secret ephemeral='yes' private='yes'><uuid>$uuid</uuid><usage type='volume'><volume>/peer/$uuid</volume></usage></secret>" >secret.xml
		virsh -q secret-define secret.xml && virsh -q secret-set-value "$uuid" --file key.b64 --plain || return
	done
}
head -c 32 /dev/urandom | base64 | tr -d '\n' >key.b64
p=$(once_ms peer_loop)
line "virsh secret-define + secret-set-value, $peer in a shell loop" "$p"
p=$(awk -v p="$p" -v n=$peer 'BEGIN { print p / n }')
have=0
for n in 1000 10000; do
	"$ROOT/$BUILD/bench/fill_keystore" $have $n guest >/dev/null || exit 1
	have=$n
	load_all() { "$KVMCRYPT" load -q --all >/dev/null; }
	a=$(once_ms load_all)
	line "kvmcrypt load --all, $n secrets through the API" "$a"
	verdict "against the loop, a secret each" "$(awk -v p="$p" -v a="$a" -v n=$n 'BEGIN { printf "%.1f", p * n / a }')" 20
	libvirtd_stop
	ram() { "$KVMCRYPT" load -q --all --ram >/dev/null; }
	r=$(once_ms ram)
	line "kvmcrypt load --all --ram, $n secrets by the directory" "$r"
	verdict "against the loop, a secret each" "$(awk -v p="$p" -v a="$r" -v n=$n 'BEGIN { printf "%.1f", p * n / a }')" 20
	umount /etc/libvirt/secrets
	libvirtd_start
done

# ---- a guest's start ----
guest_files
chmod a+rwx "$T"
kvmcrypt create -q --mode 0666 ours.qcow2 64M
guest_define ours once
guest_define peer once
kvmcrypt attach -q ours ours.qcow2
until qemu-img create -q -f qcow2 --object secret,id=s0,file=key.b64 -o encrypt.format=luks,encrypt.key-secret=s0 peer.qcow2 64M 2>/dev/null; do :; done
chmod a+rw peer.qcow2
read -r uuid </proc/sys/kernel/random/uuid
echo "<secret ephemeral='yes' private='yes'><uuid>$uuid</uuid><usage type='volume'><volume>$T/peer.qcow2</volume></usage></secret>" >secret.xml
virsh -q secret-define secret.xml && virsh -q secret-set-value "$uuid" --file key.b64 --plain
cat >disk.xml <<-XML
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='$T/peer.qcow2'><encryption format='luks'><secret type='passphrase' uuid='$uuid'/></encryption></source>
<target dev='vda' bus='virtio'/></disk>
XML
virsh -q attach-device peer disk.xml --config
starts() { virsh -q start --paused "$1" && virsh -q destroy "$1"; }
a=$(median_ms "$rounds" starts ours)
b=$(median_ms 5 starts peer)
line "virsh start, destroy: a guest with a volume of kvmcrypt" "$a"
line "the same with an image of qemu-img's default header" "$b"
line "so a start takes longer with the default header by" "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.1f", b - a }')"
echo "  a guest's start: $(ratio "$b" "$a")x"
