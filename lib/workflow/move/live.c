/*
 * Under a running guest: its QEMU copies the disk onto an image with the old one's LUKS header, bytes and all, and goes
 * over to that. libvirt then names the new place by itself, in the guest and in its configuration.
 */
#include "lib/workflow/move/internal.h"

#include "base/file.h"
#include "lib/guest/blockcopy.h"
#include "lib/guest/secret.h"
#include "lib/guest/users.h"
#include "lib/image/container_like.h"
#include "lib/image/file/copy.h"
#include "lib/volume/layers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* record.work.mark: from then on the new image may be the newer one. */
#define PIVOTING 1

static int open_now(const struct record *r, const char *path, struct container **ret, struct error *e)
{
	int result = container_open(path, volume_image_format(r), CONTAINER_LOOK, ret, e);
	if (result == 0 && container_info(*ret)->qcow2.n_snapshots)
		result = error_set(e, ERROR_FAILED, EOPNOTSUPP,
				   "%s has internal snapshots, which a copy under a running guest would lose: stop the "
				   "guest first",
				   path);
	return result;
}

/* The keys stay: the header is copied as it is. Nobody changes it while we have the volume's lock. */
static int write_header(const struct container *old, const struct move_piece *p, int fd, uint64_t offset,
			struct error *e)
{
	const struct container_info *info = container_info(old);
	AUTOFREE unsigned char *bytes = malloc((size_t)info->header_length);
	if (!bytes)
		return error_oom(e);
	int r = file_pread(container_fd(old), bytes, (size_t)info->header_length, info->header_offset, p->from, e);
	return r < 0 ? r : file_pwrite(fd, bytes, (size_t)info->header_length, offset, p->copy, e);
}

static int make_destination(struct flow *f, struct move_piece *p, struct error *e)
{
	AUTOCONTAINER struct container *old = NULL;
	AUTOCLOSE int fd = -1;
	AUTOFREE char *backing = NULL;
	uint64_t offset;
	int slot, r = open_now(f->record, p->from, &old, e);
	if (r == 0)
		r = move_make_file(f, p, &fd, e);
	const struct image_copy c = {
		.from = old ? container_fd(old) : -1, .from_path = p->from, .to = fd, .to_path = p->copy,
	};
	if (r == 0)
		r = image_copy_attributes(&c, e);
	if (r == 0)
		r = move_backing(f->record, p->to, &container_info(old)->qcow2, &backing, e);
	if (r == 0)
		r = container_like(old, backing, (size_t)container_info(old)->header_length, fd, NULL, &offset, e);
	if (r == 0)
		r = write_header(old, p, fd, offset, e);
	if (r == 0)
		r = volume_prove(f->record, p->copy, &slot, e);
	return r < 0 ? r : move_name_copy(p, fd, e);
}

static int start(struct flow *f, const struct move_piece *p, struct error *e)
{
	const struct move_state *s = f->state;
	CLEANUP(layers_clear) struct layers layers = { 0 };
	int r = layers_find(f->env->ks, f->record, &layers, e);
	if (r < 0)
		return r;
	layers.guest[0].path = p->to;
	const struct guest_disk disk = {
		.layers = layers.guest, .n_layers = layers.n, .target = s->target, .bus = "virtio",
	};
	return guest_copy_start(s->domain, &disk, e);
}

int move_live(struct flow *f, struct move_piece *p, struct error *e)
{
	const struct move_state *s = f->state;
	int r = make_destination(f, p, e);
	/* After a restart of its daemon libvirt may not have it any more. */
	if (r == 0)
		r = guest_secret_register(f->g, f->record->uuid, p->to, f->record->passphrase, NULL, NULL, e);
	if (r == 0)
		r = start(f, p, e);
	if (r < 0)
		return r;
	r = guest_copy_wait(s->domain, s->target, "copying", f->env->progress, e);
	if (r == 0) {
		f->record->work.mark = PIVOTING;
		r = flow_store(f, "move-pivot", e);
	}
	if (r < 0) {
		guest_copy_abort(s->domain, s->target);
		return r;
	}
	return guest_copy_pivot(s->domain, s->target, e);
}

/* ---- after an interruption ---- */

/* The one that it was begun with; *ret NULL: it is gone. */
static int find_domain(struct flow *f, virDomainPtr *ret, struct error *e)
{
	const struct record *r = f->record;
	char text[37] = "";
	uuid_t uuid;
	if (!r->work.params || sscanf(r->work.params, "\"%36[0-9a-f-]\"", text) != 1 || uuid_parse(text, uuid) < 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: the record does not say which guest is moved",
				 r->path);
	if (!f->g)
		return error_set(e, ERROR_LIBVIRT, ENOTCONN,
				 "a move of %s under a running guest was interrupted, and only libvirt can tell which "
				 "image is in use",
				 r->path);
	for (size_t i = 0; i < r->n_domains; i++)
		if (!uuid_compare(r->domains[i].uuid, uuid))
			return guest_find_recorded(f->g, uuid, r->domains[i].name, ret, e) < 0 ? -EIO : 0;
	return guest_find_recorded(f->g, uuid, "", ret, e) < 0 ? -EIO : 0;
}

static int find_target(struct flow *f, const struct move_piece *p, struct error *e)
{
	struct move_state *s = f->state;
	struct guest_user user = { 0 };
	AUTOGUESTIMAGE struct guest_image image;
	guest_image_begin(&image, f->g, f->record->uuid);
	int r = guest_image_add(&image, p->from, false, e);
	if (r == 0)
		r = guest_user_of(s->domain, &image, GUEST_LIVE, &user, e);
	if (r == 0)
		snprintf(s->target, sizeof(s->target), "%s", user.use.target);
	return r;
}

int move_live_judge(struct flow *f, bool *ret_pivoted, struct error *e)
{
	struct move_state *s = f->state;
	const struct move_piece *p = move_piece_of(s, false);
	struct guest_domain_xml xml = { 0 };
	int r = find_domain(f, &s->domain, e);
	*ret_pivoted = false;
	if (r < 0)
		return r;
	if (!s->domain && f->record->work.mark != PIVOTING)
		return 0;
	if (!s->domain)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "no domain tells whether %s or %s is the newer image: look at both, remove the other",
				 p->from, p->to);
	r = guest_domain_xml(s->domain, &xml, e);
	if (r < 0)
		return r;
	*ret_pivoted = guest_disk_mentions(xml.live, p->to, false) || guest_disk_mentions(xml.config, p->to, false);
	bool copying = guest_disk_mentions(xml.live, p->to, true);
	guest_domain_xml_clear(&xml);
	if (*ret_pivoted || !copying)
		return 0;
	r = find_target(f, p, e);
	if (r == 0 && s->target[0])
		guest_copy_abort(s->domain, s->target);
	return r;
}
