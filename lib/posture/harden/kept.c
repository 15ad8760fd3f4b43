#include "lib/posture/harden/internal.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KEPT "/etc/kvmcrypt/harden.json"
#define ORIGINAL ".kvmcrypt-orig"

static void hash_of(const char *text, char ret[2 * SHA256_DIGEST_SIZE + 1])
{
	struct sha256_ctx ctx;
	unsigned char digest[SHA256_DIGEST_SIZE];
	sha256_init(&ctx);
	sha256_update(&ctx, strlen(text), (const unsigned char *)text);
	sha256_digest(&ctx, sizeof(digest), digest);
	text_hex(digest, sizeof(digest), ret);
}

static struct json_object *list_of(struct json_object *kept, const char *key)
{
	struct json_object *list = NULL;
	if (!json_object_object_get_ex(kept, key, &list)) {
		list = json_object_new_array();
		json_object_object_add(kept, key, list);
	}
	return list;
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;
	return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : NULL;
}

static struct json_object *entry_of(struct json_object *list, const char *path)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *its = text_of(o, "path");
		if (its && !strcmp(its, path))
			return o;
	}
	return NULL;
}

int kept_read(const struct host *h, struct json_object **ret, struct error *e)
{
	char path[PATH_MAX];
	AUTOFREE char *text = NULL;
	int r = file_read_text(host_path(h, KEPT, path, sizeof(path)), &text, e);
	if (r < 0)
		return r;
	struct json_object *o = *text ? json_tokener_parse(text) : json_object_new_object();
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is no JSON object: nobody knows what was there before",
				 path);
	}
	*ret = o;
	return 0;
}

static int make_directory(const char *file, struct error *e)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s", file);
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return error_errno(e, error_kind_of_errno(errno), errno, "cannot make %s", path);
		*slash = '/';
	}
	return 0;
}

static int write_kept(const struct host *h, struct json_object *kept, struct error *e)
{
	char path[PATH_MAX];
	const char *text = json_object_to_json_string_ext(kept, JSON_C_TO_STRING_PRETTY);
	host_path(h, KEPT, path, sizeof(path));
	int r = make_directory(path, e);
	return r < 0 ? r : file_write_atomic(path, text, strlen(text), 0600, true, e);
}

/* Notes what the file will be, and what it was: its copy's name, or nothing. */
static int note_file(const struct host *h, struct json_object *kept, const char *path, const char *original,
		     const char *text, struct error *e)
{
	char hash[2 * SHA256_DIGEST_SIZE + 1];
	struct json_object *list = list_of(kept, "files"), *o = entry_of(list, path);
	if (!o) {
		o = json_object_new_object();
		json_object_object_add(o, "path", json_object_new_string(path));
		json_object_array_add(list, o);
	}
	hash_of(text, hash);
	json_object_object_add(o, "original", original ? json_object_new_string(original) : NULL);
	json_object_object_add(o, "written", json_object_new_string(hash));
	return write_kept(h, kept, e);
}

/* 1: it is as harden wrote it last; 0: it is not. */
static int is_as_written(struct json_object *entry, const char *now)
{
	char hash[2 * SHA256_DIGEST_SIZE + 1];
	const char *written = entry ? text_of(entry, "written") : NULL;
	hash_of(now, hash);
	return written && !strcmp(written, hash);
}

int kept_replace(const struct host *h, struct json_object *kept, const char *path, const char *text, bool *ret_changed,
		 struct error *e)
{
	AUTOFREE char *now = NULL;
	char file[PATH_MAX], copy[PATH_MAX + sizeof(ORIGINAL)], name[PATH_MAX + sizeof(ORIGINAL)];
	struct stat st;
	struct json_object *entry = entry_of(list_of(kept, "files"), path);
	int r = file_read_text(host_path(h, path, file, sizeof(file)), &now, e);
	if (r < 0)
		return r;
	bool exists = stat(file, &st) == 0;
	*ret_changed = !exists || strcmp(now, text) != 0;
	if (!*ret_changed)
		return 0;
	snprintf(copy, sizeof(copy), "%s" ORIGINAL, file);
	snprintf(name, sizeof(name), "%s" ORIGINAL, path);
	const char *original = exists ? name : NULL;
	/* What we wrote ourselves is no original. */
	if (is_as_written(entry, now))
		original = text_of(entry, "original") ? name : NULL;
	else if (exists)
		r = file_write_atomic(copy, now, strlen(now), st.st_mode & 07777, true, e);
	if (r == 0)
		r = note_file(h, kept, path, original, text, e);
	if (r == 0)
		r = make_directory(file, e);
	return r < 0 ? r : file_write_atomic(file, text, strlen(text), exists ? st.st_mode & 07777 : 0644, true, e);
}

