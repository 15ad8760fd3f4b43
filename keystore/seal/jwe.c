#include "keystore/seal/jwe.h"

#include "base/text.h"
#include "keystore/seal/tang_trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The parts of a JWE in its compact form (RFC 7516, section 7.1), named as in its JSON form (7.2.2). */
static const char *const jwe_parts[] = { "protected", "encrypted_key", "iv", "ciphertext", "tag" };

json_object *jwe_from_compact(const char *text)
{
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < ARRAY_LEN(jwe_parts); i++) {
		size_t len = strcspn(text, ".\r\n");
		bool last = i + 1 == ARRAY_LEN(jwe_parts);
		if ((text[len] == '.') == last) {
			json_object_put(o);
			return NULL;
		}
		if (len)
			json_object_object_add(o, jwe_parts[i], json_object_new_string_len(text, (int)len));
		text += len + 1;
	}
	return o;
}

int jwe_to_compact(json_object *o, char *buf, size_t size)
{
	size_t at = 0;
	for (size_t i = 0; i < ARRAY_LEN(jwe_parts); i++) {
		json_object *part = NULL;
		const char *text = "";
		if (json_object_object_get_ex(o, jwe_parts[i], &part) && json_object_is_type(part, json_type_string))
			text = json_object_get_string(part);
		int n = snprintf(buf + at, size - at, "%s%s", i ? "." : "", text);
		if (n < 0 || (size_t)n >= size - at)
			return -EMSGSIZE;
		at += (size_t)n;
	}
	return 0;
}

static json_object *member(json_object *o, const char *name, json_type type)
{
	json_object *v = NULL;
	return o && json_object_object_get_ex(o, name, &v) && json_object_is_type(v, type) ? v : NULL;
}

static const char *text_of(json_object *o, const char *name)
{
	json_object *v = member(o, name, json_type_string);
	return v ? json_object_get_string(v) : "";
}

/* What clevis puts behind the URL: a thumbprint (RFC 7638), and nothing that is a path or a query. */
static bool is_thumbprint(const char *text)
{
	static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	return *text && strlen(text) <= 128 && !text[strspn(text, base64url)];
}

/* One server: its URL behind the others. */
static bool add_server(json_object *header, json_object *clevis, FILE *list, size_t *n)
{
	const char *url = text_of(member(clevis, "tang", json_type_object), "url");
	if (!tang_url_fits(url) || !is_thumbprint(text_of(header, "kid")))
		return false;
	fprintf(list, "%s%s", *n ? "," : "", url);
	++*n;
	return true;
}

/*
 * clevis runs the program that the header names as its pin, whichever it is, and that runs curl with the URL: only what
 * an enrolment writes is given to it, as nothing has proven yet who wrote the seal. An "sss" holds further JWEs.
 */
static bool read_header(const char *compact, bool inside, FILE *list, size_t *n, unsigned *ret_threshold)
{
	AUTOFREE char *text = text_base64url(compact, strcspn(compact, "."));
	AUTOJSON json_object *header = text ? json_tokener_parse(text) : NULL;
	json_object *clevis = member(header, "clevis", json_type_object);
	json_object *sss = member(clevis, "sss", json_type_object), *all = member(sss, "jwe", json_type_array);
	json_object *threshold = member(sss, "t", json_type_int);
	const char *pin = text_of(clevis, "pin");
	if (!strcmp(pin, "tang")) {
		*ret_threshold = 1;
		return add_server(header, clevis, list, n);
	}
	if (inside || strcmp(pin, "sss") != 0 || !all || !threshold)
		return false;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		json_object *inner = json_object_array_get_idx(all, i);
		if (!json_object_is_type(inner, json_type_string) ||
		    !read_header(json_object_get_string(inner), true, list, n, ret_threshold))
			return false;
	}
	*ret_threshold = (unsigned)json_object_get_int(threshold);
	return true;
}

char *jwe_servers(const char *compact, unsigned *ret_threshold)
{
	char *text = NULL;
	size_t len = 0, n = 0;
	FILE *list = open_memstream(&text, &len);
	if (!list)
		return NULL;
	bool fits = read_header(compact, false, list, &n, ret_threshold);
	if (fclose(list) != 0 || !fits || !n) {
		free(text);
		return NULL;
	}
	return text;
}
