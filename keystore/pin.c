#include "keystore/pin.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "keystore/location.h"
#include "keystore/record/kdf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PINS_OF_ROOT "/etc/kvmcrypt"
#define NAME_BYTES 16	/* of the SHA-256 of the path */
#define FILE_MAX 5120	/* a path in the comment, and two IDs */

static int pins_dir(char **ret, struct error *e)
{
	const char *env = getenv("KVMCRYPT_PINS");
	if (env && env[0] && env[0] != '/')
		return error_set(e, ERROR_USAGE, EINVAL, "KVMCRYPT_PINS is no absolute path");
	if ((!env || !env[0]) && geteuid() != 0)
		return location_home("XDG_CONFIG_HOME", ".config", ret, e);
	*ret = strdup(env && env[0] ? env : PINS_OF_ROOT);
	return *ret ? 0 : error_oom(e);
}

int pin_file(const char *keystore, char **ret, struct error *e)
{
	AUTOFREE char *dir = NULL;
	unsigned char hash[HASH_LEN];
	char name[2 * NAME_BYTES + 1];
	int r = pins_dir(&dir, e);
	if (r < 0)
		return r;
	kdf_sha256(keystore, strlen(keystore), hash);
	return asprintf(ret, "%s/keystore-%s.pin", dir, text_hex(hash, NAME_BYTES, name)) < 0 ? error_oom(e) : 0;
}

bool pin_fits(const struct pin *pin, const uuid_t root_id)
{
	return !uuid_compare(pin->root, root_id) || !uuid_compare(pin->next, root_id);
}

static int parse(char *text, const char *file, struct pin *ret, struct error *e)
{
	struct pin pin = { .root = { 0 } };
	bool bad = false;
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (!strncmp(line, "root ", 5))
			bad |= uuid_parse(line + 5, pin.root) < 0;
		else if (!strncmp(line, "next ", 5))
			bad |= uuid_parse(line + 5, pin.next) < 0;
		else
			bad |= line[0] != '#';
	}
	if (bad || (uuid_is_null(pin.root) && uuid_is_null(pin.next)))
		return error_set(e, ERROR_DAMAGED, EBADMSG,
				 "%s is damaged: it names no root key; `kvmcrypt unseal --expect-root ID` makes it "
				 "anew",
				 file);
	*ret = pin;
	return 0;
}

int pin_read(const char *keystore, bool *ret_found, struct pin *ret, struct error *e)
{
	AUTOFREE char *file = NULL;
	char text[FILE_MAX + 1];
	struct stat st;
	*ret_found = false;
	int r = pin_file(keystore, &file, e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = open(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", file);
	if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(e, ERROR_REFUSED, EPERM,
				 "%s is not yours alone: others may have changed which root key is pinned", file);
	ssize_t len = read(fd, text, FILE_MAX);
	if (len < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot read %s", file);
	text[len] = 0;
	r = parse(text, file, ret, e);
	*ret_found = r == 0;
	return r;
}

static int make_dir(const char *file, struct error *e)
{
	AUTOFREE char *dir = strdup(file);
	if (!dir)
		return error_oom(e);
	*strrchr(dir, '/') = 0;
	for (char *slash = strchr(dir + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = 0;
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return error_errno(e, error_kind_of_errno(errno), errno,
					   "cannot make %s, where the keystore's root key is pinned (KVMCRYPT_PINS "
					   "names another directory)", dir);
		if (!slash)
			return 0;
		*slash = '/';
	}
}

void pin_sweep(const char *keystore)
{
	AUTOFREE char *file = NULL;
	if (pin_file(keystore, &file, NULL) == 0)
		file_sweep(file, NULL);
}

int pin_write(const char *keystore, const struct pin *pin, struct error *e)
{
	AUTOFREE char *file = NULL, *text = NULL, *where = strdup(keystore);
	char root[UUID_STR_LEN], next[UUID_STR_LEN];
	bool has_root = !uuid_is_null(pin->root), has_next = !uuid_is_null(pin->next);
	int r = pin_file(keystore, &file, e);
	if (r < 0 || !where)
		return r < 0 ? r : error_oom(e);
	if (!has_root && !has_next) {
		if (unlink(file) < 0 && errno != ENOENT && errno != ENOTDIR)
			return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", file);
		return 0;
	}
	uuid_unparse_lower(pin->root, root);
	uuid_unparse_lower(pin->next, next);
	text_make_printable(where);
	int len = asprintf(&text,
			   "# The root key of the keystore %s. Another one there is refused: kvmcrypt(1), PINS.\n"
			   "%s%s%s%s%s%s", where, has_root ? "root " : "", has_root ? root : "", has_root ? "\n" : "",
			   has_next ? "next " : "", has_next ? next : "", has_next ? "\n" : "");
	if (len < 0) {
		text = NULL;
		return error_oom(e);
	}
	r = make_dir(file, e);
	return r < 0 ? r : file_write_atomic(file, text, (size_t)len, 0644, true, e);
}
