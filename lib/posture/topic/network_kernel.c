/* The network as the kernel has it: libvirt's chains, and what bridges do with packets. */
#include "lib/posture/topic/network.h"

#include "base/json.h"
#include "base/process.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A host of some hundred guests has some ten thousand rules. */
#define RULES_MAX (64u << 20)

/* All tables of the bridge family, as nft has them; ERROR_NOT_FOUND: nft is not installed. */
static int read_rules(struct posture_look *l, struct json_object **ret, struct error *e)
{
	static const char *const argv[] = { "nft", "-j", "list", "ruleset", "bridge", NULL };
	struct process_result out = { 0 };
	const struct process p = { .argv = argv,
				   .stdout_max = RULES_MAX,
				   .seconds = (unsigned)host_time_left(l->host, 2000) / 1000 + 1 };
	int r = process_run_checked(&p, &out, e);
	struct json_object *o = r == 0 && out.out ? json_tokener_parse(out.out) : NULL;
	process_result_clear(&out);
	if (r == 0 && !o)
		r = error_set(e, ERROR_FAILED, EBADMSG, "what nft prints is no JSON");
	*ret = o;
	return r;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;
	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : "";
}

/* Is it a rule in a chain that libvirt made for this device: libvirt-I-vnet0, I-vnet0-mac …? */
static bool is_rule_for(struct json_object *entry, const char *device)
{
	struct json_object *rule;
	if (!json_object_object_get_ex(entry, "rule", &rule))
		return false;
	const char *chain = text_of(rule, "chain"), *at = chain ? strstr(chain, device) : NULL;
	char before = at && at > chain ? at[-1] : 0, after = at ? at[strlen(device)] : 'x';
	return before == '-' && (after == 0 || after == '-');
}

static size_t rules_for(struct json_object *all, const char *device)
{
	struct json_object *list;
	size_t n = 0;
	if (!json_object_object_get_ex(all, "nftables", &list))
		return 0;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		n += is_rule_for(json_object_array_get_idx(list, i), device);
	return n;
}

static void look_binding(struct posture_look *l, virNWFilterBindingPtr b, struct json_object *rules)
{
	char subject[96];
	const char *device = virNWFilterBindingGetPortDev(b), *filter = virNWFilterBindingGetFilterName(b);
	snprintf(subject, sizeof(subject), "interface %s", device);
	size_t n = rules_for(rules, device);
	if (n)
		note(l, POSTURE_PASS, POSTURE_RUNNING, subject, "filter %s: %zu rules in the kernel", filter, n);
	else
		note(l, POSTURE_FAIL, POSTURE_RUNNING, subject,
		     "libvirt says that filter %s is in force, and the kernel has no rule of it", filter);
}

void network_look_installed(struct posture_look *l)
{
	AUTOJSON struct json_object *rules = NULL;
	virNWFilterBindingPtr *list = NULL;
	struct error e;
	if (!l->host->g || !l->host->local)
		return;
	int n = virConnectListAllNWFilterBindings(l->host->g->conn, &list, 0);
	if (n < 0) {
		guest_error(&e, "libvirt does not say which filters are in force");
		note_unknown(l, POSTURE_RUNNING, "libvirt", &e);
	} else if (n > 0 && read_rules(l, &rules, &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, "nft", &e);
	}
	for (int i = 0; i < n; i++) {
		if (rules)
			look_binding(l, list[i], rules);
		virNWFilterBindingFree(list[i]);
	}
	free(list);
}

/* A number of /proc/sys; -1: it is not there. */
static int sysctl(const char *path)
{
	int value = -1;
	FILE *f = fopen(path, "re");
	if (f && fscanf(f, "%d", &value) != 1)
		value = -1;
	if (f)
		fclose(f);
	return value;
}

void network_look_bridge_nf(struct posture_look *l)
{
	static const char *const names[] = { "iptables", "ip6tables", "arptables" };
	if (!l->host->running || !l->host->local)
		return;
	bool there = false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[96], subject[64];
		snprintf(path, sizeof(path), "/proc/sys/net/bridge/bridge-nf-call-%s", names[i]);
		snprintf(subject, sizeof(subject), "net.bridge.bridge-nf-call-%s", names[i]);
		int value = sysctl(path);
		there |= value >= 0;
		if (value >= 0)
			note(l, value ? POSTURE_FAIL : POSTURE_PASS, POSTURE_RUNNING, subject, "it is %d", value);
	}
	/* It becomes 1 with the module, which a container engine loads. */
	if (!there)
		note(l, POSTURE_PASS, POSTURE_RUNNING, "br_netfilter", "it is not loaded");
}

/* Bridges that guests are on, each once. */
static void each_bridge(struct posture_look *l, void (*fn)(struct posture_look *l, const char *bridge))
{
	char seen[4096] = " ";
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g)) {
		AUTOGUESTXML struct guest_xml x = { 0 };
		if (!look_nodes(l, g, look_document(g), "/domain/devices/interface/source[@bridge]", &x))
			continue;
		for (size_t i = 0; i < guest_xml_count(&x); i++) {
			char name[32], word[40];
			guest_xml_copy(guest_xml_node(&x, i), "bridge", name, sizeof(name));
			snprintf(word, sizeof(word), " %s ", name);
			if (strstr(seen, word) || strlen(seen) + strlen(word) >= sizeof(seen))
				continue;
			strcat(seen, word + 1);
			fn(l, name);
		}
	}
}

static void look_bridge(struct posture_look *l, const char *bridge)
{
	static const struct {
		const char *family, *name, *what;
	} may[] = {
		{ "ipv6", "accept_ra", "router advertisements" },
		{ "ipv6", "accept_redirects", "redirects (IPv6)" },
		{ "ipv4", "accept_redirects", "redirects (IPv4)" },
	};
	char subject[64], path[128];
	bool any = false;
	/* A bridge on which the host speaks no IPv6. */
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%.31s/disable_ipv6", bridge);
	bool no_ipv6 = sysctl(path) == 1;
	snprintf(subject, sizeof(subject), "bridge %s", bridge);
	for (size_t i = 0; i < ARRAY_LEN(may); i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%.31s/%s", may[i].family, bridge, may[i].name);
		if (sysctl(path) <= 0 || (no_ipv6 && !strcmp(may[i].family, "ipv6")))
			continue;
		any = true;
		note(l, POSTURE_WARN, POSTURE_RUNNING, subject, "the host takes %s from it", may[i].what);
	}
	if (!any)
		note(l, POSTURE_PASS, POSTURE_RUNNING, subject, "the host takes no routes from it");
}

void network_look_advertisements(struct posture_look *l)
{
	if (l->host->running && l->host->local)
		each_bridge(l, look_bridge);
}