static int write_parameter(const char *path, const char *value, struct error *e)
{
	AUTOCLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be set", path);
	return file_write(fd, value, strlen(value), path, e);
}

int kept_set(const struct host *h, struct json_object *kept, const char *key, const char *value, bool *ret_changed,
	     struct error *e)
{
	char path[PATH_MAX];
	AUTOFREE char *now = NULL;
	snprintf(path, sizeof(path), "/proc/sys/%s", key);
	*ret_changed = false;
	int r = h->running && access(path, F_OK) == 0 ? file_read_text(path, &now, e) : 0;
	if (r < 0 || !now)
		return r;
	now[strcspn(now, "\n")] = 0;
	if (!strcmp(now, value))
		return 0;
	struct json_object *list = list_of(kept, "kernel");
	if (!entry_of(list, path)) {
		struct json_object *o = json_object_new_object();
		json_object_object_add(o, "path", json_object_new_string(path));
		json_object_object_add(o, "was", json_object_new_string(now));
		json_object_array_add(list, o);
		r = write_kept(h, kept, e);
	}
	*ret_changed = true;
	return r < 0 ? r : write_parameter(path, value, e);
}

/* One that is as it was before is restored already, by an undo that was interrupted. */
static int check_file(const struct host *h, struct json_object *entry, struct error *e)
{
	AUTOFREE char *now = NULL, *was = NULL;
	char path[PATH_MAX];
	const char *name = text_of(entry, "path"), *original = text_of(entry, "original");
	if (!name)
		return error_set(e, ERROR_DAMAGED, EBADMSG, KEPT " has an entry without a path");
	int r = file_read_text(host_path(h, name, path, sizeof(path)), &now, e);
	if (r == 0 && original)
		r = file_read_text(host_path(h, original, path, sizeof(path)), &was, e);
	if (r < 0)
		return r;
	if (is_as_written(entry, now) || !*now || (was && !strcmp(now, was)) || (original && was && !*was))
		return 0;
	return error_set(
		e, ERROR_REFUSED, EPERM,
		"%s was changed since, which an undo would lose: put it into the state that you want, and take "
		"its entry out of " KEPT,
		name);
}

int kept_check(const struct host *h, struct json_object *kept, struct error *e)
{
	struct json_object *list = list_of(kept, "files");
	int r = 0;
	for (size_t i = 0; r == 0 && i < json_object_array_length(list); i++)
		r = check_file(h, json_object_array_get_idx(list, i), e);
	return r;
}

static int restore_file(const struct host *h, struct json_object *entry, struct error *e)
{
	char path[PATH_MAX], copy[PATH_MAX];
	const char *original = text_of(entry, "original");
	host_path(h, text_of(entry, "path"), path, sizeof(path));
	if (original)
		file_sweep(host_path(h, original, copy, sizeof(copy)), NULL);
	file_sweep(path, NULL);
	int r = original ? rename(host_path(h, original, copy, sizeof(copy)), path) : unlink(path);
	if (r < 0 && errno != ENOENT)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be put back", path);
	return file_sync_dir_of(path, e);
}

int kept_restore(const struct host *h, struct json_object *kept, struct error *e)
{
	struct json_object *files = list_of(kept, "files"), *kernel = list_of(kept, "kernel");
	char path[PATH_MAX];
	int r = 0;
	for (size_t i = 0; r == 0 && i < json_object_array_length(files); i++)
		r = restore_file(h, json_object_array_get_idx(files, i), e);
	for (size_t i = 0; r == 0 && h->running && i < json_object_array_length(kernel); i++) {
		struct json_object *o = json_object_array_get_idx(kernel, i);
		const char *name = text_of(o, "path"), *was = text_of(o, "was");
		if (name && was && !strncmp(name, "/proc/sys/", 10) && access(name, F_OK) == 0)
			r = write_parameter(name, was, e);
	}
	file_sweep(host_path(h, KEPT, path, sizeof(path)), NULL);
	if (r == 0 && unlink(host_path(h, KEPT, path, sizeof(path))) < 0 && errno != ENOENT)
		r = error_errno(e, error_kind_of_errno(errno), errno, "%s cannot be removed", path);
	return r;
}
