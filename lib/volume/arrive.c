#include "lib/volume/arrive.h"
#include "lib/volume/internal.h"

#include "lib/image/file/plain_path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SECTOR_MAX 4096u
#define LUKS_HEADER_MAX (LUKS2_KEYSLOTS_AREA_MAX + 2 * LUKS2_HDR_MAX)

static int wrong(const struct record *r, const char *what, struct error *e)
{
	return error_set(e, ERROR_DAMAGED, EBADMSG, "%s: %s, which no `kvmcrypt create` or `import` makes", r->path,
			 what);
}

/* ---- paths ---- */

/* "/a/b", no "." or "..", nothing twice. */
static bool is_canonical_text(const char *path)
{
	size_t len = strlen(path);
	if (path[0] != '/' || !path[1] || len >= PATH_MAX || path[len - 1] == '/')
		return false;
	for (const char *p = path; p && *p; p = strchr(p + 1, '/')) {
		size_t part = strcspn(p + 1, "/");
		if (!part || (part == 1 && p[1] == '.') || (part == 2 && p[1] == '.' && p[2] == '.'))
			return false;
	}
	return true;
}

/* Where the directory is not there yet, the text is all there is. */
static int arrive_path(const struct record *r, char **path, bool joined, const char *what, struct error *e)
{
	AUTOFREE char *whole = NULL;
	struct error why = { 0 };
	if (!*path)
		return 0;
	if (!(joined ? **path == '/' : is_canonical_text(*path)) || plain_path_problem(*path))
		return wrong(r, what, e);
	int result = volume_canonical(*path, &whole, &why);
	if (result < 0)
		return why.kind == ERROR_NOT_FOUND ? 0 : error_pass(e, &why);
	free(*path);
	*path = TAKE_PTR(whole);
	return 0;
}

/* ---- numbers ---- */

static bool is_sector(uint32_t n)
{
	return n >= 512 && n <= SECTOR_MAX && !(n & (n - 1));
}

static bool is_integrity(const char *name)
{
	static const char *const known[] = { "hmac-sha256", "hmac(sha512)", "poly1305", "aead" };
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strcmp(name, known[i]))
			return true;
	return false;
}

static const char *format_problem(const struct record *r)
{
	bool raw = r->format == RECORD_FORMAT_RAW;
	if (!raw && r->format != RECORD_FORMAT_QCOW2)
		return "its format is none";
	if (r->luks_version != 1 && r->luks_version != 2)
		return "its LUKS version is none";
	if (!raw && (r->luks_version != 1 || r->header_path || r->integrity))
		return "it is a qcow2 with what only a raw LUKS2 volume has";
	if (r->luks_version == 1 && r->integrity)
		return "it is LUKS1 with integrity";
	if (raw && r->backing)
		return "it is raw with a backing file";
	return r->integrity && !is_integrity(r->integrity) ? "its integrity is none" : NULL;
}

static const char *key_problem(const struct record *r)
{
	const char *dash = strchr(r->cipher, '-');
	if (!dash || dash == r->cipher || strstr(r->cipher, "null"))
		return "its cipher is none";
	if (r->key_bits < 128 || r->key_bits > 1024 || r->key_bits % 8)
		return "its key has a length that no cipher takes";
	if (!r->passphrase || !r->passphrase->len || r->passphrase->len > 8192 || !r->volume_key ||
	    r->volume_key->len * 8 != r->key_bits)
		return "its keys are missing, or of another length";
	return uuid_is_null(r->uuid) || uuid_is_null(r->luks_uuid) ? "it has no UUID" : NULL;
}

static const char *geometry_problem(const struct record *r)
{
	const struct record_geometry *g = &r->geometry;
	bool raw = r->format == RECORD_FORMAT_RAW;
	/* A qcow2's clusters are checked against its own header before anything is written there. */
	if (!is_sector(r->sector_size) || !r->size || r->size > (uint64_t)INT64_MAX / 2)
		return "its size or sector size is out of range";
	if (g->header_length < 512 || g->header_length > LUKS_HEADER_MAX ||
	    g->header_offset > (uint64_t)INT64_MAX / 2 || (raw && g->header_offset))
		return "its header is at no place for one";
	if (g->data_offset > (uint64_t)INT64_MAX / 2 || (raw && !r->header_path && g->data_offset < g->header_length))
		return "its data begin inside of its header";
	if (r->luks_version == 1)
		return g->metadata_size || g->keyslots_size ? "it is LUKS1 with the areas of LUKS2" : NULL;
	if (g->metadata_size < LUKS2_HDR_MIN || g->metadata_size > LUKS2_HDR_MAX ||
	    g->metadata_size & (g->metadata_size - 1) || g->keyslots_size > g->header_length ||
	    2 * g->metadata_size > g->header_length - g->keyslots_size)
		return "the areas of its header are out of range";
	return NULL;
}

/* ---- the image ---- */

/* Away is fine: it may come later. Another one is not. */
static int check_image(const struct record *r, bool *ret_present, struct error *e)
{
	struct error why = { 0 };
	int slot;
	*ret_present = volume_path_taken(r->path);
	if (!*ret_present && !(r->header_path && volume_path_taken(r->header_path)))
		return 0;
	int result = volume_prove(r, volume_header_path(r), &slot, &why);
	if (result == 0 || why.kind == ERROR_NOT_FOUND)
		return 0;
	if (why.kind == ERROR_REFUSED)
		return error_pass(e, &why);
	return error_set(e, ERROR_DAMAGED, EBADMSG, "what is there is not this volume, or not by these keys: %s",
			 why.message);
}

int volume_arrive(struct record *r, bool *ret_present, struct error *e)
{
	const char *(*const problems[])(const struct record *) = { format_problem, key_problem, geometry_problem };
	for (size_t i = 0; i < ARRAY_LEN(problems); i++) {
		const char *problem = problems[i](r);
		if (problem)
			return wrong(r, problem, e);
	}
	int result = arrive_path(r, &r->path, false, "its path is none", e);
	if (result == 0)
		result = arrive_path(r, &r->header_path, false, "the path of its header is none", e);
	/* Only read; and where it was away, its name was joined from two. */
	if (result == 0)
		result = arrive_path(r, &r->backing, true, "the path of its backing file is none", e);
	if (result == 0 && r->header_path && !strcmp(r->path, r->header_path))
		return wrong(r, "data and header are one file", e);
	return result < 0 ? result : check_image(r, ret_present, e);
}
