#include "lib/serve/open.h"
#include "lib/volume/internal.h"
#include "lib/volume/mapped.h"

#include "base/file.h"
#include "lib/image/file/lock.h"
#include "lib/image/mapping/stack.h"
#include "lib/image/file/users.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the name ---- */

/* "/srv/vm/db.raw" is db, "/dev/vg/db" is db_crypt, as Debian's installer names it. */
static void default_name(const struct record *r, char *buf, size_t len)
{
	const char *base = strrchr(r->path, '/') ? strrchr(r->path, '/') + 1 : r->path;
	const char *dot = strrchr(base, '.');
	bool device = file_is_block_device(r->path);
	size_t n = !device && dot && dot > base ? (size_t)(dot - base) : strlen(base);
	snprintf(buf, len, "%.*s%s", (int)(n < len - 8 ? n : len - 8), base, device ? "_crypt" : "");
	for (char *c = buf; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_.+-", *c))
			*c = '_';
}

static int choose_name(const struct record *r, const char *name, char *buf, size_t len, struct error *e)
{
	if (!name) {
		default_name(r, buf, len);
		return 0;
	}
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("_.+-", *c))
			return error_set(e, ERROR_USAGE, EINVAL,
					 "'%s' is no name for a mapping: letters, digits and _ . + - only", name);
	/* "_dif" is the layer of dm-integrity below it. */
	if (!*name || strlen(name) + 5 > len || !strcmp(name, "control") || name[0] == '.')
		return error_set(e, ERROR_USAGE, EINVAL, "'%s' is no name for a mapping", name);
	snprintf(buf, len, "%s", name);
	return 0;
}

/* ---- open ---- */

static int check_can_map(const struct record *r, const struct volume_open *p, struct error *e)
{
	if (r->format != RECORD_FORMAT_RAW)
		return error_set(e, ERROR_USAGE, EMEDIUMTYPE,
				 "%s is %s: only a raw volume can be mapped by the kernel", r->path,
				 record_format_name(r->format));
	int ret = volume_check_ready(r, e);
	if (ret < 0)
		return ret;
	if (p->persistent && r->luks_version != 2)
		return error_set(e, ERROR_USAGE, EINVAL, "--persistent: %s is LUKS1, whose header keeps no flags",
				 r->path);
	if ((p->flags & MAPPING_DISCARD) && r->integrity)
		return error_set(e, ERROR_USAGE, EINVAL, "--discard: a volume with integrity takes no discards");
	return 0;
}

/* 1: it is mapped as asked; 0: it is not mapped. */
static int check_mapped(const struct mapping_list *maps, const struct record *r, const char *name,
			const struct volume_open *p, struct error *e)
{
	const struct mapping *m = mapping_find(maps, r->luks_uuid, false);
	if (!m && mapping_name_taken(name))
		return error_set(e, ERROR_EXISTS, EEXIST, "/dev/mapper/%s is another device: give a NAME that is free",
				 name);
	if (!m)
		return 0;
	/* Without a NAME any mapping will do: the person asks for the volume to be open. */
	if (p->name && strcmp(m->name, name) != 0)
		return error_set(e, ERROR_BUSY, EBUSY, "%s is open as /dev/mapper/%s: close it first", r->path,
				 m->name);
	if (m->readonly != !!(p->flags & MAPPING_READONLY))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is open %s as /dev/mapper/%s: close it first", r->path,
				 m->readonly ? "read-only" : "read-write", m->name);
	return 1;
}

/* The checked header under QEMU's locks: no guest starts on the file while it is being mapped. */
static int map(const struct record *r, const struct volume_open *p, const char *name, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	bool write = p->persistent || (!(p->flags & MAPPING_READONLY) && !r->header_path);
	int ret = container_open(volume_header_path(r), IMAGE_FORMAT_RAW, write ? CONTAINER_CHANGE : CONTAINER_LOOK, &c,
				 e);
	if (ret == 0)
		ret = volume_check_binding(r, luks_info(container_luks(c)), e);
	if (ret == 0 && p->persistent &&
	    (ret = mapping_store_flags(container_luks(c), p->flags, e)) == 0)
		ret = container_write_back(c, e);
	if (ret < 0)
		return error_prefix(e, "%s", r->path);
	/* The record's key is checked against the header's digest, so no keyslot has to be tried. */
	return mapping_open(container_luks(c), r->path, name, r->volume_key, p->flags, e);
}

