#include "lib/workflow/resize.h"

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "lib/image/file/lock.h"
#include "lib/image/node.h"
#include "lib/volume/internal.h"
#include "lib/volume/layers.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"
#include "lib/workflow/resize_integrity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * qemu-img knows what growing a qcow2 means for its tables, and with its backing file at hand for
 * the part of that which would come into view. It is given the whole tree and every key.
 */
static int resize_qcow2(const struct volume_env *env, const struct record *r, const struct volume_resize *p,
			struct error *e)
{
	CLEANUP(layers_clear) struct layers layers = { 0 };
	struct image_layer images[LAYERS_MAX];
	struct image_secret_args secrets;
	char size[32];
	AUTOFREE char *node = NULL;
	size_t a = 0;
	const char *argv[2 * IMAGE_SECRETS_MAX + 8] = { 0 };

	int ret = layers_find(env->ks, r, &layers, e);
	if (ret == 0)
		ret = keystore_reveal(env->ks, layers.records, layers.n_records, "resize", NULL, e);
	if (ret < 0)
		return ret;
	layers_images(&layers, images);
	ret = image_secret_args(images, layers.n, &secrets, e);
	if (ret < 0)
		return ret;
	struct json_object *tree = image_node(images, layers.n, NULL, true);
	int made = asprintf(&node, "json:%s", json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN));
	json_object_put(tree);
	if (made < 0) {
		node = NULL;
		return error_oom(e);
	}
	snprintf(size, sizeof(size), "%llu", (unsigned long long)p->size);
	argv[a++] = "qemu-img";
	argv[a++] = "resize";
	argv[a++] = "-q";
	if (p->shrink)
		argv[a++] = "--shrink";
	for (size_t i = 0; i < secrets.n_args; i++)
		argv[a++] = secrets.args[i];
	argv[a++] = node;
	argv[a++] = size;
	const struct process child = { .argv = argv, .secrets = secrets.secrets, .n_secrets = secrets.n_secrets };
	return process_run_checked(&child, NULL, e);
}

/* A device is resized by whoever made it; here it only has to be as large as asked. */
static int check_device(int fd, const struct record *r, uint64_t need, struct error *e)
{
	uint64_t have;
	char a[32], b[32];
	int ret = file_size(fd, r->path, &have, e);
	if (ret == 0 && have != need)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "device %s has %s, the volume and its header would take %s: resize the device first",
				 r->path, text_size(have, a, sizeof(a)), text_size(need, b, sizeof(b)));
	return ret;
}

/* A raw volume is as large as what lies behind its header. */
static int resize_raw(const struct record *r, const struct volume_resize *p, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int ret = container_open(volume_header_path(r), IMAGE_FORMAT_RAW, CONTAINER_CHANGE, &c, e);
	if (ret < 0)
		return ret;
	uint64_t offset = r->header_path ? 0 : luks_info(container_luks(c))->data_offset;
	struct stat st;
	AUTOCLOSE int fd = open(r->path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode))
		return check_device(fd, r, offset + p->size, e);
	if (fd < 0 || ftruncate(fd, (off_t)(offset + p->size)) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot set the size of %s", r->path);
	return file_sync(fd, r->path, e);
}

/*
 * An open mapping follows: after the file when it grows, before it when it shrinks, so that the
 * mapping never reaches beyond the data.
 */
static int resize_mapped(const struct record *r, const struct volume_mapping *m, const struct volume_resize *p,
			 uint64_t now, struct error *e)
{
	int ret = 0;
	if (p->size < now)
		ret = mapping_resize(m->name, r->volume_key, p->size, e);
	if (ret == 0)
		ret = resize_raw(r, p, e);
	if (ret == 0 && p->size >= now)
		ret = mapping_resize(m->name, r->volume_key, p->size, e);
	return ret;
}

