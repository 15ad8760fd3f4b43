#!/bin/bash
# The rules of the house that count: what a reader can hold in his head, and which way the arrows point.
. "$(dirname "$0")/../lib/test.sh"
cd "$ROOT" || exit 1
mapfile -t product < <(git ls-files 'base/*.[ch]' 'keystore/*.[ch]' 'lib/*.[ch]' 'cmd/*.[ch]')

mapfile -t sources < <(git ls-files '*.[ch]')

check_is "" "$(for f in "${sources[@]}"; do
	# Characters and not bytes, whatever the locale.
	expand -t 8 "$f" | LC_ALL=C sed 's/[\x80-\xbf]//g' | awk -v f="$f" 'length > 120 { print f ":" NR }'
done)" "no line has more than 120 columns"
check_is "" "$(wc -l "${product[@]}" | awk '$1 > 400 && $2 != "total" { print $2 " (" $1 ")" }')" "no file of the product has more than 400 lines"
# A function: from the line with its name, in the first column, to the brace in the first column.
check_is "" "$(awk '
	/^[A-Za-z_].*\(/ && !/;$/ { start = FNR }
	/^\{/ { inside = 1 }
	/^\}/ { if (inside && FNR - start + 1 > 60) print FILENAME ":" start " (" FNR - start + 1 ")"; inside = 0 }' "${product[@]}")" "no function of the product has more than 60 lines"
check_is "" "$(grep -nE '(/\*|^[[:space:]]*\*|//) The same\b' "${sources[@]}")" "no comment begins with 'The same'"

# Libraries speak to nobody, and end nothing but a child of theirs (file:times).
spoken=$(grep -cE '\b_exit\(|fprintf\(stderr|fputs\(.*stderr' "${product[@]}" | grep -v '^cmd/' | grep -v ':0$')
allowed="base/process.c:2
keystore/seal/plugin.c:3"
check_is "$allowed" "$spoken" "only children write to stderr or end a process in libraries"

# Circles: an arrow from a to b while b leads to a in some number of steps.
arrows() {
	grep -oE '^#include "(base|keystore|lib|cmd)/[^"]*"' "${product[@]}" | sed -E 's|^(.*)/[^/]*:#include "(.*)/[^/]*"$|\1 \2|' | sort -u
}
circles() {
	awk '$1 != $2 { arrow[$1, $2] = leads[$1, $2] = 1; node[$1] = node[$2] = 1 }
		END {
			for (k in node) for (i in node) for (j in node)
				if (leads[i, k] && leads[k, j]) leads[i, j] = 1
			for (a in arrow) { split(a, p, SUBSEP); if (leads[p[2], p[1]]) print p[1] " -> " p[2] }
		}' | sort
}
check_is "a -> b
b -> c
c -> a" "$(printf '%s\n' 'a b' 'b c' 'c a' 'c d' 'e a' | circles)" "a circle is found where there is one"
check_is "" "$(printf '%s\n' 'a b' 'b c' 'a c' 'c c' | circles)" "and none where there is none"
# The engine lies in the room of its workflows, which have rooms of their own.
check_is "" "$(arrows | circles | grep -vxE '(lib/workflow|lib/workflow/[a-z]*) -> (lib/workflow|lib/workflow/[a-z]*)')" "no circles between folders"
