/* What mappings there are, by libdevmapper. Tables may hold keys, so their buffers are wiped. */
#include "lib/image/mapping/internal.h"

#include "base/library/library.h"
#include "base/list.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CRYPT_UUID "CRYPT-LUKS"		/* libcryptsetup's dm UUIDs: CRYPT-LUKS2-<32 digits>-<name> */
#define PART_UUID "CRYPT-INTEGRITY-"
#define SUB_UUID "CRYPT-SUBDEV-"	/* since libcryptsetup 2.8; helpers of a re-encryption have it, too */
#define PART_END "_dif"
#define HEX_UUID_LEN 32

/* libdevmapper speaks on stderr otherwise. */
static void silent(int level, const char *file, int line, int errno_or_class, const char *format, ...)
{
	(void)level, (void)file, (void)line, (void)errno_or_class, (void)format;
}

struct dm_task *mapping_run(int type, const char *name)
{
	AUTOTASK struct dm_task *t = NULL;
	if (devmapper_load(NULL) < 0) {
		errno = ELIBACC;
		return NULL;
	}
	dm_log_with_errno_init(silent);
	t = dm_task_create(type);
	if (!t || (name && !dm_task_set_name(t, name)) || !dm_task_secure_data(t)) {
		errno = ENOMEM;
		return NULL;
	}
	if (!dm_task_run(t)) {
		int err = dm_task_get_errno(t);
		errno = err ? err : ENODEV;
		return NULL;
	}
	return TAKE_PTR(t);
}

int mapping_available(struct error *e)
{
	int r = devmapper_load(e);
	if (r < 0)
		return r;
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_VERSION, NULL);
	if (t)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return error_set(e, ERROR_FAILED, EPERM, "only root may use device-mapper");
	return error_set(e, ERROR_FAILED, ENODEV,
			 "this kernel has no device-mapper (module dm_mod), so it cannot map a volume");
}

static bool parse_hex_uuid(const char *text, uuid_t ret)
{
	char dashed[UUID_STR_LEN], *at = dashed;
	for (int i = 0; i < HEX_UUID_LEN; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*at++ = '-';
		*at++ = text[i];
	}
	*at = 0;
	return text[HEX_UUID_LEN] == '-' && uuid_parse(dashed, ret) == 0;
}

static bool parse_uuid(const char *dm_uuid, struct mapping *m)
{
	size_t len = strlen(CRYPT_UUID);
	if (!strncmp(dm_uuid, CRYPT_UUID, len) && isdigit((unsigned char)dm_uuid[len]) && dm_uuid[len + 1] == '-')
		return parse_hex_uuid(dm_uuid + len + 2, m->luks_uuid);
	m->part = true;
	len = strlen(PART_UUID);
	if (!strncmp(dm_uuid, PART_UUID, len))
		return parse_hex_uuid(dm_uuid + len, m->luks_uuid);
	len = strlen(SUB_UUID);
	size_t all = strlen(dm_uuid), end = strlen(PART_END);
	return !strncmp(dm_uuid, SUB_UUID, len) && all > len + HEX_UUID_LEN + end &&
	       !strcmp(dm_uuid + all - end, PART_END) && parse_hex_uuid(dm_uuid + len, m->luks_uuid);
}

/* 1: a LUKS mapping; 0: another device, or gone meanwhile. */
static int look_at(const char *name, struct mapping *ret, struct error *e)
{
	struct dm_info info;
	struct mapping m = { 0 };
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_INFO, name);
	if (!t && errno != ENXIO)
		return error_errno(e, ERROR_FAILED, errno, "cannot ask for the mapping %s", name);
	if (!t || !dm_task_get_info(t, &info) || !info.exists || !parse_uuid(dm_task_get_uuid(t), &m))
		return 0;
	snprintf(m.name, sizeof(m.name), "%s", name);
	m.device = makedev(info.major, info.minor);
	m.live = info.live_table && !info.suspended;
	m.readonly = info.read_only;
	m.deferred = info.deferred_remove;
	m.open_count = info.open_count > 0 ? (unsigned)info.open_count : 0;
	*ret = m;
	return 1;
}

