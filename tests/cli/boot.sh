#!/bin/bash
# kvmcrypt boot and the units: installed, enabled and removed below --root, judged by systemd's own tools, and
# ordered so that libvirt's daemon waits for them but needs them not.
. "$(dirname "$0")/../lib/test.sh"
host=$T/host
mkdir -p "$host/etc" "$host/usr"
units="kvmcrypt-load kvmcrypt-reload kvmcrypt-unload"
unit_dir=$host/usr/lib/systemd/system
enabled() { for u in $units; do systemctl --root="$host" is-enabled $u.service; done 2>/dev/null | xargs; }

check_error 4 'make install' "enable, not installed" kvmcrypt boot enable -q --root "$host"
make -s -C "$ROOT" BUILD="$BUILD" install DESTDIR="$host" prefix=/usr >"$T/make" 2>&1 || cat "$T/make"
check_is "3" "$(find "$unit_dir" -name 'kvmcrypt-*.service' | wc -l)" "make install installs the units"
check_is "0" "$(grep -l '@bindir@' "$unit_dir"/kvmcrypt-*.service | wc -l)" "with every path filled in"
check_is "disabled disabled disabled" "$(enabled)" "not enabled"
check_exit 1 "status tells of it" kvmcrypt boot status --root "$host" --json
check_is "failed 1" "$(jq -r '.error.kind + " " + (.findings | length | tostring)' "$T/stdout")" "in JSON, too"
check "enable, dry" kvmcrypt boot enable --root "$host" --dry-run
check_is "disabled disabled disabled" "$(enabled)" "changes nothing"
check "enable" kvmcrypt boot enable --root "$host" --json
check_is "true" "$(jq .changed "$T/stdout")" "says that it changed something"
check_is "enabled enabled enabled" "$(enabled)" "all three"
for d in libvirtd virtsecretd virtqemud; do
	check_is "$(for u in $units; do echo $u.service; done | xargs)" "$(find "$host/etc/systemd/system/$d.service.wants" -type l -printf '%f\n' | sort | xargs)" "$d.service wants them"
done
check_is "" "$(find "$host/etc/systemd/system" -name '*.requires')" "and nothing requires them"
check "status" kvmcrypt boot status --root "$host" --json
check_is "true [] null" "$(jq -r '([.units[].enabled] | all | tostring) + " " + (.findings | tostring) + " " + (.in_memory | tostring)' "$T/stdout")" "finds nothing amiss"
check "enable again" kvmcrypt boot enable --root "$host" --json
check_is "false" "$(jq .changed "$T/stdout")" "changes nothing"
check "--no-ram" kvmcrypt boot enable --root "$host" --no-ram
check_is "disabled enabled disabled" "$(enabled)" "leaves the one that runs after libvirt"
check_exit 1 "status says that guests come before their keys" kvmcrypt boot status --root "$host"
systemctl -q --root="$host" add-wants kvmcrypt-load.service network-online.target
check "disable" kvmcrypt boot disable --root "$host" --json
check_is "true" "$(jq .changed "$T/stdout")" "says so"
check_is "" "$(find "$host/etc/systemd/system" -name 'kvmcrypt*')" "leaves nothing"
check "disable again" kvmcrypt boot disable --root "$host"
check_exit 2 "an operand" kvmcrypt boot status nonsense

# max_core, in a qemu.conf as somebody has written it.
check_error 4 'qemu.conf' "--no-core-dumps without libvirt" kvmcrypt boot enable -q --root "$host" --no-core-dumps
mkdir -p "$host/etc/libvirt"
printf '# max_core = "unlimited"\nuser = "x"\n  max_core="unlimited"\nmax_core_pages = 7\nmax_core = 5\nlast = 1' >"$host/etc/libvirt/qemu.conf"
chmod 600 "$host/etc/libvirt/qemu.conf"
before=$(cat "$host/etc/libvirt/qemu.conf")
check "--no-core-dumps, dry" kvmcrypt boot enable --root "$host" --no-core-dumps --dry-run --json
check_is "true $before" "$(jq .changed "$T/stdout") $(cat "$host/etc/libvirt/qemu.conf")" "changes nothing"
check "--no-core-dumps" kvmcrypt boot enable --root "$host" --no-core-dumps --json
check_is '# max_core = "unlimited"|user = "x"|max_core = 1|max_core_pages = 7|last = 1| 600' "$(tr '\n' '|' <"$host/etc/libvirt/qemu.conf") $(stat -c %a "$host/etc/libvirt/qemu.conf")" "sets the one line, and leaves the others"
check "again" kvmcrypt boot enable --root "$host" --no-core-dumps --json
check_is false "$(jq .changed "$T/stdout")" "changes nothing"
echo 'user = "x"' >"$host/etc/libvirt/qemu.conf"
kvmcrypt boot enable -q --root "$host" --no-core-dumps >/dev/null
check_is 'user = "x"|max_core = 1|' "$(tr '\n' '|' <"$host/etc/libvirt/qemu.conf")" "adds it where there is none"

