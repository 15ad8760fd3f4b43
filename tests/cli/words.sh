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

# Durations.
check_error 2 "'90' has no unit; write it as 90d" "a duration without a unit" kvmcrypt list --due 90
check_error 2 "'90' has no unit; write it as 90d" "anywhere" kvmcrypt rotate --all --older-than 90
check "weeks" kvmcrypt list --due 1w
check_is "unsealed keystore $KVMCRYPT_KEYSTORE for 8h" "$(kvmcrypt unseal --timeout 8h 2>&1)" "hours are printed as hours"
check_is "unsealed keystore $KVMCRYPT_KEYSTORE for 90m" "$(kvmcrypt unseal --timeout 5400s 2>&1)" "an odd time exactly"
