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

static bool same_text(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

static int read_cluster_size(const struct record *r, uint32_t *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	int result = container_open(r->path, IMAGE_FORMAT_QCOW2, CONTAINER_LOOK, &c, e);
	if (result == 0)
		*ret = UINT32_C(1) << container_info(c)->qcow2.cluster_bits;
	return result;
}

int create_plan_check_same(const struct create_plan *plan, const struct record *r, struct error *e)
{
	struct volume_state state;
	int ret = volume_look(r, &state, e);
	if (ret < 0)
		return ret;
	if (state.condition == VOLUME_MISSING)
		return error_set(e, ERROR_EXISTS, EEXIST,
				 "the keystore has a volume for %s, but the file is not there: mount its file system, "
				 "or `kvmcrypt move` the volume to where it is now", r->path);
	if (state.condition != VOLUME_OK)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s", state.problem);
	const struct luks_params lp = create_plan_params(plan);
	const struct volume_create *p = &plan->p;
	bool qcow2 = p->format == IMAGE_FORMAT_QCOW2;
	uint32_t cluster_size = 0;
	if (r->format == RECORD_FORMAT_QCOW2 && (ret = read_cluster_size(r, &cluster_size, e)) < 0)
		return ret;
	const struct {
		const char *what;
		bool same;
	} fields[] = {
		/* The room that dm-integrity leaves on a device is not known before it is there. */
		{ "size", r->size == p->size || (r->integrity && plan->device) },
		{ "format", (r->format == RECORD_FORMAT_QCOW2) == qcow2 },
		{ "LUKS version", r->luks_version == p->luks_version },
		{ "cipher or key size", !strcmp(r->cipher, p->cipher) && r->key_bits == 8 * luks_volume_key_len(&lp) },
		{ "integrity", same_text(r->integrity, p->integrity) },
		{ "header file", same_text(r->header_path, plan->header) },
		{ "sector size", r->luks_version != 2 || r->sector_size == p->sector_size },
		{ "backing file", same_text(state.backing, plan->backing) },
		{ "cluster size", !qcow2 || cluster_size == p->cluster_size },
	};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (!fields[i].same)
			return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already with another %s", r->path,
					 fields[i].what);
	return 0;
}
