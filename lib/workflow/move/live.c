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
#include "lib/workflow/live_copy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* record.work.mark: from then on the new image may be the newer one. */
#define PIVOTING 1

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
	int slot, r = container_open(p->from, volume_image_format(f->record), CONTAINER_LOOK, &old, e);
	if (r == 0)
		r = live_copy_check(old, p->from, e);
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

static void pivoting(struct record *r)
{
	r->work.mark = PIVOTING;
}

int move_live(struct flow *f, struct move_piece *p, struct error *e)
{
	const struct live_copy copy = { p->to, "copying", pivoting, "move-pivot" };
	int r = make_destination(f, p, e);
	/* After a restart of its daemon libvirt may not have it any more. */
	if (r == 0)
		r = guest_secret_register(f->g, f->record->uuid, p->to, f->record->passphrase, NULL, NULL, e);
	return r < 0 ? r : live_copy_run(f, &copy, e);
}

/* ---- after an interruption ---- */

/* The one that it was begun with; f->guest NULL: it is gone. */
static int find_domain(struct flow *f, struct error *e)
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
	const char *name = "";
	for (size_t i = 0; i < r->n_domains; i++)
		if (!uuid_compare(r->domains[i].uuid, uuid))
			name = r->domains[i].name;
	return guest_find_recorded(f->g, uuid, name, &f->guest, e) < 0 ? -EIO : 0;
}

static int find_target(struct flow *f, const struct move_piece *p, struct error *e)
{
	struct guest_user user = { 0 };
	AUTOGUESTIMAGE struct guest_image image;
	guest_image_begin(&image, f->g, f->record->uuid);
	int r = guest_image_add(&image, p->from, false, e);
	if (r == 0)
		r = guest_user_of(f->guest, &image, GUEST_LIVE, &user, e);
	if (r == 0)
		snprintf(f->target, sizeof(f->target), "%s", user.use.target);
	return r;
}

int move_live_judge(struct flow *f, bool *ret_pivoted, struct error *e)
{
	struct move_state *s = f->state;
	const struct move_piece *p = move_piece_of(s, false);
	bool copying = false;
	int r = find_domain(f, e);
	*ret_pivoted = false;
	if (r < 0)
		return r;
	if (!f->guest && f->record->work.mark != PIVOTING)
		return 0;
	if (!f->guest)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "no domain tells whether %s or %s is the newer image: look at both, remove the other",
				 p->from, p->to);
	r = live_copy_look(f, p->to, ret_pivoted, &copying, e);
	if (r < 0 || *ret_pivoted || !copying)
		return r;
	r = find_target(f, p, e);
	if (r == 0 && f->target[0])
		guest_copy_abort(f->guest, f->target);
	return r;
}
