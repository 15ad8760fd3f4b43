/* Tokens of clevis in a seal: both forms of a JWE, and what its headers say of servers. */
#include "base/cleanup.h"
#include "keystore/seal/jwe.h"
#include "keystore/seal/tang_trust.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void forms(const char *text)
{
	static char compact[JWE_MAX];
	json_object *o = jwe_from_compact(text);
	/* What is one is one again. */
	if (o && jwe_to_compact(o, compact, sizeof(compact)) == 0) {
		json_object *again = jwe_from_compact(compact);
		if (!again)
			abort();
		json_object_put(again);
	}
	json_object_put(o);
	o = json_tokener_parse(text);
	if (json_object_is_type(o, json_type_object))
		jwe_to_compact(o, compact, sizeof(compact));
	json_object_put(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTOFREE char *text = strndup((const char *)data, size);
	unsigned threshold = 0;
	if (!text)
		return 0;
	forms(text);
	AUTOFREE char *servers = jwe_servers(text, &threshold);
	for (char *url = servers, *end; url; url = end) {
		end = strchr(url, ',');
		if (end)
			*end++ = 0;
		/* A program gets these: none that is an option, none that is a file. */
		if (!tang_url_fits(url) || strncmp(url, "http", 4) != 0)
			abort();
	}
	return 0;
}
