#include "lib/guest/config.h"

#include "base/cleanup.h"
#include "base/list.h"
#include "lib/guest/disk.h"
#include "lib/guest/lazy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAPPED "/dev/mapper/kvmcrypt-"
/* The longest configuration that is read; libvirt's own are a few KiB. */
#define XML_MAX (8 * 1024 * 1024)

static int add(void *ctx, const char *secret, const char *device)
{
	struct guest_config *c = ctx;
	uuid_t uuid;
	if (device && strncmp(device, MAPPED, strlen(MAPPED)) != 0)
		return 0;
	if (uuid_parse(secret ? secret : device + strlen(MAPPED), uuid) < 0)
		return 0;
	if (!list_grow(c->uuids, c->n))
		return -ENOMEM;
	uuid_copy(c->uuids[c->n++], uuid);
	return 0;
}

int guest_config_add(struct guest_config *c, const char *xml, struct error *e)
{
	int r = guest_disk_needs(xml, add, c, e);
	return r == -ENOMEM ? error_oom(e) : r;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(uuid_t));
}

void guest_config_sort(struct guest_config *c)
{
	if (c->n)
		qsort(c->uuids, c->n, sizeof(uuid_t), compare);
}

void guest_config_clear(struct guest_config *c)
{
	free(c->uuids);
	*c = (struct guest_config){ 0 };
}

bool guest_config_names(const struct guest_config *c, const uuid_t secret)
{
	return c->n && bsearch(secret, c->uuids, c->n, sizeof(uuid_t), compare);
}

bool guest_config_names_mapping(const struct guest_config *c, const char *mapping)
{
	const char *dash = strchr(mapping, '-');
	uuid_t uuid;
	return dash && uuid_parse(dash + 1, uuid) == 0 && guest_config_names(c, uuid);
}

/* What cannot be read, libvirt cannot start either: it is left out. */
static char *read_xml(int dir, const char *name)
{
	struct stat st;
	AUTOCLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > XML_MAX)
		return NULL;
	AUTOFREE char *text = calloc(1, (size_t)st.st_size + 1);
	if (!text || read(fd, text, (size_t)st.st_size) != st.st_size)
		return NULL;
	return TAKE_PTR(text);
}

static void closedir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Every configuration in the directory, with its name; a non-zero result of fn stops and is returned. */
static int each_xml(const char *dir, int (*fn)(void *ctx, const char *name, const char *xml, struct error *e),
		    void *ctx, struct error *e)
{
	int r = lazy_load(e);
	if (r < 0)
		return r;
	CLEANUP(closedir_p) DIR *d = opendir(dir);
	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot read libvirt's configurations in %s",
				   dir);
	for (struct dirent *entry; r == 0 && (entry = readdir(d));) {
		char *dot = strrchr(entry->d_name, '.');
		if (!dot || strcmp(dot, ".xml") != 0)
			continue;
		AUTOFREE char *xml = read_xml(dirfd(d), entry->d_name);
		*dot = 0;
		r = xml ? fn(ctx, entry->d_name, xml, e) : 0;
	}
	return r;
}

/* What is no domain is left out. */
static int add_xml(void *ctx, const char *name, const char *xml, struct error *e)
{
	struct error bad = { 0 };
	(void)name;
	int r = guest_config_add(ctx, xml, &bad);
	return r < 0 && bad.err == ENOMEM ? error_pass(e, &bad) : 0;
}

int guest_config_read(const char *dir, struct guest_config *ret, struct error *e)
{
	int r = each_xml(dir, add_xml, ret, e);
	guest_config_sort(ret);
	return r;
}

struct each {
	int (*fn)(void *ctx, const char *name, const struct guest_config *config, struct error *e);
	void *ctx;
};

static int one_xml(void *ctx, const char *name, const char *xml, struct error *e)
{
	CLEANUP(guest_config_clear) struct guest_config config = { 0 };
	const struct each *each = ctx;
	int r = add_xml(&config, name, xml, e);
	guest_config_sort(&config);
	return r < 0 ? r : each->fn(each->ctx, name, &config, e);
}

int guest_config_each(const char *dir,
		      int (*fn)(void *ctx, const char *name, const struct guest_config *config, struct error *e),
		      void *ctx, struct error *e)
{
	struct each each = { .fn = fn, .ctx = ctx };
	return each_xml(dir, one_xml, &each, e);
}
