#include "lib/workflow/resize.h"
#include "lib/workflow/workflow.h"

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "lib/image/file/lock.h"
#include "lib/image/file/open.h"
#include "lib/image/node.h"
#include "lib/volume/internal.h"
#include "lib/volume/layers.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"
#include "lib/workflow/resize_integrity.h"

#include <errno.h>
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
	const struct process child = { .argv = argv, .secrets = secrets.secrets, .n_secrets = secrets.n_secrets,
				       .confine = PROCESS_IMAGES };
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
	int ret = volume_open_header(r, CONTAINER_CHANGE, &c, e);
	if (ret < 0)
		return ret;
	uint64_t size, offset = r->header_path ? 0 : luks_info(container_luks(c))->data_offset;
	struct stat st;
	AUTOCLOSE int data = -1;
	if (r->header_path && (ret = image_open(r->path, true, &data, &size, e)) < 0)
		return ret;
	int fd = r->header_path ? data : container_fd(c);
	if (fstat(fd, &st) == 0 && S_ISBLK(st.st_mode))
		return check_device(fd, r, offset + p->size, e);
	if (ftruncate(fd, (off_t)(offset + p->size)) < 0)
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

static int resize_live(const struct flow *f, uint64_t size, struct error *e)
{
	if (virDomainBlockResize(f->guest, f->target, size, VIR_DOMAIN_BLOCK_RESIZE_BYTES) < 0)
		return guest_error(e, "cannot resize disk %s of running domain %s", f->target, flow_guest_name(f));
	return 0;
}

struct resize_state {
	uint64_t now;
	struct volume_resize want;	/* in bytes, whatever it has */
	struct volume_mapping mapping;
};

static int check_size(const struct record *r, const struct volume_resize *p, uint64_t now, struct error *e)
{
	char a[32], b[32];
	unsigned sector = r->sector_size > 512 ? r->sector_size : 512;
	if (!p->size || p->size % sector)
		return error_set(e, ERROR_USAGE, EINVAL, "the size must be a multiple of %u bytes and not zero",
				 sector);
	if (p->size < now && !p->shrink && !r->integrity)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "%s has %s; making it %s cuts off what lies beyond: shrink its file system first, "
				 "then add --shrink",
				 r->path, text_size(now, a, sizeof(a)), text_size(p->size, b, sizeof(b)));
	return 0;
}

/* So much more counts from the size that it has now: under the lock from another's result. */
static int resolve(struct flow *f, struct error *e)
{
	struct resize_state *s = f->state;
	int ret = volume_actual_size(f->record, &s->now, e);
	if (ret < 0)
		return ret;
	s->want = *(const struct volume_resize *)f->params;
	if (s->want.more && s->want.size > UINT64_MAX - s->now)
		return error_set(e, ERROR_USAGE, EFBIG, "%s would be larger than a file can be", f->record->path);
	s->want.size += s->want.more ? s->now : 0;
	return 0;
}

static int check(struct flow *f, struct error *e)
{
	struct resize_state *s = f->state;
	const struct volume_resize *p = &s->want;
	struct volume_resized *done = f->result;
	const struct record *r = f->record;
	int ret = resolve(f, e);
	if (ret == 0)
		ret = check_size(r, p, s->now, e);
	if (ret == 0)
		ret = volume_mapping(r, &s->mapping, e);
	if (ret == 0 && r->integrity)
		ret = resize_integrity_check(r, p, s->now, &s->mapping, e);
	if (ret == 0)
		ret = flow_find_guest(f, e);
	if (ret < 0)
		return ret;
	done->old_size = s->now;
	done->size = p->size;
	snprintf(done->domain, sizeof(done->domain), "%s", flow_guest_name(f));
	f->unchanged = p->size == s->now && r->size == s->now &&
		       !(s->mapping.name[0] && s->mapping.status.size != p->size);
	if (!f->guest && image_is_in_use(r->path))
		return error_set(e, ERROR_BUSY, EBUSY, "%s is in use by another process", r->path);
	return 0;
}

static int act(struct flow *f, struct error *e)
{
	const struct resize_state *s = f->state;
	const struct volume_resize *p = &s->want;
	const struct record *r = f->record;
	if (s->mapping.name[0]) {
		int ret = resize_mapped(r, &s->mapping, p, s->now, e);
		/* A guest that has the block device learns of its size from QEMU. */
		return ret < 0 || !f->guest ? ret : resize_live(f, p->size, e);
	}
	if (r->integrity)
		return resize_integrity(f->env, r, p, e);
	if (f->guest)
		return resize_live(f, p->size, e);
	return r->format == RECORD_FORMAT_QCOW2 ? resize_qcow2(f->env, r, p, e) : resize_raw(r, p, e);
}

/* Whatever a tool said: what counts is the size that the image has now. */
static int commit(struct flow *f, struct error *e)
{
	const struct resize_state *s = f->state;
	uint64_t size;
	int ret = volume_actual_size(f->record, &size, e);
	if (ret == 0 && f->params && size != s->want.size)
		ret = error_set(e, ERROR_FAILED, EIO, "it has %llu bytes after the resize, not %llu",
				(unsigned long long)size, (unsigned long long)s->want.size);
	if (ret < 0)
		return ret;
	f->record->size = size;
	return 0;
}

/* Without its tags a new part of a volume with integrity is none. */
static int judge(struct flow *f, struct error *e)
{
	uint64_t size;
	int r = f->record->integrity ? resize_integrity_undo(f->record, e) : 0;
	if (r == 0)
		r = volume_actual_size(f->record, &size, e);
	if (r < 0)
		return r;
	flow_say(f, "the image has %llu bytes", (unsigned long long)size);
	return size == f->record->size ? FLOW_UNDO : FLOW_FINISH;
}

const struct workflow workflow_resize = {
	.name = "resize",
	.begun = RECORD_RESIZING,
	.flags = FLOW_HERE,
	.state_size = sizeof(struct resize_state),
	.kept = "keeps its size",
	.done = "has another size now",
	.check = check,
	.act = act,
	.commit = commit,
	.judge = judge,
};

int volume_resize(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		  const struct volume_resize *p, struct volume_resized *ret, struct error *e)
{
	struct volume_resized done = { 0 };
	bool unchanged = false;
	const struct flow_call call = {
		.env = env, .g = g, .volume = volume, .params = p, .result = &done, .dry_run = p->dry_run,
	};
	int r = workflow_run(&workflow_resize, &call, NULL, &unchanged, e);
	if (r < 0)
		return r;
	done.changed = !unchanged;
	*ret = done;
	return 0;
}
