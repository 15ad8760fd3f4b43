#!/bin/bash
# kvmcrypt seal: also when the audit trail cannot be written.
. "$(dirname "$0")/../lib/test.sh"
cd "$T" || exit 1
keyctl show @u >/dev/null 2>&1 || skip_all "no kernel keyring here"
keystore_new
kvmcrypt unseal -q || exit 1
id=$(kvmcrypt keystore status --json | jq -r .root_key_id)
key=$(keyctl search @u user "kvmcrypt:$id")
sqlite3 "$KVMCRYPT_KEYSTORE/keystore.db" "UPDATE meta SET value = randomblob(144) WHERE name = 'audit_head'"
check_exit 0 "a damaged audit trail does not keep it open" kvmcrypt seal
check_is 1 "$(grep -c 'sealed, but not logged' stderr)" "it says that it was not logged"
check_error 1 '.*' "the key cannot be read any more" keyctl pipe "$key"
exit $FAILED
