# shellcheck shell=bash
# What each job in the host sources. A check is one line, which tests/run counts in the end.
export LC_ALL=C HOME=/root PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin
images=/var/lib/libvirt/images
ok() { echo "ok - $*"; }
not_ok() {
	echo "not ok - $*"
	[ -s /run/stderr ] && sed 's/^/#   /' /run/stderr | head -n 5
	[ -e /run/diagnosed ] && return
	touch /run/diagnosed
	{
		virsh list --all
		journalctl -b -q -o cat -u libvirtd -u 'kvmcrypt-*' | tail -n 15
		for f in /var/log/libvirt/qemu/*.log; do tail -n 3 "$f"; done
	} 2>&1 | sed 's/^/#   /'
}
check() {
	local what=$1
	shift
	if "$@" >/run/stdout 2>/run/stderr; then ok "$what"; else not_ok "$what (exit $?)"; fi
}
check_exit() {
	local want=$1 what=$2 code
	shift 2
	"$@" >/run/stdout 2>/run/stderr
	code=$?
	if [ $code = "$want" ]; then ok "$what"; else not_ok "$what (exit $code, not $want)"; fi
}
check_is() { if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3 (want '$1', got '$2')"; fi; }
wait_for() {
	local end=$((SECONDS + 300))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { echo "# not after 300 s: $*"; return 1; }
		sleep 0.2
	done
}
state() { virsh -q domstate "$1" 2>/dev/null | head -n 1; }
is_state() { [ "$(state "$1")" = "$2" ]; }
active() { systemctl show -P ActiveState "$1"; }
said() { grep -a "GUEST: $2" "$images/$1.console"; }
# Has a guest come up from its disk since the last mark? It counts its boots there itself.
mark() { stat -c %s "$images/$1.console" >"/root/$1.mark"; }
booted() { tail -c "+$(($(cat "/root/$1.mark") + 1))" "$images/$1.console" | grep -aq 'GUEST: boot [0-9]* from the encrypted disk'; }
in_memory() { [ "$(stat -f -c %T /etc/libvirt/secrets)" = ramfs ]; }
secret_of() { kvmcrypt show --json --no-libvirt "$images/$1" | jq -r .secret.uuid; }
# The journal of this boot, of our units.
ours() { journalctl -b -q -o cat -t kvmcrypt; }
# systemd has to be done with its start-up.
settled() { [ "$(systemctl is-system-running)" != starting ]; }
wait_for systemctl is-active libvirtd
