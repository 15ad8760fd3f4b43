/*
 * Slots bound to Tang servers, by clevis. The keyslot's passphrase is encrypted by `clevis encrypt`; the token
 * is that of `clevis luks bind` ({"type":"clevis","keyslots":[…],"jwe":{…}}), so clevis's own tools read it too.
 */
#include "keystore/seal/kind.h"

#include "base/process.h"
#include "keystore/seal/jwe.h"
#include "keystore/seal/tang_trust.h"
#include "keystore/seal/token.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_TYPE "clevis"
#define SECONDS 15	/* a server that does not answer must not hold up the boot of a host */
#define SERVERS_MAX 16

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

static int check(const char *path, const struct slot_params *p, struct error *e)
{
	(void)path;
	if (!p->servers || !*p->servers)
		return error_set(e, ERROR_USAGE, EINVAL, "a slot of type 'tang' needs the URL of a server");
	size_t n = count(p->servers);
	/* Of one that has none clevis would trust whatever it sends, or ask where nobody is. */
	if (count(p->thumbprints) != n)
		return error_set(e, ERROR_USAGE, EINVAL, "%zu Tang servers need as many thumbprints, not %zu", n,
				 count(p->thumbprints));
	if (n > SERVERS_MAX || p->threshold > n)
		return error_set(e, ERROR_USAGE, EINVAL, "a threshold of %u does not fit %zu servers (at most %d)",
				 p->threshold, n, SERVERS_MAX);
	for (size_t i = 0; i < n; i++) {
		AUTOFREE char *url = nth(p->servers, i);
		if (!url)
			return error_oom(e);
		if (!tang_url_fits(url))
			return error_set(e, ERROR_USAGE, EINVAL,
					 "'%s' is no URL of a Tang server: http://HOST or https://HOST", url);
	}
	return 0;
}

static int encrypt(const struct slot_params *p, const struct secret *passphrase, json_object **ret, struct error *e)
{
	const char *pin = NULL;
	AUTOJSON json_object *config = config_json(p, &pin);
	const char *argv[] = { "clevis", "encrypt", pin, json_object_to_json_string(config), NULL };
	const struct process run = { .argv = argv, .input = passphrase, .stdout_max = JWE_MAX, .seconds = SECONDS,
				     .confine = PROCESS_FOREIGN };
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
	int r = secret_generate_passphrase(&passphrase, e);
	if (r < 0 || (r = encrypt(c->params, passphrase, &jwe, e)) < 0)
		return r;
	int slot = seal_add_key(s, CRYPT_ANY_SLOT, root, passphrase, true, e);
	if (slot < 0 || (r = write_token(s, slot, jwe, e)) < 0)
		return slot < 0 ? slot : r;
	*ret_slot = slot;
	return 0;
}

/* Ours says whom a renewal will trust, clevis's whom an opening asks: one list. */
static int check_jwe(const struct slot *slot, const char *compact, struct error *e)
{
	unsigned threshold = 0, want = slot->params.threshold;
	AUTOFREE char *servers = jwe_servers(compact, &threshold);
	if (!servers)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal was tampered with: the token of slot %d is not one for Tang servers",
				 slot->slot);
	if (strcmp(servers, slot->params.servers) != 0 || threshold != (want ? want : count(servers)))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "the seal was tampered with: the servers of slot %d are %s in one token, "
				 "%s in the other",
				 slot->slot, slot->params.servers, servers);
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
	if ((r = check_jwe(slot, compact, e)) < 0)
		return r;
	if ((r = secret_copy(compact, strlen(compact), &input, e)) < 0)
		return r;
	const struct process p = {
		.argv = argv, .input = input, .stdout_max = 512, .stdout_secret = true, .seconds = SECONDS,
		.confine = PROCESS_FOREIGN,
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

const struct slot_kind slot_kind_tang = {
	.name = "tang", .turn = 3, .device = true, .check = check, .enrol = enrol, .open = open_it,
};
