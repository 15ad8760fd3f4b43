#include "keystore/seal/tang_trust.h"

#include "base/json.h"
#include "base/process.h"
#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SECONDS 15
#define URL_MAX 1024
#define ADVERTISEMENT_MAX 65536

bool tang_url_fits(const char *url)
{
	/* RFC 3986, without what is in no server's URL: a user, a query, a fragment; and the list's comma. */
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/[]%";
	static const char *const schemes[] = { "http://", "https://" };
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t len = strlen(schemes[i]);
		if (!strncasecmp(url, schemes[i], len))
			return strlen(url) <= URL_MAX && (isalnum((unsigned char)url[len]) || url[len] == '[') &&
			       !url[strspn(url, plain)];
	}
	return false;
}

static int run(const char *const *argv, const char *input, size_t max, char **ret, struct error *e)
{
	AUTOSECRET struct secret *in = NULL;
	struct process_result res;
	int r = input ? secret_copy(input, strlen(input), &in, e) : 0;
	const struct process p = { .argv = argv, .input = in, .stdout_max = max, .seconds = SECONDS,
				   .confine = PROCESS_FOREIGN };
	if (r < 0 || (r = process_run_checked(&p, &res, e)) < 0)
		return r;
	*ret = strdup(res.out);
	process_result_clear(&res);
	return *ret ? 0 : error_oom(e);
}

static bool may_verify(json_object *key)
{
	json_object *ops = NULL;
	if (!json_object_object_get_ex(key, "key_ops", &ops) || !json_object_is_type(ops, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(ops); i++) {
		const char *op = json_object_get_string(json_object_array_get_idx(ops, i));
		if (op && !strcmp(op, "verify"))
			return true;
	}
	return false;
}

/* The first signing key of an advertisement, as JSON. */
static char *signing_key(const char *advertisement)
{
	AUTOJSON json_object *jws = json_tokener_parse(advertisement);
	json_object *payload = NULL, *keys = NULL;
	if (!jws || !json_object_object_get_ex(jws, "payload", &payload))
		return NULL;
	const char *encoded = json_object_get_string(payload);
	AUTOFREE char *text = encoded ? text_base64url(encoded, strlen(encoded)) : NULL;
	AUTOJSON json_object *set = text ? json_tokener_parse(text) : NULL;
	if (!set || !json_object_object_get_ex(set, "keys", &keys) || !json_object_is_type(keys, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(keys); i++)
		if (may_verify(json_object_array_get_idx(keys, i)))
			return strdup(json_object_to_json_string(json_object_array_get_idx(keys, i)));
	return NULL;
}

int tang_thumbprint(const char *url, char **ret, struct error *e)
{
	AUTOFREE char *at = NULL, *advertisement = NULL, *key = NULL, *thumbprint = NULL;
	if (!tang_url_fits(url))
		return error_set(e, ERROR_USAGE, EINVAL,
				 "'%s' is no URL of a Tang server: http://HOST or https://HOST", url);
	if (asprintf(&at, "%s/adv", url) < 0)
		return error_oom(e);
	const char *const fetch[] = { "curl", "--silent", "--show-error", "--fail", "--globoff", "--max-time", "10",
				      "--", at, NULL };
	static const char *const thp[] = { "jose", "jwk", "thp", "-i-", "-a", "S256", NULL };
	int r = run(fetch, NULL, ADVERTISEMENT_MAX, &advertisement, e);
	if (r < 0)
		return error_prefix(e, "Tang server %s", url);
	key = signing_key(advertisement);
	if (!key)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "Tang server %s: what it sends is no advertisement", url);
	if ((r = run(thp, key, 256, &thumbprint, e)) < 0)
		return r;
	thumbprint[strcspn(thumbprint, "\r\n")] = 0;
	*ret = TAKE_PTR(thumbprint);
	return 0;
}
