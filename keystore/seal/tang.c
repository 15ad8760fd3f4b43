/*
 * Slots bound to Tang servers, by clevis. The keyslot's passphrase is encrypted by `clevis encrypt`; the token
 * is that of `clevis luks bind` ({"type":"clevis","keyslots":[…],"jwe":{…}}), so clevis's own tools read it too.
 */
#include "keystore/seal/kind.h"

#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "keystore/seal/token.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_TYPE "clevis"
#define SECONDS 15	/* a server that does not answer must not hold up the boot of a host */
#define SERVERS_MAX 16
#define JWE_MAX 16384

/* The parts of a JWE in its compact form (RFC 7516, section 7.1), named as in its JSON form (7.2.2). */
static const char *const jwe_parts[] = { "protected", "encrypted_key", "iv", "ciphertext", "tag" };

static json_object *jwe_from_compact(const char *text)
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

static int jwe_to_compact(json_object *o, char *buf, size_t size)
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

/*
 * clevis runs the program that the JWE's header names as its pin, whichever it is, and the seal's tokens are not
 * authenticated: only what an enrolment writes is given to it. An "sss" holds further JWEs.
 */
static bool pins_fit(const char *compact, int depth)
{
	AUTOFREE char *header = text_base64url(compact, strcspn(compact, "."));
	AUTOJSON json_object *o = header ? json_tokener_parse(header) : NULL;
	json_object *clevis = NULL, *pin = NULL, *sss = NULL, *jwe = NULL;
	if (!o || !json_object_object_get_ex(o, "clevis", &clevis) || !json_object_object_get_ex(clevis, "pin", &pin) ||
	    !json_object_is_type(pin, json_type_string))
		return false;
	if (!strcmp(json_object_get_string(pin), "tang"))
		return true;
	if (depth || strcmp(json_object_get_string(pin), "sss") != 0 ||
	    !json_object_object_get_ex(clevis, "sss", &sss) || !json_object_object_get_ex(sss, "jwe", &jwe) ||
	    !json_object_is_type(jwe, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(jwe); i++) {
		const char *inner = json_object_get_string(json_object_array_get_idx(jwe, i));
		if (!inner || !pins_fit(inner, depth + 1))
			return false;
	}
	return true;
}

/* ---- what clevis is told ---- */

/* The n-th of a comma-separated list, copied; NULL when there are fewer. */
static char *nth(const char *list, size_t n)
{
	while (list && n--)
		if ((list = strchr(list, ',')))
			list++;
	return list ? strndup(list, strcspn(list, ",")) : NULL;
}

static json_object *server_json(const struct slot_params *p, size_t i)
{
	AUTOFREE char *url = nth(p->servers, i);
	AUTOFREE char *thumbprint = nth(p->thumbprints, i);
	if (!url)
		return NULL;
	json_object *o = json_object_new_object();
	json_object_object_add(o, "url", json_object_new_string(url));
	if (thumbprint && *thumbprint)
		json_object_object_add(o, "thp", json_object_new_string(thumbprint));
	return o;
}

/* clevis's "sss" pin takes so many of several servers, its "tang" pin one. */
static json_object *config_json(const struct slot_params *p, const char **ret_pin)
{
	json_object *first = server_json(p, 0), *second = server_json(p, 1);
	*ret_pin = second ? "sss" : "tang";
	if (!second)
		return first;
	json_object *all = json_object_new_array(), *pins = json_object_new_object(), *o = json_object_new_object();
	json_object_array_add(all, first);
	size_t n = 1;
	for (; second; second = server_json(p, ++n))
		json_object_array_add(all, second);
	json_object_object_add(o, "t", json_object_new_int(p->threshold ? (int)p->threshold : (int)n));
	json_object_object_add(pins, "tang", all);
	json_object_object_add(o, "pins", pins);
	return o;
}

static size_t count(const char *list)
{
	size_t n = list != NULL;
	for (const char *at = list; at && (at = strchr(at, ',')); at++)
		n++;
	return n;
}

static int check_params(const struct slot_params *p, struct error *e)
{
	if (!p || !p->servers || !*p->servers)
		return error_set(e, ERROR_USAGE, EINVAL, "a slot of type 'tang' needs the URL of a server");
	size_t n = count(p->servers);
	/* Of one that has none clevis would trust whatever it sends, or ask where nobody is. */
	if (count(p->thumbprints) != n)
		return error_set(e, ERROR_USAGE, EINVAL, "%zu Tang servers need as many thumbprints, not %zu", n,
				 count(p->thumbprints));
	if (n > SERVERS_MAX || p->threshold > n)
		return error_set(e, ERROR_USAGE, EINVAL, "a threshold of %u does not fit %zu servers (at most %d)",
				 p->threshold, n, SERVERS_MAX);
	return 0;
}

static int encrypt(const struct slot_params *p, const struct secret *passphrase, json_object **ret, struct error *e)
{
	const char *pin = NULL;
	AUTOJSON json_object *config = config_json(p, &pin);
	const char *argv[] = { "clevis", "encrypt", pin, json_object_to_json_string(config), NULL };
	const struct process run = { .argv = argv, .input = passphrase, .stdout_max = JWE_MAX, .seconds = SECONDS };
	struct process_result res;
	int r = process_run_checked(&run, &res, e);
	if (r < 0)
		return r;
	*ret = jwe_from_compact(res.out);
	process_result_clear(&res);
	return *ret ? 0 : error_set(e, ERROR_FAILED, EBADMSG, "clevis gave no JWE");
}

static int write_token(struct seal *s, int slot, json_object *jwe, struct error *e)
{
	char number[16];
	AUTOJSON json_object *o = json_object_new_object();
	json_object *slots = json_object_new_array();
	snprintf(number, sizeof(number), "%d", slot);
	json_object_array_add(slots, json_object_new_string(number));
	json_object_object_add(o, "type", json_object_new_string(TOKEN_TYPE));
	json_object_object_add(o, "keyslots", slots);
	json_object_object_add(o, "jwe", json_object_get(jwe));
	int r = crypt_token_json_set(s->cd, CRYPT_ANY_TOKEN, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	if (r == -EINVAL || r == -ENOSPC)
		return error_set(e, ERROR_FAILED, ENOSPC, "the seal has no room for a token of so many servers");
	return r < 0 ? seal_fail(s, r, "write the token of a Tang slot", e) : 0;
}

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	AUTOSECRET struct secret *passphrase = NULL;
	AUTOJSON json_object *jwe = NULL;
	int r = check_params(c->params, e);
	if (r < 0 || (r = secret_generate_passphrase(&passphrase, e)) < 0 ||
	    (r = encrypt(c->params, passphrase, &jwe, e)) < 0)
		return r;
	int slot = seal_add_key(s, CRYPT_ANY_SLOT, root, passphrase, true, e);
	if (slot < 0 || (r = write_token(s, slot, jwe, e)) < 0)
		return slot < 0 ? slot : r;
	*ret_slot = slot;
	return 0;
}

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *key, struct secret **ret,
		   struct error *e)
{
	(void)key;
	static const char *const argv[] = { "clevis", "decrypt", NULL };
	AUTOFREE char *compact = calloc(1, JWE_MAX);
	AUTOSECRET struct secret *input = NULL;
	AUTOJSON json_object *o = NULL;
	json_object *jwe = NULL;
	const char *text = NULL;
	int token = seal_token_find(s->cd, TOKEN_TYPE, slot->slot), r;
	if (!compact)
		return error_oom(e);
	if (token >= 0 && crypt_token_json_get(s->cd, token, &text) >= 0)
		o = json_tokener_parse(text);
	if (!o || !json_object_object_get_ex(o, "jwe", &jwe) || jwe_to_compact(jwe, compact, JWE_MAX) < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "the seal is damaged: slot %d has lost its token",
				 slot->slot);
	if (!pins_fit(compact, 0))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal was tampered with: the token of slot %d is not one for Tang servers",
				 slot->slot);
	if ((r = secret_copy(compact, strlen(compact), &input, e)) < 0)
		return r;
	const struct process p = {
		.argv = argv, .input = input, .stdout_max = 512, .stdout_secret = true, .seconds = SECONDS,
	};
	struct process_result res;
	if ((r = process_run(&p, &res, e)) < 0)
		return r;
	if (res.status == 0 && res.secret)
		*ret = TAKE_PTR(res.secret);
	else
		r = error_set(e, ERROR_SEALED, EHOSTUNREACH, "too few Tang servers answer (%s)%s%s",
			      slot->params.servers, res.err[0] ? ": " : "", res.err);
	process_result_clear(&res);
	return r;
}

const struct slot_kind slot_kind_tang = { .name = "tang", .turn = 3, .device = true, .enrol = enrol, .open = open_it };
