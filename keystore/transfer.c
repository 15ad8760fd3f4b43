/*
 * Records to and from another keystore. In the bundle (bundle.c) they are ordinary envelopes, sealed under a
 * root key made for it, which is in there too: one format for a record, wherever it lies.
 */
#include "keystore/internal.h"

#include "keystore/bundle.h"
#include "keystore/record/envelope.h"
#include "keystore/record/tlv.h"

#include <stdio.h>
#include <string.h>

#define MAGIC "KVMB"
#define VERSION 1
#define HEAD_LEN (4 + 4 + ROOT_KEY_LEN + 4)
#define BUNDLE_MAX (2u * 1024 * 1024)	/* of locked memory, and a thousand volumes */

/* ---- export ---- */

struct envelopes {
	unsigned char **data;
	size_t *lens, n, total;
};

static void envelopes_clear(struct envelopes *l)
{
	for (size_t i = 0; l->data && i < l->n; i++)
		free(l->data[i]);
	free(l->data);
	free(l->lens);
}

static int check_exportable(const struct record *r, struct error *e)
{
	if (r->state != RECORD_READY && r->state != RECORD_LINKED)
		return error_set(e, ERROR_REFUSED, EBUSY, "%s is %s: finish that first (`kvmcrypt recover`)", r->path,
				 record_state_name(r->state));
	return 0;
}

/* What belongs to this host stays: its domains, its links. */
static int seal_for(const struct secret *key, const uuid_t id, const struct record *r, unsigned char **ret,
		    size_t *ret_len, struct error *e)
{
	struct record as = *r;
	as.domains = NULL;
	as.n_domains = 0;
	as.state = RECORD_READY;
	as.beside = as.placement = as.moved = NULL;
	as.fence = 0;
	as.work = (struct record_work){ 0 };
	as.pending = as.next_volume_key = NULL;
	return envelope_seal(key, id, &as, 1, ret, ret_len, e);
}

static int seal_all(struct record *const *records, size_t n, const struct secret *key, const uuid_t id,
		    struct envelopes *l, struct error *e)
{
	l->data = calloc(n, sizeof(*l->data));
	l->lens = calloc(n, sizeof(*l->lens));
	if (!l->data || !l->lens)
		return error_oom(e);
	for (l->n = 0; l->n < n; l->n++) {
		int r = seal_for(key, id, records[l->n], &l->data[l->n], &l->lens[l->n], e);
		if (r < 0)
			return r;
		l->total += 4 + l->lens[l->n];
	}
	if (l->total > BUNDLE_MAX - HEAD_LEN)
		return error_set(e, ERROR_USAGE, EFBIG, "too many volumes for one bundle: export them in several");
	return 0;
}

static int pack(const struct envelopes *l, const struct secret *key, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *s = NULL;
	int r = secret_new(HEAD_LEN + l->total, &s, e);
	if (r < 0)
		return r;
	unsigned char *p = mempcpy(s->data, MAGIC, 4);
	put_be(p, VERSION, 4);
	p = mempcpy(p + 4, key->data, ROOT_KEY_LEN);
	put_be(p, l->n, 4);
	p += 4;
	for (size_t i = 0; i < l->n; i++) {
		put_be(p, l->lens[i], 4);
		p = mempcpy(p + 4, l->data[i], l->lens[i]);
	}
	*ret = TAKE_PTR(s);
	return 0;
}

int keystore_export(struct keystore *ks, struct record *const *records, size_t n, const struct secret *passphrase,
		    const char *certificate, bool sign, unsigned char **ret, size_t *ret_len, struct error *e)
{
	CLEANUP(envelopes_clear) struct envelopes l = { .n = 0 };
	AUTOSECRET struct secret *key = NULL;
	AUTOSECRET struct secret *content = NULL;
	uuid_t id;
	int r = 0;
	for (size_t i = 0; i < n; i++)
		if ((r = check_exportable(records[i], e)) < 0)
			return r;
	if ((r = keystore_reveal(ks, records, n, "export", certificate ? "to a certificate" : "with a passphrase", e)) <
		    0 ||
	    (r = secret_random(ROOT_KEY_LEN, &key, e)) < 0 || (r = kdf_root_id(key, id, e)) < 0 ||
	    (r = seal_all(records, n, key, id, &l, e)) < 0 || (r = pack(&l, key, &content, e)) < 0 ||
	    (sign && (r = bundle_sign(ks->root, certificate, &content, e)) < 0))
		return r;
	return bundle_encrypt(content, passphrase, certificate, ret, ret_len, e);
}

