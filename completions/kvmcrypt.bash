# bash completion for kvmcrypt, made by `make generated` from the option tables; do not edit
_kvmcrypt_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_kvmcrypt_values() {
  local IFS=$'\n'
  case $1 in
  file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames 2>/dev/null ;;
  commands) _kvmcrypt_commands "$prev" ;;
  volumes | domains)
    # not compgen -W, which would execute a $(command) in a name; quoted, or Enter would
    while read -r w; do
      [[ $w == "$cur"* ]] && COMPREPLY+=("$(printf %q "$w")")
    done < <("${COMP_WORDS[0]}" --dump-values "$1" 2>/dev/null) ;;
  esac
}
# the words of commands that may follow the word $1
_kvmcrypt_commands() {
  local IFS=$' \t\n'
  case $1 in
  boot) _kvmcrypt_words 'disable enable status ' ;;
  header) _kvmcrypt_words 'restore show ' ;;
  keyslot) _kvmcrypt_words 'add list remove ' ;;
  keystore) _kvmcrypt_words 'add-slot backup certificate check export forget import log rekey remove-slot reseal restore status ' ;;
  passphrase) _kvmcrypt_words 'show ' ;;
  '' | help) _kvmcrypt_words 'attach boot check close create detach erase harden header help import init keyslot keystore list load move open passphrase recover resize rotate seal show unload unseal ' ;;
  esac
}
_kvmcrypt() {
  local cur prev cmd='' words=() operand=-1 i w before
  local IFS=$' \t\n'
  COMPREPLY=()
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD - 1]}
  local valued=' --keystore --connect --progress -c --boot-order --bus --target --root --domain --fail-on --format --timeout --waivers --backing --backing-format --cipher --cluster-size --header --integrity --key-bits --luks --mode --owner --preallocation --sector-size --yes-destroy --backup --key-file --passphrase-file --passphrase-fd --credential --label --pin-fd --pin-file --pkcs11 --recovery-key --tang --tang-threshold --tang-thumbprint --tpm2-pcrlock --tpm2-pcrs --tpm2-public-key --tpm2-public-key-pcrs --tpm2-signature --expect-head --output --to --directory --from --last --volume --expect-root --due --state --secrets-dir --export --jobs --older-than --slot '
  # --name=value arrives as three words
  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    w=${COMP_WORDS[i]}
    case $w in -* | =) continue ;; esac
    before=${COMP_WORDS[i - 1]}
    [[ $before == = ]] && before=${COMP_WORDS[i - 2]}
    [[ $valued == *" $before "* ]] && continue
    if [[ -z $cmd ]]; then cmd=$w; elif [[ $operand == -1 && ' boot disable|boot enable|boot status|header restore|header show|keyslot add|keyslot list|keyslot remove|keystore add-slot|keystore backup|keystore certificate|keystore check|keystore export|keystore forget|keystore import|keystore log|keystore rekey|keystore remove-slot|keystore reseal|keystore restore|keystore status|passphrase show| ' == *[\ \|]"$cmd $w|"* ]]; then cmd="$cmd $w"; else operand=$((operand + 1)); fi
  done
  case "$cmd $prev" in
    'attach --bus') _kvmcrypt_words 'virtio scsi sata usb ide' ;;
    'boot disable --root') _kvmcrypt_values file ;;
    'boot enable --root') _kvmcrypt_values file ;;
    'boot status --root') _kvmcrypt_values file ;;
    'check --domain') _kvmcrypt_values domains ;;
    'check --fail-on') _kvmcrypt_words 'warn fail unknown never' ;;
    'check --format') _kvmcrypt_words 'text sarif junit html' ;;
    'check --root') _kvmcrypt_values file ;;
    'check --waivers') _kvmcrypt_values file ;;
    'create --backing') _kvmcrypt_values file ;;
    'create --backing-format') _kvmcrypt_words 'qcow2 raw' ;;
    'create --format') _kvmcrypt_words 'qcow2 raw' ;;
    'create --header') _kvmcrypt_values file ;;
    'create --integrity') _kvmcrypt_words 'aead hmac-sha256' ;;
    'create --preallocation') _kvmcrypt_words 'off metadata falloc full' ;;
    'create --yes-destroy') _kvmcrypt_values file ;;
    'harden --root') _kvmcrypt_values file ;;
    'header restore --backup') _kvmcrypt_values file ;;
    'import --format') _kvmcrypt_words 'qcow2 raw' ;;
    'import --header') _kvmcrypt_values file ;;
    'import --key-file') _kvmcrypt_values file ;;
    'import --passphrase-file') _kvmcrypt_values file ;;
    'init --credential') _kvmcrypt_values file ;;
    'init --fido2') _kvmcrypt_values file ;;
    'init --key-file') _kvmcrypt_values file ;;
    'init --passphrase-file') _kvmcrypt_values file ;;
    'init --pin-file') _kvmcrypt_values file ;;
    'init --recovery-key') _kvmcrypt_values file ;;
    'init --tpm2') _kvmcrypt_values file ;;
    'init --tpm2-pcrlock') _kvmcrypt_values file ;;
    'init --tpm2-public-key') _kvmcrypt_values file ;;
    'init --tpm2-signature') _kvmcrypt_values file ;;
    'keyslot add --key-file') _kvmcrypt_values file ;;
    'keyslot add --passphrase-file') _kvmcrypt_values file ;;
    'keyslot add --recovery-key') _kvmcrypt_values file ;;
    'keystore add-slot --credential') _kvmcrypt_values file ;;
    'keystore add-slot --fido2') _kvmcrypt_values file ;;
    'keystore add-slot --key-file') _kvmcrypt_values file ;;
    'keystore add-slot --passphrase-file') _kvmcrypt_values file ;;
    'keystore add-slot --pin-file') _kvmcrypt_values file ;;
    'keystore add-slot --recovery-key') _kvmcrypt_values file ;;
    'keystore add-slot --tpm2') _kvmcrypt_values file ;;
    'keystore add-slot --tpm2-pcrlock') _kvmcrypt_values file ;;
    'keystore add-slot --tpm2-public-key') _kvmcrypt_values file ;;
    'keystore add-slot --tpm2-signature') _kvmcrypt_values file ;;
    'keystore check --passphrase-file') _kvmcrypt_values file ;;
    'keystore export --output') _kvmcrypt_values file ;;
    'keystore export --passphrase-file') _kvmcrypt_values file ;;
    'keystore export --to') _kvmcrypt_values file ;;
    'keystore import --directory') _kvmcrypt_values file ;;
    'keystore import --from') _kvmcrypt_values file ;;
    'keystore import --passphrase-file') _kvmcrypt_values file ;;
    'keystore log --volume') _kvmcrypt_values volumes ;;
    'keystore rekey --credential') _kvmcrypt_values file ;;
    'keystore rekey --fido2') _kvmcrypt_values file ;;
    'keystore rekey --key-file') _kvmcrypt_values file ;;
    'keystore rekey --passphrase-file') _kvmcrypt_values file ;;
    'keystore rekey --pin-file') _kvmcrypt_values file ;;
    'keystore rekey --recovery-key') _kvmcrypt_values file ;;
    'keystore rekey --tpm2') _kvmcrypt_values file ;;
    'keystore rekey --tpm2-pcrlock') _kvmcrypt_values file ;;
    'keystore rekey --tpm2-public-key') _kvmcrypt_values file ;;
    'keystore rekey --tpm2-signature') _kvmcrypt_values file ;;
    'keystore reseal --pin-file') _kvmcrypt_values file ;;
    'list --state') _kvmcrypt_words 'ready creating importing rotating converting erasing resizing moving keyslot restoring moved' ;;
    'load --secrets-dir') _kvmcrypt_values file ;;
    'move --header') _kvmcrypt_values file ;;
    'open --export') _kvmcrypt_words 'fuse nbd' ;;
    'unload --secrets-dir') _kvmcrypt_values file ;;
    'unseal --key-file') _kvmcrypt_values file ;;
    'unseal --passphrase-file') _kvmcrypt_values file ;;
    'unseal --pin-file') _kvmcrypt_values file ;;
    *) case $prev in
      --progress) _kvmcrypt_words 'auto none json' ;;
      --keystore) _kvmcrypt_values file ;;
      esac ;;
  esac
  [[ ${#COMPREPLY[@]} -gt 0 ]] && return
  if [[ $cur == -* ]]; then
    case $cmd in
    'attach') _kvmcrypt_words '--adopt --boot-order= --bus= --config --dry-run --live --readonly --renew --shared-storage --target= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'boot disable') _kvmcrypt_words '--root= --dry-run --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'boot enable') _kvmcrypt_words '--no-core-dumps --no-ram --root= --dry-run --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'boot status') _kvmcrypt_words '--root= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'check') _kvmcrypt_words '--domain= --fail-on= --format= --list --root= --timeout= --waivers= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'close') _kvmcrypt_words '--deferred --dry-run --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'create') _kvmcrypt_words '--backing= --backing-format= --backing-in-use --cipher= --cluster-size= --dry-run --format= --header= --if-absent --integrity= --key-bits= --luks= --mode= --owner= --preallocation= --sector-size= --yes-destroy= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'detach') _kvmcrypt_words '--config --dry-run --live --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'erase') _kvmcrypt_words '--damaged --dry-run --keep-file --missing --no-libvirt --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'harden') _kvmcrypt_words '--dry-run --root= --undo --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'header restore') _kvmcrypt_words '--backup= --dry-run --overwrite-foreign --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'header show') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'help') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'import') _kvmcrypt_words '--dry-run --format= --header= --key-file= --passphrase-file= --passphrase-fd= --replace --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'init') _kvmcrypt_words '--credential= --fido2 --fido2-with-pin --if-absent --key-file= --label= --passphrase-file= --passphrase-fd= --pin-fd= --pin-file= --pkcs11= --recovery-key= --tang= --tang-threshold= --tang-thumbprint= --tpm2 --tpm2-pcrlock= --tpm2-pcrs= --tpm2-public-key= --tpm2-public-key-pcrs= --tpm2-signature= --tpm2-with-pin --unseal --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keyslot add') _kvmcrypt_words '--key-file= --no-libvirt --passphrase-file= --passphrase-fd= --recovery-key= --shared-storage --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keyslot list') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keyslot remove') _kvmcrypt_words '--no-libvirt --shared-storage --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore add-slot') _kvmcrypt_words '--credential= --fido2 --fido2-with-pin --key-file= --label= --passphrase-file= --passphrase-fd= --pin-fd= --pin-file= --pkcs11= --recovery-key= --tang= --tang-threshold= --tang-thumbprint= --tpm2 --tpm2-pcrlock= --tpm2-pcrs= --tpm2-public-key= --tpm2-public-key-pcrs= --tpm2-signature= --tpm2-with-pin --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore backup') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore certificate') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore check') _kvmcrypt_words '--expect-head= --passphrase-file= --passphrase-fd= --repair --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore export') _kvmcrypt_words '--all --output= --passphrase-file= --passphrase-fd= --sign --to= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore forget') _kvmcrypt_words '--dry-run --no-libvirt --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore import') _kvmcrypt_words '--directory= --dry-run --from= --passphrase --passphrase-file= --passphrase-fd= --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore log') _kvmcrypt_words '--last= --volume= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore rekey') _kvmcrypt_words '--credential= --drop-others --fido2 --fido2-with-pin --key-file= --label= --passphrase-file= --passphrase-fd= --pin-fd= --pin-file= --pkcs11= --recovery-key= --tang= --tang-threshold= --tang-thumbprint= --tpm2 --tpm2-pcrlock= --tpm2-pcrs= --tpm2-public-key= --tpm2-public-key-pcrs= --tpm2-signature= --tpm2-with-pin --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore remove-slot') _kvmcrypt_words '--yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore reseal') _kvmcrypt_words '--dry-run --pin-fd= --pin-file= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore restore') _kvmcrypt_words '--dry-run --expect-root= --yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'keystore status') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'list') _kvmcrypt_words '--due= --state= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'load') _kvmcrypt_words '--all --ram --secrets-dir= --start --dry-run --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'move') _kvmcrypt_words '--dry-run --header= --live --no-libvirt --shared-storage --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'open') _kvmcrypt_words '--discard --dry-run --export= --no-read-workqueue --no-write-workqueue --persistent --readonly --writable --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'passphrase show') _kvmcrypt_words '--yes --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'recover') _kvmcrypt_words '--no-libvirt --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'resize') _kvmcrypt_words '--dry-run --shared-storage --shrink --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'rotate') _kvmcrypt_words '--all --dry-run --jobs= --no-libvirt --older-than= --shared-storage --volume-key --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'seal') _kvmcrypt_words '--keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'show') _kvmcrypt_words '--no-libvirt --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'unload') _kvmcrypt_words '--all --ram --secrets-dir= --dry-run --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    'unseal') _kvmcrypt_words '--expect-root= --key-file= --passphrase-file= --passphrase-fd= --pin-fd= --pin-file= --slot= --timeout= --keystore= --connect= --json --progress= --quiet --verbose --help' ;;
    *) _kvmcrypt_words '--help --version' ;;
    esac
    [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace 2>/dev/null
    return
  fi
  case $cmd in
  'attach') case $operand in
    -1) _kvmcrypt_values domains ;;
    0) _kvmcrypt_values volumes ;;
    esac ;;
  'check') case $operand in
    *) _kvmcrypt_values none ;;
    esac ;;
  'close') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'create') case $operand in
    -1) _kvmcrypt_values file ;;
    0) _kvmcrypt_values none ;;
    esac ;;
  'detach') case $operand in
    -1) _kvmcrypt_values domains ;;
    0) _kvmcrypt_values volumes ;;
    esac ;;
  'erase') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'harden') case $operand in
    *) _kvmcrypt_values none ;;
    esac ;;
  'header restore') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'header show') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'help') case $operand in
    *) _kvmcrypt_values commands ;;
    esac ;;
  'import') case $operand in
    -1) _kvmcrypt_values file ;;
    esac ;;
  'keyslot add') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'keyslot list') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'keyslot remove') case $operand in
    -1) _kvmcrypt_values volumes ;;
    0) _kvmcrypt_values none ;;
    esac ;;
  'keystore backup') case $operand in
    -1) _kvmcrypt_values file ;;
    esac ;;
  'keystore export') case $operand in
    *) _kvmcrypt_values volumes ;;
    esac ;;
  'keystore forget') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'keystore import') case $operand in
    -1) _kvmcrypt_values file ;;
    esac ;;
  'keystore remove-slot') case $operand in
    -1) _kvmcrypt_values none ;;
    esac ;;
  'keystore reseal') case $operand in
    *) _kvmcrypt_values none ;;
    esac ;;
  'keystore restore') case $operand in
    -1) _kvmcrypt_values file ;;
    esac ;;
  'load') case $operand in
    *) _kvmcrypt_values volumes ;;
    esac ;;
  'move') case $operand in
    -1) _kvmcrypt_values volumes ;;
    0) _kvmcrypt_values file ;;
    esac ;;
  'open') case $operand in
    -1) _kvmcrypt_values volumes ;;
    0) _kvmcrypt_values file ;;
    esac ;;
  'passphrase show') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'resize') case $operand in
    -1) _kvmcrypt_values volumes ;;
    0) _kvmcrypt_values none ;;
    esac ;;
  'rotate') case $operand in
    *) _kvmcrypt_values volumes ;;
    esac ;;
  'show') case $operand in
    -1) _kvmcrypt_values volumes ;;
    esac ;;
  'unload') case $operand in
    *) _kvmcrypt_values volumes ;;
    esac ;;
  *) _kvmcrypt_commands "$cmd" ;;
  esac
}
complete -F _kvmcrypt kvmcrypt
