#include "lib/volume/mapped.h"
#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/image/file/users.h"

#include <errno.h>
#include <stdio.h>

bool volume_is_mapped_for_guests(const struct record *r)
{
	return r->luks_version == 2 || r->header_path;
}

void volume_guest_mapping(const struct record *r, char *buf, size_t len)
{
	char uuid[37];
	uuid_unparse_lower(r->uuid, uuid);
	snprintf(buf, len, "kvmcrypt-%s", uuid);
}

void volume_mapping_in(const struct mapping_list *maps, const struct record *r, struct volume_mapping *ret)
{
	const struct mapping *m = mapping_find(maps, r->luks_uuid, false);
	struct volume_mapping v = { 0 };
	/* It may go away between two questions. */
	if (m && mapping_status(m, &v.status, NULL) == 0) {
		snprintf(v.name, sizeof(v.name), "%s", m->name);
		v.device = m->device;
		v.open_count = m->open_count;
		v.deferred = m->deferred;
	}
	*ret = v;
}

int volume_mapping(const struct record *r, struct volume_mapping *ret, struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	int result = r->format == RECORD_FORMAT_RAW ? mapping_list_read(&maps, e) : 0;
	if (result < 0)
		return result;
	volume_mapping_in(&maps, r, ret);
	if (ret->name[0])
		device_users_text(ret->device, ret->users, sizeof(ret->users));
	return 0;
}

int volume_check_unmapped(const struct record *r, struct error *e)
{
	struct volume_mapping v;
	int result = volume_mapping(r, &v, e);
	if (result < 0 || !v.name[0])
		return result;
	return error_set(e, ERROR_BUSY, EBUSY, "%s is open on this host as /dev/mapper/%s: `kvmcrypt close` it first",
			 r->path, v.name);
}

/* ---- debris ---- */

int volume_clear_debris(const uuid_t luks_uuid, bool *ret_removed, struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	bool removed = false;
	int result = mapping_list_read(&maps, e);
	const struct mapping *top = mapping_find(&maps, luks_uuid, false);
	const struct mapping *part = mapping_find(&maps, luks_uuid, true);
	if (result == 0 && top && !top->live && !top->open_count) {
		result = mapping_remove(top->name, e);
		removed = true;
		top = NULL;
	}
	/* The layer above it has it open, so without one it is nobody's. */
	if (result == 0 && part && !top) {
		result = mapping_remove(part->name, e);
		removed = true;
	}
	if (result == 0 && ret_removed)
		*ret_removed = removed;
	return result;
}

static int clear_one(const struct volume_env *env, const uuid_t luks_uuid, struct record **ret, struct error *e)
{
	AUTOCLOSE int lock = -1;
	AUTORECORD struct record *r = NULL;
	bool removed = false;
	struct error why = { 0 };
	int result = keystore_find_luks(env->ks, luks_uuid, &r, &why);
	if (result == 0)
		result = volume_lock(env->ks, r->uuid, false, &lock, &why);
	/* Another keystore's volume, or one that somebody works on: not ours to judge. */
	if (why.kind == ERROR_NOT_FOUND || why.kind == ERROR_BUSY)
		return 0;
	if (result < 0) {
		*e = why;
		return result;
	}
	result = volume_clear_debris(luks_uuid, &removed, e);
	if (result == 0 && removed)
		*ret = TAKE_PTR(r);
	return result;
}

int volume_clear_all_debris(const struct volume_env *env, int (*fn)(void *ctx, const struct record *r), void *ctx,
			    struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	int result = mapping_list_read(&maps, e);
	for (size_t i = 0; i < maps.n && result == 0; i++) {
		AUTORECORD struct record *r = NULL;
		if (maps.list[i].live && !maps.list[i].part)
			continue;
		result = clear_one(env, maps.list[i].luks_uuid, &r, e);
		if (result == 0 && r)
			result = fn(ctx, r);
	}
	return result;
}