int keystore_certificate(struct keystore *ks, const char *name, char **ret, struct error *e)
{
	int r = keystore_need_root(ks, e);
	return r < 0 ? r : bundle_certificate(ks->root, name, ret, e);
}

/* ---- import ---- */

static int malformed(struct error *e)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG, "the bundle is malformed, or made by a newer kvmcrypt");
}

/*
 * What an export never writes: recover would act on a temporary file or an unfinished workflow that a forged
 * bundle names, on this host, with the rights of its administrator.
 */
static bool is_plain(const struct record *r)
{
	return r->state == RECORD_READY && !r->beside && !r->n_domains && !r->pending && !r->next_volume_key &&
	       !r->work.version && !r->placement && !r->fence && !r->moved;
}

int keystore_unpack(const struct secret *content, struct record ***ret, size_t *ret_n, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	const unsigned char *p = content->data, *end = p + content->len;
	uuid_t id;
	if (content->len < HEAD_LEN || memcmp(p, MAGIC, 4) != 0 || get_be(p + 4, 4) != VERSION)
		return malformed(e);
	int r = secret_copy(p + 8, ROOT_KEY_LEN, &key, e);
	if (r < 0 || (r = kdf_root_id(key, id, e)) < 0)
		return r;
	size_t n = get_be(p + 8 + ROOT_KEY_LEN, 4), i = 0;
	p += HEAD_LEN;
	if (!n || n > BUNDLE_MAX / 4)
		return malformed(e);
	struct record **records = calloc(n, sizeof(*records));
	if (!records)
		return error_oom(e);
	for (; i < n && r == 0; i++) {
		size_t len = end - p >= 4 ? get_be(p, 4) : 0;
		if (!len || len > (size_t)(end - p) - 4)
			r = malformed(e);
		else if ((r = envelope_parse(p + 4, len, &records[i], e)) == 0)
			r = envelope_open(key, id, records[i], true, e);
		if (r == 0 && !is_plain(records[i]))
			r = malformed(e);
		if (r == 0)
			p += 4 + len;
	}
	if (r == 0 && p != end)
		r = malformed(e);
	if (r < 0) {
		keystore_records_free(records, i);
		return r;
	}
	*ret = records;
	*ret_n = n;
	return 0;
}

void keystore_records_free(struct record **records, size_t n)
{
	for (size_t i = 0; records && i < n; i++)
		record_free(records[i]);
	free(records);
}

int keystore_open_bundle(struct keystore *ks, const void *data, size_t len, const struct secret *passphrase,
			 const char *from, struct record ***ret, size_t *ret_n, struct error *e)
{
	AUTOSECRET struct secret *content = NULL;
	int r = keystore_need_root(ks, e);
	const struct secret *own = passphrase ? NULL : ks->root;
	if (r < 0 || (r = bundle_decrypt(data, len, passphrase, own, &content, e)) < 0 ||
	    (r = bundle_check_sender(own, from, &content, e)) < 0)
		return r;
	return keystore_unpack(content, ret, ret_n, e);
}

/* A volume that has the same keys: repeating an import is no change. */
static bool is_same(struct keystore *ks, struct record *there, const struct record *r)
{
	return keystore_peek(ks, there, NULL) == 0 && there->generation == r->generation &&
	       !uuid_compare(there->luks_uuid, r->luks_uuid) && there->passphrase && r->passphrase &&
	       secret_equal(there->passphrase, r->passphrase);
}

int keystore_take_in(struct keystore *ks, struct record *r, bool *ret_changed, struct error *e)
{
	AUTORECORD struct record *there = NULL;
	struct error why = { 0 };
	int res = keystore_get(ks, r->uuid, &there, &why);
	if (res < 0 && why.kind != ERROR_NOT_FOUND)
		return error_pass(e, &why);
	*ret_changed = false;
	if (there && is_same(ks, there, r))
		return 0;
	if (there)
		return error_set(e, ERROR_EXISTS, EEXIST, "the keystore has the volume as %s already, with other keys",
				 there->path);
	/* Now it is a new one of this keystore. */
	free(TAKE_PTR(r->envelope));
	r->envelope_len = 0;
	r->revision = 0;
	r->last_used = 0;
	if ((res = keystore_put(ks, r, "import", "from a bundle", e)) < 0)
		return res;
	*ret_changed = true;
	return 0;
}
