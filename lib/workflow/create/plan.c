#include "lib/image/chain.h"
#include "lib/workflow/create/plan.h"
#include "lib/volume/internal.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_CLUSTER_SIZE 65536

void create_plan_clear(struct create_plan *plan)
{
	free(plan->path);
	free(plan->backing);
	free(plan->header);
	*plan = (struct create_plan){ 0 };
}

static bool has_suffix(const char *path, const char *suffix)
{
	size_t len = strlen(path), n = strlen(suffix);
	return len > n && !strcasecmp(path + len - n, suffix);
}

static enum image_format format_by_suffix(const char *path)
{
	if (has_suffix(path, ".qcow2"))
		return IMAGE_FORMAT_QCOW2;
	if (has_suffix(path, ".raw") || has_suffix(path, ".img") || has_suffix(path, ".luks"))
		return IMAGE_FORMAT_RAW;
	return IMAGE_FORMAT_AUTO;
}

/* What a guest will have to open, all the way down: each file there, of a format that is said. */
static int check_chain(const struct create_plan *plan, struct error *e)
{
	AUTOCHAIN struct chain *chain = NULL;
	int r = chain_walk(plan->backing, IMAGE_FORMAT_QCOW2, &chain, e);
	if (r == 0 && chain->n == CHAIN_MAX)
		r = error_set(e, ERROR_REFUSED, ELOOP, "%s has %d images in its backing chain already", plan->backing,
			      CHAIN_MAX);
	return r < 0 ? error_prefix(e, "backing file") : 0;
}

/*
 * A plain raw backing file that a guest has written could look like qcow2 and name any host file
 * as its own backing. So "raw" or "qcow2" comes from a person or a suffix, and must fit the magic.
 */
static int plan_backing(struct create_plan *plan, struct error *e)
{
	struct image_look look;
	enum image_format want = plan->p.backing_format;
	int r = file_canonical(plan->p.backing, &plan->backing, e);
	if (r == 0)
		r = image_look(plan->backing, &look, e);
	if (r < 0)
		return error_prefix(e, "backing file");
	if (plan->p.format != IMAGE_FORMAT_QCOW2)
		return error_set(e, ERROR_USAGE, EINVAL, "--backing needs --format qcow2: raw has no backing files");
	if (!want && look.encrypted)
		want = look.format;
	if (!want)
		want = format_by_suffix(plan->backing);
	if (!want)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "backing file %s: its suffix does not tell its format, add --backing-format",
				 plan->backing);
	if (want != look.format)
		return error_set(e, ERROR_REFUSED, EINVAL,
				 "backing file %s is %s by its contents, not %s: if that is right, say "
				 "--backing-format %s",
				 plan->backing, image_format_name(look.format), image_format_name(want),
				 image_format_name(look.format));
	if (look.encrypted && look.luks_version == 2)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "backing file %s is LUKS2, which QEMU does not open", plan->backing);
	if (look.format == IMAGE_FORMAT_QCOW2 && (r = check_chain(plan, e)) < 0)
		return r;
	/* As QEMU does: a last sector that is cut off reads as if it went on with zeros. */
	if (!plan->p.size)
		plan->p.size = (look.size + 511) / 512 * 512;
	plan->backing_format = look.format == IMAGE_FORMAT_QCOW2 ? "qcow2" : look.encrypted ? "luks" : "raw";
	return 0;
}

int create_plan_make(const struct volume_create *p, struct create_plan *plan, struct error *e)
{
	plan->p = *p;
	int r = volume_new_path(p->path, &plan->path, e);
	if (r < 0)
		return r;
	plan->device = file_is_block_device(plan->path);
	if (!plan->p.format)
		plan->p.format = plan->device ? IMAGE_FORMAT_RAW : format_by_suffix(plan->path);
	if (!plan->p.format)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "the suffix of %s does not tell the format (.qcow2, .raw, .img): add --format",
				 p->path);
	if (plan->p.format == IMAGE_FORMAT_RAW && plan->p.cluster_size)
		return error_set(e, ERROR_USAGE, EINVAL, "--cluster-size is for qcow2");
	if (plan->p.format == IMAGE_FORMAT_QCOW2 && !plan->p.cluster_size)
		plan->p.cluster_size = DEFAULT_CLUSTER_SIZE;
	if (plan->p.format == IMAGE_FORMAT_RAW && plan->p.prealloc == QCOW2_PREALLOC_METADATA)
		return error_set(e, ERROR_USAGE, EINVAL, "--preallocation metadata is for qcow2");
	if (plan->p.backing) {
		r = plan_backing(plan, e);
		if (r < 0)
			return r;
	}
	if ((r = create_plan_luks(plan, e)) < 0)
		return r;
	if (!plan->p.size)
		return error_set(e, ERROR_USAGE, EINVAL, "the size must not be zero");
	if (plan->p.size % 512)
		return error_set(e, ERROR_USAGE, EINVAL, "the size must be a multiple of 512 bytes, not %llu",
				 (unsigned long long)plan->p.size);
	if (plan->p.format == IMAGE_FORMAT_RAW && plan->p.size > (uint64_t)INT64_MAX / 2)
		return error_set(e, ERROR_USAGE, EFBIG, "the size is larger than a file can be");
	return 0;
}

/* ---- --if-absent ---- */

static int differs(struct error *e, const char *path, const char *what)
{
	return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already with another %s", path, what);
}

int create_plan_check_same(const struct create_plan *plan, const struct record *r, struct error *e)
{
	struct volume_state state;
	AUTOCONTAINER struct container *c = NULL;
	int ret = volume_look(r, &state, e);
	if (ret < 0)
		return ret;
	if (state.condition == VOLUME_MISSING)
		return error_set(e, ERROR_EXISTS, EEXIST,
				 "the keystore has a volume for %s, but the file is not there: mount its file system, "
				 "or `kvmcrypt move` the volume to where it is now", r->path);
	if (state.condition != VOLUME_OK)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s", state.problem);
	/* The room that dm-integrity leaves on a device is not known before it is there. */
	if (r->size != plan->p.size && !(r->integrity && plan->device))
		return differs(e, r->path, "size");
	if ((r->format == RECORD_FORMAT_QCOW2) != (plan->p.format == IMAGE_FORMAT_QCOW2))
		return differs(e, r->path, "format");
	if (r->luks_version != plan->p.luks_version)
		return differs(e, r->path, "LUKS version");
	const struct luks_params lp = create_plan_params(plan);
	if (strcmp(r->cipher, plan->p.cipher) != 0 || r->key_bits != 8 * luks_volume_key_len(&lp))
		return differs(e, r->path, "cipher or key size");
	if (strcmp(r->integrity ? r->integrity : "", plan->p.integrity ? plan->p.integrity : "") != 0)
		return differs(e, r->path, "integrity");
	if (strcmp(r->header_path ? r->header_path : "", plan->header ? plan->header : "") != 0)
		return differs(e, r->path, "header file");
	if (r->luks_version == 2 && plan->p.sector_size != r->sector_size)
		return differs(e, r->path, "sector size");
	if (strcmp(state.backing, plan->backing ? plan->backing : "") != 0)
		return differs(e, r->path, "backing file");
	if (plan->p.format == IMAGE_FORMAT_RAW)
		return 0;
	ret = container_open(r->path, plan->p.format, CONTAINER_LOOK, &c, e);
	if (ret < 0)
		return ret;
	if (UINT64_C(1) << container_info(c)->qcow2.cluster_bits != plan->p.cluster_size)
		return differs(e, r->path, "cluster size");
	return 0;
}
