/*
 * Who else names the image: volumes above it, by the backing name in their header and by their record; domains, by
 * their configuration. And the image itself names its own backing file, perhaps from where it was.
 */
#include "lib/workflow/move/internal.h"

#include "base/file.h"
#include "base/list.h"
#include "lib/guest/relocate.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHAIN_LENGTH_MAX 64

/* ---- paths ---- */

/* QEMU's rule: a relative name counts from the directory of the file that has it. */
static int resolve(const char *file, const char *name, char **ret, struct error *e)
{
	int dir = name[0] == '/' ? 0 : (int)(strrchr(file, '/') - file + 1);
	if (asprintf(ret, "%.*s%s", dir, file, name) < 0) {
		*ret = NULL;
		return error_oom(e);
	}
	return 0;
}

static bool in_one_directory(const char *a, const char *b)
{
	size_t len = (size_t)(strrchr(a, '/') - a);
	return len == (size_t)(strrchr(b, '/') - b) && !strncmp(a, b, len);
}

/* ---- what it names itself ---- */

int move_backing(const struct record *r, const char *path, const struct qcow2_header *h, char **ret, struct error *e)
{
	AUTOFREE char *now = NULL;
	AUTOFREE char *was = NULL;
	struct stat st;
	*ret = NULL;
	if (!h->backing[0])
		return 0;
	int result = resolve(path, h->backing, &now, e);
	if (result == 0)
		result = resolve(r->path, r->backing ? r->backing : h->backing, &was, e);
	/* Where the record's is gone the header's counts, as base and overlay may have been moved together. */
	if (result < 0 || stat(was, &st) < 0 || file_is_same_at(now, was))
		return result;
	*ret = TAKE_PTR(was);
	return 0;
}

int move_backing_noted(struct keystore *ks, struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOFREE char *now = NULL;
	char *whole;
	struct stat st;
	if (r->format != RECORD_FORMAT_QCOW2)
		return 0;
	int result = container_open(r->path, IMAGE_FORMAT_QCOW2, CONTAINER_LOOK, &c, e);
	if (result < 0 || !container_info(c)->qcow2.backing[0])
		return result;
	result = resolve(r->path, container_info(c)->qcow2.backing, &now, e);
	/* A base that is not there, or not yet, stays what the record says. */
	if (result < 0 || stat(now, &st) < 0)
		return result;
	result = file_canonical(now, &whole, e);
	if (result < 0)
		return result;
	free(r->backing);
	r->backing = whole;
	return volume_note_parent(ks, r, container_info(c)->qcow2.backing_format, e);
}

/* ---- the volumes above ---- */

struct search {
	const struct record *r;
	uuid_t *ids;
	size_t n;
};

static bool names_us(const struct record *r, const char *path)
{
	if (!path)
		return false;
	for (size_t i = 0; i < r->work.n_files && r->work.number == RECORD_MOVING; i++)
		if (!strcmp(r->work.files[i].path, path))
			return true;
	return !strcmp(r->path, path);
}

static int collect(void *ctx, const struct record *other)
{
	struct search *s = ctx;
	bool child = !uuid_is_null(other->parent) && uuid_compare(other->parent, s->r->uuid) == 0;
	if (!uuid_compare(other->uuid, s->r->uuid) || (!child && !names_us(s->r, other->backing)))
		return 0;
	if (!list_grow(s->ids, s->n))
		return -ENOMEM;
	uuid_copy(s->ids[s->n++], other->uuid);
	return 0;
}

int move_others(struct flow *f, uuid_t **ret, size_t *ret_n, struct error *e)
{
	struct search s = { .r = f->record };
	int r = keystore_each(f->env->ks, collect, &s, e);
	if (r < 0) {
		free(s.ids);
		return r == -ENOMEM ? error_oom(e) : r;
	}
	*ret = s.ids;
	*ret_n = s.n;
	return 0;
}

/* The name that an overlay's header is to have; *ret NULL: it is right, or it names an image that is not ours. */
static int overlay_name(const struct record *overlay, const char *backing, const char *to, char **ret, struct error *e)
{
	AUTOFREE char *now = NULL;
	struct stat st;
	*ret = NULL;
	int r = resolve(overlay->path, backing, &now, e);
	if (r < 0 || !strcmp(now, to))
		return r;
	if (stat(now, &st) == 0 && !file_is_same_at(now, to) &&
	    strcmp(now, overlay->backing ? overlay->backing : "") != 0)
		return 0;
	/* A relative name stays one where it can. */
	*ret = strdup(backing[0] != '/' && in_one_directory(overlay->path, to) ? strrchr(to, '/') + 1 : to);
	return *ret ? 0 : error_oom(e);
}