# libvirt 12.1 and later: the daemon has a credential for the secrets that it has sealed.
credential=/var/lib/libvirt/secrets/secrets-encryption-key
mkdir -p "$host/etc/libvirt/secrets" "$host/etc/systemd/system/virtsecretd.service.d"
printf '[Service]\nLoadCredentialEncrypted=secrets-encryption-key:%s\n' $credential >"$unit_dir/virtsecretd.service"
check "a credential that is not there yet, and nothing sealed" kvmcrypt boot status --root "$host"
touch "$host/etc/libvirt/secrets/11111111-2222-3333-4444-555555555555.aes256cbc"
check_exit 1 "sealed secrets without their credential" kvmcrypt boot status --root "$host" --json
check_is 1 "$(jq -r '.findings[]' "$T/stdout" | grep -c "virtsecretd.service may not start.*$credential.*missing")" "are foreseen"
mkdir -p "$host/${credential%/*}"
touch "$host/$credential"
check "with it there is nothing to say" kvmcrypt boot status --root "$host"
rm "$host/$credential"
printf '[Service]\nLoadCredentialEncrypted=\n' >"$host/etc/systemd/system/virtsecretd.service.d/none.conf"
check "nor where a drop-in takes the line back" kvmcrypt boot status --root "$host"
rm -r "$host/etc/systemd/system/virtsecretd.service.d" "$unit_dir/virtsecretd.service" "$host/etc/libvirt"
kvmcrypt boot disable -q --root "$host" >/dev/null

# What systemd makes of them. The daemons are stand-ins, as Debian packages no modular ones; what they are ordered after
# and bound to is what libvirt 12 ships, the maker of the credential among it.
printf '[Service]\nType=oneshot\nExecStart=/bin/true\n' >"$unit_dir/virt-secret-init-encryption.service"
for d in libvirtd virtsecretd virtqemud; do
	{
		echo "[Unit]"
		[ $d = virtqemud ] || printf '%s=virt-secret-init-encryption.service\n' Requires After
		[ $d = libvirtd ] || printf '%s\n' BindsTo=$d.socket Conflicts=libvirtd.service
		printf 'After=%s\n' $d.socket libvirtd.service network.target dbus.service apparmor.service remote-fs.target
		printf '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n'
	} | grep -v "^After=$d.service" >"$unit_dir/$d.service"
	printf '[Socket]\nListenStream=/run/libvirt/%s-sock\n[Install]\nWantedBy=sockets.target\n' "$d" >"$unit_dir/$d.socket"
	systemctl -q --root="$host" enable $d.service $d.socket
done
kvmcrypt boot enable -q --root "$host" >/dev/null
mkdir -p "$host/bin"
for s in basic sysinit sockets multi-user shutdown local-fs remote-fs network-online; do cp "/lib/systemd/system/$s.target" "$unit_dir/" 2>/dev/null; done
cp /lib/systemd/system/system.slice /lib/systemd/system/-.slice "$unit_dir/" 2>/dev/null
mkdir -p "$host/bin" "$host/usr/bin"
cp /bin/true "$host/bin/"
cp /bin/true "$host/usr/bin/udevadm"
for d in libvirtd virtsecretd virtqemud; do
	systemd-analyze verify --man=no --root="$host" multi-user.target $d.service $d.socket kvmcrypt-load.service kvmcrypt-reload.service kvmcrypt-unload.service >"$T/verify" 2>&1
	check_is "" "$(grep -iE 'kvmcrypt|cycle' "$T/verify")" "systemd-analyze verify with $d has nothing to say, and finds no cycle"
done
sed -i 's/^Before=.*/& libvirtd.socket/' "$unit_dir/kvmcrypt-load.service"
systemd-analyze verify --man=no --root="$host" multi-user.target libvirtd.service libvirtd.socket kvmcrypt-load.service >"$T/verify" 2>&1
check "ordered before a socket it would find one" grep -qi cycle "$T/verify"
sed -i 's/^\(Before=.*\) libvirtd.socket/\1/' "$unit_dir/kvmcrypt-load.service"
for d in libvirtd virtsecretd virtqemud; do
	check_is "kvmcrypt-load kvmcrypt-unload" "$(grep -lE "^Before=.*\b$d\.service" "$unit_dir"/kvmcrypt-*.service | xargs -n 1 basename -s .service | xargs)" "two come before $d"
	check_is "kvmcrypt-reload" "$(grep -lE "^After=.*\b$d\.service" "$unit_dir"/kvmcrypt-*.service | xargs -n 1 basename -s .service | xargs)" "one behind it"
done
for u in $units; do
	score=$(systemd-analyze security --offline=true --root="$host" "$unit_dir/$u.service" 2>/dev/null | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
	check "$u speaks to the journal" grep -q '^StandardError=journal' "$unit_dir/$u.service"
	check "$u: exposure ${score:-unknown} is OK or better" awk -v s="${score:-10}" 'BEGIN { exit !(s < 5.0) }'
done
make -s -C "$ROOT" BUILD="$BUILD" uninstall DESTDIR="$host" prefix=/usr >/dev/null 2>&1
check_is "" "$(find "$host" -name 'kvmcrypt*' -type f)" "make uninstall leaves nothing"
