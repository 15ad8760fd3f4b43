#include "lib/posture/host/filter.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* In "16514", "5900-5999", "{ 22, 5900-5999 }" as they stand behind "dport". */
static bool names_port(const char *at, const char *end, unsigned port)
{
	while (at < end && (isdigit((unsigned char)*at) || strchr(" {},-", *at))) {
		if (!isdigit((unsigned char)*at)) {
			at++;
			continue;
		}
		char *rest;
		unsigned long first = strtoul(at, &rest, 10), last = first;
		if (*rest == '-')
			last = strtoul(rest + 1, &rest, 10);
		if (port >= first && port <= last)
			return true;
		at = rest;
	}
	return false;
}

static bool in_line(const char *line, const char *end, const char *word)
{
	const char *at = strstr(line, word);
	return at && at < end;
}

bool filter_may_stop(const char *ruleset, unsigned port)
{
	bool input = false;
	for (const char *line = ruleset; *line;) {
		const char *end = line + strcspn(line, "\n");
		if (in_line(line, end, "chain "))
			input = false;
		if (in_line(line, end, "hook input")) {
			input = true;
			if (in_line(line, end, "policy drop"))
				return true;
		}
		const char *dport = strstr(line, "tcp dport ");
		bool stops = in_line(line, end, " drop") || in_line(line, end, " reject");
		if (stops && dport && dport < end && names_port(dport + 10, end, port))
			return true;
		/* A last rule of the chain that takes all the rest. */
		size_t blank = strspn(line, " \t");
		if (input && (!strncmp(line + blank, "drop", 4) || !strncmp(line + blank, "reject", 6)))
			return true;
		line = *end ? end + 1 : end;
	}
	return false;
}
