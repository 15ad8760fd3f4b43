#include "keystore/cache.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "keystore/record/kdf.h"

#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TYPE "user"
#define DESCRIPTION_LEN 64

/*
 * The user keyring (@u) is found by every process of the user, but possessed only by those whose
 * session keyring links it: not by systemd units or some ssh sessions. So the user part of the
 * mask, not possession, must allow what commands do.
 */
#define PERMISSIONS (KEY_POS_ALL | KEY_USR_VIEW | KEY_USR_READ | KEY_USR_WRITE | KEY_USR_SEARCH | \
		     KEY_USR_LINK | KEY_USR_SETATTR)

static void describe(const uuid_t root_id, char *buf)
{
	char id[UUID_STR_LEN];
	uuid_unparse_lower(root_id, id);
	snprintf(buf, DESCRIPTION_LEN, "kvmcrypt:%s", id);
}

static int no_key(struct error *e)
{
	return error_set(e, ERROR_SEALED, ENOKEY, "the root key is not in the kernel keyring");
}

static int unavailable(int err, const char *doing, struct error *e)
{
	if (err == ENOSYS || err == EPERM)
		return error_set(e, ERROR_FAILED, err,
				 "cannot %s: the kernel keyring is not available here (a container may forbid it)",
				 doing);
	return error_errno(e, ERROR_FAILED, err, "cannot %s", doing);
}

static bool is_absent(int err)
{
	return err == ENOKEY || err == EKEYEXPIRED || err == EKEYREVOKED || err == EKEYREJECTED;
}

static int find(const uuid_t root_id, key_serial_t *ret, struct error *e)
{
	char description[DESCRIPTION_LEN];
	describe(root_id, description);
	key_serial_t key = (key_serial_t)keyctl_search(KEY_SPEC_USER_KEYRING, TYPE, description, 0);
	if (key < 0)
		return is_absent(errno) ? no_key(e)
					: unavailable(errno, "look into the kernel keyring", e);
	*ret = key;
	return 0;
}

/* ---- the other half ---- */

/*
 * A keyring is shared by all processes of a uid, those in containers too. So what is there is one half of the key, and
 * the other lies where only this system's processes see it, in memory: one alone says nothing of the key.
 */
static int half_path(const uuid_t root_id, bool make, char *buf, size_t len, struct error *e)
{
	char id[UUID_STR_LEN], dir[256];
	const char *runtime = geteuid() ? getenv("XDG_RUNTIME_DIR") : "/run";
	struct stat st;
	*buf = 0;
	/* A user without one has no containers of his own root's either. */
	if (!runtime || *runtime != '/')
		return 0;
	uuid_unparse_lower(root_id, id);
	snprintf(dir, sizeof(dir), "%.200s/kvmcrypt", runtime);
	snprintf(buf, len, "%s/%s", dir, id);
	if (!make)
		return 0;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_errno(e, ERROR_FAILED, errno, "cannot make %s", dir);
	if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077)
		return error_set(e, ERROR_REFUSED, EPERM, "%s is not this user's alone (chmod 700)", dir);
	return 0;
}

/* *ret NULL: there is none. */
static int read_half(const char *path, struct secret **ret, struct error *e)
{
	AUTOCLOSE int fd = *path ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	*ret = NULL;
	if (fd < 0)
		return !*path || errno == ENOENT ? 0 : error_errno(e, ERROR_FAILED, errno, "cannot read %s", path);
	return secret_read_fd(fd, ROOT_KEY_LEN, false, path, ret, e);
}

/* One that is there is kept: two that unseal at once come to the same. */
static int make_half(const char *path, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *fresh = NULL;
	struct error why = { 0 };
	int r = read_half(path, ret, e);
	if (r < 0 || !*path || (*ret && (*ret)->len == ROOT_KEY_LEN))
		return r;
	if (*ret) {
		secret_free(TAKE_PTR(*ret));
		unlink(path);
	}
	if ((r = secret_random(ROOT_KEY_LEN, &fresh, e)) < 0)
		return r;
	r = file_write_atomic(path, fresh->data, fresh->len, 0600, false, &why);
	if (r < 0 && why.err != EEXIST)
		return error_pass(e, &why);
	r = read_half(path, ret, e);
	return r == 0 && !*ret ? error_set(e, ERROR_BUSY, EBUSY, "%s is removed all the time", path) : r;
}

static void join(struct secret *s, const struct secret *half)
{
	for (size_t i = 0; half && i < s->len && i < half->len; i++)
		s->data[i] ^= half->data[i];
}

/* ---- the keyring ---- */

