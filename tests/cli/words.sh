#!/bin/bash
# How kvmcrypt speaks: what is named in an error, what is suggested, what is printed and what is not.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 8M

# The option that is unknown is the one that is named, wherever it stands.
check_error 2 "unknown option '--bogus'" "an unknown option behind an operand" kvmcrypt create b.raw --bogus 8M
check_error 2 "unknown option '--bogus'" "before a known one" kvmcrypt list --bogus --quiet
check_error 2 "unknown option '-Z'" "a letter among others" kvmcrypt create -qZ b.raw 8M
check_error 2 "'--quiet' takes no value" "a value that a flag does not take" kvmcrypt list --quiet=yes
check_error 2 "'--format' needs a value: --format=FORMAT" "a value that is missing" kvmcrypt create b.raw 8M --format
check_error 2 "'--c' may be any of --cipher, --cluster-size, --connect" "an ambiguous one names all" kvmcrypt create b.raw 8M --c 3
check_error 2 'did you mean --keystore' "a slip in an option" kvmcrypt list --kestore x
check_error 2 "unknown option '--xyzzy' \\(see" "nothing near: nothing is suggested" kvmcrypt list --xyzzy

# Commands.
check_error 2 'did you mean `kvmcrypt create`' "a slip in a command" kvmcrypt craete b.raw 8M
check_error 2 'did you mean `kvmcrypt keystore status`' "in the second word" kvmcrypt keystore stat
check_error 2 'did you mean `kvmcrypt keystore status`' "in the first of two" kvmcrypt keystoer status
check_error 2 'did you mean `kvmcrypt keystore add-slot`' "a second word alone" kvmcrypt add-slot
check_error 2 "no command 'frobnicate' \\(see" "nothing near: nothing is suggested" kvmcrypt frobnicate
check_error 2 "no command 'keystore frobnicate' \\(see" "nor in a group" kvmcrypt keystore frobnicate
check_exit 1 "nothing was created meanwhile" test -e b.raw

# help COMMAND.
for words in create "keystore add-slot" help; do
	# shellcheck disable=SC2086
	check_is "$(kvmcrypt $words --help)" "$(kvmcrypt help $words)" "help $words is $words --help"
done
check_is "$(kvmcrypt --help)" "$(kvmcrypt help)" "help is --help"
check_is "$(kvmcrypt keystore --help)" "$(kvmcrypt help keystore)" "help keystore lists its commands"
check_error 2 'did you mean `kvmcrypt rotate`' "help of a slip" kvmcrypt help rotat
check_is "" "$(kvmcrypt --dump-cli | jq -r '.commands[].name' | while read -r name; do
	[ "$(kvmcrypt --help | grep -c "^  $name  ")" = 1 ] || echo "$name"
done)" "the overview has each command once"
check_is "The keystore:,Volumes:,Keys of a volume:,Guests and the host's start:,Help:" \
	"$(kvmcrypt --help | grep -B 1 '^  ' | grep ':$' | paste -sd ,)" "in groups"

# Swapped operands.
check_error 2 'the domain comes first: `kvmcrypt attach vm a.qcow2`' "attach VOLUME DOMAIN" kvmcrypt attach a.qcow2 vm
check_error 2 'the domain comes first: `kvmcrypt detach vm a.qcow2`' "detach VOLUME DOMAIN" kvmcrypt detach a.qcow2 vm
check_error 2 'the size comes last: `kvmcrypt create b.raw 8M`' "create SIZE IMAGE" kvmcrypt create 8M b.raw
check_error 2 'the size comes last: `kvmcrypt resize a.qcow2 9M`' "resize SIZE VOLUME" kvmcrypt resize 9M a.qcow2

# Durations.
check_error 2 "'90' has no unit; write it as 90d" "a duration without a unit" kvmcrypt list --due 90
check_error 2 "'90' has no unit; write it as 90d" "anywhere" kvmcrypt rotate --all --older-than 90
check "weeks" kvmcrypt list --due 1w
check_is "unsealed keystore $KVMCRYPT_KEYSTORE for 8h" "$(kvmcrypt unseal --timeout 8h 2>&1)" "hours are printed as hours"
check_is "unsealed keystore $KVMCRYPT_KEYSTORE for 90m" "$(kvmcrypt unseal --timeout 5400s 2>&1)" "an odd time exactly"

# A document that could not be written is a failure, with the reason; a reader that has seen enough is none.
to_full() { "$KVMCRYPT" "$@" >/dev/full; }
for c in list "list --json" "show a.qcow2" "show --json a.qcow2" "keyslot list a.qcow2" "keystore status" \
	"keystore log --json" "keystore certificate" "passphrase show --yes a.qcow2" help --version "create --help" --dump-cli; do
	# shellcheck disable=SC2086
	check_error 1 'No space left on device' "$c on a full disk" to_full $c
done
check_error 1 'No space left on device' "one that changes something" to_full resize -q --json a.qcow2 9M
check_is 9437184 "$(kvmcrypt show --json a.qcow2 | jq .size)" "has changed it all the same"
check_exit 2 "a failure keeps its own code" to_full resize --json a.qcow2 9.5M
to_nobody() { perl -e 'pipe(R, W) or die; close(R); open(STDOUT, ">&W") or die; close(W); exec @ARGV' "$KVMCRYPT" "$@"; }
for c in list "keystore log" "list --json" "keystore status" help; do
	# shellcheck disable=SC2086
	check_exit 1 "$c | head -1, which has left" to_nobody $c
	check_is "" "$(cat stderr)" "$c is silent then"
done
check_error 1 'Broken pipe' "a passphrase that nobody got is no matter of course" to_nobody passphrase show --yes a.qcow2

# --quiet.
for c in list "show a.qcow2" "keystore status" "keystore log" "keyslot list a.qcow2" "header show a.qcow2" "rotate a.qcow2"; do
	# shellcheck disable=SC2086
	check_is "" "$(kvmcrypt $c -q 2>&1)" "$c -q prints no table"
done
check_is a.qcow2 "$(basename "$(kvmcrypt list -q --json | jq -r '.volumes[0].path')")" "with --json the document comes"

# Columns.
mkdir wide
kvmcrypt create -q wide/plain.raw 1M
kvmcrypt create -q wide/$'\xe7\xa3\x81\xe7\xa2\x9f'.raw 1M
kvmcrypt create -q wide/$'e\xcc\x81e\xcc\x81'.raw 1M
# Where FORMAT's column begins in each line, counted by Perl's own tables.
column() {
	# shellcheck disable=SC2016
	kvmcrypt list | perl -CSD -ne 'if (/^(.*  )(FORMAT|qcow2|raw) +[\dS]/) { $_ = $1; $wide = () = /\p{East_Asian_Width=W}/g; s/\pM//g; print length() + $wide, "\n" }' | sort -u | wc -l
}
check_is 1 "$(column)" "tables align with wide and combining characters"
check_is 1 "$(export LC_ALL=C; column)" "whatever the locale"

check_is "nothing to renew: the seal has no slot of a TPM" "$(kvmcrypt keystore reseal 2>&1)" "reseal says that it did nothing"
check_is 0 "$(kvmcrypt keystore reseal --json 2>/dev/null | jq '.slots | length')" "and JSON has an empty list"
