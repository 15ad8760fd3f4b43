/* What a definition takes out of libvirt's hands. */
#include "lib/posture/topic/process.h"

#include "lib/guest/lazy.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
	const char *what, *expression;
	enum posture_verdict verdict;
} ways[] = {
	{ "arguments of its own for QEMU (<qemu:commandline>)", "/domain/*[local-name() = 'commandline']",
	  POSTURE_WARN },
	{ "properties of devices set past libvirt (<qemu:override>)", "/domain/*[local-name() = 'override']",
	  POSTURE_WARN },
	{ "a directory of the host that it may write (<filesystem>)",
	  "/domain/devices/filesystem[not(readonly)]/source[@dir]", POSTURE_WARN },
	{ "memory that it shares (<shmem>)", "/domain/devices/shmem", POSTURE_WARN },
	{ "a device of the host (<hostdev>)", "/domain/devices/hostdev", POSTURE_WARN },
};

/* Whoever may write the program that guests are run by may run it as he likes. */
static void look_emulator(struct posture_look *l, const struct host_guest *g)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	if (!look_nodes(l, g, look_document(g), "/domain/devices/emulator", &x) || !guest_xml_count(&x))
		return;
	xmlChar *path = xmlNodeGetContent(guest_xml_node(&x, 0));
	struct stat st;
	if (path && l->host->local && stat((char *)path, &st) == 0) {
		if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
			NOTE_CONFIGURED(l, POSTURE_FAIL, g->subject,
					"its emulator %s may be written by others than root", path);
		else if (strncmp((char *)path, "/usr/", 5))
			NOTE_CONFIGURED(l, POSTURE_WARN, g->subject, "its emulator %s is not one of a package", path);
	}
	lazy_xml_free(path);
}

static void look_taints(struct posture_look *l, const struct host_guest *g)
{
	char **messages = NULL;
	int n = g->live ? virDomainGetMessages(g->domain, &messages, VIR_DOMAIN_MESSAGE_TAINTING) : 0;
	for (int i = 0; i < n; i++) {
		NOTE_RUNNING(l, POSTURE_WARN, g, "%s", messages[i]);
		free(messages[i]);
	}
	free(messages);
}

void process_look_passthrough(struct posture_look *l)
{
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g)) {
		size_t before = l->finding->n;
		for (size_t i = 0; i < ARRAY_LEN(ways); i++)
			if (look_count(l, g, g->config, ways[i].expression) ||
			    look_count(l, g, g->live, ways[i].expression))
				NOTE_CONFIGURED(l, ways[i].verdict, g->subject, "it has %s", ways[i].what);
		look_emulator(l, g);
		look_taints(l, g);
		if (l->finding->n == before)
			NOTE_CONFIGURED(l, POSTURE_PASS, g->subject, "nothing goes past libvirt");
	}
}
