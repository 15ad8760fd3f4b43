#!/bin/bash
# What says the same in several places for packagers does not drift: versions, what is needed to build, what is installed.
. "$(dirname "$0")/../lib/test.sh"
cd "$ROOT" || exit 1
version=$(sed -n 's/^VERSION *:= *//p' Makefile)
check_is "$version $version $version" "$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog) $(sed -n 's/^Version: *//p' rpm/kvmcrypt.spec) $(sed -n 's/^## //p' CHANGELOG.md | head -n 1)" \
	"debian/changelog, the RPM spec and CHANGELOG.md are of the Makefile's version"
check_is "kvmcrypt $version" "$(kvmcrypt --version | head -n 1)" "so is the program"
words() { tr ' \\' '\n\n' | sed '/^$/d' | LC_ALL=C sort -u | paste -sd ' '; }
variable() { env -u MAKEFLAGS make -s --eval "show: ; @echo \$($1)" show; }
check_is "$(variable PKGS_BUILD | words | tr ' ' '\n' | grep -e -dev | words)" \
	"$(sed -n '/^Build-Depends:/,/^[A-Z]/p' debian/control | tr ',' '\n' | grep -oE '[a-z0-9.+-]+-dev' | words)" \
	"debian/control needs to build what make deps installs"
check_is "$({ variable LIBS; variable HEADERS; } | words)" \
	"$(sed -n 's/^BuildRequires: *pkgconfig(\(.*\))/\1/p' rpm/kvmcrypt.spec | words)" "the RPM spec needs what the Makefile asks pkg-config for"
make -s BUILD="$BUILD" install DESTDIR="$T/i" prefix=/usr unitdir=/usr/lib/systemd/system >"$T/make" 2>&1 || cat "$T/make"
listed=$(sed -n '/^%files/,$p' rpm/kvmcrypt.spec | sed -n 's/^%{/%{/p' | sed 's|%{_bindir}|/usr/bin|; s|%{_mandir}|/usr/share/man|; s|%{_datadir}|/usr/share|; s|%{_prefix}|/usr|')
check_is "" "$(cd "$T/i" && find . -type f -printf '/%P\n' | while read -r f; do
	# shellcheck disable=SC2254  # a line of the list is a pattern
	for l in $listed; do case $f in $l | "$l"/*) continue 2 ;; esac; done
	echo "$f"
done)" "the RPM spec lists every file that make install installs"
exit $FAILED
