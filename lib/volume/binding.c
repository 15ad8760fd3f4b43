/* Is this header the one that the record was made for? By every field that the record knows of it. */
#include "lib/volume/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *volume_integrity_name(const char *luks)
{
	return !strcmp(luks, "hmac(sha256)") ? "hmac-sha256" : luks;
}

static void fill_segment(struct record *r, const struct luks_info *info)
{
	free(r->hash);
	r->hash = strdup(info->hash);
	r->iv_tweak = info->iv_tweak;
	r->data_size = info->data_size;
}

void volume_fill_from_luks(struct record *r, const struct luks_info *info, uint64_t header_offset,
			   uint64_t header_length)
{
	r->luks_version = (uint32_t)info->version;
	uuid_copy(r->luks_uuid, info->uuid);
	r->digest_len = info->digest_len < sizeof(r->digest) ? info->digest_len : sizeof(r->digest);
	memcpy(r->digest, info->digest, r->digest_len);
	snprintf(r->cipher, sizeof(r->cipher), "%s", info->cipher);
	r->key_bits = info->key_bits;
	r->sector_size = info->sector_size;
	fill_segment(r, info);
	r->geometry = (struct record_geometry){
		.header_offset = header_offset,
		.header_length = header_length,
		.data_offset = info->data_offset,
		.metadata_size = info->metadata_size,
		.keyslots_size = info->keyslots_size,
		.digest_iterations = info->digest_iterations,
	};
	memcpy(r->geometry.digest_salt, info->digest_salt, sizeof(r->geometry.digest_salt));
}

/* ---- the comparison ---- */

struct field {
	const char *name;
	bool known;		/* the record has it, and the header tells it */
	uint64_t record, header;
	const char *record_text, *header_text;	/* or numbers */
};

static bool differs(const struct field *f)
{
	if (!f->known)
		return false;
	return f->record_text ? strcmp(f->record_text, f->header_text) != 0 : f->record != f->header;
}

static int tell(const struct record *r, const struct field *f, struct error *e)
{
	char is[80], was[80];
	if (f->record_text) {
		snprintf(is, sizeof(is), "%s", f->header_text[0] ? f->header_text : "none");
		snprintf(was, sizeof(was), "%s", f->record_text[0] ? f->record_text : "none");
	} else {
		snprintf(is, sizeof(is), "%llu", (unsigned long long)f->header);
		snprintf(was, sizeof(was), "%llu", (unsigned long long)f->record);
	}
	return error_set(e, ERROR_DAMAGED, EUCLEAN,
			 "the LUKS header of %s has %s %s, and its record has %s: somebody changed it (`kvmcrypt "
			 "header restore` makes it as it was)", r->path, f->name, is, was);
}

/*
 * UUID and digest are the record's, and another field is not: a header that would have the data read, or written,
 * wrong. Of what a record does not know, or a header without a keyslot does not tell, nothing follows.
 */
static int check_fields(const struct record *r, const struct luks_info *info, struct error *e)
{
	const struct record_geometry *g = &r->geometry;
	/* The sealed part is there only when it was revealed; 030c29a did not note the rest. */
	bool sealed = g->header_length, noted = r->hash;
	const struct field fields[] = {
		{ "version", true, r->luks_version, (uint64_t)info->version, NULL, NULL },
		{ "cipher", true, 0, 0, r->cipher, info->cipher },
		{ "key length", r->key_bits && info->key_bits, r->key_bits, info->key_bits, NULL, NULL },
		{ "sector size", r->sector_size, r->sector_size, info->sector_size, NULL, NULL },
		{ "integrity", true, 0, 0, r->integrity ? r->integrity : "", volume_integrity_name(info->integrity) },
		{ "data offset", sealed, g->data_offset, info->data_offset, NULL, NULL },
		{ "metadata size", sealed && g->metadata_size, g->metadata_size, info->metadata_size, NULL, NULL },
		{ "keyslots size", sealed && g->keyslots_size, g->keyslots_size, info->keyslots_size, NULL, NULL },
		{ "hash", noted, 0, 0, noted ? r->hash : "", info->hash },
		{ "iv_tweak", noted, r->iv_tweak, info->iv_tweak, NULL, NULL },
		{ "data size", noted, r->data_size, info->data_size, NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (differs(&fields[i]))
			return tell(r, &fields[i], e);
	return 0;
}

int volume_check_binding(const struct record *r, const struct luks_info *info, struct error *e)
{
	if (uuid_compare(r->luks_uuid, info->uuid) != 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s is not the image this record was made for (it has another LUKS UUID): where the "
				 "volume lies now, `kvmcrypt move` takes note of", r->path);
	if (r->digest_len != info->digest_len || memcmp(r->digest, info->digest, r->digest_len) != 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s is not the image this record was made for (its volume key differs): if it was "
				 "encrypted anew after the record was stored, a newer backup of the keystore has its "
				 "key", r->path);
	return check_fields(r, info, e);
}

/* ---- what a record of 030c29a does not know ---- */

void volume_learn(struct record *r)
{
	AUTOCONTAINER struct container *c = NULL;
	int slot;
	if (r->hash || !r->revealed || !r->passphrase || !r->volume_key)
		return;
	if (volume_prove(r, volume_header_path(r), &slot, NULL) == 0 &&
	    volume_open_header(r, CONTAINER_LOOK, &c, NULL) == 0)
		fill_segment(r, luks_info(container_luks(c)));
}
