#!/bin/bash
# import --dry-run says what import says, and changes nothing: for every state that import can meet, both are run, the dry
# one first and on the very same image and keystore.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
printf old >old
printf wrong >wrong
printf 'old\n' >newline
luks() { # luks FILE OPTIONS...
	local f=$1
	shift
	truncate -s 8M "$f"
	cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 --key-file old "$@" "$f"
}
# What it said, without the word for what would be, and without the notes of what it did.
said() { sed -E '/^note: /d; s/^(would import|imported) /IMPORT /' "$@"; }
# same NAME CODE OPTIONS... IMAGE
same() {
	local name=$1 want=$2 dry wet sum
	shift 2
	sum=$(cat ./*.img keystore/keystore.db-wal 2>/dev/null | sha256sum)
	kvmcrypt import --dry-run "$@" >dry.out 2>dry.err
	dry=$?
	check_is "$sum" "$(cat ./*.img keystore/keystore.db-wal 2>/dev/null | sha256sum)" "$name: --dry-run changes nothing"
	kvmcrypt import "$@" >wet.out 2>wet.err
	wet=$?
	check_is "$want $want" "$dry $wet" "$name: exit codes"
	check_is "$(said wet.out wet.err)" "$(said dry.out dry.err)" "$name: words"
}

luks plain.img
same "one of cryptsetup's" 0 --passphrase-file old plain.img
same "known already" 0 --passphrase-file old plain.img
same "known already, any passphrase" 0 --passphrase-file wrong plain.img
cp plain.img copy.img
same "a copy of a known one" 10 --passphrase-file old copy.img
luks second.img
same "a wrong passphrase" 5 --passphrase-file wrong second.img
same "a passphrase that lacks its newline" 5 --key-file newline second.img
ln -s second.img link.img
hold_open --object secret,id=s0,file=old --image-opts driver=luks,key-secret=s0,file.filename=second.img
same "one that QEMU has open" 6 --passphrase-file old second.img
let_go
same "by a link" 0 --passphrase-file old link.img
luks full.img
for i in 1 2 3 4 5 6 7; do
	printf %s $i >key
	cryptsetup luksAddKey -q --pbkdf-force-iterations 1000 --key-file old full.img key
done
same "all keyslots in use" 1 --passphrase-file old full.img
luks torn.img
printf XXXX | dd of=torn.img conv=notrunc bs=1 seek=108 status=none
same "a damaged header" 7 --passphrase-file old torn.img
luks short.img
truncate -s 1M short.img
same "one that was cut off" 7 --passphrase-file old short.img
luks whirlpool.img --hash whirlpool
same "one that only dm-crypt opens" 0 --passphrase-file old whirlpool.img
truncate -s 1M empty.img
same "no LUKS at all" 2 --passphrase-file old empty.img
mkdir folder.img.d
same "a directory" 2 --passphrase-file old folder.img.d
same "nothing there" 4 --passphrase-file old none.img
same "a qcow2 that is none" 2 --format qcow2 --passphrase-file old full.img
qemu-img create -q -f qcow2 --object secret,id=s0,file=old -o encrypt.format=luks,encrypt.key-secret=s0,encrypt.iter-time=10 q.img 8M
same "a qcow2 of QEMU's" 0 --passphrase-file old q.img
luks replaced.img
same "--replace" 0 --replace --passphrase-file old replaced.img
same "--replace again, with what opens nothing any more" 0 --replace --passphrase-file old replaced.img
luks moved.img
kvmcrypt import -q --passphrase-file old moved.img
mv moved.img elsewhere.img
same "a known one at another place" 10 --passphrase-file old elsewhere.img
