#!/bin/bash
# Libraries that are loaded when they are needed: noted for packagers, and an error where they are missing.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1

# The notes: type and owner of UAPI's specification, one JSON array each.
objcopy -O binary --only-section=.note.dlopen "$KVMCRYPT" notes
tr '\0' '\n' <notes | grep -ao '\[{.*}\]' >notes.json
noted=$(jq -r '.[].soname[]' notes.json | LC_ALL=C sort | paste -sd ' ')
xml=$(jq -r '.[].soname[]' notes.json | grep '^libxml2')
check_is "libaudit.so.1 libaugeas.so.0 libblkid.so.1 libcrypto.so.3 libcryptsetup.so.12 libdevmapper.so.1.02.1 libssl.so.3 libvirt-qemu.so.0 libvirt.so.0 $xml" \
	"$noted" "each library has its note"
# In other releases names have other endings.
if command -v dpkg >/dev/null; then
	check_is "dlopen:Depends=libblkid1, libcryptsetup12, libdevmapper1.02.1, libssl3 dlopen:Recommends=libvirt0, libxml2 dlopen:Suggests=libaudit1, libaugeas0" \
		"$("$ROOT/debian/dlopen-depends" "$KVMCRYPT" | sed -E 's/t64\b//g; s/libxml2-16/libxml2/' | xargs)" "each is in a package that ours depends on as much as the note says"
fi
check_is "$(wc -l <notes.json)" "$(xxd -p notes | tr -d '\n' | grep -o 0a0c7c4046444f00 | wc -l)" \
	"each note has the type and the owner that are looked for"
check_is "" "$(jq -r '.[] | select((.priority | IN("required", "recommended", "suggested") | not) or .feature == "" or .description == "") | .soname[0]' notes.json)" \
	"and says what for and how much it is needed"
check_is "" "$(readelf -dW "$KVMCRYPT" | grep -E 'NEEDED.*(blkid|crypto|ssl|cryptsetup|devmapper|virt|xml2)')" "none of them is linked"

unshare -m true 2>/dev/null || { skip "a missing library needs mounts of its own: only root can"; exit $FAILED; }
# without SONAME COMMAND...: the library is there and can't be loaded.
without() {
	local so
	so=$(ldconfig -p | awk -v so="$1" '$1 == so { print $NF; exit }')
	shift
	unshare -m sh -c 'mount --bind /dev/null "$(realpath "$1")" || exit 99; shift; exec "$@"' _ "$so" "$@"
}
keystore_new
kvmcrypt create -q a.qcow2 8M
kvmcrypt create -q b.raw 8M
before=$(sha256sum a.qcow2 b.raw)
listed=$(kvmcrypt list --json)

check_error 1 'cannot load libcryptsetup \(Debian.s package libcryptsetup12\): .*libcryptsetup.so.12' "no libcryptsetup: create" \
	without libcryptsetup.so.12 "$KVMCRYPT" create c.raw 8M
check_exit 1 "nothing was made" test -e c.raw
check_error 1 'cannot load libcryptsetup' "rotate" without libcryptsetup.so.12 "$KVMCRYPT" rotate b.raw
check_error 1 'cannot load libcryptsetup' "keystore status" without libcryptsetup.so.12 "$KVMCRYPT" keystore status
check_exit 0 "what needs none works" without libcryptsetup.so.12 "$KVMCRYPT" list
without libcryptsetup.so.12 "$KVMCRYPT" create --json c.raw 8M >out 2>/dev/null
check_is failed "$(jq -r .error.kind out)" "in JSON, too"
check_error 1 'libcrypto.so.3: file too short' "no OpenSSL: certificate" \
	without libcrypto.so.3 "$KVMCRYPT" keystore certificate
check_error 1 'libdevmapper.so.1.02.1: file too short' "no libdevmapper: erase" \
	without libdevmapper.so.1.02.1 "$KVMCRYPT" erase --yes b.raw
check_error 8 'cannot load libvirt \(Debian.s package libvirt0\)' "no libvirt: load" without libvirt.so.0 "$KVMCRYPT" load a.qcow2
check_error 8 "$xml: file too short" "no libxml2: load" without "$xml" "$KVMCRYPT" load a.qcow2
check_is "$before" "$(sha256sum a.qcow2 b.raw)" "no image was changed"
check_is "$(jq -S '.volumes | map(del(.last_used, .key_age))' <<<"$listed")" "$(kvmcrypt list --json | jq -S '.volumes | map(del(.last_used, .key_age))')" "nor a record"
check "with all of them there it goes on" kvmcrypt rotate b.raw
exit $FAILED
