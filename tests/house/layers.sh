#!/bin/bash
# The rules of the house that a script can see.
. "$(dirname "$0")/../lib/test.sh"
cd "$ROOT" || exit 1
from() { grep -rnE "#include \"($1)/" "${@:2}" --include='*.[ch]'; }
up=$(from 'cmd|lib|keystore' base
	from 'cmd|lib' keystore
	from cmd lib
	from 'lib/volume|lib/guest' lib/image
	from lib/volume lib/guest)
check_is "" "$up" "arrows point downward only"
printing=$(grep -rnE '\b(printf|fprintf\(stderr|puts|perror|exit)\(' lib keystore base --include='*.c' | grep -vE 'snprintf|vsnprintf|_exit\(|error_set|asprintf')
check_is "" "$printing" "libraries neither print nor exit"
check_is "" "$(grep -rnE '#include .*(cryptsetup|libvirt|sqlite)' cmd | grep -v 'lib/')" "commands speak to lib only"
check_is "" "$(git ls-files '*.c' '*.h' | grep -v '^tests/' | xargs wc -l | awk '$2 != "total" && $1 > 500 { print $2 }')" "no file has more than 500 lines"
bad=
for h in $(git ls-files '*.h'); do
	# shellcheck disable=SC2046
	gcc -std=c11 -D_GNU_SOURCE -fsyntax-only -Wall -Wextra -Werror -I. $(pkg-config --cflags libvirt libxml-2.0 json-c) -x c "$h" 2>"$T/err" || bad+=" $h"
done
check_is "" "$bad" "each header compiles alone"