static int resize_live(virDomainPtr d, const char *target, const struct volume_resize *p, struct error *e)
{
	if (virDomainBlockResize(d, target, p->size, VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0)
		return guest_error(e, "cannot resize disk %s of running domain %s", target, virDomainGetName(d));
	return 0;
}

static int check(const struct record *r, const struct volume_resize *p, uint64_t now, struct error *e)
{
	char a[32], b[32];
	unsigned sector = r->sector_size > 512 ? r->sector_size : 512;
	if (!p->size || p->size % sector)
		return error_set(e, ERROR_USAGE, EINVAL, "the size must be a multiple of %u bytes and not zero", sector);
	int ret = r->state == RECORD_RESIZING ? 0 : volume_check_ready(r, e);
	if (ret < 0)
		return ret;
	if (p->size < now && !p->shrink && !r->integrity)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "%s has %s; making it %s cuts off what lies beyond: shrink its file system first, then add --shrink",
				 r->path, text_size(now, a, sizeof(a)), text_size(p->size, b, sizeof(b)));
	return 0;
}

static int begin(const struct volume_env *env, struct record **fresh, const struct record *r, struct error *e)
{
	int ret = keystore_get(env->ks, r->uuid, fresh, e);
	if (ret == 0)
		ret = keystore_reveal(env->ks, fresh, 1, "resize", NULL, e);
	if (ret < 0)
		return ret;
	(*fresh)->state = RECORD_RESIZING;
	return keystore_put(env->ks, *fresh, "resize-begin", r->path, e);
}

int volume_resize(const struct volume_env *env, struct guest_connection *g, struct record *r,
		  const struct volume_resize *p, struct volume_resized *ret, struct error *e)
{
	AUTORECORD struct record *fresh = NULL;
	AUTODOMAIN virDomainPtr domain = NULL;
	AUTOCLOSE int lock = -1;
	char target[32];
	uint64_t now = 0, then = 0;
	struct volume_mapping mapping;

	*ret = (struct volume_resized){ 0 };
	int result = volume_actual_size(r, &now, e);
	if (result == 0)
		result = check(r, p, now, e);
	if (result == 0)
		result = volume_mapping(r, &mapping, e);
	if (result == 0 && r->integrity)
		result = resize_integrity_check(r, p, now, &mapping, e);
	if (result == 0)
		result = volume_find_guest(g, r, &domain, target, sizeof(target), e);
	if (result < 0)
		return result;
	ret->old_size = now;
	ret->changed = p->size != now || r->size != now || r->state != RECORD_READY;
	if (domain)
		snprintf(ret->domain, sizeof(ret->domain), "%s", virDomainGetName(domain));
	ret->changed = ret->changed || (mapping.name[0] && mapping.status.size != p->size);
	if (!domain && image_is_in_use(r->path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", r->path);
	if (p->dry_run || !ret->changed)
		return 0;
	if ((result = volume_lock(env->ks, r->uuid, true, &lock, e)) < 0 ||
	    (result = begin(env, &fresh, r, e)) < 0)
		return result;
	struct error failure = { 0 };
	if (ret->changed)
		result = mapping.name[0] ? resize_mapped(fresh, &mapping, p, now, &failure)
		       : r->integrity ? resize_integrity(env, fresh, p, &failure)
		       : domain ? resize_live(domain, target, p, &failure)
		       : r->format == RECORD_FORMAT_QCOW2 ? resize_qcow2(env, fresh, p, &failure)
							  : resize_raw(fresh, p, &failure);
	/* A guest that has the block device learns of its size from QEMU. */
	if (result == 0 && mapping.name[0] && domain)
		result = resize_live(domain, target, p, &failure);
	/* Without its tags the new part is none. If this fails too, the record stays as it is for recover. */
	if (result < 0 && r->integrity && resize_integrity_undo(fresh, NULL) < 0) {
		*e = failure;
		return result;
	}
	/* Whatever the tool said: what counts is the size that the image now has. */
	int looked = volume_actual_size(fresh, &then, result < 0 ? NULL : e);
	if (looked < 0) {
		if (result < 0)
			*e = failure;
		return result < 0 ? result : looked;
	}
	fresh->size = then;
	fresh->state = RECORD_READY;
	int put = keystore_put(env->ks, fresh, "resize", r->path, result < 0 ? NULL : e);
	if (result < 0) {
		*e = failure;
		return result;
	}
	if (put == 0 && then != p->size)
		return error_set(e, ERROR_FAILED, EIO, "%s has %llu bytes after the resize, not %llu", r->path,
				 (unsigned long long)then, (unsigned long long)p->size);
	return put;
}
