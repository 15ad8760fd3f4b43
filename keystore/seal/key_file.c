/* The content of a file: one that the slot names, or one that is given each time, as by systemd's LoadCredential=. */
#include "keystore/seal/kind.h"

#include <fcntl.h>
#include <sys/stat.h>

/* A key file with fewer bytes cannot be full-entropy 256 bits: treat it as a passphrase. */
#define STRONG_KEY_LEN 32

int slot_read_key_file(const char *path, struct secret **ret, struct error *e)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO at that path must not hang every command. */
	AUTOCLOSE int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(e, ERROR_SEALED, errno, "key file %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(e, ERROR_SEALED, EINVAL, "key file %s is not a regular file", path);
	/* Whoever may change it decides what unseals the keystore, and what a rekey seals the next root key to. */
	if (st.st_uid != geteuid())
		return error_set(e, ERROR_SEALED, EPERM, "key file %s belongs to user %u, not to you (user %u)", path,
				 (unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & (S_IROTH | S_IWOTH))
		return error_set(e, ERROR_SEALED, EPERM,
				 "key file %s can be read or written by everyone (run `chmod 600` on it)", path);
	return secret_read_fd(fd, SECRET_MAX - 1, false, path, ret, e);
}

static bool is_strong(const struct secret *key)
{
	return key->len >= STRONG_KEY_LEN;
}

static int check(const char *path, const struct slot_params *p, struct error *e)
{
	(void)p;
	if (!path || path[0] == '/')
		return 0;
	return error_set(e, ERROR_USAGE, EINVAL, "the path of a key file must be absolute: %s", path);
}

static int fit(const struct credential *c, struct credential *ret, struct secret **ret_own, struct error *e)
{
	AUTOSECRET struct secret *content = NULL;
	int r = c->key || !c->path ? 0 : slot_read_key_file(c->path, &content, e);
	if (r < 0)
		return r;
	*ret = *c;
	if (content)
		ret->key = content;
	if (!ret->key || !ret->key->len)
		return error_set(e, ERROR_USAGE, EINVAL, "an empty key file protects nothing");
	*ret_own = TAKE_PTR(content);
	return 0;
}

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *key, struct secret **ret,
		   struct error *e)
{
	(void)s;
	if (key)
		return secret_copy(key->data, key->len, ret, e);
	if (!slot->path)
		return error_set(e, ERROR_USAGE, EINVAL, "slot %d needs its key file", slot->slot);
	return slot_read_key_file(slot->path, ret, e);
}

const struct slot_kind slot_kind_key_file = {
	.name = "key-file", .turn = 1, .by_path = true, .check = check, .fit = fit,
	.is_strong = is_strong, .open = open_it,
};
