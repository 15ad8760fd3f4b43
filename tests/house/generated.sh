#!/bin/bash
# One source: the option tables. Help, man pages, completions and the README must follow them.
. "$(dirname "$0")/../lib/test.sh"
cd "$ROOT" || exit 1
check "completions and man page sections are up to date" man/generate --check
"$KVMCRYPT" --dump-cli >"$T/cli.json"
names=$(jq -r '.commands[].name' "$T/cli.json")
check_is "$(sort -c <<<"$names" 2>&1)" "" "the command table is sorted"
missing=
while read -r name; do
	# shellcheck disable=SC2086
	"$KVMCRYPT" $name --help >"$T/help" 2>"$T/help.err" || missing+=" $name(help)"
	[ -s "$T/help.err" ] && missing+=" $name(help on stderr)"
	while read -r option; do
		grep -q -- "--$option" "$T/help" || missing+=" $name(--$option)"
	done < <(jq -r --arg n "$name" '.commands[] | select(.name == $n) | .options[].name' "$T/cli.json")
	grep -q -- "kvmcrypt ${name%% *}\|${name#* }" README.md || missing+=" $name(README)"
	[ -e "man/kvmcrypt-${name%% *}.1" ] || missing+=" $name(man)"
	grep -q "^ *'$name') _kvmcrypt_words" completions/kvmcrypt.bash && grep -q "^ *'$name')$" completions/_kvmcrypt &&
		grep -q "__fish_seen_subcommand_from ${name%% *}.* -a ${name#* } \|__fish_use_subcommand -a $name " completions/kvmcrypt.fish || missing+=" $name(completion)"
	[ -e "tests/cli/${name%% *}.sh" ] || [ -e "tests/guest/${name%% *}.sh" ] || grep -rqE "(kvmcrypt|KVMCRYPT\"?) $name" tests/cli tests/guest || missing+=" $name(test)"
done <<<"$names"
check_is "" "$missing" "every command: help with all options on stdout, man page, completion, test, README line"
bad=
for page in man/*.1; do
	out=$(mandoc -T lint -W warning "$page" 2>&1 | grep -v 'missing date\|missing manual section' || :)
	[ -z "$out" ] || bad+="$out"
done
check_is "" "$bad" "man pages are free of mandoc warnings"
order="NAME SYNOPSIS DESCRIPTION OPTIONS EXIT STATUS EXAMPLES SEE ALSO"
bad=
for page in man/kvmcrypt-*.1; do
	[ "$(sed -n 's/^\.SH //p' "$page" | xargs)" = "$order" ] || bad+=" $page"
done
check_is "" "$bad" "every command's page has the sections $order"
check "completion for bash is valid" bash -n completions/kvmcrypt.bash
if command -v zsh >/dev/null; then check "completion for zsh is valid" zsh -n completions/_kvmcrypt; else skip "no zsh"; fi
if command -v fish >/dev/null; then check "completion for fish is valid" fish -n completions/kvmcrypt.fish; else skip "no fish"; fi

# What bash really offers.
complete_bash() {
	bash -c 'source completions/kvmcrypt.bash
		COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
		_kvmcrypt 2>/dev/null
		printf "%s\n" "${COMPREPLY[@]}"' _ "$@"
}
check_is "create" "$(complete_bash "$KVMCRYPT" crea | tr -d ' ')" "bash completes a command"
check_is "add-slot" "$(complete_bash "$KVMCRYPT" keystore add)" "and a command of a group"
check_is "--format=" "$(complete_bash "$KVMCRYPT" create --form)" "and an option"
check_is "qcow2" "$(complete_bash "$KVMCRYPT" create --format = qc)" "and an option's value"
keystore_new
kvmcrypt create -q "$T/disk.qcow2" 8M
check_is "$T/disk.qcow2" "$(complete_bash "$KVMCRYPT" show "$T/di")" "and a real volume"
check_is "create" "$(complete_bash "$KVMCRYPT" -c qemu:///system crea)" "a command behind an option with a value"
check_is "$T/disk.qcow2" "$(complete_bash "$KVMCRYPT" show --keystore "$KVMCRYPT_KEYSTORE" "$T/di")" "a volume behind an option with a value"
kvmcrypt create -q "$T/\$(echo executed).raw" 1M
check_is "$T/\\\$\(echo\\ executed\).raw" "$(complete_bash "$KVMCRYPT" show "$T/\$")" "a command in a name is quoted, not executed"
