#!/bin/bash
# Random lives of a qcow2: write, discard, resize, snapshot, bitmap, and rotate --volume-key in between, after which the
# disk, its snapshots and bitmaps must be what they were. qemu-img judges. QCOW2_SEEDS=300 runs as many, from QCOW2_SEED on;
# a seed that fails is printed and can be run again by itself: QCOW2_SEEDS=1 QCOW2_SEED=n.
. "$(dirname "$0")/../lib/test.sh"
. "$ROOT/tests/lib/qcow2.sh"
keystore_new
cd "$T" || exit 1
seeds=${QCOW2_SEEDS:-6} first=${QCOW2_SEED:-1}
declare -A done_ops

# Draws go to REPLY: bash seeds RANDOM anew in every subshell.
one_of() { local i=$((RANDOM % $#)); shift $i; REPLY=$1; }
below() { REPLY=$(((RANDOM << 15 | RANDOM) % $1)); }

# An image of a random kind. QEMU makes what kvmcrypt does not.
make() {
	local cluster options
	one_of 512 1024 4096 16384 65536 65536 262144 2097152
	cluster=$REPLY
	below 60000
	size=$((REPLY * 512 + 512))
	if [ $((RANDOM % 2)) = 0 ]; then
		one_of off off full
		kind="--cluster-size $cluster --preallocation $REPLY"
		# shellcheck disable=SC2086
		kvmcrypt create -q $kind v.qcow2 $size
		return
	fi
	one_of "" compat=0.10 lazy_refcounts=on refcount_bits=8 refcount_bits=32 extended_l2=on encrypt.cipher-alg=aes-128
	options=$REPLY
	[ "$options" = extended_l2=on ] && [ "$cluster" -lt 16384 ] && cluster=32768
	kind="cluster_size=$cluster${options:+,$options}"
	qemu-img create -q -f qcow2 --object secret,id=s0,data=qemusown \
		-o "encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10,encrypt.hash-alg=sha512,$kind" v.qcow2 $size >/dev/null &&
		kvmcrypt import -q --passphrase-file <(printf qemusown) v.qcow2
}

# Some writes and discards in one process.
io() {
	local i n=$((RANDOM % 6 + 1)) at len list=()
	for ((i = 0; i < n; i++)); do
		below $((size / 512))
		at=$((REPLY * 512))
		below $((1 << RANDOM % 12))
		len=$((REPLY * 512 + 512))
		[ $((at + len)) -le "$size" ] || len=$((size - at))
		one_of "write -P $((RANDOM % 255 + 1))" "write -P $((RANDOM % 255 + 1))" 'write -z' 'write -z -u' discard
		list+=(-c "$REPLY $at $len")
	done
	[ $((RANDOM % 2)) = 0 ] && list+=(-d unmap)
	image_io qcow2 v.qcow2 "${list[@]}"
}

grow() {
	below $((1 << RANDOM % 22))
	kvmcrypt resize -q v.qcow2 $((size + REPLY * 512 + 512)) && size=$((size + REPLY * 512 + 512))
}

# nth_of NAMES: one of the lines.
nth_of() {
	local names
	mapfile -t names <<<"$1"
	one_of "${names[@]}"
}
snapshot() {
	local names what=$((RANDOM % 4)) new=s$RANDOM
	names=$(qemu-img info -U -f qcow2 --output=json v.qcow2 | jq -r '.snapshots[]?.name')
	nth_of "$names"
	case $what in
	0 | 1) qcow2_tool v.qcow2 snapshot -c $new ;;
	2) qcow2_tool v.qcow2 snapshot -d "$REPLY" ;;
	3) qcow2_tool v.qcow2 snapshot -a "$REPLY" && size=$(qemu-img info -U -f qcow2 --output=json v.qcow2 | jq '."virtual-size"') ;;
	esac
}

bitmaps() { qemu-img info -U -f qcow2 --output=json "$1" | jq -r '."format-specific".data.bitmaps[]?.name'; }
bitmap() {
	local new=b$RANDOM
	if [ $((RANDOM % 3)) != 0 ]; then
		one_of 512 4096 65536
		qcow2_tool v.qcow2 bitmap --add -g "$REPLY" $new
		return
	fi
	one_of --remove --clear --disable --enable
	qcow2_tool v.qcow2 bitmap "$REPLY" "$(bitmaps v.qcow2 | head -n 1)"
}

rotate() {
	local want name
	qcow2_aside v.qcow2
	name=$(bitmaps v.qcow2 | tail -n 1)
	[ -z "$name" ] || want=$(qcow2_bitmap v.qcow2 "$name")
	kvmcrypt rotate -q --volume-key v.qcow2 >/dev/null 2>err || { echo "rotate: $(cat err)"; return 1; }
	qcow2_same v.qcow2 || return
	[ -z "$name" ] || [ "$want" = "$(qcow2_bitmap v.qcow2 "$name")" ] || { echo "bitmap $name is another"; return 1; }
}

# A life; says what was wrong. QEMU may refuse a step: a bitmap in an old image, a snapshot that is not there.
live() {
	local i op
	RANDOM=$1
	make 2>err || { echo "make $kind $size: $(cat err)"; return; }
	history="$kind size $size:"
	for ((i = 0; i < 9; i++)); do
		one_of io io io grow grow snapshot snapshot bitmap rotate
		op=$REPLY
		[ $i = 8 ] && op=rotate
		history+=" $op"
		if [ $op = rotate ]; then
			rotate >why || { echo "$history: $(head -c 300 why)"; return; }
		elif ! $op >/dev/null 2>&1; then
			op=refused
		fi
		done_ops[$op]=$((${done_ops[$op]:-0} + 1))
	done
	kvmcrypt erase -q --yes --no-libvirt v.qcow2 || echo "erase"
}

bad=0
for ((seed = first; seed < first + seeds; seed++)); do
	rm -f v.qcow2
	# Not in a subshell: done_ops counts.
	live $seed >wrong
	[ ! -s wrong ] && continue
	bad=$((bad + 1))
	echo "# seed $seed: $(cat wrong)"
	kvmcrypt erase -q --yes --no-libvirt --missing v.qcow2 2>/dev/null || kvmcrypt erase -q --yes --no-libvirt v.qcow2
done
check_is 0 $bad "$seeds lives: ${done_ops[rotate]} rotations among ${done_ops[io]:-0} writes, ${done_ops[grow]:-0} resizes, ${done_ops[snapshot]:-0} snapshots, ${done_ops[bitmap]:-0} bitmaps (${done_ops[refused]:-0} steps were refused)"
[ "${done_ops[rotate]}" -ge "$seeds" ] && ok "every life had one" || not_ok "every life had one"