int volume_open_held(const struct volume_env *env, struct volume_hold *h, const struct volume_open *p,
		     struct volume_opened *ret, struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	struct volume_opened o = { 0 };
	const struct record *r = h->record;
	int result = check_can_map(r, p, e);
	if (result == 0)
		result = choose_name(r, p->name, o.name, sizeof(o.name), e);
	/* The lock is ours, so what is half made was left by a command that died. */
	if (result == 0 && !p->dry_run)
		result = volume_clear_debris(r->luks_uuid, NULL, e);
	if (result == 0)
		result = mapping_list_read(&maps, e);
	if (result == 0)
		result = check_mapped(&maps, r, o.name, p, e);
	if (result < 0)
		return result;
	o.changed = result == 0;
	if (!o.changed)
		snprintf(o.name, sizeof(o.name), "%s", mapping_find(&maps, r->luks_uuid, false)->name);
	else if (image_is_in_use(r->path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by a guest or another process", r->path);
	if (o.changed && !p->dry_run) {
		result = keystore_reveal(env->ks, &h->record, 1, "open", o.name, e);
		if (result == 0)
			result = map(h->record, p, o.name, e);
		if (result < 0)
			return result;
	}
	*ret = o;
	return 0;
}

int volume_open(const struct volume_env *env, const struct record *r, const struct volume_open *p,
		struct volume_opened *ret, struct error *e)
{
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	char name[MAPPING_NAME_LEN];
	int result = check_can_map(r, p, e);
	if (result == 0)
		result = choose_name(r, p->name, name, sizeof(name), e);
	if (result == 0)
		result = mapping_available(e);
	if (result == 0)
		result = volume_hold(env, r->uuid, NULL, 0, &h, e);
	return result < 0 ? result : volume_open_held(env, &h, p, ret, e);
}

/* ---- close ---- */

static int still_in_use(const struct mapping *m, const struct record *r, struct error *e)
{
	char users[512];
	device_users_text(m->device, users, sizeof(users));
	return error_set(e, ERROR_BUSY, EBUSY, "%s (/dev/mapper/%s) is in use: %s; --deferred closes it afterwards",
			 r->path, m->name, *users ? users : "by a process that cannot be seen from here");
}

int volume_close_held(const struct volume_hold *h, bool deferred, bool dry_run, struct volume_opened *ret,
		      struct error *e)
{
	AUTOMAPPINGS struct mapping_list maps = { 0 };
	struct volume_opened o = { 0 };
	const struct record *r = h->record;
	int result = dry_run ? 0 : volume_clear_debris(r->luks_uuid, NULL, e);
	if (result == 0)
		result = mapping_list_read(&maps, e);
	if (result < 0)
		return result;
	const struct mapping *m = mapping_find(&maps, r->luks_uuid, false);
	if (m) {
		snprintf(o.name, sizeof(o.name), "%s", m->name);
		o.changed = true;
		o.deferred = m->open_count > 0;
		if (o.deferred && !deferred)
			return still_in_use(m, r, e);
		/* An interrupted re-encryption: libcryptsetup would wait for the part that is held back. */
		bool stacked = mapping_is_stacked(m->name);
		result = dry_run ? 0 : stacked ? mapping_remove_stack(m->name, e) : mapping_close(m->name, deferred, e);
		if (result == -EBUSY)
			return still_in_use(m, r, e);
	}
	if (result == 0)
		*ret = o;
	return result;
}

int volume_close(const struct volume_env *env, const struct record *r, bool deferred, bool dry_run,
		 struct volume_opened *ret, struct error *e)
{
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	int result = volume_hold(env, r->uuid, NULL, HOLD_UNFINISHED, &h, e);
	return result < 0 ? result : volume_close_held(&h, deferred, dry_run, ret, e);
}
