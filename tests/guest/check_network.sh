#!/bin/bash
# kvmcrypt check network: a bridge and guests in a network namespace of their own. What libvirt says of its filters and
# what the kernel has are two things.
if [ -z "${KVMCRYPT_TEST_NET:-}" ] && [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
	exec env KVMCRYPT_TEST_NET=1 unshare -n "$BASH" "$0" "$@"
fi
. "$(dirname "$0")/../lib/guest.sh"
[ -n "${KVMCRYPT_TEST_NET:-}" ] || skip_all "network namespaces are not allowed here"
for t in nft ip; do command -v $t >/dev/null || skip_all "no $t"; done
verdict() { jq -r --arg id "network.$1" '.findings[] | select(.id == $id).verdict' "$T/stdout"; }
said() { jq -r --arg id "network.$1" '.findings[] | select(.id == $id).notes[] | "\(.verdict) \(.seen) \(.subject): \(.text)"' "$T/stdout"; }
look() { kvmcrypt check --json --fail-on never network >"$T/stdout" 2>"$T/stderr" || cat "$T/stderr"; }
# nic MAC [FILTERREF]
nic() { echo "<interface type='bridge'><mac address='$1'/><source bridge='br0'/><model type='virtio'/>${2:-}</interface>"; }
filter() { echo "<filterref filter='$1'>${2:-}</filterref>"; }
ip_is() { echo "<parameter name='IP' value='$1'/>"; }

ip link set lo up
ip link add br0 type bridge
ip link set br0 up
libvirtd_dirs
mkdir -p /etc/libvirt/nwfilter
filters=$(dirname "$(find /usr/share/libvirt /etc/libvirt -name clean-traffic.xml 2>/dev/null | head -1)")
[ "$filters" != . ] || filters=$ROOT/tests/data/nwfilter
libvirtd_start
for f in no-mac-spoofing no-mac-broadcast no-ip-spoofing no-arp-mac-spoofing no-arp-ip-spoofing no-arp-spoofing no-other-l2-traffic no-other-rarp-traffic qemu-announce-self-rarp qemu-announce-self allow-arp allow-ipv4 allow-incoming-ipv4 clean-traffic; do
	[ ! -e "$filters/$f.xml" ] || virsh -q nwfilter-define "$filters/$f.xml" >/dev/null 2>"$T/nwfilter.err"
done
check_is 1 "$(virsh -q nwfilter-list | grep -c ' clean-traffic$')" "libvirt's own filters are here"

machine web pc "$(nic 52:54:00:00:00:01 "$(filter clean-traffic "$(ip_is 10.0.0.2)")")"
look
check_is "pass pass pass" "$(verdict filter) $(verdict address) $(verdict mac)" "a guest with clean-traffic and its address"
check "it starts" virsh -q start --paused web
look
check_is pass "$(verdict filter-installed)" "its filter is in the kernel"
check_is 1 "$(said filter-installed | grep -cE '^pass running interface vnet[0-9]+: filter clean-traffic: [0-9]+ rules in the kernel')" "and counted"
nft flush ruleset
look
check_is 1 "$(virsh -q nwfilter-binding-list | grep -c clean-traffic)" "after nft flush ruleset libvirt still names the filter"
check_is "pass fail" "$(verdict filter) $(verdict filter-installed)" "and the check does not believe it"
kill -HUP "$LIBVIRTD_PID"
is_back() { look; [ "$(verdict filter-installed)" = pass ]; }
check "a reload of the daemon puts it back" wait_for is_back

machine bare pc "$(nic 52:54:00:00:00:02)"
look
check_is "fail" "$(verdict filter)" "a guest without a filter"
check_is 1 "$(said filter | grep -c '^fail configured domain bare, 52:54:00:00:00:02: no filter')" "is named"
machine bare pc "$(nic 52:54:00:00:00:02 "$(filter no-mac-spoofing)")"
look
check_is "warn" "$(verdict filter)" "a filter for the MAC address alone"
machine bare pc "<interface type='user'/>"
look
check_is "pass" "$(verdict filter)" "QEMU's own network reaches nobody"
machine bare pc "$(nic 52:54:00:00:00:02 "$(filter clean-traffic)")"
look
check_is "warn" "$(verdict address)" "an address that is learned from the first packet"
machine bare pc "$(nic 52:54:00:00:00:02 "$(filter clean-traffic "<parameter name='CTRL_IP_LEARNING' value='dhcp'/><parameter name='DHCPSERVER' value='10.0.0.1'/>")")"
look
check_is "pass" "$(verdict address)" "one that is learned from the one DHCP server"
machine bare pc "$(nic 52:54:00:00:00:02 "$(filter clean-traffic "$(ip_is 10.0.0.2)")")"
look
check_is "fail 2" "$(verdict address) $(said address | grep -c '^fail')" "two guests of one address"
machine bare pc "$(nic 52:54:00:00:00:01)"
look
check_is "fail 2" "$(verdict mac) $(said mac | grep -c '^fail')" "two guests of one MAC address"
virsh -q undefine bare

if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
	look
	check_is fail "$(verdict bridge-nf)" "a new namespace sends bridged packets through iptables"
	for f in /proc/sys/net/bridge/bridge-nf-call-{ip,ip6,arp}tables; do echo 0 >"$f"; done
	look
	check_is pass "$(verdict bridge-nf)" "switched off"
else
	skip "no br_netfilter in this kernel"
fi
echo 1 >/proc/sys/net/ipv4/conf/br0/accept_redirects
look
check_is warn "$(verdict router-advertisements)" "the host takes redirects from its bridge"
echo 0 >/proc/sys/net/ipv4/conf/br0/accept_redirects
[ ! -e /proc/sys/net/ipv6/conf/br0 ] || for f in accept_ra accept_redirects; do echo 0 >/proc/sys/net/ipv6/conf/br0/$f; done
look
check_is pass "$(verdict router-advertisements)" "and no more"
