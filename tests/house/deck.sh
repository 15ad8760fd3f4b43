#!/bin/bash
# docs/deck.md and its translation speak of the same checks and commands, and of none that does not exist.
. "$(dirname "$0")/../lib/test.sh"
cd "$ROOT" || exit 1
"$KVMCRYPT" check --list --json >"$T/checks.json"
ids() { grep -oE '`(process|management|console|network|mac|audit|rest)\.[a-z-]+`' "$1" | tr -d '`' | sort -u; }
commands() { awk '/^```/ { inside = !inside; next } inside' "$1" | sed 's/ *  # .*//'; }
check_is "$(ids docs/deck.md)" "$(ids docs/deck.pt_BR.md)" "both name the same checks"
check_is "$(commands docs/deck.md)" "$(commands docs/deck.pt_BR.md)" "and the same commands"
check_is "" "$(comm -23 <(ids docs/deck.md) <(jq -r '.checks[].id' "$T/checks.json" | sort -u))" "each check exists"
check_is "$(grep -c '^## ' docs/deck.md)" "$(grep -c '^## ' docs/deck.pt_BR.md)" "as many chapters"
