#!/bin/bash
# kvmcrypt check audit on a kernel whose audit is its own: off, on with the rules that come with kvmcrypt, on with rules
# that the kernel takes and that never match.
VM_HOST=1
. "$(dirname "$0")/../lib/vm.sh"
verdict() { jq -r --arg id "audit.$1" '.findings[] | select(.id == $id).verdict' "$T/stdout"; }
said() { jq -r --arg id "audit.$1" '.findings[] | select(.id == $id).notes[] | "\(.verdict) \(.subject): \(.text)"' "$T/stdout"; }
look() { kvmcrypt check --json --fail-on never audit >"$T/stdout" 2>"$T/stderr"; }
verdicts() { for i in keystore secrets tls-key images config; do verdict $i; done | xargs; }

# These lie in memory, in the place of the machine's own.
for d in /etc/libvirt /etc/pki /var/lib/libvirt /var/lib/kvmcrypt; do
	mkdir -p "$d" && mount -t tmpfs tmpfs "$d"
done
mkdir -p /etc/libvirt/secrets /etc/pki/libvirt/private /etc/pki/libvirt-vnc /var/lib/libvirt/images
export KVMCRYPT_KEYSTORE=/var/lib/kvmcrypt
auditctl -e 0 >/dev/null
auditctl -D >/dev/null
look
check_is "fail/fail fail fail fail fail" "$(verdict daemon)/$(verdicts)" "audit is off: no check passes"
auditctl -e 1 >/dev/null
look
check_is "fail/fail fail fail fail fail" "$(verdict daemon)/$(verdicts)" "on, without daemon and rules"
check_is 1 "$(said daemon | grep -c 'no daemon takes its records')" "it says what is missing"
check "the rules that come with kvmcrypt" auditctl -R "$ROOT/audit/50-kvmcrypt.rules"
look
check_is "pass pass pass pass pass/pass" "$(verdicts)/$(verdict dead-rules)" "each place is watched, each rule can match"
# They fire.
echo secret >/etc/libvirt/secrets/x
# The kernel's log takes only so many lines a second.
is_logged() {
	cat /etc/libvirt/secrets/x >/dev/null
	dmesg | grep 'type=1300' | grep -q 'comm="cat".*key="kvmcrypt-secrets"'
}
check "who reads a secret is in the log" wait_for is_logged

# A rule that leaves somebody in is none; a negated field looks the same in what auditctl prints.
auditctl -D >/dev/null
auditctl -a always,exit -F arch=b64 -F dir=/etc/libvirt/secrets -F perm=rwa -F exe=/usr/bin/cat -F key=only >/dev/null
look
check_is fail "$(verdict secrets)" "a rule about one program does not watch the secrets"
auditctl -D >/dev/null
auditctl -a always,exit -F arch=b64 -F dir=/etc/libvirt/secrets -F perm=w -F key=only >/dev/null
look
check_is fail "$(verdict secrets)" "nor one about writing"
# The deck's own rules, with labels.
auditctl -D >/dev/null
auditctl -a always,exit -F arch=b64 -F dir=/etc/pki/libvirt/private -F perm=rwa -F 'subj_type!=virtd_t' -F key=tls >/dev/null 2>&1
auditctl -a always,exit -F arch=b64 -F perm=w -F obj_type=virt_image_t -F 'subj_type!=qemu_t' -F key=deck >/dev/null 2>&1
look
check_is "fail fail 2" "$(verdict tls-key) $(verdict dead-rules) $(said dead-rules | grep -c 'never matches: it names the label')" "rules that name labels never match here"
auditctl -D >/dev/null
auditctl -e 0 >/dev/null

# Debian's kernel has AppArmor on unless it is told otherwise.
kvmcrypt check --json --fail-on never mac.enforcing >"$T/stdout" 2>"$T/stderr"
check_is "pass AppArmor" "$(jq -r '.findings[] | "\(.verdict) \(.notes[0].subject)"' "$T/stdout")" "AppArmor is seen"
