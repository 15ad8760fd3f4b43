#include "lib/volume/header.h"
#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/image/container_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

const char *header_condition_name(enum header_condition c)
{
	static const char *const names[] = {
		[HEADER_GOOD] = "good",	      [HEADER_LOCKED] = "locked", [HEADER_FOREIGN] = "foreign",
		[HEADER_DAMAGED] = "damaged", [HEADER_GONE] = "gone",	  [HEADER_MISSING] = "missing",
		[HEADER_REENCRYPTING] = "re-encrypting",
	};
	return names[c];
}

/* That a keyslot cannot be tried here (its cipher, memory) says nothing of the header. */
static int condition_of(const struct record *r, struct container *c, enum header_condition *ret, struct error *why)
{
	int slot, result = 0;
	int binding = volume_check_binding(r, luks_info(container_luks(c)), why);
	*ret = HEADER_GOOD;
	if (binding < 0)
		*ret = binding == -EUCLEAN ? HEADER_DAMAGED : HEADER_FOREIGN;
	else if (r->revealed)
		result = volume_unlock_cheap(container_luks(c), r->passphrase, &slot, NULL, why);
	if (result < 0 && why->kind == ERROR_BAD_KEY)
		*ret = HEADER_LOCKED;
	else if (result < 0 && why->kind == ERROR_DAMAGED)
		*ret = HEADER_DAMAGED;
	else
		return result;
	return 0;
}

int header_look(const struct record *r, struct header_state *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct header_state s = { 0 };
	struct error why = { 0 };
	int result = container_open(volume_header_path(r), volume_image_format(r), CONTAINER_LOOK, &c, &why);
	if (result == 0) {
		s.have_info = true;
		s.info = *luks_info(container_luks(c));
		result = condition_of(r, c, &s.condition, &why);
		if (result < 0)
			return error_pass(e, &why);
	} else if (why.kind == ERROR_NOT_FOUND) {
		s.condition = HEADER_MISSING;
	} else if (result == -EMEDIUMTYPE) {
		s.condition = HEADER_GONE;
	} else if (result == -EPROTO) {
		s.condition = HEADER_FOREIGN;
	} else if (result == -EINPROGRESS) {
		s.condition = HEADER_REENCRYPTING;
	} else if (why.kind == ERROR_DAMAGED) {
		s.condition = HEADER_DAMAGED;
	} else {
		*e = why;
		return result;
	}
	if (s.condition != HEADER_GOOD)
		snprintf(s.problem, sizeof(s.problem), "%.*s", (int)sizeof(s.problem) - 1, why.message);
	*ret = s;
	return 0;
}

/*
 * A resize that was interrupted has the one size or the other, of a volume that is encrypted anew in place the header
 * is what counts; a detached header tells nothing of its data.
 */
static bool has_one_size(const struct record *r)
{
	return r->state != RECORD_RESIZING && r->work.mark != RECORD_RESIZING && r->state != RECORD_CONVERTING;
}

struct container_region header_region(const struct record *r)
{
	bool qcow2 = r->format == RECORD_FORMAT_QCOW2, one = has_one_size(r);
	return (struct container_region){
		.path = volume_header_path(r),
		.format = volume_image_format(r),
		.offset = r->geometry.header_offset,
		.length = r->geometry.header_length,
		.file_size = one && !qcow2 && !r->header_path ? r->geometry.data_offset + r->size : 0,
		.disk_size = one && qcow2 ? r->size : 0,
	};
}

int header_write(const struct record *r, struct luks *l, struct error *e)
{
	const struct luks_info *info = luks_info(l);
	const struct container_region region = header_region(r);
	return container_region_write(&region, luks_bytes(l),
				      info->version == 1 ? LUKS1_PHDR_PAGE : 2 * info->metadata_size, e);
}

int header_build(const struct record *r, const struct secret *volume_key, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	const char *base = strrchr(r->path, '/');
	if (r->integrity)
		return error_set(e, ERROR_USAGE, EOPNOTSUPP,
				 "%s has dm-integrity, whose header cannot be made without writing to its data",
				 r->path);
	if (r->iv_tweak || r->data_size)
		return error_set(e, ERROR_USAGE, EOPNOTSUPP,
				 "%s had an unusual LUKS2 segment (iv_tweak %llu, size %llu), which cannot be made "
				 "anew",
				 r->path, (unsigned long long)r->iv_tweak, (unsigned long long)r->data_size);
	const struct luks_params p = {
		.version = (int)r->luks_version,
		.cipher = r->cipher,
		.key_bits = r->key_bits,
		.sector_size = r->sector_size,
		.uuid = r->luks_uuid,
		.label = r->luks_version == 2 ? base + 1 : NULL,
		.detached = !r->geometry.data_offset,
		.volume_key = volume_key,
		.data_offset = r->geometry.data_offset,
		.metadata_size = r->geometry.metadata_size,
		.keyslots_size = r->geometry.keyslots_size,
	};
	int result = luks_format(&p, r->passphrase, LUKS_KDF_GENERATED, &l, NULL, e);
	if (result == 0 && luks_len(l) < r->geometry.header_length)
		result = error_set(e, ERROR_DAMAGED, EBADMSG, "the record of %s has no place for a header", r->path);
	if (result == 0)
		*ret = TAKE_PTR(l);
	return result;
}
