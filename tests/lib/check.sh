# shellcheck shell=bash
# What tests of kvmcrypt check ask. Sourced after tests/lib/test.sh.

# look CODE DESCRIPTION ARGUMENTS...: kvmcrypt check, whose report the others ask.
look() { check_exit "$1" "$2" kvmcrypt check --json "${@:3}"; }
# verdict ID: of the last report.  said ID: what stands behind it, a line a note: VERDICT SIDE SUBJECT: TEXT.
verdict() { jq -r --arg id "$1" '.findings[] | select(.id == $id).verdict' "$T/stdout"; }
said() { jq -r --arg id "$1" '.findings[] | select(.id == $id).notes[] | "\(.verdict) \(.seen) \(.subject): \(.text)"' "$T/stdout"; }
