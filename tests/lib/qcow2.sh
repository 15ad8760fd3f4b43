# shellcheck shell=bash
# For tests that change a qcow2 volume and ask QEMU whether it is the same disk still. All work in $PWD.

# qcow2_tool VOLUME COMMAND ARGUMENTS...: qemu-img snapshot or bitmap on it.
qcow2_tool() {
	local f=$1 command=$2 opts
	shift 2
	opts="driver=qcow2,encrypt.key-secret=s0,file.filename=$f"
	case $command in
	bitmap) qemu-img bitmap --object secret,id=s0,file=<(passphrase_of "$f") "${@:1:$#-1}" --image-opts "$opts" "${@: -1}" ;;
	*) qemu-img "$command" --object secret,id=s0,file=<(passphrase_of "$f") "$@" --image-opts "$opts" ;;
	esac
}

# qcow2_aside VOLUME: keeps it as it is now, and its passphrase, as aside.qcow2 and aside.key.
qcow2_aside() {
	passphrase_of "$1" >aside.key
	rm -f aside.qcow2
	cp --sparse=always "$1" aside.qcow2
}

# What `qemu-img info` says of the format, but for what names a file, a key or a time.
qcow2_info() {
	qemu-img info -U -f qcow2 --output=json "$1" | jq -S '[.["virtual-size"], .["cluster-size"], .snapshots, (."format-specific".data | del(.encrypt))]'
}

# qcow2_check IMAGE KEY-FILE: what qemu-img check says of it, faults that it had before too (the dirty bit).
qcow2_check() {
	qemu-img check -U --object secret,id=s0,file="$2" "json:{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"s0\"},\"backing\":null,\"file\":{\"driver\":\"file\",\"filename\":\"$1\"}}" 2>&1
}

# qcow2_same VOLUME [patterns]: is it the disk that was set aside? Says what is not. With "patterns" the data is not
# compared: what was never written reads as another noise under another key.
qcow2_same() {
	local f=$1 out name
	[ "$(qcow2_info "$f")" = "$(qcow2_info aside.qcow2)" ] || { echo "qemu-img info: $(qcow2_info "$f" | jq -c .)"; return 1; }
	out=$(diff <(qcow2_check aside.qcow2 aside.key) <(qcow2_check "$f" <(passphrase_of "$f"))) || { echo "qemu-img check: $(head -n 4 <<<"$out")"; return 1; }
	[ "${2:-}" != patterns ] || return 0
	for name in "" $(qemu-img info -U -f qcow2 --output=json "$f" | jq -r '.snapshots[]?.id'); do
		out=$(qcow2_compare "$f" $name 2>&1) || { echo "${name:+snapshot $name: }$out"; return 1; }
	done
}

# qcow2_compare VOLUME [SNAPSHOT-ID]: all that a guest sees of it and of what was set aside.
qcow2_compare() {
	local f=$1
	if [ -z "${2:-}" ]; then
		qemu-img compare -U --object secret,id=s0,file=aside.key --object secret,id=s1,file=<(passphrase_of "$f") --image-opts \
			driver=qcow2,encrypt.key-secret=s0,file.filename=aside.qcow2 driver=qcow2,encrypt.key-secret=s1,file.filename="$f"
		return
	fi
	rm -f aside.raw now.raw
	qemu-img convert -U --object secret,id=s0,file=aside.key -l "snapshot.id=$2" -O raw --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=aside.qcow2 aside.raw &&
		qemu-img convert -U --object secret,id=s0,file=<(passphrase_of "$f") -l "snapshot.id=$2" -O raw --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename="$f" now.raw &&
		qemu-img compare -f raw -F raw aside.raw now.raw
}

# qcow2_bitmap VOLUME NAME: "START LENGTH" of each stretch that the bitmap says is dirty.
qcow2_bitmap() {
	local f=$1
	rm -f nbd.pid
	qemu-nbd -r -t --object secret,id=s0,file=<(passphrase_of "$f") -B "$2" -k "$PWD/nbd.sock" -x d --fork --pid-file "$PWD/nbd.pid" \
		--image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$f" || return
	qemu-img map --output=json --image-opts "driver=nbd,export=d,server.type=unix,server.path=$PWD/nbd.sock,x-dirty-bitmap=qemu:dirty-bitmap:$2" |
		jq -r '.[] | select(.data == false) | "\(.start) \(.length)"'
	kill "$(cat nbd.pid)"
	wait_for not kill -0 "$(cat nbd.pid)"
}
