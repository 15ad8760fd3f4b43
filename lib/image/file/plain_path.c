#include "lib/image/file/plain_path.h"

#include <stdbool.h>
#include <string.h>

/* Continuation bytes that follow a first byte; -1 when none may be first. Bounds as in RFC 3629. */
static int utf8_follow(unsigned char first)
{
	if (first < 0x80)
		return 0;
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

static bool is_utf8(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		unsigned char first = *p++, second = *p;
		int n = utf8_follow(first);
		if (n < 0 || (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
		    (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
			return false;
		for (; n; n--)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

const char *plain_path_problem(const char *name)
{
	if (!*name)
		return "is empty";
	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			return "has control characters";
	if (!is_utf8(name))
		return "is not UTF-8, so neither libvirt's XML nor JSON can hold it";
	/* Any prefix counts, known to this QEMU or not: the next one may know it. */
	if (name[strcspn(name, ":/")] == ':')
		return "is not a plain path (a colon before the first slash; write ./NAME for such a file)";
	return NULL;
}
