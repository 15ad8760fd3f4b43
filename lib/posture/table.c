/* The table of checks: the topics in the order of the deck. */
#include "lib/posture/look.h"

#include <string.h>

static const struct {
	const char *name, *title;
	const struct posture_check *checks;
} topics[] = {
	{ "process", "A guest is a process of the host", posture_process },
	{ "management", "Who manages the host", posture_management },
	{ "console", "Who sees a guest's screen", posture_console },
	{ "network", "The network", posture_network },
	{ "mac", "SELinux and AppArmor", posture_mac },
	{ "audit", "Linux Audit", posture_audit },
	{ "rest", "Data at rest", posture_rest },
};

const struct posture_check *posture_check_at(size_t i)
{
	for (size_t t = 0; t < ARRAY_LEN(topics); t++)
		for (const struct posture_check *c = topics[t].checks; c->id; c++)
			if (i-- == 0)
				return c;
	return NULL;
}

const char *posture_topic(const char *id, char *buf, size_t len)
{
	snprintf(buf, len, "%.*s", (int)strcspn(id, "."), id);
	return buf;
}

const char *posture_topic_title(const char *topic)
{
	for (size_t t = 0; t < ARRAY_LEN(topics); t++)
		if (!strcmp(topics[t].name, topic))
			return topics[t].title;
	return topic;
}
