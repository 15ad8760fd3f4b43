#!/bin/bash
# kvmcrypt move at rest: the image, its record and what lies above it, and taking note of a move by others.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
mkdir a b
at() { kvmcrypt show --json "$1" | jq -r "$2"; }
marked() { # marked FORMAT VOLUME [PATTERN]: holds what was written
	image_io "$1" "$2" -c "read -P ${3:-77} 1M 64k" >/dev/null 2>&1
}
mark() { image_io "$1" "$2" -c "write -P ${3:-77} 1M 64k" >/dev/null; }
backing_of() { # the name as it stands in the header
	qemu-img info -U --output=json "$1" | jq -r '."backing-filename"'
}
tidy() { find . -name '*.kvmcrypt-new'; }

# ---- one file system
for f in qcow2:v.qcow2 raw:v.raw; do
	format=${f%%:*} f=${f#*:}
	kvmcrypt create -q "a/$f" 8M
	mark "$format" "a/$f"
	inode=$(stat -c %i "a/$f") uuid=$(at "a/$f" .uuid)
	check "$f: --dry-run" kvmcrypt move --dry-run "a/$f" b/new
	check_is "$PWD/a/$f yes" "$(at "$uuid" .path) $([ -e "a/$f" ] && [ ! -e b/new ] && echo yes)" "$f:   changes nothing"
	check "$f: move" kvmcrypt move --json "a/$f" b/new
	check_is "$PWD/b/new $PWD/a/$f true rename" "$(jq -r '"\(.path) \(.moved_from) \(.changed) \(.how)"' "$T/stdout")" "$f:   says so"
	check_is "$inode no" "$(stat -c %i b/new) $([ -e "a/$f" ] || echo no)" "$f:   the same file, by the one name"
	check_is "$uuid ready" "$(at b/new '"\(.uuid) \(.state)"')" "$f:   the record knows"
	check "$f:   and it opens" marked "$format" b/new
	check "$f: once more" kvmcrypt move --json b/new b/new
	check_is "false null null" "$(jq -r '"\(.changed) \(.how) \(.moved_from)"' "$T/stdout")" "$f:   is there already"
	check "$f: into a directory" kvmcrypt move b/new a
	check_is "$PWD/a/new" "$(at "$uuid" .path)" "$f:   under its own name"
	check "$f: by the record's old name, which is gone" not kvmcrypt show -q "a/$f"
	kvmcrypt erase -q --yes a/new >/dev/null
done

# ---- where it cannot go
kvmcrypt create -q v.qcow2 8M
mark qcow2 v.qcow2
kvmcrypt create -q other.qcow2 8M
uuid=$(at v.qcow2 .uuid)
date >something
check_error 10 'something exists already and is something else' "something else is there" kvmcrypt move -q v.qcow2 something
check_error 10 'volume at .*other.qcow2 already' "another volume is there" kvmcrypt move -q v.qcow2 other.qcow2
ln -s nowhere dangling
check_error 10 'exists' "a link to nowhere is there" kvmcrypt move -q v.qcow2 dangling
check_error 4 'No such file' "a directory that is not there" kvmcrypt move -q v.qcow2 no/v.qcow2
check_error 4 'no such directory' "a directory that is not there, by a slash" kvmcrypt move -q v.qcow2 b/new/
check_error 2 'control characters' "a name with a newline" kvmcrypt move -q v.qcow2 $'b/a\nb'
check_error 2 'not UTF-8' "a name that is no text" kvmcrypt move -q v.qcow2 $'b/a\xff'
check_error 2 'no header of its own' "--header for a volume without" kvmcrypt move -q --header h v.qcow2 b/
cp --sparse=always v.qcow2 copy.qcow2
check_error 9 'both hold this volume' "a copy of it is there" kvmcrypt move -q v.qcow2 copy.qcow2
rm copy.qcow2 dangling
hold_open --object secret,id=s0,file=<(passphrase_of v.qcow2) --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=v.qcow2
check_error 6 'in use' "a QEMU has it" kvmcrypt move -q v.qcow2 b/
check_error 6 'in use' "  --dry-run says so" kvmcrypt move -q --dry-run v.qcow2 b/
let_go
kvmcrypt open -q --export nbd v.qcow2 nbd.sock 2>/dev/null && {
	check_error 6 'in use' "it is exported" kvmcrypt move -q v.qcow2 b/
	kvmcrypt close -q v.qcow2
}
check_is "$PWD/v.qcow2 ready" "$(at "$uuid" '"\(.path) \(.state)"')" "after all that it is where it was"
check "  and nothing is left" [ -z "$(tidy)" ]

# ---- names
for name in 'with space' 'with "quotes" and '\''these' 'grüße-日本' '-dash' 'a:b' 'a,b=c' '%2f&<x>'; do
	check "named $name" kvmcrypt move -q "$uuid" "b/$name"
	check "  opens" kvmcrypt show -q "b/$name"
	check_is "$PWD/b/$name" "$(at "$uuid" .path)" "  and is known"
done
check "and back" kvmcrypt move -q "$uuid" v.qcow2
ln -s b link
check "into a link to a directory" kvmcrypt move -q v.qcow2 link
check_is "$PWD/b/v.qcow2" "$(at "$uuid" .path)" "  its real path is recorded"
check "back" kvmcrypt move -q link/v.qcow2 .

# ---- a hard link
ln v.qcow2 b/second
check "a place that is a hard link to it" kvmcrypt move -q --json v.qcow2 b/second
check_is "noted yes" "$(jq -r .how "$T/stdout") $([ -e v.qcow2 ] && echo yes)" "  is taken note of, and the first name stays"
rm v.qcow2
check "with two names: rename" eval 'ln b/second b/third; kvmcrypt move -q b/second v.qcow2'
check_is "2 yes" "$(stat -c %h v.qcow2) $([ ! -e b/second ] && echo yes)" "  moves the one name"
rm b/third

# ---- it was moved by somebody
mv v.qcow2 b/moved.qcow2
check_error 4 'neither .* nor .* is there' "neither place has it" kvmcrypt move -q "$uuid" b/nothing
check_error 4 'mount its file system' "it is not where it was, and that is all that is said" kvmcrypt move -q "$uuid" v.qcow2
check_error 10 'not volume' "another image is at the new place" eval 'cp other.qcow2 b/x; kvmcrypt move -q "$uuid" b/x'
check_error 10 'not volume' "no image is at the new place" kvmcrypt move -q "$uuid" something
check_error 4 "kvmcrypt move $uuid .*moved.qcow2" "a command that is given the new place says what to do" kvmcrypt show -q b/moved.qcow2
check "take note" kvmcrypt move --json "$uuid" b/moved.qcow2
check_is "noted $PWD/b/moved.qcow2" "$(jq -r '"\(.how) \(.path)"' "$T/stdout")" "  says so"
check "  it opens" marked qcow2 b/moved.qcow2
mv b/moved.qcow2 v.qcow2
check "by the old path, which is gone" kvmcrypt move -q b/moved.qcow2 v.qcow2
mv v.qcow2 b/v.qcow2 && ln -s b/v.qcow2 v.qcow2
check_error 9 'symbolic link' "a link is where it was" kvmcrypt move -q "$uuid" a/v.qcow2
check "  to where that leads" kvmcrypt move -q "$uuid" v.qcow2
check_is "$PWD/b/v.qcow2" "$(at "$uuid" .path)" "  is its real path"
rm v.qcow2
mkdir gone && kvmcrypt move -q "$uuid" gone/ && mv gone went
check "its directory was renamed" kvmcrypt move -q "$PWD/gone/v.qcow2" went/v.qcow2
check "an older copy, restored" eval 'cp --sparse=always went/v.qcow2 b/older && kvmcrypt rotate -q went/v.qcow2 >/dev/null && rm went/v.qcow2 && kvmcrypt move "$uuid" b/older 2>said'
check "  does not open, which is said" grep -q 'header restore' said
check "  and header restore helps" eval 'kvmcrypt header restore -q --yes b/older && marked qcow2 b/older'
cp --sparse=always b/older older
kvmcrypt rotate -q --volume-key b/older >/dev/null
rm b/older
check_error 10 'not volume' "one from before another volume key is not it" kvmcrypt move -q "$uuid" older
rm older
kvmcrypt erase -q --yes --missing "$uuid" >/dev/null

# ---- a detached header
kvmcrypt create -q --luks 2 --header a/d.header a/d.raw 8M
uuid=$(at a/d.raw .uuid)
check "a detached header stays" kvmcrypt move -q a/d.raw b/
check_is "$PWD/b/d.raw $PWD/a/d.header ready" "$(at "$uuid" '"\(.path) \(.luks.header_path) \(.state)"')" "  where it is"
check "  or goes too" kvmcrypt move -q --header b/ b/d.raw b/e.raw
check_is "$PWD/b/e.raw $PWD/b/d.header" "$(at "$uuid" '"\(.path) \(.luks.header_path)"')" "  both are known"
check "  or alone" kvmcrypt move -q --header a/h b/e.raw b/e.raw
check_is "$PWD/b/e.raw $PWD/a/h ready" "$(at "$uuid" '"\(.path) \(.luks.header_path) \(.state)"')" "  and opens"
mv a/h b/e.raw .
check "both were moved" eval 'kvmcrypt move --header h "$uuid" e.raw 2>said'
check "  the data cannot be proven, which is said" grep -q 'its size is right' said
truncate -s 12M b/wrong && rm e.raw
check_error 10 'size is another' "data of another size is not it" kvmcrypt move -q "$uuid" b/wrong
kvmcrypt erase -q --yes --missing "$uuid" >/dev/null

# ---- overlays
kvmcrypt create -q a/base.qcow2 8M
mark qcow2 a/base.qcow2
kvmcrypt create -q --backing a/base.qcow2 a/mid.qcow2
kvmcrypt create -q --backing a/mid.qcow2 a/top.qcow2
rebase() { qemu-img rebase -u -F qcow2 -b "$2" --object secret,id=s0,file=<(passphrase_of "$1") --image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1,backing="; }
header_of() { sha256sum < <(dd if="$1" bs=1 skip="$(LC_ALL=C grep -abo $'LUKS\xba\xbe' "$1" | head -n 1 | cut -d: -f1)" count=592 status=none); }
was=$(header_of a/mid.qcow2)
check "a base" kvmcrypt move --json a/base.qcow2 b/b.qcow2
check_is "1 $PWD/b/b.qcow2" "$(jq -r .overlays "$T/stdout") $(backing_of a/mid.qcow2)" "  its overlay names it by its new place"
check_is "$was" "$(header_of a/mid.qcow2)" "  with its LUKS header untouched"
check_is "$PWD/b/b.qcow2" "$(at a/mid.qcow2 .backing_file)" "  and so does show"
check "  both are clean" eval '[ -z "$(image_check a/mid.qcow2)$(image_check b/b.qcow2)" ]'
check "  erase still knows of the overlay" eval '! kvmcrypt erase -q --yes b/b.qcow2'
hold_open --object secret,id=s0,file=<(passphrase_of a/mid.qcow2) --image-opts driver=qcow2,encrypt.key-secret=s0,file.filename=a/mid.qcow2,backing=
check_error 6 'mid.qcow2.*in use' "an overlay that is in use" kvmcrypt move -q b/b.qcow2 a/
let_go
check "an overlay in the middle" kvmcrypt move -q a/mid.qcow2 b/
check_is "$PWD/b/b.qcow2 $PWD/b/mid.qcow2" "$(backing_of b/mid.qcow2) $(backing_of a/top.qcow2)" "  the chain is whole"
chain() { # reads through all of it
	qemu-io --object secret,id=s0,file=<(passphrase_of "$1") --object secret,id=s1,file=<(passphrase_of "$2") --object secret,id=s2,file=<(passphrase_of "$3") \
		--image-opts "driver=qcow2,encrypt.key-secret=s0,file.filename=$1,backing.driver=qcow2,backing.encrypt.key-secret=s1,backing.file.filename=$2,backing.backing.driver=qcow2,backing.backing.encrypt.key-secret=s2,backing.backing.file.filename=$3" \
		-c 'read -P 77 1M 64k' >/dev/null
}
check "  and reads" chain a/top.qcow2 b/mid.qcow2 b/b.qcow2
# Relative names.
rebase b/mid.qcow2 b.qcow2
check "a relative name: the base, in its directory" kvmcrypt move -q b/b.qcow2 b/b2.qcow2
check_is b2.qcow2 "$(backing_of b/mid.qcow2)" "  stays one"
check "  the overlay, to another directory" kvmcrypt move -q b/mid.qcow2 a/
check_is "$PWD/b/b2.qcow2" "$(backing_of a/mid.qcow2)" "  becomes whole"
rebase a/mid.qcow2 ../b/b2.qcow2
check "  the base, to another directory" kvmcrypt move -q b/b2.qcow2 a/b2.qcow2
check "  reads" chain a/top.qcow2 a/mid.qcow2 a/b2.qcow2
rebase a/mid.qcow2 b2.qcow2
rebase a/top.qcow2 mid.qcow2
mv a c
for f in top:mid.qcow2 b2:null mid:b2.qcow2; do
	id=$(kvmcrypt list --json | jq -r --arg p "$PWD/a/${f%:*}.qcow2" '.volumes[] | select(.path == $p) | .uuid')
	check "a whole directory was renamed: ${f%:*}" kvmcrypt move -q "$id" "c/${f%:*}.qcow2"
	check_is "${f#*:}" "$(backing_of "c/${f%:*}.qcow2")" "  its relative name stays"
done
check "  reads" chain c/top.qcow2 c/mid.qcow2 c/b2.qcow2
check "  once more the base, and all follow" kvmcrypt move -q c/b2.qcow2 b/b2.qcow2
check_is "$PWD/b/b2.qcow2" "$(at c/mid.qcow2 .backing_file)" "  the overlay names it"
# A name that has no room.
kvmcrypt create -q --cluster-size 512 --backing b/b2.qcow2 small.qcow2
long=$(printf 'd%.0s' {1..200})
mkdir -p "b/$long/$long"
check_error 1 'no room in its header' "a path that the overlay's header has no room for" kvmcrypt move -q b/b2.qcow2 "b/$long/$long/"
check_is "ready yes" "$(at b/b2.qcow2 .state) $([ -e b/b2.qcow2 ] && echo yes)" "  is refused before anything is done"
for n in 1 2 3 4; do kvmcrypt move -q b/b2.qcow2 "b/$long" && kvmcrypt move -q "b/$long/b2.qcow2" b/b2.qcow2; done >/dev/null 2>&1
check_is "$PWD/b/b2.qcow2" "$(backing_of small.qcow2)" "  one that it just has room for, to and fro"
check "  clean" eval '[ -z "$(image_check small.qcow2)$(image_check c/mid.qcow2)" ]'
kvmcrypt erase -q --yes small.qcow2 >/dev/null

# ---- two at once
for n in 1 2 3 4 5; do
	kvmcrypt create -q r.qcow2 8M
	kvmcrypt move -q r.qcow2 b/r1 2>/dev/null & one=$!
	kvmcrypt move -q r.qcow2 b/r2 2>/dev/null & two=$!
	kvmcrypt rotate -q r.qcow2 >/dev/null 2>&1 &
	wait $one; one=$?
	wait $two; two=$?
	wait
	path=$(kvmcrypt list --json | jq -r '.volumes[] | select(.path | test("/r[12]?(.qcow2)?$")) | .path')
	left=$(find . -name 'r1' -o -name r2 -o -name r.qcow2 | wc -l)
	kvmcrypt show -q "$path" >/dev/null || path="does not open: $path"
	[ "$left" = 1 ] && [ -e "$path" ] && ok "two moves and a rotate at once ($one, $two): one image, and it opens" ||
		not_ok "two moves and a rotate at once ($one, $two): $left images, $path"
	kvmcrypt erase -q --yes "$path" >/dev/null
done
kvmcrypt create -q r.qcow2 8M && kvmcrypt create -q s.qcow2 8M
kvmcrypt move -q r.qcow2 b/rs 2>/dev/null & one=$!
kvmcrypt move -q s.qcow2 b/rs 2>/dev/null & two=$!
wait $one; one=$?
wait $two; two=$?
check_is "0 10" "$(printf '%s\n' $one $two | sort -n | tr '\n' ' ' | sed 's/ $//')" "two volumes to one place: the first has it"
check_is 2 "$(for id in $(kvmcrypt list --json | jq -r '.volumes[] | select(.path | test("/(r|s|rs)(.qcow2)?$")) | .uuid'); do kvmcrypt show -q "$id" >/dev/null && echo; done | wc -l)" "  and both open"

check "the keystore is clean" kvmcrypt keystore check -q
check "nothing is left" [ -z "$(tidy)" ]
