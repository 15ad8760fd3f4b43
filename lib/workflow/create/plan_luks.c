/* The LUKS half of a plan: defaults that depend on each other, and what does not go together. */
#include "lib/workflow/create/plan.h"
#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/image/mapping/integrity.h"
#include "lib/image/mapping/mapping.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_CIPHER "aes-xts-plain64"
/* 128-bit nonces: random ones of AES-GCM, 96 bits, may repeat in the life of a busy disk. */
#define DEFAULT_AEAD "aegis128-random"
#define DEFAULT_SECTOR_SIZE 4096u

static int plan_version(struct create_plan *plan, struct error *e)
{
	struct volume_create *p = &plan->p;
	const char *needs = p->integrity     ? "--integrity"
			    : p->header	     ? "--header"
			    : p->sector_size ? "--sector-size"
					     : NULL;
	if (!p->luks_version)
		p->luks_version = p->format == IMAGE_FORMAT_RAW && (plan->device || needs) ? 2 : 1;
	if (p->luks_version == 2 && p->format != IMAGE_FORMAT_RAW)
		return error_set(e, ERROR_USAGE, EOPNOTSUPP,
				 "--luks 2 is for raw volumes: QEMU, which opens qcow2, reads LUKS1 only");
	if (p->luks_version == 1 && needs)
		return error_set(e, ERROR_USAGE, EINVAL, "%s is for LUKS2 volumes%s", needs,
				 p->format == IMAGE_FORMAT_RAW ? "" : ", which are raw");
	return 0;
}

static int plan_integrity(struct create_plan *plan, struct error *e)
{
	const char *name = plan->p.integrity;
	if (!name)
		return 0;
	if (!strcmp(name, "hmac-sha256"))
		plan->integrity = "hmac(sha256)";
	else if (!strcmp(name, "aead"))
		plan->integrity = "aead";
	else
		return error_set(e, ERROR_USAGE, EINVAL, "--integrity is hmac-sha256 or aead, not '%s'", name);
	/* Its superblock and its first tags can only be written by the kernel. */
	return mapping_available(e);
}

static unsigned default_key_bits(const char *cipher)
{
	return strstr(cipher, "-xts-") ? 512 : !strncmp(cipher, "aegis128-", 9) ? 128 : 256;
}

static int plan_cipher(struct create_plan *plan, struct error *e)
{
	struct volume_create *p = &plan->p;
	bool aead = plan->integrity && !strcmp(plan->integrity, "aead");
	if (!p->cipher)
		p->cipher = aead ? DEFAULT_AEAD : DEFAULT_CIPHER;
	if (p->luks_version == 1 && strcmp(p->cipher, DEFAULT_CIPHER) != 0)
		return error_set(e, ERROR_USAGE, EINVAL, "--cipher: only %s is supported for LUKS1, not '%s'",
				 DEFAULT_CIPHER, p->cipher);
	const char *dash = strchr(p->cipher, '-');
	if (!dash || dash == p->cipher || !dash[1] || strlen(p->cipher) > 60 || strstr(p->cipher, "null"))
		return error_set(e, ERROR_USAGE, EINVAL, "--cipher: '%s' is no cipher; write it as %s", p->cipher,
				 DEFAULT_CIPHER);
	/* Without a nonce for each write these would be no encryption worth the name. */
	bool random = strstr(p->cipher, "-random") != NULL;
	if (aead != random)
		return error_set(e, ERROR_USAGE, EINVAL,
				 aead ? "--integrity aead needs a cipher such as " DEFAULT_AEAD ", not '%s'"
				      : "--cipher %s needs --integrity aead",
				 p->cipher);
	bool xts = strstr(p->cipher, "-xts-") != NULL;
	if (!p->key_bits)
		p->key_bits = default_key_bits(p->cipher);
	if (xts && p->key_bits != 256 && p->key_bits != 512)
		return error_set(e, ERROR_USAGE, EINVAL, "--key-bits is 256 or 512 (XTS: AES-128 or AES-256), not %u",
				 p->key_bits);
	if (p->key_bits < 128 || p->key_bits > 512 || p->key_bits % 64)
		return error_set(e, ERROR_USAGE, EINVAL, "--key-bits: %s takes no key of %u bits", p->cipher,
				 p->key_bits);
	return 0;
}

