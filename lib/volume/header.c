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

uint64_t header_metadata_length(const struct luks_info *info)
{
	return info->version == 1 ? LUKS1_PHDR_PAGE : 2 * info->metadata_size;
}

int header_build(const struct record *r, const struct secret *volume_key, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	const char *base = strrchr(r->path, '/');
	if (r->integrity)
		return error_set(e, ERROR_USAGE, EOPNOTSUPP,
				 "%s has dm-integrity, whose header cannot be made without writing to its data", r->path);
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
	const unsigned char *bytes;
	size_t len;
	if (result == 0)
		result = luks_bytes(l, &bytes, &len, e);
	if (result == 0 && len < r->geometry.header_length)
		result = error_set(e, ERROR_DAMAGED, EBADMSG, "the record of %s has no place for a header", r->path);
	if (result == 0)
		*ret = TAKE_PTR(l);
	return result;
}

static struct container_region region_of(const struct record *r)
{
	return (struct container_region){
		.path = volume_header_path(r),
		.format = volume_image_format(r),
		.offset = r->geometry.header_offset,
		.length = r->geometry.header_length,
	};
}

/* What is overwritten may be all that a person's own passphrase still opens. */
static int keep_old(const struct container_region *region, const char *backup, struct error *e)
{
	AUTOFREE unsigned char *bytes = NULL;
	if (!backup)
		return 0;
	int r = container_region_read(region, &bytes, e);
	return r < 0 ? r : file_write_atomic(backup, bytes, region->length, 0600, false, e);
}

/* A detached header's file may be lost altogether. */
static int make_file(const struct container_region *region, struct error *e)
{
	AUTOCLOSE int fd = open(region->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot make %s", region->path);
	if (ftruncate(fd, (off_t)region->length) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", region->path);
	int r = file_sync(fd, region->path, e);
	return r < 0 ? r : file_sync_dir_of(region->path, e);
}

/* A header with one volume key makes what has the other unreadable, and which that is the old one knew. */
static int refuse_two_keys(const struct record *r, const struct header_state *found, struct error *e)
{
	bool ours = r->state == RECORD_CONVERTING || r->state == RECORD_PIVOTING;
	if (ours && r->beside)
		return error_set(e, ERROR_BUSY, EBUSY, "%s has a copy under a new volume key beside it: run `kvmcrypt recover`",
				 r->path);
	if (found->condition == HEADER_REENCRYPTING)
		return error_set(e, ERROR_REFUSED, EINPROGRESS,
				 "the header of %s says that a re-encryption is under way: it has to be finished %s", r->path,
				 ours ? "(`kvmcrypt recover`)" : "by the program that began it");
	if (ours)
		return error_set(e, ERROR_REFUSED, EINPROGRESS,
				 "%s was being re-encrypted in place, and its lost header alone knew which part has which volume key: restore that from a backup",
				 r->path);
	return 0;
}

static int refuse(const struct record *r, const struct header_state *found, const struct header_restore *p,
		  struct error *e)
{
	int result = refuse_two_keys(r, found, e);
	if (result < 0)
		return result;
	if (found->condition == HEADER_FOREIGN && !found->have_info && !p->foreign)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "the LUKS header of %s is whole, but not what we accept (%s); --overwrite-foreign destroys it",
				 volume_header_path(r), found->problem);
	if (found->condition == HEADER_FOREIGN && !p->foreign)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "%s holds a whole LUKS header of another volume or key; --overwrite-foreign destroys that one",
				 volume_header_path(r));
	if (found->condition == HEADER_MISSING && !r->header_path)
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "%s is not there: without its data there is nothing to restore",
				 r->path);
	if (!r->volume_key || !r->geometry.header_length)
		return error_set(e, ERROR_FAILED, ENODATA, "the keystore has no volume key of %s", r->path);
	return 0;
}

