#include "lib/image/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* QEMU's rule (block.c, path_combine()): the directory part of the name the overlay was opened by. */
static int resolve(const char *overlay, const char *name, char **ret, struct error *e)
{
	const char *slash = strrchr(overlay, '/');
	int dir = name[0] == '/' || !slash ? 0 : (int)(slash - overlay + 1);
	char *path;
	if (asprintf(&path, "%.*s%s", dir, overlay, name) < 0)
		return error_oom(e);
	*ret = path;
	return 0;
}

static int check_loop(const char *path, struct stat seen[], size_t n, struct error *e)
{
	if (stat(path, &seen[n]) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot stat %s", path);
	for (size_t i = 0; i < n; i++)
		if (seen[i].st_dev == seen[n].st_dev && seen[i].st_ino == seen[n].st_ino)
			return error_set(e, ERROR_DAMAGED, ELOOP,
					 "%s: the backing chain comes back to itself", path);
	return 0;
}

/* "raw" for a first image given as raw still may be LUKS: there RAW means the container. */
static int look_first(const char *path, enum image_format format, struct image_look *look,
		      struct error *e)
{
	int r = image_look_as(path, format == IMAGE_FORMAT_QCOW2 ? "qcow2" : NULL, look, e);
	if (r == 0 && format == IMAGE_FORMAT_RAW && look->format != IMAGE_FORMAT_RAW)
		return error_set(e, ERROR_USAGE, EMEDIUMTYPE, "%s is a qcow2 image, not raw", path);
	return r;
}

static void fill(struct chain_element *el, const struct image_look *look)
{
	el->format = look->format;
	el->encrypted = look->encrypted;
	el->luks_version = look->luks_version;
	el->not_for_qemu = look->not_for_qemu;
	uuid_copy(el->luks_uuid, look->luks_uuid);
	el->size = look->size;
}

/* Looks at the file below `look` (of c's last element) and makes it the last element. */
static int step_down(struct chain *c, struct stat seen[], struct image_look *look, struct error *e)
{
	const char *overlay = c->elements[c->n - 1].path;
	char declared[sizeof(look->backing_format)];
	AUTOFREE char *path = NULL;
	int r;
	if (c->n == CHAIN_MAX)
		return error_set(e, ERROR_DAMAGED, ELOOP, "%s: more than %d images in its backing chain",
				 c->elements[0].path, CHAIN_MAX);
	if (!look->backing_format[0])
		return error_set(e, ERROR_REFUSED, EPERM,
				 "%s does not say the format of its backing file "
				 "(qemu-img rebase -u -F FORMAT -b %.300s sets it)", overlay, look->backing);
	memcpy(declared, look->backing_format, sizeof(declared));
	if ((r = resolve(overlay, look->backing, &path, e)) < 0)
		return r;
	if ((r = check_loop(path, seen, c->n, e)) < 0 ||
	    (r = image_look_as(path, declared, look, e)) < 0)
		return error_prefix(e, "backing file of %s", overlay);
	fill(&c->elements[c->n], look);
	c->elements[c->n++].path = TAKE_PTR(path);
	return 0;
}

int chain_walk(const char *path, enum image_format format, struct chain **ret, struct error *e)
{
	struct stat seen[CHAIN_MAX];
	struct image_look look;
	AUTOCHAIN struct chain *c = calloc(1, sizeof(*c) + CHAIN_MAX * sizeof(c->elements[0]));
	int r;
	if (!c)
		return error_oom(e);
	if ((r = check_loop(path, seen, 0, e)) < 0 || (r = look_first(path, format, &look, e)) < 0)
		return r;
	fill(&c->elements[0], &look);
	c->n = 1;
	if (!(c->elements[0].path = strdup(path)))
		return error_oom(e);
	while (look.backing[0])
		if ((r = step_down(c, seen, &look, e)) < 0)
			return r;
	*ret = TAKE_PTR(c);
	return 0;
}

void chain_free(struct chain *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		free(c->elements[i].path);
	free(c);
}