static int plan_header(struct create_plan *plan, struct error *e)
{
	if (!plan->p.header)
		return 0;
	int r = file_canonical(plan->p.header, &plan->header, e);
	if (r < 0)
		return error_prefix(e, "--header");
	if (!strcmp(plan->header, plan->path))
		return error_set(e, ERROR_USAGE, EINVAL, "--header is to be another file than the volume");
	return 0;
}

/* The whole device, as dm-crypt maps it: LUKS has no smaller size for one segment. */
static int plan_device_size(struct create_plan *plan, struct error *e)
{
	AUTOCLOSE int fd = -1;
	uint64_t size, offset = create_plan_data_offset(plan), given = plan->p.size;
	if (!plan->device)
		return 0;
	int r = image_open(plan->path, false, &fd, &size, e);
	if (r < 0)
		return r;
	if (size <= offset)
		return error_set(e, ERROR_USAGE, ENOSPC, "%s is too small: the LUKS header alone takes %llu bytes",
				 plan->path, (unsigned long long)offset);
	plan->p.size = size - offset;
	if (given && given != plan->p.size)
		return error_set(e, ERROR_USAGE, EINVAL, "%s is used as a whole (%llu bytes): leave SIZE out",
				 plan->path, (unsigned long long)plan->p.size);
	if (plan->p.prealloc != QCOW2_PREALLOC_OFF || plan->p.mode >= 0 || plan->p.uid != (uid_t)-1 ||
	    plan->p.gid != (gid_t)-1)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "--preallocation, --mode and --owner are for files, %s is a device", plan->path);
	return 0;
}

static int plan_sector_size(struct create_plan *plan, struct error *e)
{
	struct volume_create *p = &plan->p;
	if (p->luks_version == 1)
		return 0;
	if (!p->sector_size)
		p->sector_size = p->size % DEFAULT_SECTOR_SIZE ? 512 : DEFAULT_SECTOR_SIZE;
	if (p->sector_size < 512 || p->sector_size > 4096 || (p->sector_size & (p->sector_size - 1)))
		return error_set(e, ERROR_USAGE, EINVAL, "--sector-size is 512, 1024, 2048 or 4096");
	if (p->size % p->sector_size)
		return error_set(e, ERROR_USAGE, EINVAL, "the size, %llu bytes, is no multiple of the sector size %u",
				 (unsigned long long)p->size, p->sector_size);
	if (plan->integrity && !plan->device && p->size % INTEGRITY_GRAIN)
		return error_set(e, ERROR_USAGE, EINVAL, "the size must be a multiple of %u bytes with --integrity",
				 INTEGRITY_GRAIN);
	return 0;
}

int create_plan_luks(struct create_plan *plan, struct error *e)
{
	const char *base = strrchr(plan->path, '/') + 1;
	int r;
	snprintf(plan->label, sizeof(plan->label), "%s", base);
	if (plan->device && plan->p.format != IMAGE_FORMAT_RAW)
		return error_set(e, ERROR_USAGE, EINVAL, "%s is a block device, so its format is raw", plan->path);
	if (plan->p.destroy && !plan->device)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "--yes-destroy is for block devices; files are never overwritten");
	if ((r = plan_version(plan, e)) < 0 || (r = plan_integrity(plan, e)) < 0 || (r = plan_cipher(plan, e)) < 0 ||
	    (r = plan_header(plan, e)) < 0 || (r = plan_device_size(plan, e)) < 0)
		return r;
	return plan_sector_size(plan, e);
}

uint64_t create_plan_data_offset(const struct create_plan *plan)
{
	return plan->header ? 0 : plan->p.luks_version == 2 ? LUKS2_DATA_OFFSET : LUKS1_PAYLOAD_OFFSET;
}

struct luks_params create_plan_params(const struct create_plan *plan)
{
	bool two = plan->p.luks_version == 2;
	return (struct luks_params){
		.version = (int)plan->p.luks_version,
		.cipher = plan->p.cipher,
		.key_bits = plan->p.key_bits,
		.sector_size = two ? plan->p.sector_size : 512,
		.label = two ? plan->label : NULL,
		.detached = plan->header != NULL,
		.integrity = plan->integrity,
	};
}
