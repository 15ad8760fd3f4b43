/* What a guest may send, and who hears it: libvirt's filters as they are in the kernel. */
#include "lib/posture/topic/network.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NICS "/domain/devices/interface"
#define FILTERS_DEEP 16

/* What the tree of a filter keeps a guest from. */
struct kept {
	bool mac, ip, arp, unknown;
};

/* libvirt's own names, and those that they are made of. */
static void keep_by_name(const char *name, struct kept *k)
{
	k->mac |= !strncmp(name, "no-mac-spoofing", 15);
	k->ip |= !strncmp(name, "no-ip-spoofing", 14);
	k->arp |= !strncmp(name, "no-arp-", 7) &&
		  (strstr(name, "spoofing") || strstr(name, "-ip") || strstr(name, "-mac"));
}

static void keep_by_filter(struct posture_look *l, const char *name, struct kept *k, int depth)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	keep_by_name(name, k);
	virNWFilterPtr f = depth < FILTERS_DEEP ? virNWFilterLookupByName(l->host->g->conn, name) : NULL;
	char *xml = f ? virNWFilterGetXMLDesc(f, 0) : NULL;
	if (f)
		virNWFilterFree(f);
	if (!xml || guest_xml_find(&x, xml, "/filter/filterref", NULL) < 0)
		k->unknown = true;
	for (size_t i = 0; i < guest_xml_count(&x); i++) {
		char next[128];
		guest_xml_copy(guest_xml_node(&x, i), "filter", next, sizeof(next));
		keep_by_filter(l, next, k, depth + 1);
	}
	free(xml);
}

static const char *nic_subject(const struct host_guest *g, xmlNodePtr nic, char *buf, size_t len)
{
	char mac[32] = "";
	guest_xml_copy(guest_xml_child(nic, "mac"), "address", mac, sizeof(mac));
	snprintf(buf, len, "%s, %s", g->subject, mac);
	return buf;
}

static void each_nic(struct posture_look *l, void (*fn)(struct posture_look *l, const struct host_guest *g,
							xmlNodePtr nic, const char *subject))
{
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g)) {
		AUTOGUESTXML struct guest_xml x = { 0 };
		char subject[400];
		if (!look_nodes(l, g, look_document(g), NICS, &x))
			continue;
		for (size_t i = 0; i < guest_xml_count(&x); i++) {
			xmlNodePtr nic = guest_xml_node(&x, i);
			fn(l, g, nic, nic_subject(g, nic, subject, sizeof(subject)));
		}
	}
}

/* QEMU's own network reaches no other guest; what has no wire at all neither. */
static bool is_shared(xmlNodePtr nic)
{
	return !guest_xml_is(nic, "type", "user") && !guest_xml_is(nic, "type", "null");
}

static void look_nic_filter(struct posture_look *l, const struct host_guest *g, xmlNodePtr nic, const char *subject)
{
	(void)g;
	char name[128] = "";
	struct kept k = { 0 };
	guest_xml_copy(guest_xml_child(nic, "filterref"), "filter", name, sizeof(name));
	if (!is_shared(nic))
		return;
	if (!*name) {
		note(l, POSTURE_FAIL, POSTURE_CONFIGURED, subject, "no filter: it may send as anybody");
		return;
	}
	keep_by_filter(l, name, &k, 0);
	if (k.mac && k.ip && k.arp)
		note(l, POSTURE_PASS, POSTURE_CONFIGURED, subject,
		     "filter %s keeps it to its MAC and IP address, and its ARP to both", name);
	else if (k.unknown && !k.mac)
		note(l, POSTURE_UNKNOWN, POSTURE_CONFIGURED, subject, "libvirt does not say what filter %s is", name);
	else
		note(l, k.mac ? POSTURE_WARN : POSTURE_FAIL, POSTURE_CONFIGURED, subject,
		     "filter %s does not keep it from a false%s%s%s", name, k.mac ? "" : " MAC address",
		     k.ip ? "" : " IP address", k.arp ? "" : " ARP answer");
}

static void look_filter(struct posture_look *l)
{
	each_nic(l, look_nic_filter);
}

static const char *parameter(xmlNodePtr nic, const char *name, char *buf, size_t len)
{
	*buf = 0;
	xmlNodePtr ref = guest_xml_child(nic, "filterref");
	for (xmlNodePtr p = ref ? ref->children : NULL; p; p = p->next)
		if (p->type == XML_ELEMENT_NODE && guest_xml_is(p, "name", name))
			guest_xml_copy(p, "value", buf, len);
	return buf;
}