static int prove(const struct secret *root, const uuid_t root_id, struct error *e)
{
	uuid_t id;
	int r = kdf_root_id(root, id, e);
	return r < 0 ? r : uuid_compare(id, root_id) ? no_key(e) : 0;
}

int cache_get(const uuid_t root_id, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *root = NULL;
	AUTOSECRET struct secret *half = NULL;
	char path[320];
	key_serial_t key = 0;
	int r = find(root_id, &key, e);
	if (r == 0)
		r = half_path(root_id, false, path, sizeof(path), e);
	if (r < 0 || (r = read_half(path, &half, e)) < 0 || (r = secret_new(ROOT_KEY_LEN, &root, e)) < 0)
		return r;
	long n = keyctl_read(key, (char *)root->data, root->len);
	if (n < 0 && !is_absent(errno))
		return unavailable(errno, "read the root key from the kernel keyring", e);
	/* Any process of this user may have put it there: it has to prove itself. */
	if (n != ROOT_KEY_LEN)
		return no_key(e);
	join(root, half);
	r = prove(root, root_id, e);
	/* Up to version 0.1 all of it was there. */
	if (r == -ENOKEY && half) {
		join(root, half);
		r = prove(root, root_id, e);
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(root);
	return 0;
}

int cache_put(const uuid_t root_id, const struct secret *root, uint64_t timeout, struct error *e)
{
	static const char doing[] = "put the root key into the kernel keyring";
	char description[DESCRIPTION_LEN], path[320];
	AUTOSECRET struct secret *half = NULL;
	AUTOSECRET struct secret *rest = NULL;
	if (timeout > UINT32_MAX)
		return error_set(e, ERROR_USAGE, ERANGE, "the timeout is too long");
	int made = half_path(root_id, true, path, sizeof(path), e);
	if (made < 0 || (made = make_half(path, &half, e)) < 0 ||
	    (made = secret_copy(root->data, root->len, &rest, e)) < 0)
		return made;
	join(rest, half);
	describe(root_id, description);
	/*
	 * Made in the keyring of this process, which dies with it, and linked to @u only when its
	 * timeout and permissions are set: killed in between, no key outlives its time.
	 */
	key_serial_t key = add_key(TYPE, description, rest->data, rest->len, KEY_SPEC_PROCESS_KEYRING);
	if (key < 0)
		return unavailable(errno, doing, e);
	long r = keyctl_setperm(key, PERMISSIONS);
	if (r == 0 && timeout)
		r = keyctl_set_timeout(key, (unsigned)timeout);
	if (r == 0)
		r = keyctl_link(key, KEY_SPEC_USER_KEYRING);
	int err = errno;
	keyctl_unlink(key, KEY_SPEC_PROCESS_KEYRING);
	return r < 0 ? unavailable(err, doing, e) : 0;
}

int cache_remove(const uuid_t root_id, bool *ret_was, struct error *e)
{
	char path[320];
	key_serial_t key = 0;
	if (half_path(root_id, false, path, sizeof(path), NULL) == 0 && *path)
		unlink(path);
	int r = find(root_id, &key, e);
	if (r == -ENOKEY) {
		*ret_was = false;
		return 0;
	}
	if (r < 0)
		return r;
	/* Revoking frees the bytes even where somebody linked the key elsewhere. */
	if (keyctl_revoke(key) < 0 && !is_absent(errno))
		return unavailable(errno, "remove the root key from the kernel keyring", e);
	keyctl_unlink(key, KEY_SPEC_USER_KEYRING);
	*ret_was = true;
	return 0;
}

/* "7h", "59m", "12s", "3d", "2w" of /proc/keys. */
static uint64_t parse_expiry(const char *text)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 7 * 86400 } };
	char *end = NULL;
	uint64_t n = strtoull(text, &end, 10);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (end != text && *end == units[i].unit)
			return n * units[i].seconds;
	return 0;
}

/* proc(5), /proc/keys: ID, flags, usage, expiry ("perm"), permissions, UID, GID, type, description. */
bool cache_is_permanent(const uuid_t root_id, uint64_t *ret_left)
{
	char line[512], expiry[16] = "";
	key_serial_t key = 0;
	unsigned id = 0;
	/* By its number: one that was replaced a moment ago has the same description, and is still listed. */
	FILE *f = find(root_id, &key, NULL) == 0 ? fopen("/proc/keys", "re") : NULL;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%x %*s %*d %15s", &id, expiry) == 2 && id == (unsigned)key)
			break;
		expiry[0] = 0;
	}
	if (f)
		fclose(f);
	if (ret_left)
		*ret_left = parse_expiry(expiry);
	return !strcmp(expiry, "perm");
}
