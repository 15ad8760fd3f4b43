#!/bin/bash
# kvmcrypt unseal, seal: the root key into and out of the kernel keyring.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
keyctl show @u >/dev/null 2>&1 || skip_all "no kernel keyring here"
echo "correct horse" >pass
head -c 64 /dev/urandom >file.key
head -c 64 /dev/urandom >other.key
kvmcrypt init -q --passphrase-file pass --recovery-key rec || exit 1
kvmcrypt keystore add-slot 2>/dev/null </dev/null
sealed() { kvmcrypt keystore status --json | jq .sealed; }
id=$(kvmcrypt keystore status --json | jq -r .root_key_id)

check_error 3 'sealed: run .kvmcrypt unseal' "a command that needs a key" setsid "$KVMCRYPT" create -q a.qcow2 1M
check "list works while sealed" kvmcrypt list
check "log works while sealed" kvmcrypt keystore log
echo "battery staple" >wrong
check_error 5 'does not open the keystore' "a wrong passphrase" kvmcrypt unseal -q --passphrase-file wrong
check_is true "$(sealed)" "it stays sealed"
check "the passphrase" kvmcrypt unseal --passphrase-file pass
check_is false "$(sealed)" "it is unsealed"
check_is 1 "$(keyctl list @u | grep -c "kvmcrypt:$id")" "the key is in the user keyring under its name"
check "commands find it" kvmcrypt create -q a.qcow2 1M
check "in a session keyring of its own too" keyctl session - "$KVMCRYPT" create -q b.qcow2 1M
check_exit 0 "unsealed already" kvmcrypt unseal --json
check_is "false false" "$(jq -r '"\(.sealed) \(.changed)"' stdout)" "JSON says that nothing changed"
check "seal" kvmcrypt seal --json
check_is "true true" "$(jq -r '"\(.sealed) \(.changed)"' stdout)" "JSON says so"
check_is 0 "$(keyctl list @u | grep -c "kvmcrypt:$id")" "the key is gone"
check_exit 0 "sealed already" kvmcrypt seal
check_error 3 'unseal' "commands need it again" setsid "$KVMCRYPT" create -q c.qcow2 1M
check "both are in the audit trail" bash -c "'$KVMCRYPT' keystore log --json | jq -e '[.rows[].action] | index(\"unseal\") and index(\"seal\")'"

check "recovery key" kvmcrypt unseal -q --passphrase-file rec
kvmcrypt seal -q
tr 'A-Z' 'a-z' <rec | tr -d '-' >rec-lower
check "in lower case without dashes" kvmcrypt unseal -q --passphrase-fd 4 4<rec-lower
check_is false "$(sealed)" "unseals too"

kvmcrypt keystore add-slot -q --passphrase-file wrong --label second
kvmcrypt seal -q
slot_of() { kvmcrypt keystore status --json | jq ".slots[] | select($1) | .slot"; }
check_exit 5 "--slot is that slot alone" kvmcrypt unseal -q --slot "$(slot_of '.label == "second"')" --passphrase-file pass
check "its own passphrase opens it" kvmcrypt unseal -q --slot "$(slot_of '.label == "second"')" --passphrase-file wrong
kvmcrypt keystore remove-slot -q --yes "$(slot_of '.label == "second"')"
kvmcrypt seal -q
check_error 5 'not a recovery key' "a passphrase for the slot of the recovery key" kvmcrypt unseal -q --slot "$(slot_of '.type == "recovery"')" --passphrase-file pass
check "the recovery key in lower case" kvmcrypt unseal -q --slot "$(slot_of '.type == "recovery"')" --passphrase-file rec-lower

check "add a key file" kvmcrypt keystore add-slot -q --key-file file.key
kvmcrypt seal -q
check "commands unseal by themselves with it" kvmcrypt create -q d.qcow2 1M
check_is true "$(sealed)" "and put nothing into the keyring"
check "unseal without options takes it" setsid "$KVMCRYPT" unseal -q
kvmcrypt seal -q
chmod 644 file.key
check_error 3 'file.key can be read or written by everyone.*run .kvmcrypt unseal' "but not when everyone can read it" setsid "$KVMCRYPT" create -q e.qcow2 1M
check "given by hand it still opens" kvmcrypt unseal -q --key-file file.key
kvmcrypt seal -q
chmod 600 file.key
check_error 5 'other.key' "a wrong key file" kvmcrypt unseal -q --key-file other.key
check_error 4 'none' "an absent key file" kvmcrypt unseal -q --key-file none
check_error 2 'not both' "two ways at once" kvmcrypt unseal -q --key-file file.key --passphrase-file pass