/* *ret_stale: its header was, or with dry_run is to be, changed. */
static int set_overlay(const struct record *overlay, const char *to, bool dry_run, bool *ret_stale, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOFREE char *name = NULL;
	struct error why = { 0 };
	int r = container_open(overlay->path, volume_image_format(overlay), CONTAINER_CHANGE, &c, &why);
	/* It was moved as well, and is told when note is taken of that. */
	if (r < 0 && why.kind == ERROR_NOT_FOUND)
		return 0;
	if (r < 0)
		return error_pass(e, &why);
	r = volume_check_binding(overlay, luks_info(container_luks(c)), e);
	if (r == 0 && container_info(c)->qcow2.backing[0])
		r = overlay_name(overlay, container_info(c)->qcow2.backing, to, &name, e);
	if (r < 0 || !name)
		return r;
	*ret_stale = true;
	return qcow2_set_backing(container_fd(c), overlay->path, name, dry_run, e);
}

static int set_overlays(struct flow *f, const char *to, bool dry_run, size_t *ret_stale, struct error *e)
{
	int r = 0;
	for (size_t i = 0; i < f->n_others && r == 0; i++) {
		const struct record *overlay = f->others[i].hold.record;
		bool stale = false;
		if (overlay->format != RECORD_FORMAT_QCOW2)
			continue;
		r = set_overlay(overlay, to, dry_run, &stale, e);
		if (r < 0)
			return error_prefix(e, "%s is its overlay", overlay->path);
		*ret_stale += stale;
	}
	return r;
}

/* ---- the domains ---- */

/* A volume above ours is told of the new name; somebody else's image is not ours to change. */
static int check_above(void *ctx, const char *domain, const char *top, struct error *e)
{
	const struct flow *f = ctx;
	AUTORECORD struct record *r = NULL;
	int result = volume_find(f->env->ks, top, &r, NULL);
	for (int i = 0; result == 0 && i < CHAIN_LENGTH_MAX && r->backing; i++) {
		if (names_us(f->record, r->backing))
			return 0;
		AUTORECORD struct record *below = NULL;
		result = keystore_find_path(f->env->ks, r->backing, &below, NULL);
		record_free(r);
		r = TAKE_PTR(below);
		if (!r)
			break;
	}
	return error_set(e, ERROR_REFUSED, EPERM,
			 "domain %s has %s below %s, which is no volume of this keystore and would go on naming the "
			 "old place",
			 domain, f->record->path, top);
}

static int relocate(struct flow *f, const char *to, bool dry_run, size_t *ret, struct error *e)
{
	const struct move_state *s = f->state;
	const struct move_piece *p = move_piece_of(s, false);
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	int r = volume_image(f->g, f->record, &image, e);
	if (r == 0 && p)
		r = guest_image_add(&image, strcmp(f->record->path, p->from) ? p->from : p->to, false, e);
	const struct guest_relocate job = {
		.image = &image,
		.to = to,
		.block = file_is_block_device(to),
		.dry_run = dry_run,
		.above = dry_run ? check_above : NULL,
		.ctx = f,
	};
	return r < 0 ? r : guest_relocate(&job, ret, e);
}

/* ---- all of them ---- */

/* A saved state starts, and a snapshot is gone back to, with the disks that it names. */
static int check_kept(struct flow *f, struct error *e)
{
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	struct guest_user user = { 0 };
	char who[512];
	int r = volume_image(f->g, f->record, &image, e);
	if (r == 0)
		r = guest_user_any(&image, NULL, GUEST_SAVED | GUEST_SNAPSHOT, &user, e);
	if (r < 0 || !user.place)
		return r;
	guest_user_text(&user, who, sizeof(who));
	if (user.place == GUEST_SAVED)
		return error_set(e, ERROR_REFUSED, EBUSY,
				 "%s names %s: start it, or `virsh managedsave-remove %s`, first", who, f->record->path,
				 user.domain);
	return error_set(e, ERROR_REFUSED, EBUSY, "%s names %s: `virsh snapshot-delete --metadata %s %s` first", who,
			 f->record->path, user.domain, user.snapshot);
}

int move_names_check(struct flow *f, bool *ret_stale, struct error *e)
{
	const struct move_state *s = f->state;
	const struct move_piece *p = move_piece_of(s, false);
	const char *to = p ? p->to : f->record->path;
	size_t overlays = 0, configurations = 0;
	int r = f->g && p ? check_kept(f, e) : 0;
	if (r == 0 && f->g)
		r = relocate(f, to, true, &configurations, e);
	if (r == 0)
		r = set_overlays(f, to, true, &overlays, e);
	if (r == 0)
		*ret_stale = configurations || overlays;
	return r;
}

int move_names(struct flow *f, struct error *e)
{
	struct volume_moved *done = f->result;
	size_t overlays = 0, configurations = 0;
	int r = set_overlays(f, f->record->path, false, &overlays, e);
	if (r == 0 && f->g)
		r = relocate(f, f->record->path, false, &configurations, e);
	if (r == 0 && done) {
		done->overlays = overlays;
		done->configurations = configurations;
	}
	return r;
}