/* Another interface, of any guest, that the filter gives this address. */
static const struct host_guest *other_with(struct posture_look *l, xmlNodePtr nic, const char *name, const char *value)
{
	for (size_t i = 0; i < l->host->n; i++) {
		const struct host_guest *g = &l->host->guests[i];
		AUTOGUESTXML struct guest_xml x = { 0 };
		char text[128];
		if (!look_nodes(l, g, look_document(g), NICS, &x))
			continue;
		for (size_t k = 0; k < guest_xml_count(&x); k++) {
			xmlNodePtr o = guest_xml_node(&x, k);
			if (!strcmp(name, "mac"))
				guest_xml_copy(guest_xml_child(o, "mac"), "address", text, sizeof(text));
			else
				parameter(o, name, text, sizeof(text));
			if (o != nic && !strcasecmp(text, value))
				return g;
		}
	}
	return NULL;
}

static void look_nic_address(struct posture_look *l, const struct host_guest *g, xmlNodePtr nic, const char *subject)
{
	(void)g;
	char ip[128], learning[32], server[64];
	if (!guest_xml_child(nic, "filterref") || !is_shared(nic))
		return;
	parameter(nic, "IP", ip, sizeof(ip));
	parameter(nic, "CTRL_IP_LEARNING", learning, sizeof(learning));
	parameter(nic, "DHCPSERVER", server, sizeof(server));
	const struct host_guest *other = *ip ? other_with(l, nic, "IP", ip) : NULL;
	if (other)
		note(l, POSTURE_FAIL, POSTURE_CONFIGURED, subject,
		     "its filter lets it have %s, and that of domain %s, too", ip, other->name);
	else if (*ip)
		note(l, POSTURE_PASS, POSTURE_CONFIGURED, subject, "its filter lets it have %s", ip);
	else if (!strcmp(learning, "dhcp") && *server)
		note(l, POSTURE_PASS, POSTURE_CONFIGURED, subject, "its filter learns its address from %s's DHCP",
		     server);
	else if (!strcmp(learning, "dhcp"))
		note(l, POSTURE_WARN, POSTURE_CONFIGURED, subject,
		     "its filter learns its address from any DHCP server (no DHCPSERVER)");
	else
		note(l, POSTURE_WARN, POSTURE_CONFIGURED, subject,
		     "its filter takes the address of the first packet that it sends");
}

static void look_address(struct posture_look *l)
{
	each_nic(l, look_nic_address);
}

static void look_nic_mac(struct posture_look *l, const struct host_guest *g, xmlNodePtr nic, const char *subject)
{
	(void)g;
	char mac[32] = "";
	guest_xml_copy(guest_xml_child(nic, "mac"), "address", mac, sizeof(mac));
	const struct host_guest *other = *mac ? other_with(l, nic, "mac", mac) : NULL;
	if (other)
		note(l, POSTURE_FAIL, POSTURE_CONFIGURED, subject, "domain %s has its MAC address, too", other->name);
	else if (guest_xml_is(nic, "trustGuestRxFilters", "yes"))
		note(l, POSTURE_WARN, POSTURE_CONFIGURED, subject,
		     "the guest may change its MAC address (trustGuestRxFilters='yes')");
	else
		note(l, POSTURE_PASS, POSTURE_CONFIGURED, subject, "its MAC address is its own, and fixed");
}

static void look_mac(struct posture_look *l)
{
	each_nic(l, look_nic_mac);
}

const struct posture_check posture_network[] = {
	{ "network.filter", "no guest can send as another",
	  "A guest that sends another's addresses gets the other's traffic: all that is not encrypted, and the rest "
	  "stops.",
	  "<filterref filter='clean-traffic'> with the parameter IP in each <interface>", look_filter },
	{ "network.filter-installed", "the filters that libvirt names are in the kernel",
	  "`nft flush ruleset`, which a reload of nftables does on Debian, takes them away, and libvirt goes on naming "
	  "them.",
	  "`systemctl reload libvirtd`, and a drop-in for nftables.service that does so after each reload",
	  network_look_installed },
	{ "network.address", "each guest's filter fixes its IP address",
	  "A filter that learns lets a guest choose, by the first packet that it sends.",
	  "the parameter IP, or CTRL_IP_LEARNING=dhcp with DHCPSERVER, in the filterref", look_address },
	{ "network.mac", "every MAC address is one guest's, and fixed",
	  "Two guests of one address hear each other's traffic.",
	  "another <mac> in one of the definitions; trustGuestRxFilters='no'", look_mac },
	{ "network.bridge-nf", "bridged packets do not go through iptables",
	  "The host's iptables rules, made for the host, then decide what guests get; and a rule that drops opens or "
	  "closes all.",
	  "net.bridge.bridge-nf-call-{ip,ip6,arp}tables = 0 in sysctl.d, and a udev rule for when br_netfilter is "
	  "loaded",
	  network_look_bridge_nf },
	{ "network.router-advertisements", "a guest cannot re-route its host",
	  "A guest on the bridge tells the host, by a router advertisement or a redirect, to send its traffic through "
	  "it.",
	  "accept_ra = 0 and accept_redirects = 0 for the bridge in sysctl.d", network_look_advertisements },
	{ 0 },
};