# A limit that leaves no memory for a key is not "sealed".
if setpriv --bounding-set=-ipc_lock true 2>/dev/null; then
	for c in 'show a.qcow2' 'unseal' 'passphrase show --yes a.qcow2'; do
		check_error 1 'raise the limit.*ulimit -l' "no locked memory: $c" setpriv --bounding-set=-ipc_lock bash -c "ulimit -l 0; exec '$KVMCRYPT' $c"
	done
	kvmcrypt unseal -q
	for c in 'show a.qcow2' 'keystore status' 'unseal'; do
		check_error 1 'raise the limit' "no locked memory, unsealed: $c" setpriv --bounding-set=-ipc_lock bash -c "ulimit -l 0; exec '$KVMCRYPT' $c"
	done
	check "seal works all the same" setpriv --bounding-set=-ipc_lock bash -c "ulimit -l 0; exec '$KVMCRYPT' seal"
	check_is true "$(sealed)" "the key is gone"
else
	skip "setpriv cannot drop a capability here"
fi

rm -f file.key
expires() { grep "kvmcrypt:$id" /proc/keys | awk '$2 !~ /[RD]/ && $4 != "expd" { print $4 == "perm" ? "never" : "yes" }'; }
check "--timeout" kvmcrypt unseal -q --passphrase-file pass --timeout 1h
check_is "false yes" "$(sealed) $(expires)" "unsealed at first"
check "a shorter one for an unsealed keystore" kvmcrypt unseal -q --timeout 1s
check "it is sealed after it" wait_for bash -c "'$KVMCRYPT' keystore status --json | jq -e .sealed"
check "unseal without a timeout" kvmcrypt unseal -q --passphrase-file pass
check_is "false never" "$(sealed) $(expires)" "lasts"
kvmcrypt seal -q
check_error 2 'not a duration' "a bad timeout" kvmcrypt unseal -q --timeout soon

check_error 4 'no keystore at .*kvmcrypt init' "no keystore" kvmcrypt unseal -q --keystore nowhere
check_error 4 'no keystore' "for seal neither" kvmcrypt seal -q --keystore nowhere

typed() { on_terminal "'$KVMCRYPT' unseal" '*: ' "$1"$'\r'; }
check_exit 5 "a wrong one typed, three times" on_terminal "'$KVMCRYPT' unseal" '*: ' $'nonsense\r' '*: ' $'nonsense\r' '*: ' $'nonsense\r'
check "the right one typed" typed "correct horse"
check_is 0 "$(grep -c horse terminal)" "it was not echoed"
check_is false "$(sealed)" "it is unsealed"
check "nothing was harmed" kvmcrypt keystore check
kvmcrypt seal -q

# Root of a container, without capabilities and with namespaces of its own, has the same keyring.
if [ "$(id -u)" = 0 ] && unshare -m -n -u -i -p --fork true 2>/dev/null; then
	container() {
		unshare -m -n -u -i -p --fork sh -c 'mount -t tmpfs none /run && exec setpriv --bounding-set -all --inh-caps -all --no-new-privs "$@"' sh "$@"
	}
	printf 'correct horse' | kvmcrypt unseal -q --passphrase-file -
	id=$(kvmcrypt keystore status --json | jq -r .root_key_id)
	check "unsealed: the keyring is the container's as well" container keyctl search @u user "kvmcrypt:$id"
	check_is true "$(container "$KVMCRYPT" keystore status --json | jq -r .sealed)" "  the root key is not"
	check_is "600 700" "$(stat -c %a "/run/kvmcrypt/$id") $(stat -c %a /run/kvmcrypt)" "the other half is root's alone"
	check_is false "$(sealed)" "here it is unsealed"
	kvmcrypt seal -q
	check "sealed again, it is gone" test ! -e "/run/kvmcrypt/$id"
fi

# A signal at the prompt ends the command, by that signal and with the echo back on.
cat >asking <<SCRIPT
sh -c 'echo \$\$ >pid; exec "\$0" unseal' '$KVMCRYPT'
echo "ended with \$?"
stty -a
SCRIPT
for signal in TERM INT HUP USR1 ALRM SEGV RTMIN+3; do
	check "SIG$signal at the prompt" on_terminal "bash asking" '*: ' "!kill -$signal \$(cat pid)"
	check_is "1 1" "$(grep -c "ended with $((128 + $(kill -l $signal)))" terminal) $(grep -cE '(^| )echo( |;)' terminal)" "  ended by it, and left the echo on"
done
check_exit 96 "Ctrl-C at the prompt" on_terminal "'$KVMCRYPT' unseal" '*: ' $'half a passphrase\003'
check_is "0 SIGINT" "$(grep -c half terminal) $(cat stderr)" "is SIGINT, and shows nothing of what was typed"
check_is true "$(sealed)" "it is still sealed"
exit $FAILED
