#!/bin/bash
# libguestfs looks into a guest's qcow2 disk over the NBD export. It boots an appliance of its own.
. "$(dirname "$0")/../lib/test.sh"
command -v guestfish >/dev/null || skip_all "guestfish is not installed (90 packages, so make test does not bring it)"
keystore_new
cd "$T" || exit 1
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg LIBGUESTFS_CACHEDIR=$T
# In a container there is no kernel for the appliance; supermin also wants the directory itself.
if ! ls /lib/modules/*/modules.dep >/dev/null 2>&1; then
	mkdir kernel && cd kernel || exit 1
	package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/ *Depends: \(linux-image-[^ ]*\)/\1/p' | head -n 1)
	apt-get download -qq -o APT::Sandbox::User=root "$package" >/dev/null 2>&1 || skip_all "no kernel for guestfish, and none to download"
	dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*' './lib/modules/*'
	version=$(ls lib/modules)
	depmod -b . "$version" 2>/dev/null
	export SUPERMIN_KERNEL=$PWD/boot/vmlinuz-$version SUPERMIN_MODULES=$PWD/lib/modules/$version SUPERMIN_KERNEL_VERSION=$version
	cd "$T" || exit 1
	[ -d /lib/modules ] || { mkdir /lib/modules && on_exit drop_modules; }
	drop_modules() { rmdir /lib/modules; }
fi
truncate -s 32M plain
mkfs.ext4 -q plain && debugfs -w -R "mkdir hello-from-the-guest" plain 2>/dev/null
kvmcrypt create -q disk.qcow2 32M
kvmcrypt open -q disk.qcow2 s.sock --export nbd --writable
nbdcopy --flush plain "nbd+unix:///?socket=s.sock"
kvmcrypt close -q disk.qcow2
check "serve it read-only" kvmcrypt open -q disk.qcow2 s.sock --export nbd
check "guestfish mounts it" timeout 300 guestfish --ro --format=raw -a "nbd://?socket=$T/s.sock" -m /dev/sda ls /
check_is 1 "$(grep -c hello-from-the-guest stdout)" "and sees the guest's files"
check "close" kvmcrypt close -q disk.qcow2
