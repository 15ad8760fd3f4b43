/* kvmcrypt create: a new encrypted volume and its sealed record. */
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volume_json.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

struct create_options {
	const char *format, *backing, *backing_format, *cipher, *prealloc, *mode, *owner;
	const char *header, *integrity, *destroy;
	uint64_t luks, key_bits, cluster_size, sector_size;
	bool if_absent, dry_run, backing_in_use;
};

static const char *const formats[] = { "qcow2", "raw", NULL };
static const char *const integrities[] = { "aead", "hmac-sha256", NULL };
static const char *const preallocs[] = { "off", "metadata", "falloc", "full", NULL };

#define OPT(field) offsetof(struct create_options, field)
static const struct option_spec options[] = {
	{ "backing", OPTION_TEXT, OPT(backing), "FILE",
	  "backing file of a qcow2 volume: a plain image or another volume", NULL, COMPLETE_FILE, 0 },
	{ "backing-format", OPTION_CHOICE, OPT(backing_format), "FORMAT",
	  "format of the backing file, if its suffix does not tell: qcow2 or raw", formats, COMPLETE_NONE, 0 },
	{ "backing-in-use", OPTION_FLAG, OPT(backing_in_use), NULL,
	  "also on a backing file that a domain has as its own disk: it surely does not change", NULL, COMPLETE_NONE,
	  0 },
	{ "cipher", OPTION_TEXT, OPT(cipher), "NAME", "aes-xts-plain64 (default); LUKS2: any of dm-crypt", NULL,
	  COMPLETE_NONE, 0 },
	{ "cluster-size", OPTION_SIZE, OPT(cluster_size), "SIZE", "cluster size of qcow2, 512 to 2M (default 64K)",
	  NULL, COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct create_options),
	{ "format", OPTION_CHOICE, OPT(format), "FORMAT", "qcow2 or raw (default: by the suffix .qcow2, .raw, .img)",
	  formats, COMPLETE_NONE, 0 },
	{ "header", OPTION_TEXT, OPT(header), "FILE", "LUKS2: put the header into this new file, apart from the data",
	  NULL, COMPLETE_FILE, 0 },
	{ "if-absent", OPTION_FLAG, OPT(if_absent), NULL,
	  "succeed without a change if the same volume is there already", NULL, COMPLETE_NONE, 0 },
	{ "integrity", OPTION_CHOICE, OPT(integrity), "KIND",
	  "LUKS2: authenticate every sector, hmac-sha256 or aead; writes the whole volume once", integrities,
	  COMPLETE_NONE, 0 },
	{ "key-bits", OPTION_NUMBER, OPT(key_bits), "BITS",
	  "size of the volume key, 256 or 512 (default 512, which is AES-256 in XTS mode)", NULL, COMPLETE_NONE, 0 },
	{ "luks", OPTION_NUMBER, OPT(luks), "VERSION",
	  "1, which QEMU itself opens, or 2, for dm-crypt (default: 2 on a block device, else 1)", NULL, COMPLETE_NONE,
	  0 },
	{ "mode", OPTION_TEXT, OPT(mode), "OCTAL", "mode of the file (default 0600)", NULL, COMPLETE_NONE, 0 },
	{ "owner", OPTION_TEXT, OPT(owner), "USER[:GROUP]", "owner of the file", NULL, COMPLETE_NONE, 0 },
	{ "preallocation", OPTION_CHOICE, OPT(prealloc), "MODE", "off, metadata (qcow2), falloc or full (default off)",
	  preallocs, COMPLETE_NONE, 0 },
	{ "sector-size", OPTION_NUMBER, OPT(sector_size), "BYTES",
	  "LUKS2: 512 to 4096 (default 4096 where the size allows it)", NULL, COMPLETE_NONE, 0 },
	{ "yes-destroy", OPTION_TEXT, OPT(destroy), "DEVICE",
	  "overwrite what is on DEVICE, which must be IMAGE word for word", NULL, COMPLETE_FILE, 0 },
	{ 0 },
};

static enum image_format format_of(const char *name)
{
	if (!name)
		return IMAGE_FORMAT_AUTO;
	return strcmp(name, "qcow2") ? IMAGE_FORMAT_RAW : IMAGE_FORMAT_QCOW2;
}

static enum qcow2_prealloc prealloc_of(const char *name)
{
	for (int i = 0; name && preallocs[i]; i++)
		if (!strcmp(name, preallocs[i]))
			return (enum qcow2_prealloc)i;
	return QCOW2_PREALLOC_OFF;
}