/* Without device-mapper there is nothing to ask, and to who may not use it nothing of it belongs. */
static bool may_be_asked(void)
{
	char line[128];
	bool there = false;
	FILE *f = geteuid() == 0 ? fopen("/proc/misc", "re") : NULL;
	while (f && !there && fgets(line, sizeof(line), f))
		there = strstr(line, " device-mapper\n") != NULL;
	if (f)
		fclose(f);
	return there;
}

int mapping_list_read(struct mapping_list *ret, struct error *e)
{
	AUTOMAPPINGS struct mapping_list l = { 0 };
	int r = devmapper_load(e);
	if (r < 0)
		return r;
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_LIST, NULL);
	int err = errno;
	if (!t && may_be_asked())
		return error_errno(e, ERROR_FAILED, err, "cannot ask device-mapper for its mappings");
	const struct dm_names *n = t ? dm_task_get_names(t) : NULL;
	while (n && n->dev) {
		if (!list_grow(l.list, l.n))
			return error_oom(e);
		r = look_at(n->name, &l.list[l.n], e);
		if (r < 0)
			return r;
		l.n += (size_t)r;
		n = n->next ? (const void *)((const char *)n + n->next) : NULL;
	}
	*ret = l;
	l = (struct mapping_list){ 0 };
	return 0;
}

void mapping_list_clear(struct mapping_list *l)
{
	free(l->list);
	*l = (struct mapping_list){ 0 };
}

const struct mapping *mapping_find(const struct mapping_list *l, const uuid_t luks_uuid, bool part)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->list[i].part == part && uuid_compare(l->list[i].luks_uuid, luks_uuid) == 0)
			return &l->list[i];
	return NULL;
}

bool mapping_name_taken(const char *name)
{
	struct dm_info info;
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_INFO, name);
	return t && dm_task_get_info(t, &info) && info.exists;
}

/* Is word one of the optional arguments of a dm-crypt table? It has blanks around it, or the end. */
static bool has_option(const char *params, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = params; (at = strstr(at, word)); at += len)
		if (at > params && at[-1] == ' ' && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

/* Kernel, admin-guide/device-mapper/dm-crypt.rst: <cipher> <key> <iv_offset> <device> <offset> [<n> <opt>…]. */
static void parse_crypt_table(const char *params, struct mapping_status *s)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = {
		{ "allow_discards", MAPPING_DISCARD },
		{ "no_read_workqueue", MAPPING_NO_READ_WORKQUEUE },
		{ "no_write_workqueue", MAPPING_NO_WRITE_WORKQUEUE },
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (has_option(params, words[i].word))
			s->flags |= words[i].flag;
	const char *key = strchr(params, ' ');
	if (key && key[1] == ':')
		s->flags |= MAPPING_KEYRING;
	const char *sector = strstr(params, " sector_size:");
	s->sector_size = sector ? (unsigned)strtoul(strchr(sector, ':') + 1, NULL, 10) : 512;
}

int mapping_status(const struct mapping *m, struct mapping_status *ret, struct error *e)
{
	struct mapping_status s = { .flags = m->readonly ? MAPPING_READONLY : 0 };
	AUTOTASK struct dm_task *t = mapping_run(DM_DEVICE_TABLE, m->name);
	uint64_t start = 0, length = 0;
	char *type = NULL, *params = NULL;
	if (!t)
		return error_errno(e, ERROR_FAILED, errno, "cannot read the mapping %s", m->name);
	dm_get_next_target(t, NULL, &start, &length, &type, &params);
	if (!type || strcmp(type, "crypt") || !params)
		return error_set(e, ERROR_FAILED, EINVAL, "mapping %s is no dm-crypt mapping", m->name);
	parse_crypt_table(params, &s);
	s.size = length * 512;
	*ret = s;
	return 0;
}
