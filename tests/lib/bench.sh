# shellcheck shell=bash
# Side-by-side measurements: every claim is a ratio of medians taken in one run.
export LC_ALL=C
# Without a process of its own, whose start would be measured with everything.
now() { local t=$EPOCHREALTIME; NOW=${t/./}; }
# median_ms N COMMAND...: runs it N times, prints the median in milliseconds with one decimal.
median_ms() {
	local n=$1 i began times=()
	shift
	for i in $(seq "$n"); do
		now
		began=$NOW
		"$@" >/dev/null 2>"$T/bench.err" || { echo "failed: $* ($i): $(tail -n 1 "$T/bench.err")" >&2; return 1; }
		now
		times+=($((NOW - began)))
	done
	printf '%s\n' "${times[@]}" | sort -n | awk '{ t[NR] = $1 } END { printf "%.1f\n", t[int((NR + 1) / 2)] / 1e3 }'
}
# median_of N COMMAND...: the same for a program (no function), without the shell's own fork in it; {} in an
# argument is the number of the run.
median_of() { "$ROOT/$BUILD/bench/median" "$@"; }
# quiet_of N COMMAND...: the smallest of seven such medians, some seconds apart: other virtual machines on the same
# host add half as much again at times, and never take anything away.
quiet_of() {
	local i medians=()
	for i in 0 1 2 3 4 5 6; do
		[ "$i" = 0 ] || sleep 3
		medians[i]=$(median_of "$@") || return
	done
	printf '%s\n' "${medians[@]}" | sort -n | head -n 1
}
# once_ms COMMAND...
once_ms() { median_ms 1 "$@"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a / b }'; }
line() { printf '  %-58s %10s ms\n' "$1" "$2"; }
# verdict WHAT RATIO WANTED
verdict() {
	printf '  %-58s %9sx   (wanted: %s) %s\n' "$1" "$2" "$3" \
		"$(awk -v r="$2" -v w="$3" 'BEGIN { print (r >= w) ? "reached" : "NOT REACHED" }')"
}
