#!/bin/bash
# docs/tutorial.md, word for word and section by section, on a host of its own: private libvirt, and empty
# directories in the place of those that it names.
. "$(dirname "$0")/../lib/test.sh"
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_namespace "$@"
libvirtd_dirs
libvirtd_start
guest_files
guest_define web up
guest_define clone up
export KVMCRYPT_KEYSTORE=/var/lib/kvmcrypt
for d in /root /srv /media /mnt /var/lib/kvmcrypt; do
	mkdir -p "$d" "$T/host$d"
	mount --bind "$T/host$d" "$d" || skip_all "cannot mount on $d"
	chmod a+x "$T/host$d"
done
chmod a+x "$T/host"
mkdir -p /srv/vm /srv/images /media/usb /mnt/backup /var/lib/libvirt/images
chmod a+x /srv/vm /srv/images /var/lib/libvirt/images
seal_all() { "$KVMCRYPT" seal -q >/dev/null 2>&1; "$KVMCRYPT" seal -q --keystore "$T/other" >/dev/null 2>&1; }
on_exit seal_all
mkdir "$T/bin"
ln -s "$KVMCRYPT" "$T/bin/kvmcrypt"
PATH=$T/bin:$PATH
cd /root || exit 1

# What a person types where the tutorial shows a question.
answer() {
	case $1 in
	*'yes to go on:') printf 'yes\r' ;;
	*old.raw:) printf 'old passphrase\r' ;;
	*) printf 'correct horse battery\r' ;;
	esac
}

# section NUMBER: runs the lines that begin with a prompt; those that follow and end with a colon are questions.
section() {
	local line command='' host='' said=()
	run() {
		[ -n "$command" ] || return
		[ "$host" = other ] && command="KVMCRYPT_KEYSTORE=$T/other $command"
		if [ ${#said[@]} -gt 0 ]; then
			check_exit 0 "$1: $command" on_terminal "$command" "${said[@]}"
		else
			check "$1: $command" bash -c "$command"
		fi
	}
	while IFS= read -r line; do
		case $line in
		'# '* | 'this#  '* | 'other# '*)
			run "$1"
			host=${line%%#*}
			command=$(sed -E 's/^[a-z]*# +//; s/ {2,}#.*$//' <<<"$line")
			said=()
			;;
		*:) said+=("${line%:}*: " "$(answer "$line")") ;;
		esac
	done < <(awk -v n="$1" '/^## / { inside = $2 == n "." } /^```/ { block = inside && $0 == "```console"; next } block' "$ROOT/docs/tutorial.md")
	run "$1"
}
section 1
section 2
image=/srv/vm/ci.qcow2 domain=clone
export image domain
pipeline=$(awk '/^## / { inside = $2 == "3." } /^```/ { block = inside && $0 == "```sh"; next } block' "$ROOT/docs/tutorial.md")
check_is 2 "$(grep -c '^kvmcrypt ' <<<"$pipeline")" "3: the pipeline has two commands"
check "3: the pipeline" bash -e -c "$pipeline"
check "3: once more, which changes nothing" bash -e -c "$pipeline"
section 4
section 5
section 6
if dmsetup targets >/dev/null 2>&1; then
	section 7
else
	skip "7: no device-mapper here (tests/vm/open does what it does)"
	kvmcrypt create -q /srv/vm/db.raw 64M --luks 2
fi
section 8
skip "9: a TPM and systemd (tests/reboot does what it does)"
kvmcrypt init -q --keystore "$T/other" --key-file /media/usb/kvmcrypt.key
kvmcrypt create -q /srv/vm/web.qcow2 64M
cp /srv/vm/web.qcow2 /srv/images/
section 10
section 12
check "12: the disk is gone" test ! -e /var/lib/libvirt/images/web.qcow2
check_is running "$(virsh -q domstate web)" "and the guest goes on"
