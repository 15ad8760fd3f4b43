#!/bin/bash
# The owner of a directory with images puts links and files of his choice there: root follows none of them, and
# nothing that is not his changes.
. "$(dirname "$0")/../lib/test.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root, and another user"
keystore_new
cd "$T" || exit 1
chmod 755 "$T"
TENANT=12345
as_tenant() { setpriv --reuid $TENANT --regid $TENANT --clear-groups "$@"; }
mkdir -m 755 home
chown $TENANT:$TENANT home
uuid_of() { kvmcrypt show --json --no-libvirt "$1" | jq -r .uuid; }

# victim SIZE: a file of root's that nobody is to change.
victim() {
	rm -f victim
	head -c "$1" /dev/urandom >victim
	sum=$(sha256sum <victim)
}
unharmed() { check_is "$sum" "$(sha256sum <victim)" "$1: root's file is as it was"; }
# his NAME OPTIONS: a volume in the tenant's directory, and its UUID.
his() {
	local name=$1
	shift
	kvmcrypt create -q --owner $TENANT:$TENANT "$@" "home/$name" 24M || not_ok "create home/$name"
	uuid=$(kvmcrypt list --json | jq -r --arg p "$T/home/$name" '.volumes[] | select(.path == $p) | .uuid')
}
# planted NAME: his image is aside, and its name leads to root's file.
planted() { as_tenant sh -c "cd home && mv '$1' '$1.aside' && ln -s '$T/victim' '$1'"; }

his h.raw --luks 2 --header "$T/h.hdr"
victim 24M
planted h.raw
check_error 9 "$T/home belongs to .*(chown|move)" "rotate --volume-key follows no link of his to the data" \
	kvmcrypt rotate -q --volume-key --no-libvirt "$uuid"
unharmed "rotate --volume-key"
check_error 9 'belongs to' "resize follows none either" kvmcrypt resize -q --shrink "$uuid" 4M
unharmed "resize"
check_is 0 "$(losetup -nlO BACK-FILE | grep -c "$T")" "and no loop device is left"

his r.raw --luks 2
victim 48M
planted r.raw
check_error 9 'belongs to' "header restore follows none" kvmcrypt header restore -q --yes "$uuid"
check_error 9 'belongs to' "not with --overwrite-foreign either" kvmcrypt header restore -q --yes --overwrite-foreign "$uuid"
unharmed "header restore"
check_error 9 'belongs to' "erase follows none" kvmcrypt erase -q --yes --no-libvirt "$uuid"
check_error 9 'belongs to' "rotate follows none" kvmcrypt rotate -q --no-libvirt "$uuid"
unharmed "erase, rotate"

as_tenant ln -s "$T" home/away
victim 1M
check_error 9 'belongs to' "create goes through no link of his" kvmcrypt create -q home/away/new.raw 8M
check_error 9 'belongs to' "nor import" kvmcrypt import -q --passphrase-file /dev/null home/away/victim
check_is "" "$(ls "$T/new.raw" 2>/dev/null)" "nothing was made there"
check_error 9 "home belongs to|writ" "create makes nothing for root in a directory of his" kvmcrypt create -q home/root.raw 8M
check_error 9 'belongs to|writ' "nor is a volume moved there" bash -c "'$KVMCRYPT' create -q own.raw 8M && '$KVMCRYPT' move -q --no-libvirt own.raw home/own.raw"
check "own.raw is where it was" test -f own.raw

# A block device by his link.
truncate -s 32M device.img
device=$(losetup -f --show device.img)
gone() { losetup -d "$device" 2>/dev/null; }
on_exit gone
sum=$(sha256sum <device.img)
as_tenant ln -s "$device" home/disk.raw
check_error 9 'belongs to' "create overwrites no block device by his link" kvmcrypt create -q "$T/home/disk.raw"
check_is "$sum" "$(sha256sum <device.img)" "the device is as it was"

# The temporary file of a new volume key: he can neither foresee its name nor have it before.
his t.raw --luks 1
before=$(ls -A home)
as_tenant touch "home/.t.raw.$uuid.kvmcrypt-new"
check "a copy is made beside what he put there" kvmcrypt rotate -q --volume-key --no-libvirt "$uuid"
check_is 0 "$(stat -c %s "home/.t.raw.$uuid.kvmcrypt-new")" "which stays empty"
rm -f "home/.t.raw.$uuid.kvmcrypt-new"
check_is "$before" "$(ls -A home)" "and nothing else is left"
victim 24M
as_tenant ln -s "$T/victim" "home/.t.raw.$uuid.kvmcrypt-new"
check "nor does a link there harm" kvmcrypt rotate -q --volume-key --no-libvirt "$uuid"
unharmed "the copy's name"

# Real uses go on working.
install -d -m 711 images
kvmcrypt create -q --owner 64055:107 images/qemu.qcow2 8M
check "root's directory, libvirt-qemu's image" kvmcrypt rotate -q --no-libvirt images/qemu.qcow2
mkdir -p -m 700 own
chown -R $TENANT:$TENANT own
check "a user's own, run by that user" as_tenant env HOME="$T/own" XDG_DATA_HOME="$T/own" KVMCRYPT_KEYSTORE="$T/own/ks" KVMCRYPT_PINS="$T/own/pins" bash -c "
	cd '$T/own' && head -c 64 /dev/urandom >root.key && '$KVMCRYPT' init -q --key-file root.key >/dev/null &&
	'$KVMCRYPT' create -q a.qcow2 8M && '$KVMCRYPT' rotate -q --volume-key --no-libvirt a.qcow2"
check "his image in his directory, by root" kvmcrypt rotate -q --no-libvirt home/t.raw
as_tenant ln -s t.raw home/link.raw
check "a link of his to his own" kvmcrypt show --no-libvirt home/link.raw
ln -s images link
check "a link of root's" kvmcrypt rotate -q --no-libvirt link/qemu.qcow2
mkdir -m 1777 sticky
kvmcrypt create -q sticky/a.raw 8M
check "a directory like /tmp" kvmcrypt rotate -q --volume-key --no-libvirt sticky/a.raw
as_tenant ln -s "$T/images/qemu.qcow2" sticky/b.raw
check_error 9 'sticky/b.raw' "but no link of another's in it" kvmcrypt show --no-libvirt sticky/b.raw
mkdir open
chmod 777 open
check_error 9 'chmod' "nothing in a directory that everybody may change" kvmcrypt create -q open/a.raw 8M
exit $FAILED
