#include "lib/serve/export.h"

#include "base/file.h"
#include "lib/volume/hold.h"
#include "lib/volume/internal.h"
#include "lib/volume/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What close has to know of a running export; a file beside the keystore, no secret in it. */
struct note {
	struct export_process process;
	enum export_type type;
	char *target;
	bool writable, made_target;
};

static void note_clear(struct note *n)
{
	free(n->target);
}

static int note_path(struct keystore *ks, const struct record *r, char **ret, struct error *e)
{
	char uuid[37];
	uuid_unparse_lower(r->uuid, uuid);
	if (asprintf(ret, "%s/export-%s.json", keystore_path(ks), uuid) < 0)
		return error_oom(e);
	return 0;
}

static int note_write(const char *path, const struct note *n, struct error *e)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "pid", json_object_new_int(n->process.pid));
	json_object_object_add(o, "start", json_object_new_uint64(n->process.start));
	json_object_object_add(o, "type", json_object_new_string(n->type == EXPORT_FUSE ? "fuse" : "nbd"));
	json_object_object_add(o, "target", json_object_new_string(n->target));
	json_object_object_add(o, "writable", json_object_new_boolean(n->writable));
	json_object_object_add(o, "made_target", json_object_new_boolean(n->made_target));
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	int r = file_write_atomic(path, text, strlen(text), 0600, true, e);
	json_object_put(o);
	return r;
}

/* 1: there is a note and its process lives; 0: there is none, or it is stale. */
static int note_read(const char *path, struct note *ret, struct error *e)
{
	struct json_object *o = json_object_from_file(path), *v;
	if (!o)
		return 0;
	if (json_object_object_get_ex(o, "pid", &v))
		ret->process.pid = json_object_get_int(v);
	if (json_object_object_get_ex(o, "start", &v))
		ret->process.start = json_object_get_uint64(v);
	if (json_object_object_get_ex(o, "type", &v))
		ret->type = strcmp(json_object_get_string(v), "nbd") ? EXPORT_FUSE : EXPORT_NBD;
	if (json_object_object_get_ex(o, "target", &v))
		ret->target = strdup(json_object_get_string(v));
	if (json_object_object_get_ex(o, "writable", &v))
		ret->writable = json_object_get_boolean(v);
	if (json_object_object_get_ex(o, "made_target", &v))
		ret->made_target = json_object_get_boolean(v);
	json_object_put(o);
	if (!ret->target)
		return error_oom(e);
	return ret->process.pid > 1 && image_export_alive(&ret->process);
}

/* FUSE mounts over a file: an empty one is made, and removed again by close. */
static int make_target(const struct volume_export *p, const char *target, bool *ret_made, struct error *e)
{
	struct stat st;
	*ret_made = false;
	if (p->type == EXPORT_NBD) {
		if (lstat(target, &st) == 0)
			return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already", target);
		*ret_made = true; /* by the daemon, which leaves it behind */
		return 0;
	}
	AUTOCLOSE int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		*ret_made = true;
		return 0;
	}
	if (errno != EEXIST)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot make %s", target);
	if (stat(target, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
		return 0;
	return error_set(e, ERROR_EXISTS, EEXIST, "%s exists and is not an empty file to mount over", target);
}

static int serve(const struct volume_env *env, const struct record *r, const struct volume_export *p, struct note *n,
		 struct error *e)
{
	CLEANUP(layers_clear) struct layers layers = { 0 };
	struct image_layer images[LAYERS_MAX];
	int ret = layers_find(env->ks, r, &layers, e);
	if (ret == 0)
		ret = keystore_reveal(env->ks, layers.records, layers.n_records, "export", n->target, e);
	if (ret < 0)
		return ret;
	layers_images(&layers, images);
	return image_export_start(images, layers.n, p->type, n->target, p->writable, &n->process, e);
}

int volume_export(const struct volume_env *env, const struct record *r, const struct volume_export *p,
		  bool *ret_changed, struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	CLEANUP(note_clear) struct note old = { 0 };
	CLEANUP(note_clear) struct note n = { .type = p->type, .writable = p->writable };
	int ret = note_path(env->ks, r, &path, e);
	if (ret == 0)
		ret = file_canonical(p->target, &n.target, e);
	/* QEMU opens it with the recorded passphrase, which a rotation under way may just have replaced. */
	if (ret == 0)
		ret = volume_hold(env, r->uuid, NULL, 0, &h, e);
	if (ret == 0)
		ret = note_read(path, &old, e);
	if (ret < 0)
		return ret;
	if (ret == 1 && old.type == n.type && old.writable == n.writable && !strcmp(old.target, n.target)) {
		*ret_changed = false;
		return 0;
	}
	if (ret == 1)
		return error_set(e, ERROR_BUSY, EBUSY, "%s is exported at %s already: `kvmcrypt close` it first",
				 r->path, old.target);
	*ret_changed = true;
	if (p->dry_run)
		return 0;
	ret = make_target(p, n.target, &n.made_target, e);
	if (ret == 0)
		ret = serve(env, h.record, p, &n, e);
	if (ret == 0 && (ret = note_write(path, &n, e)) < 0)
		image_export_stop(&n.process, NULL);
	if (ret < 0 && n.made_target && p->type == EXPORT_FUSE)
		unlink(n.target);
	return ret;
}

int volume_unexport(const struct volume_env *env, const struct record *r, bool dry_run, bool *ret_changed,
		    struct error *e)
{
	AUTOFREE char *path = NULL;
	AUTOHOLD struct volume_hold h = VOLUME_HOLD_NONE;
	CLEANUP(note_clear) struct note n = { 0 };
	int ret = note_path(env->ks, r, &path, e);
	if (ret == 0)
		ret = volume_hold(env, r->uuid, NULL, HOLD_UNFINISHED, &h, e);
	if (ret == 0)
		ret = note_read(path, &n, e);
	if (ret < 0)
		return ret;
	*ret_changed = ret == 1;
	if (dry_run)
		return 0;
	if (ret == 1 && (ret = image_export_stop(&n.process, e)) < 0)
		return ret;
	/* Also of a stale note, after a reboot or a kill of the daemon; but only our own empty file. */
	struct stat st;
	if (n.target && n.made_target && lstat(n.target, &st) == 0 &&
	    (S_ISSOCK(st.st_mode) || (S_ISREG(st.st_mode) && st.st_size == 0)))
		unlink(n.target);
	unlink(path);
	return 0;
}

int volume_exported(struct keystore *ks, const struct record *r, enum export_type *ret_type, char **ret_target,
		    bool *ret_writable, struct error *e)
{
	AUTOFREE char *path = NULL;
	CLEANUP(note_clear) struct note n = { 0 };
	int ret = note_path(ks, r, &path, e);
	if (ret == 0)
		ret = note_read(path, &n, e);
	if (ret < 0)
		return ret;
	*ret_type = n.type;
	*ret_writable = n.writable;
	*ret_target = ret == 1 ? TAKE_PTR(n.target) : NULL;
	return 0;
}
