#include "lib/guest/at_rest.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct look {
	const char *directory, *domain;
	guest_at_rest_fn fn;
	void *ctx;
};

/* libvirt cuts the name off after so many characters (virDomainDefGetShortName). */
#define SHORT_NAME 20

/* "N-NAME", and after it nothing, or what `end` is. */
static bool is_short_name(const char *text, const char *domain, char end)
{
	size_t digits = strspn(text, "0123456789"), characters = 0;
	if (!digits || text[digits] != '-')
		return false;
	const char *name = text + digits + 1;
	for (size_t i = 0;; i++) {
		if (!domain[i] || characters == SHORT_NAME)
			return name[i] == end;
		if (name[i] != domain[i])
			return false;
		characters += ((unsigned char)domain[i + 1] & 0xc0) != 0x80;
	}
}

static int master_key(const struct look *l, const char *name)
{
	char path[4096];
	if (strncmp(name, "domain-", 7) != 0 || !is_short_name(name + 7, l->domain, 0))
		return 0;
	snprintf(path, sizeof(path), "%.1000s/%.255s", l->directory, name);
	if (file_is_ram(path))
		return 0;
	snprintf(path, sizeof(path), "%.1000s/%.255s/master-key.aes", l->directory, name);
	struct stat st;
	if (lstat(path, &st) < 0)
		return 0;
	return l->fn(l->ctx, l->domain, "master-key", path,
		     "with the guest's log it opens its disks: `kvmcrypt boot enable` and a restart of the host, or "
		     "stop libvirt's daemon, `kvmcrypt load --all --ram`, start it; then `kvmcrypt rotate`");
}

static int dump(const struct look *l, const char *name)
{
	char path[4096];
	if (!is_short_name(name, l->domain, '-'))
		return 0;
	snprintf(path, sizeof(path), "%.1000s/dump/%.255s", l->directory, name);
	return l->fn(l->ctx, l->domain, "dump", path,
		     "it holds the guest's memory, keys included: remove it, then `kvmcrypt rotate --volume-key`");
}

/* The XML of a snapshot says whether memory is with it. */
static int snapshot(const struct look *l, const char *name)
{
	char path[4096];
	AUTOFREE char *text = calloc(1, 1024 * 1024);
	snprintf(path, sizeof(path), "%.1000s/snapshot/%.255s/%.255s", l->directory, l->domain, name);
	FILE *f = text && strlen(name) > 4 && !strcmp(name + strlen(name) - 4, ".xml") ? fopen(path, "re") : NULL;
	if (!f)
		return 0;
	size_t n = fread(text, 1, 1024 * 1024 - 1, f);
	fclose(f);
	text[n] = 0;
	if (!strstr(text, "<memory snapshot='internal'") && !strstr(text, "<memory snapshot='external'"))
		return 0;
	return l->fn(l->ctx, l->domain, "memory-snapshot", path,
		     "it keeps the guest's memory, keys included: `virsh snapshot-delete`, then `kvmcrypt rotate "
		     "--volume-key`");
}

static int each(const struct look *l, const char *below, int (*fn)(const struct look *l, const char *name),
		struct error *e)
{
	char path[4096];
	struct dirent *entry;
	int r = 0;
	snprintf(path, sizeof(path), "%.1000s%.300s", l->directory, below);
	DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : error_errno(e, ERROR_FAILED, errno, "cannot look for keys in %s", path);
	while (r == 0 && (entry = readdir(d)))
		r = fn(l, entry->d_name);
	closedir(d);
	return r;
}

int guest_at_rest(const char *directory, const char *domain, guest_at_rest_fn fn, void *ctx, struct error *e)
{
	const struct look l = { .directory = directory, .domain = domain, .fn = fn, .ctx = ctx };
	char path[4096];
	struct stat st;
	int r = each(&l, "", master_key, e);
	snprintf(path, sizeof(path), "%.1000s/save/%.255s.save", directory, domain);
	if (r == 0 && lstat(path, &st) == 0)
		r = fn(ctx, domain, "managed-save", path,
		       "it is the guest's memory, keys included: start the guest, or `virsh managedsave-remove`, then "
		       "`kvmcrypt rotate --volume-key`");
	snprintf(path, sizeof(path), "/snapshot/%.255s", domain);
	if (r == 0)
		r = each(&l, path, snapshot, e);
	if (r == 0)
		r = each(&l, "/dump", dump, e);
	return r;
}
