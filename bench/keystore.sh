#!/bin/bash
# The keystore at 10, 10,000 and 1,000,000 records: get, put, one command, list. The million takes
# some minutes to put in; BENCH_RECORDS="10 10000" leaves it out.
. "$(dirname "$0")/../tests/lib/test.sh"
. "$(dirname "$0")/../tests/lib/bench.sh"
keystore_new
kvmcrypt unseal -q
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 1G
have=0
peak_kib() { # of a command
	command time -f %M -o "$T/peak" "$@" >/dev/null && cat "$T/peak"
}
for records in ${BENCH_RECORDS:-10 10000 1000000}; do
	put=$("$ROOT/$BUILD/bench/fill_keystore" $have "$records") || exit 1
	have=$records
	get=$(quiet_of 31 "$KVMCRYPT" passphrase show --yes a.qcow2) || exit 1
	show=$(quiet_of 31 "$KVMCRYPT" show --no-libvirt a.qcow2) || exit 1
	list=$(once_ms kvmcrypt list)
	peak=$(peak_kib "$KVMCRYPT" list)
	printf '  %9d records: put %5s us; passphrase show %5s ms; show %5s ms; list %8s ms, peak memory %6s KiB\n' \
		"$records" "$put" "$get" "$show" "$list" "$peak"
	[ "${first_peak:-}" ] || first_peak=$peak
done
start=$(quiet_of 31 cryptsetup --version) || exit 1
printf '  cryptsetup --version, which starts and does nothing: %s ms; against it: %sx and %sx\n' "$start" "$(ratio "$get" "$start")" "$(ratio "$show" "$start")"
awk -v g="$get" -v s="$show" 'BEGIN { m = g > s ? g : s; printf "  a command that needs one record: %s and %s ms (wanted: 10) %s\n", g, s, (m <= 10) ? "reached" : "NOT REACHED" }'
printf '  memory of list, the largest store against the smallest: %sx\n' "$(ratio "$peak" "$first_peak")"
