#include "lib/posture/host/conf.h"

#include "base/file.h"
#include "base/library/library.h"

#include <augeas.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *path, *lens;
} files[HOST_CONFS] = {
	[HOST_CONF_QEMU] = { "/etc/libvirt/qemu.conf", "Libvirtd_qemu.lns" },
	[HOST_CONF_DAEMON] = { "/etc/libvirt/libvirtd.conf", "Libvirtd.lns" },
};

const char *host_conf_path(enum host_conf file)
{
	return files[file].path;
}

/* Only the two files and their lenses: all that augeas knows takes it a second to load. */
static int load(struct host *h, struct error *e)
{
	if (h->augeas)
		return 0;
	int r = augeas_load(e);
	if (r < 0)
		return r;
	h->augeas = aug_init(*h->root ? h->root : "/", NULL, AUG_NO_MODL_AUTOLOAD | AUG_NO_LOAD);
	if (!h->augeas)
		return error_set(e, ERROR_FAILED, ENOMEM, "libaugeas does not start");
	for (size_t i = 0; i < HOST_CONFS; i++)
		aug_transform(h->augeas, files[i].lens, files[i].path, 0);
	aug_load(h->augeas);
	return 0;
}

/* Why the file gave nothing: 0 when it is not there, or was read. */
static int failure(struct host *h, enum host_conf file, struct error *e)
{
	char path[PATH_MAX];
	const char *why = NULL, *line = NULL;
	snprintf(path, sizeof(path), "/augeas/files%s/error/message", files[file].path);
	if (aug_get(h->augeas, path, &why) == 1 && why) {
		snprintf(path, sizeof(path), "/augeas/files%s/error/line", files[file].path);
		aug_get(h->augeas, path, &line);
		return error_set(e, ERROR_FAILED, EBADMSG, "%s cannot be read: %s%s%s", files[file].path, why,
				 line ? ", line " : "", line ? line : "");
	}
	AUTOCLOSE int fd = open(host_path(h, files[file].path, path, sizeof(path)), O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be read", files[file].path);
	/* It is there and was not read, and no line of it is to blame: then its lens is missing. */
	snprintf(path, sizeof(path), "/augeas/files%s/path", files[file].path);
	if (aug_match(h->augeas, path, NULL) != 1)
		return error_set(e, ERROR_FAILED, ENOPKG,
				 "%s cannot be read: libaugeas has no %s, which comes with libvirt's daemon",
				 files[file].path, files[file].lens);
	return 0;
}

static int ready(struct host *h, enum host_conf file, struct error *e)
{
	int r = load(h, e);
	return r < 0 ? r : failure(h, file, e);
}

static int get(struct host *h, enum host_conf file, const char *node, char **ret, struct error *e)
{
	int r = ready(h, file, e);
	if (r < 0)
		return r;
	char path[PATH_MAX];
	const char *value = NULL;
	snprintf(path, sizeof(path), "/files%s/%s", files[file].path, node);
	if (aug_get(h->augeas, path, &value) != 1 || !value)
		return 0;
	*ret = strdup(value);
	return *ret ? 1 : error_oom(e);
}

int host_conf_get(struct host *h, enum host_conf file, const char *key, char **ret, struct error *e)
{
	char node[128];
	snprintf(node, sizeof(node), "%s[1]", key);
	return get(h, file, node, ret, e);
}

int host_conf_item(struct host *h, enum host_conf file, const char *key, unsigned i, char **ret, struct error *e)
{
	char node[128];
	snprintf(node, sizeof(node), "%s[1]/%u", key, i + 1);
	return get(h, file, node, ret, e);
}

int host_conf_count(struct host *h, enum host_conf file, const char *key, long *ret, struct error *e)
{
	int r = ready(h, file, e);
	if (r < 0)
		return r;
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "/files%s/%s[1]", files[file].path, key);
	if (aug_match(h->augeas, path, NULL) < 1)
		return 0;
	snprintf(path, sizeof(path), "/files%s/%s[1]/*", files[file].path, key);
	*ret = aug_match(h->augeas, path, NULL);
	return 1;
}

int host_conf_set(struct host *h, enum host_conf file, const char *key, const char *value, struct error *e)
{
	int r = ready(h, file, e);
	if (r < 0)
		return r;
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "/files%s/%s", files[file].path, key);
	/* A key that is there twice counts by its last; all of them go before one is set. */
	if (aug_rm(h->augeas, path) < 0 || (value && aug_set(h->augeas, path, value) < 0))
		return error_set(e, ERROR_FAILED, EINVAL, "%s: %s cannot be set", files[file].path, key);
	return 0;
}

int host_conf_text(struct host *h, enum host_conf file, char **ret, struct error *e)
{
	AUTOFREE char *old = NULL;
	char path[PATH_MAX];
	const char *text = NULL;
	snprintf(path, sizeof(path), "/files%s", files[file].path);
	int r = ready(h, file, e);
	char real[PATH_MAX];
	if (r == 0)
		r = file_read_text(host_path(h, files[file].path, real, sizeof(real)), &old, e);
	if (r < 0)
		return r;
	aug_set(h->augeas, "/kvmcrypt/old", old);
	if (aug_text_retrieve(h->augeas, files[file].lens, "/kvmcrypt/old", path, "/kvmcrypt/new") < 0 ||
	    aug_get(h->augeas, "/kvmcrypt/new", &text) != 1 || !text)
		return error_set(e, ERROR_FAILED, EINVAL, "%s cannot be written as libvirt's lens has it",
				 files[file].path);
	*ret = strdup(text);
	return *ret ? 0 : error_oom(e);
}

void conf_close(struct host *h)
{
	if (h->augeas)
		aug_close(h->augeas);
	h->augeas = NULL;
}
