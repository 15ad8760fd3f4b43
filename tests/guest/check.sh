#!/bin/bash
# kvmcrypt check on a host with a libvirtd of its own: each check of topic "process" once with a guest that passes
# and once with one that does not.
. "$(dirname "$0")/../lib/guest.sh"
. "$(dirname "$0")/../lib/check.sh"
libvirtd_dirs
cd "$T" || exit 1
# Whose default is another in newer versions.
echo 'max_core = 0' >>/etc/libvirt/qemu.conf
libvirtd_start
guest_files
keystore_new
conf() { # conf SED: libvirt's qemu.conf anew, for guests that start from now on
	sed -i "$1" /etc/libvirt/qemu.conf
	libvirtd_kill
	libvirtd_start
}
again() { virsh -q destroy web && virsh -q start web && guest_wait_said web up; }

guest_define web up
virsh -q start web
guest_wait_said web up
look 0 "a guest as libvirt starts it" process
check_is "pass pass pass pass" "$(for i in user capabilities sandbox shared-user; do verdict process.$i; done | xargs)" "user, capabilities, sandbox and sharing pass"
check_is 1 "$(said process.user | grep -c '^pass running domain web: its process runs as user [1-9]')" "it says as whom it runs"
check_is warn "$(verdict process.namespace)" "the tests' namespaces = [] is seen"
check_is "warn running" "$(said process.namespace | sed -n 's/ domain web.*//p')" "and that the guest has none"
check_is pass "$(verdict process.passthrough)" "nothing goes past libvirt"
messages() { virsh dominfo web | sed -n '/^Messages/,$p'; }
tainted=$(messages)
kvmcrypt check --json process >/dev/null
check_is "$tainted" "$(messages)" "looking taints nothing"

guest_define other up
virsh -q start other
look 0 "two guests of one user, no security module" process.shared-user
check_is "warn" "$(verdict process.shared-user)" "each may read the other"
check_is 2 "$(said process.shared-user | grep -c '^warn running')" "said of both"
look 0 "only one of them" process.shared-user --domain web
check_is 1 "$(said process.shared-user | wc -l)" "is looked at with --domain"
check_is "warn     process.shared-user" "$(kvmcrypt check process.shared-user 2>/dev/null | grep -o '^  warn .*user ' | xargs -0 | sed 's/^ *//; s/ *$//')" "a person gets a line"
check_exit 1 "--fail-on warn" kvmcrypt check process.shared-user --fail-on warn
check_exit 0 "--fail-on never" kvmcrypt check process.shared-user --fail-on never
virsh -q destroy other

# Configured and running are told apart: a file that was changed reaches a guest at its next start.
conf 's/^max_core.*/max_core = "unlimited"\nuser = "root"\ngroup = "root"\nseccomp_sandbox = 0\nclear_emulator_capabilities = 0/'
look 1 "qemu.conf opens what it can" process
for i in user core sandbox capabilities; do
	check_is "fail/0/1" "$(verdict process.$i)/$(said process.$i | grep -c '^fail running')/$(said process.$i | grep -c '^fail configured')" "process.$i: fails as configured, the running guest passes"
done
again
look 1 "and the guest is started anew" process
for i in user core sandbox capabilities; do
	check_is 1 "$(said process.$i | grep -c '^fail running domain web')" "process.$i: the running guest fails"
done
virsh -q destroy web
conf '/^user\|^group\|^seccomp\|^clear/d; s/^max_core.*/max_core = 1/'
virsh -q start web && guest_wait_said web up
look 0 "max_core = 1, as boot enable sets it" process.core
check_is "pass/2" "$(verdict process.core)/$(said process.core | grep -c '^pass .*\b1\b')" "passes, configured and running, and no program gets a dump either"
virsh -q destroy web
conf 's/^max_core.*/max_core = 0/'

# What a definition takes out of libvirt's hands.
virsh -q dumpxml --inactive web | sed "s|<domain type='qemu'>|<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>|; s|</domain>|<qemu:commandline><qemu:arg value='-name'/><qemu:arg value='x'/></qemu:commandline></domain>|; s|</devices>|<filesystem type='mount'><source dir='/srv'/><target dir='x'/></filesystem></devices>|" >odd.xml
sed -i 's|<name>web</name>|<name>odd</name>|; /<uuid>/d' odd.xml
check "a domain with arguments of its own" virsh -q define odd.xml
look 0 "is told of" process.passthrough
check_is 2 "$(said process.passthrough | grep -c '^warn configured domain odd: it has')" "the arguments and the directory"
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec /usr/bin/qemu-system-x86_64 "$@"\n' >"$T/qemu"
chmod 777 "$T/qemu"
virsh -q dumpxml --inactive odd | sed "s|/usr/bin/qemu-system-x86_64|$T/qemu|" >odd2.xml
check "a domain with an emulator of its own" virsh -q define odd2.xml
look 1 "an emulator that anybody may write" process.passthrough
check_is 1 "$(said process.passthrough | grep -c 'may be written by others than root')" "says so"

# Waivers.
waive() { echo "$1" >waivers; }
waive "process.passthrough domain odd until 2999-01-01: a machine for tests"
look 0 "what is excused does not count" process.passthrough --waivers waivers
check_is "pass a machine for tests" "$(verdict process.passthrough) $(jq -r '.findings[0].waiver' "$T/stdout")" "and is shown with its reason"
waive "process.passthrough domain odd until 2020-01-01: long ago"
look 1 "after its day it counts again" process.passthrough --waivers waivers
for line in "process.nothing until 2999-01-01: x" "process.user: x" "process.user until tomorrow: x" "process.user until 2999-01-01: "; do
	waive "$line"
	check_exit 1 "check.conf: '$line' is refused" kvmcrypt check process.user --waivers waivers
	check_is 1 "$(grep -c 'waivers, line 1: ' "$T/stderr")" "with its line"
done

# What a person and other programs get.
check_exit 2 "no such topic" kvmcrypt check proces
check_exit 4 "no such domain" kvmcrypt check --domain nobody
check "--list" kvmcrypt check --list
check "sarif" kvmcrypt check --format sarif --fail-on never
check_is "2.1.0 kvmcrypt" "$(jq -r '"\(.version) \(.runs[0].tool.driver.name)"' "$T/stdout")" "is a run of kvmcrypt"
check_is "" "$(jq -r '.runs[0] | . as $r | .results[] | select($r.tool.driver.rules[.ruleIndex].id != .ruleId).ruleId' "$T/stdout")" "each result names its rule"
kvmcrypt check --format junit --fail-on never >junit.xml
check "junit is XML" xmllint --noout junit.xml
check "html" kvmcrypt check --format html --fail-on never
check_is 0 "$(grep -cE '(src|href)=|<script' "$T/stdout")" "the page needs nothing from elsewhere"
check_exit 8 "a URI that does not answer" kvmcrypt check -c test+unix:///default?socket=/nowhere
libvirtd_stop
check_exit 0 "without libvirt" kvmcrypt check --json process.user
check_is "unknown" "$(verdict process.user)" "what it would tell is unknown, never a pass"
mkdir -p root/etc/libvirt
echo 'user = "root"' >root/etc/libvirt/qemu.conf
check_exit 1 "a host that does not run" kvmcrypt check --root "$PWD/root" --json process.user
check_is "fail configured /etc/libvirt/qemu.conf" "$(said process.user | sed 's/: .*//')" "is looked at as configured"
echo 'no such line' >>root/etc/libvirt/qemu.conf
check_exit 0 "a file that libvirt does not take" kvmcrypt check --root "$PWD/root" --json process.user
check_is unknown "$(verdict process.user)" "is unknown"
