#!/bin/bash
# kvmcrypt move across file systems, and a fault at every call of any move: whatever happens, the record names an
# image that is there and opens, and `recover` or the same command again ends it.
. "$(dirname "$0")/../lib/test.sh"
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip_all "another file system needs root"
[ -n "${KVMCRYPT_TEST_NS:-}" ] || exec env KVMCRYPT_TEST_NS=1 unshare -m --propagation private "$BASH" "$0" "$@"
cd "$T" || exit 1
mkdir near far small
mount -t tmpfs -o size=96m far far
mount -t tmpfs -o size=6m small small
keystore_new
at() { kvmcrypt show --json "$1" | jq -r "$2"; }
mark() { image_io "$1" "$2" -c 'write -P 77 1M 64k' >/dev/null; }
marked() { image_io "$1" "$2" -c 'read -P 77 1M 64k' >/dev/null 2>&1; }
marked_top() { qemu-io --object secret,id=s0,file=<(passphrase_of "$1") --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1,backing=" -c 'read -P 77 1M 64k' >/dev/null 2>&1; }
backing_of() { qemu-img info -U --output=json "$1" | jq -r '."backing-filename"'; }
temporary() { find near far small -name '*.kvmcrypt-new'; }

# ---- the copy
for f in qcow2:v.qcow2 raw:v.raw; do
	format=${f%%:*} f=${f#*:}
	kvmcrypt create -q near/$f 24M
	mark "$format" near/$f
	uuid=$(at near/$f .uuid) blocks=$(stat -c %b near/$f)
	chown 12:34 near/$f
	chmod 640 near/$f
	check "$f: to another file system" kvmcrypt move --json near/$f far/
	check_is "copy $PWD/far/$f ready" "$(jq -r '"\(.how) \(.path) \(.state)"' "$T/stdout")" "$f:   says so"
	check_is "$uuid no" "$(at far/$f .uuid) $(ls near)no" "$f:   the old file is gone"
	check_is "12 34 640" "$(stat -c '%u %g %a' far/$f)" "$f:   owner and mode are kept"
	[ "$(stat -c %b far/$f)" -le $((blocks + 64)) ] && ok "$f:   holes are kept" || not_ok "$f:   holes are kept ($blocks, $(stat -c %b far/$f))"
	check "$f:   and it opens" marked "$format" far/$f
	check "$f: back, under another name" kvmcrypt move -q far/$f near/w
	check_is "w" "$(ls near)" "$f:   one file"
	check "$f:   opens" marked "$format" near/w
	kvmcrypt erase -q --yes near/w >/dev/null
done
kvmcrypt create -q --preallocation full near/p.raw 4M
check "reserved space stays reserved" eval 'kvmcrypt move -q near/p.raw far/ && [ $(($(stat -c %b far/p.raw) * 512)) -ge $((6 * 1024 * 1024)) ]'
kvmcrypt move -q far/p.raw near/
check_error 1 'needs .* has .* free' "no room" kvmcrypt move -q near/p.raw small/
check_error 1 'needs .* has .* free' "  --dry-run says so" kvmcrypt move -q --dry-run near/p.raw small/
mount -o remount,ro small
check_error 1 'Read-only' "a file system that is read-only" kvmcrypt move -q near/p.raw small/
ln near/p.raw near/second
check_error 9 'has 2 names' "a file with two names" kvmcrypt move -q near/p.raw far/
rm near/second
check_is "ready p.raw" "$(at near/p.raw .state) $(ls near)" "nothing was changed by that"
# One file system, mounted at two places, where neither a link nor a rename leads from one to the other.
mkdir again && mount --bind near again
check "one file system at two places" kvmcrypt move -q --json near/p.raw again/q.raw
check_is "copy $PWD/again/q.raw ready" "$(jq -r .how "$T/stdout") $(at again/q.raw '"\(.path) \(.state)"')" "  by a copy"
check_is "q.raw" "$(ls near)" "  one file"
umount again
kvmcrypt erase -q --yes --missing "$(kvmcrypt list --json | jq -r '.volumes[0].uuid')" >/dev/null
rm near/*
# What opens with the volume's key is not left on the disk that it came from: some copy of its blocks would tell.
kvmcrypt create -q near/k.raw 4M
exec 8<near/k.raw
kvmcrypt move -q near/k.raw far/
check_is 0 "$(dd if=/dev/fd/8 bs=1M count=2 status=none | LC_ALL=C grep -ac $'LUKS\xba\xbe')" "the old image's header is overwritten"
exec 8<&-
kvmcrypt erase -q --yes far/k.raw >/dev/null

# ---- file systems that have less
under() { # under INJECTION... -- ARGUMENTS...: some calls are not known, or kill
	local args=()
	while [ "$1" != -- ]; do args+=(-e "inject=$1") && shift; done
	shift
	strace -f -qq -o /dev/null "${args[@]}" "$KVMCRYPT" "$@"
}
export ASAN_OPTIONS=detect_leaks=0
kvmcrypt create -q near/a.qcow2 8M
mark qcow2 near/a.qcow2
id=$(at near/a.qcow2 .uuid)
whole() { # one image, which the record names, and it holds
	[ "$(at "$id" .state) $(find near far -type f -o -type l | wc -l)" = "ready 1" ] && marked qcow2 "$(at "$id" .path)"
}
other_of() { if [ "$(dirname "$(at "$id" .path)")" = "$PWD/$1" ]; then echo "$PWD/$2/x$RANDOM"; else echo "$PWD/$1/x$RANDOM"; fi; }
no_link=link:error=EPERM no_exchange=renameat2:error=EINVAL no_symlink=symlink:error=EPERM
check "no hard links: move" under $no_link -- move -q "$id" near/b
check "  whole" whole
check_exit 137 "no hard links: killed after the rename" under $no_link fsync:signal=KILL:when=2 -- move -q "$id" near/c
check "  recover" kvmcrypt recover -q
check "  whole" whole
for less in "$no_exchange" "$no_symlink"; do
	check "${less%%:*}: copy" under "$less" -- move -q "$id" "$(other_of near far)"
	check "  whole" whole
	for at in rename:1 fsync:3 fsync:4 fsync:5 fsync:6 symlink:2; do
		under "$less" "${at%:*}:signal=KILL:when=${at#*:}" -- move -q "$id" "$(other_of near far)" 2>/dev/null
		check "${less%%:*}: killed at $at: recover" kvmcrypt recover -q
		check "  whole" whole
	done 2>/dev/null
done
kvmcrypt erase -q --yes "$id" >/dev/null

# ---- faults
INJECT=$ROOT/$BUILD/fault/inject.so
[ -e "$INJECT" ] || { skip "faults: no $INJECT: run make $BUILD/fault/inject.so"; exit $FAILED; }
! nm -D "$KVMCRYPT" 2>/dev/null | grep -q __asan || { skip "faults: a library cannot be preloaded beside the address sanitizer"; exit $FAILED; }
sample=${FAULT_SAMPLE:-11}
[ -z "${FAULT_FULL:-}" ] || sample=1

# The states: near/v is the volume, with an overlay near/o where it is qcow2; far/ is empty.
make_state() { # make_state KIND
	rm -rf state keystore near/* near/.[!.]* far/* far/.[!.]*
	kvmcrypt init -q --key-file root.key >/dev/null
	case $1 in
	qcow2) kvmcrypt create -q near/v.qcow2 8M && mark qcow2 near/v.qcow2 && kvmcrypt create -q --backing near/v.qcow2 near/o.qcow2 ;;
	overlay)
		mkdir near/sub
		kvmcrypt create -q near/base.qcow2 8M && kvmcrypt create -q --backing near/base.qcow2 near/v.qcow2
		qemu-io --object secret,id=s0,file=<(passphrase_of near/v.qcow2) --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=near/v.qcow2,backing= -c 'write -P 77 1M 64k' >/dev/null 2>&1
		qemu-img rebase -u -F qcow2 -b base.qcow2 --object secret,id=s0,file=<(passphrase_of near/v.qcow2) --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=near/v.qcow2,backing= 2>/dev/null ;;
	raw) kvmcrypt create -q near/v.raw 4M && mark raw near/v.raw ;;
	noted) kvmcrypt create -q near/v.qcow2 8M && mark qcow2 near/v.qcow2 && kvmcrypt create -q --backing near/v.qcow2 near/o.qcow2 && mkdir near/sub && mv near/v.qcow2 near/sub/w ;;
	header) kvmcrypt create -q --luks 2 --header near/v.header near/v.raw 2M ;;
	esac
	id=$(kvmcrypt list --json | jq -r --arg p "$PWD/near/v" '.volumes[] | select(.path | startswith($p)) | .uuid')
	kvmcrypt seal -q >/dev/null
	mkdir state && cp -a --sparse=always keystore near state/
}
restore_state() {
	rm -rf keystore near/* near/.[!.]* far/* far/.[!.]*
	cp -a --sparse=always state/. .
}
# At once after the fault: the record's image is there and opens. Not so before a move by others was taken note of.
opens() { # opens KIND
	local out
	out=$(kvmcrypt show --json "$id" 2>&1) && [ "$(jq -r .problem <<<"$out")" = null ] && return
	[ "$1" = noted ] && [ "$(jq -r .state <<<"$out")" != damaged ] && return
	echo "does not open: $out" | tr '\n' ' '
	return 1
}
holds() { # holds KIND: what is true in the end, wherever it is
	local path state header
	kvmcrypt keystore check -q >check.out 2>&1 || { echo "check: $(cat check.out)"; return 1; }
	IFS='|' read -r state path header < <(at "$id" '"\(.state)|\(.path)|\(.luks.header_path)"')
	[ "$state" = ready ] || { echo "state: $state $path"; return 1; }
	[ -z "$(temporary)" ] || { echo "left: $(temporary)"; return 1; }
	[ "$(find near far -type l)" = "" ] || { echo "a link is left"; return 1; }
	[ "$(find near far -type f | grep -cE '/(v\.(raw|qcow2)|w|sub/w)$')" = 1 ] || { echo "images: $(find near far -type f)"; return 1; }
	case $1 in
	raw) marked raw "$path" ;;
	header) [ "$(find near far -type f | grep -cE '/(v\.header|h)$')" = 1 ] && cryptsetup open --test-passphrase --key-file <(passphrase_of "$id") "$header" ;;
	overlay) marked_top "$path" && image_check "$path" && (cd "$(dirname "$path")" && [ -e "$(backing_of "$path")" ]) ;;
	*) marked qcow2 "$path" && image_check "$path" && [ "$(cd near && realpath "$(backing_of o.qcow2)")" = "$path" ] &&
		[ "$(kvmcrypt list --json | jq -r --arg p "$PWD/near/o.qcow2" '.volumes[] | select(.path == $p) | .uuid' | xargs "$KVMCRYPT" show --json | jq -r .backing_file)" = "$(backing_of near/o.qcow2)" ] ;;
	esac || { echo "path $path, header $header, overlay of $(backing_of near/o.qcow2 2>/dev/null): does not hold"; return 1; }
}
total=0 lost=0
faulty() { # faulty KIND N DIRECTORY COMMAND...: the directory tells which file system's calls count
	local kind=$1 n=$2 dir=$3
	shift 3
	(cd "$dir" && FAULT_KIND=$kind FAULT_AT=$n FAULT_SEED=$((n * 7 + ${#kind})) FAULT_COUNT=$T/count LD_PRELOAD=$INJECT "$KVMCRYPT" "$@" </dev/null >/dev/null 2>"$T/err")
}
sweep() { # sweep KIND DIRECTORY COMMAND...
	local image=$1 dir=$2 calls kind n landed=0 bad=0 why again turn=0
	shift 2
	make_state "$image"
	restore_state
	faulty none 0 "$dir" "${@//UUID/$id}" || { not_ok "$image: works without a fault: $(cat err)"; return; }
	why=$(holds "$image") || { not_ok "$image: $*: $why"; return; }
	calls=$(cat count)
	for kind in kill torn eio enospc power; do
		for ((n = 1 + (${#kind} * 5 + ${#image}) % sample; n <= calls; n += sample)); do
			restore_state
			faulty $kind $n "$dir" "${@//UUID/$id}" 2>/dev/null
			landed=$((landed + 1)) turn=$((1 - turn)) again=recover
			why=$(opens "$image") || { bad=$((bad + 1)); echo "# $image $*: $kind at call $n of $calls: $why"; continue; }
			if [ $turn = 1 ]; then
				# Where nothing was begun, a move by others is still to be taken note of.
				kvmcrypt recover -q --no-libvirt >then.out 2>&1 &&
					{ [ $image != noted ] || [ "$(at "$id" .state)" != missing ] || kvmcrypt "${@//UUID/$id}" >then.out 2>&1; }
			else
				again="the same again"
				kvmcrypt "${@//UUID/$id}" >then.out 2>&1
			fi || { bad=$((bad + 1)); echo "# $image $*: $kind at call $n of $calls, $again: $(cat then.out)"; continue; }
			why=$(holds "$image") || { bad=$((bad + 1)); echo "# $image $*: $kind at call $n of $calls, $again: $why"; }
		done
	done 2>/dev/null
	total=$((total + landed)) lost=$((lost + bad))
	check_is "0 lost" "$bad lost" "$image: $* at $dir: $landed faults at $calls calls"
}
only=${FAULT_ONLY:-}
want() { [ -z "$only" ] || [[ " $only " == *" $1 "* ]]; }
want qcow2 && sweep qcow2 near move -q UUID "$PWD/near/w"
want raw && sweep raw near move -q UUID "$PWD/near/w"
want overlay && sweep overlay near move -q UUID "$PWD/near/sub/w"
want overlay && sweep overlay far move -q UUID "$PWD/far/w"
want noted && sweep noted near move -q UUID "$PWD/near/sub/w"
want copy && sweep qcow2 near move -q UUID "$PWD/far/w"
want copy && sweep qcow2 far move -q UUID "$PWD/far/w"
want copy && sweep raw far move -q UUID "$PWD/far/w"
want header && sweep header near move -q --header "$PWD/far/h" UUID "$PWD/near/w"
want header && sweep header far move -q --header "$PWD/far/h" UUID "$PWD/far/w"
echo "# $total faults injected, $lost volumes lost"
