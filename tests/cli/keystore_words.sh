#!/bin/bash
# What the keystore's commands say before somebody wonders.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
head -c 64 /dev/urandom >root.key
head -c 64 /dev/urandom >second.key
mkfifo pipe.key
check_error 2 'pipe.key is no file that later commands would find there' "a pipe is no key file of a keystore" \
	kvmcrypt init -q --key-file pipe.key
check_exit 2 "nor is a pipe of the shell" kvmcrypt init -q --key-file <(cat root.key)
check_is 1 "$(grep -c 'is no file that later commands would find there' "$T/stderr")" "with the same words"
check_exit 1 "no keystore was made" test -e "$KVMCRYPT_KEYSTORE"
kvmcrypt init -q --key-file root.key >/dev/null
check_error 10 'a slot for key file .*/root.key is there already' "a key file is enrolled once" kvmcrypt keystore add-slot --key-file root.key
check "another one is" kvmcrypt keystore add-slot -q --key-file second.key
check_is 2 "$(kvmcrypt keystore status --json | jq '.slots | length')" "so there are two"
printf abc >three
check "a passphrase of three letters is taken" kvmcrypt keystore add-slot --passphrase-file three
check_is 1 "$(grep -c 'a passphrase of 3 characters is found by trying' "$T/stderr")" "and said to be one"

check_is null "$(kvmcrypt keystore status --json | jq .sealed_in)" "sealed: no time is left"
kvmcrypt unseal -q
check_is null "$(kvmcrypt keystore status --json | jq .sealed_in)" "unsealed till the next start: no limit"
kvmcrypt unseal -q --timeout 8h
left=$(kvmcrypt keystore status --json | jq .sealed_in)
check_is yes "$([ "$left" -gt $((6 * 3600)) ] && [ "$left" -le $((8 * 3600)) ] && echo yes)" "unsealed for 8 hours: about so many seconds are left ($left)"
check_is 1 "$(kvmcrypt keystore status | grep -cE '^Sealed in +[78]h')" "and a person reads it in hours"

# In a mount namespace of its own: the machine's /var/lib stays as it is.
if unshare -m mount -t tmpfs none /var/lib 2>/dev/null; then
	check_error 4 "root's is /var/lib/kvmcrypt, which only root can use" "another user is told of root's keystore" \
		unshare -m sh -c 'mount -t tmpfs none /var/lib && mkdir -m 700 /var/lib/kvmcrypt &&
			install -m 755 "$1" /var/lib/program && cd / &&
			exec setpriv --reuid=65534 --clear-groups env -u KVMCRYPT_KEYSTORE -u XDG_DATA_HOME HOME=/nonexistent /var/lib/program list' - "$KVMCRYPT"
else
	skip "no mount namespace here"
fi
for command in 'keystore certificate' 'keystore status' 'keystore log'; do
	# shellcheck disable=SC2086
	"$KVMCRYPT" $command >/dev/full 2>err
	check_is "1 1" "$? $(grep -c 'No space left' err)" "$command that cannot be written is an error"
done
check "the keystore is intact" kvmcrypt keystore check -q