/* A whole header of the volume that only lacks our keyslot gets one: it keeps all others. */
static int add_our_keyslot(const struct volume_env *env, struct record *r, const struct header_restore *p,
			   struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	const struct container_region region = region_of(r);
	int slot, result = volume_open_header(r, p->dry_run ? CONTAINER_LOOK : CONTAINER_CHANGE, &c, e);
	if (result == 0)
		result = luks_add_keyslot(container_luks(c), -1, r->volume_key, r->passphrase, LUKS_KDF_GENERATED, &slot, e);
	if (result < 0 || p->dry_run)
		return result;
	result = keep_old(&region, p->backup, e);
	if (result == 0)
		result = keystore_put(env->ks, r, "header-restore", r->path, e);
	if (result == 0)
		result = container_write_back(c, e);
	return result < 0 ? result : volume_prove(r, volume_header_path(r), &slot, e);
}

/* What can be read of others' keyslots stays; ours is among them, or comes to them. */
static int keep_keyslots(const struct volume_env *env, const struct record *r, const struct header_state *found,
			 struct luks **l, struct error *e)
{
	AUTOFREE unsigned char *old = NULL;
	AUTOLUKS struct luks *ours = NULL;
	const struct container_region region = region_of(r);
	int kept, slot;
	/* Of the same volume; or of one whose digest is what is damaged. */
	if (found->condition != HEADER_DAMAGED &&
	    !(found->condition == HEADER_FOREIGN && found->have_info && !uuid_compare(found->info.uuid, r->luks_uuid)))
		return 0;
	int result = container_region_read(&region, &old, e);
	if (result == 0)
		result = luks1_keep(l, old, region.length, &kept, e);
	if (result < 0 || !kept)
		return result;
	struct error why = { 0 };
	if (volume_cheap_slot(*l, r->passphrase) >= 0)
		return 0;
	result = luks_add_keyslot(*l, -1, r->volume_key, r->passphrase, LUKS_KDF_GENERATED, &slot, &why);
	if (result == 0) {
		volume_note(env, "%d keyslot%s of the damaged header of %s kept", kept, kept == 1 ? " is" : "s are", r->path);
		return 0;
	}
	/* All in use: without ours the volume would be lost to the keystore. */
	result = header_build(r, r->volume_key, &ours, e);
	if (result < 0)
		return result;
	luks_free(*l);
	*l = TAKE_PTR(ours);
	volume_note(env, "the other keyslots of %s cannot be kept: %s", r->path, why.message);
	return 0;
}

/*
 * The record first: it has the digest of the header that is about to be there. Interrupted before
 * the header, the next restore builds another and starts again.
 */
static int restore(const struct volume_env *env, struct record *r, const struct header_state *found,
		   const struct header_restore *p, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	const unsigned char *bytes;
	size_t len;
	int slot;
	const struct container_region region = region_of(r);
	if (found->condition == HEADER_LOCKED)
		return add_our_keyslot(env, r, p, e);
	int result = header_build(r, r->volume_key, &l, e);
	if (result == 0 && p->dry_run)
		return 0;
	if (result == 0)
		result = keep_keyslots(env, r, found, &l, e);
	if (result == 0)
		result = luks_bytes(l, &bytes, &len, e);
	if (result == 0 && found->condition == HEADER_MISSING)
		result = make_file(&region, e);
	if (result == 0)
		result = keep_old(&region, p->backup, e);
	if (result < 0)
		return result;
	volume_fill_from_luks(r, luks_info(l), region.offset, region.length);
	r->recovery_slots = 0;
	if ((result = keystore_put(env->ks, r, "header-restore", r->path, e)) < 0 ||
	    (result = container_region_write(&region, bytes, header_metadata_length(luks_info(l)), e)) < 0)
		return result;
	return volume_prove(r, region.path, &slot, e);
}

int volume_header_restore(const struct volume_env *env, const uuid_t volume, const struct header_restore *p,
			  struct header_state *ret_found, bool *ret_changed, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTOCLOSE int lock = -1;
	struct header_state found;
	int result = volume_lock(env->ks, volume, true, &lock, e);
	if (result == 0)
		result = keystore_get(env->ks, volume, &r, e);
	if (result == 0)
		result = keystore_reveal(env->ks, &r, 1, "header-restore", NULL, e);
	if (result == 0)
		result = header_look(r, &found, e);
	if (result < 0)
		return result;
	*ret_found = found;
	*ret_changed = found.condition != HEADER_GOOD;
	if (!*ret_changed)
		return 0;
	result = refuse(r, &found, p, e);
	return result < 0 ? result : restore(env, r, &found, p, e);
}