static int parse_mode(const char *text, int *ret, struct error *e)
{
	*ret = -1;
	if (!text)
		return 0;
	if (!*text || strlen(text) > 4 || strspn(text, "01234567") != strlen(text))
		return error_set(e, ERROR_USAGE, EINVAL, "--mode: '%s' is not an octal mode such as 0600", text);
	long mode = strtol(text, NULL, 8);
	if (mode & ~0666)
		return error_set(e, ERROR_USAGE, EINVAL, "--mode: an image is not executable, so not '%s'", text);
	*ret = (int)mode;
	return 0;
}

static bool is_number(const char *s)
{
	return *s && strlen(s) < 10 && strspn(s, "0123456789") == strlen(s);
}

static int parse_owner(const char *text, uid_t *uid, gid_t *gid, struct error *e)
{
	char user[128];
	*uid = (uid_t)-1;
	*gid = (gid_t)-1;
	if (!text)
		return 0;
	size_t len = strcspn(text, ":");
	if (len >= sizeof(user))
		return error_set(e, ERROR_USAGE, EINVAL, "--owner: '%s' is too long", text);
	memcpy(user, text, len);
	user[len] = 0;
	const char *group = text[len] ? text + len + 1 : NULL;
	const struct passwd *pw = *user && !is_number(user) ? getpwnam(user) : NULL;
	if (pw)
		*uid = pw->pw_uid;
	else if (is_number(user))
		*uid = (uid_t)atol(user);
	else if (*user)
		return error_set(e, ERROR_USAGE, EINVAL, "--owner: there is no user '%s'", user);
	const struct group *gr = group && !is_number(group) ? getgrnam(group) : NULL;
	if (gr)
		*gid = gr->gr_gid;
	else if (group && is_number(group))
		*gid = (gid_t)atol(group);
	else if (group)
		return error_set(e, ERROR_USAGE, EINVAL, "--owner: there is no group '%s'", group);
	return 0;
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct create_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTORECORD struct record *record = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	struct error why = { 0 };
	bool existed = false;
	struct volume_create p = {
		.path = operands[0],
		.format = format_of(o->format),
		.luks_version = (unsigned)o->luks,
		.cipher = o->cipher,
		.key_bits = (unsigned)o->key_bits,
		.sector_size = (unsigned)o->sector_size,
		.integrity = o->integrity,
		.header = o->header,
		.destroy = o->destroy,
		.cluster_size = (uint32_t)o->cluster_size,
		.prealloc = prealloc_of(o->prealloc),
		.backing = o->backing,
		.backing_in_use = o->backing_in_use,
		.backing_format = format_of(o->backing_format),
		.if_absent = o->if_absent,
		.dry_run = o->dry_run,
	};
	int r = n > 1 ? environment_size("create", operands, &p.size, NULL, e) : 0;
	if (r == 0)
		r = parse_mode(o->mode, &p.mode, e);
	if (r == 0)
		r = parse_owner(o->owner, &p.uid, &p.gid, e);
	if (r == 0 && n < 2 && !o->backing && !file_is_block_device(operands[0]))
		r = error_set(e, ERROR_USAGE, EINVAL,
			      "SIZE is missing (only with --backing or on a block device it may be left out)");
	if (r == 0 && o->luks > 2)
		r = error_set(e, ERROR_USAGE, EINVAL, "--luks is 1 or 2");
	if (r == 0 && (o->key_bits > UINT16_MAX || o->cluster_size > UINT32_MAX || o->sector_size > UINT16_MAX))
		r = error_set(e, ERROR_USAGE, EINVAL, "--key-bits, --cluster-size or --sector-size is out of range");
	if (r == 0)
		r = person_unsealed_keystore(ctx, &ks, e);
	if (r == 0 && o->backing && !o->backing_in_use)
		r = environment_try_connect(ctx, &g, &why, e);
	if (r < 0)
		return r;
	if (why.kind)
		say_more(ctx, "%s", why.message);
	struct volume_env env = environment(ctx, ks);
	r = volume_create(&env, g, &p, &record, &existed, e);
	if (r < 0)
		return r;
	char size[32];
	say(ctx, "%s %s: encrypted %s, %s", o->dry_run ? "would create" : existed ? "exists already" : "created",
	    record->path, record_format_name(record->format), text_size(record->size, size, sizeof(size)));
	if (!ctx->json)
		return 0;
	return output_object(ctx, volume_json(record), volume_show_columns);
}

static const struct operand_spec operands[] = {
	{ "IMAGE", false, false, COMPLETE_FILE, NULL },
	{ "SIZE", true, false, COMPLETE_NONE, NULL },
	{ 0 },
};

const struct command command_create = {
	.name = "create",
	.summary = "make a new encrypted volume",
	.description = "Makes an encrypted disk image of SIZE (20G, 512M) with a random key and seals the key in "
		       "the keystore. Nothing that exists is overwritten. With --backing, SIZE may be left out.",
	.operands = operands,
	.options = options,
	.options_size = sizeof(struct create_options),
	.run = run,
};
