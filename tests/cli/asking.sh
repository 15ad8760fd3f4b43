#!/bin/bash
# How kvmcrypt asks: tries at a prompt, what is looked at before, key files, the last keyslot.
. "$(dirname "$0")/../lib/test.sh"
keystore_new
cd "$T" || exit 1
kvmcrypt create -q a.qcow2 8M

# Three tries at a prompt.
printf 'correct horse' >pass
export KVMCRYPT_KEYSTORE=$T/other
kvmcrypt init -q --passphrase-file pass
q='recovery key of keystore*: '
check_exit 0 "the third try counts" on_terminal "'$KVMCRYPT' unseal" "$q" $'wrong\r' "$q" $'\r' "$q" $'correct horse\r'
check_is 3 "$(grep -c 'Passphrase or recovery key' terminal)" "it was asked three times"
check_is 2 "$(grep -c 'Once more' terminal)" "and said why"
kvmcrypt seal
check_exit 5 "a fourth is not asked for" on_terminal "'$KVMCRYPT' unseal" "$q" $'a\r' "$q" $'b\r' "$q" $'c\r'
check_is 3 "$(grep -c 'Passphrase or recovery key' terminal)" "three and no more"
check_exit 0 "where a command asks by itself" on_terminal "'$KVMCRYPT' create '$T/t.raw' 1M" "$q" $'wrong\r' "$q" $'correct horse\r'
mv other $'red\e[31m'
check_exit 0 "a name in a question" on_terminal "'$KVMCRYPT' unseal --keystore red*" "$q" $'correct horse\r'
check_is "1 0" "$(grep -c 'red?\[31m: ' terminal) $(grep -c $'\e' terminal)" "cannot drive the terminal"
kvmcrypt seal -q --keystore red*
mv red* other
check_exit 5 "a file is read once" kvmcrypt unseal --passphrase-file <(printf wrong)
export KVMCRYPT_KEYSTORE=$T/keystore
check_exit 0 "two entries that differ are asked for again" on_terminal "'$KVMCRYPT' keyslot add a.qcow2" 'volume: ' $'one two\r' 'again*: ' $'one tow\r' \
	'volume: ' $'one two\r' 'again*: ' $'one two\r'

# import looks at the image before it asks, and knows a trailing newline from a wrong passphrase.
fast="--type luks1 --pbkdf-force-iterations 1000 --batch-mode"
printf 'secret\n' >with
printf 'secret' >without
for f in with without; do
	truncate -s 4M $f.raw
	# shellcheck disable=SC2086
	cryptsetup luksFormat $fast --key-file $f $f.raw
done
asks_not() { setsid "$KVMCRYPT" import -q "$@"; }
cp with.raw full.raw
for i in 1 2 3 4 5 6 7; do
	# shellcheck disable=SC2086
	cryptsetup luksAddKey $fast --key-file with full.raw <(printf '%s' "$i") 2>/dev/null
done
sum=$(sha256sum <full.raw)
check_error 1 'all keyslots of .* are in use' "no free keyslot" asks_not full.raw
check_error 1 'all keyslots of .* are in use' "nor with the passphrase" kvmcrypt import -q --key-file with full.raw
check_error 1 'all keyslots of .* are in use' "--dry-run finds it as well" kvmcrypt import -q --dry-run --key-file with full.raw
check_is "$sum $sum" "$sum $(sha256sum <full.raw)" "nothing was written"
check_exit 4 "and nothing marked" kvmcrypt show full.raw
check_error 2 'not encrypted' "what is no LUKS" asks_not with
check_error 5 'with a newline behind the passphrase: use --key-file' "a newline too few" kvmcrypt import -q --passphrase-file with with.raw
check_error 5 'without the newline at the end of the key: use --passphrase-file' "one too many" kvmcrypt import -q --key-file with without.raw
check_error 5 'passphrase' "neither" kvmcrypt import -q --passphrase-file <(printf other) with.raw
check_is 0 "$(grep -c newline stderr)" "is no matter of newlines"
check "--key-file is byte for byte" kvmcrypt import -q --key-file with with.raw
check "from standard input too" bash -c "'$KVMCRYPT' import -q --key-file - without.raw <without"
check "known already: nobody is asked" asks_not with.raw
check_error 2 'goes without' "one source only" kvmcrypt import -q --key-file with --passphrase-file with with.raw
# Eight MiB, as cryptsetup reads them.
head -c 8388608 /dev/urandom >big
truncate -s 4M big.raw
# shellcheck disable=SC2086
cryptsetup luksFormat $fast --key-file big big.raw
check "a key file of 8 MiB" kvmcrypt import -q --key-file big big.raw
printf x >>big
check_error 2 'longer than 8388608 bytes' "and not a byte more" kvmcrypt import -q --key-file big big.raw --replace
check "keyslot add --key-file" kvmcrypt keyslot add -q --key-file with a.qcow2
kvmcrypt create -q k.raw 1M
check "of a raw one" kvmcrypt keyslot add -q --key-file with k.raw
check "cryptsetup's --key-file opens it" cryptsetup open --test-passphrase --type luks1 --key-file with k.raw
check_exit 2 "without its newline it does not" cryptsetup open --test-passphrase --type luks1 --key-file without k.raw

# All keyslots: said before the last one is taken.
kvmcrypt create -q s.raw 1M
for i in 1 2 3 4 5 6; do kvmcrypt keyslot add -q --recovery-key "$T/key.$i" s.raw; done
check_error 9 'last free keyslot of .*rotate.*--yes' "the last free keyslot" setsid "$KVMCRYPT" keyslot add -q --recovery-key "$T/key.7" s.raw
check_exit 1 "no key was left behind" test -e key.7
check_is 7 "$(kvmcrypt keyslot list --json s.raw | jq '[.keyslots[] | select(.state == "active")] | length')" "it was not taken"
check "so rotate works" kvmcrypt rotate -q s.raw
check_exit 0 "a person is asked" on_terminal "'$KVMCRYPT' keyslot add -q --recovery-key '$T/key.7' s.raw" 'Type yes to go on: ' $'yes\r'
check_error 1 'all keyslots of .*keyslot remove' "there is none any more" kvmcrypt keyslot add -q --yes --recovery-key "$T/key.8" s.raw
check_error 1 'all keyslots.*keyslot remove' "rotate says what to do" kvmcrypt rotate -q s.raw
check_is ready "$(kvmcrypt show --json s.raw | jq -r .state)" "and changed nothing"
cp with.raw seven.raw
cryptsetup luksUUID --batch-mode --uuid "$(cat /proc/sys/kernel/random/uuid)" seven.raw
for i in 1 2 3 4 5; do
	# shellcheck disable=SC2086
	cryptsetup luksAddKey $fast --key-file with seven.raw <(printf '%s' "$i") 2>/dev/null
done
check_is 1 "$(kvmcrypt import --key-file with seven.raw 2>&1 | grep -c 'takes the last free keyslot of .*rotate')" "import says so as well"
