#include "lib/workflow/reencrypt/internal.h"
#include "lib/volume/header.h"
#include "lib/volume/mapped.h"
#include "lib/volume/users.h"
#include "lib/workflow/rotate.h"

#include "base/file.h"
#include "lib/image/recrypt/recrypt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int open_new(const struct record *r, const char *path, struct container **ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *key = NULL;
	int slot, result = container_open(path, volume_image_format(r), CONTAINER_LOOK, &c, e);
	if (result == 0)
		result = volume_unlock_cheap(container_luks(c), r->passphrase, &slot, &key, e);
	if (result == 0 && (!r->next_volume_key || !secret_equal(key, r->next_volume_key)))
		result = error_set(e, ERROR_DAMAGED, EBADMSG, "%s has not the volume key that was made for it", path);
	if (result == 0)
		*ret = TAKE_PTR(c);
	return result;
}

int reencrypt_prove(const struct record *r, const char *path, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	return open_new(r, path, &c, e);
}

int reencrypt_adopt(struct record *r, const char *path, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOSECRET struct secret *key = NULL;
	int result = open_new(r, path, &c, e);
	if (result == 0)
		result = secret_copy(r->next_volume_key->data, r->next_volume_key->len, &key, e);
	if (result < 0)
		return result;
	const struct container_info *info = container_info(c);
	volume_fill_from_luks(r, luks_info(container_luks(c)), info->header_offset, info->header_length);
	secret_free(r->volume_key);
	r->volume_key = TAKE_PTR(key);
	r->recovery_slots = 0;
	return 0;
}

int reencrypt_header(const struct record *r, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	int slot, result = header_build(r, r->next_volume_key, &l, e);
	if (result == 0)
		result = luks_add_keyslot(l, -1, r->next_volume_key, r->pending, LUKS_KDF_GENERATED, &slot, e);
	if (result == 0)
		*ret = TAKE_PTR(l);
	return result;
}

static void drop(struct secret **s)
{
	secret_free(*s);
	*s = NULL;
}

int reencrypt_undone(const struct volume_env *env, struct record *r, struct error *e)
{
	drop(&r->next_volume_key);
	drop(&r->pending);
	free(TAKE_PTR(r->beside));
	r->state = RECORD_READY;
	return keystore_put(env->ks, r, "volume-key-undone", NULL, e);
}

int reencrypt_commit(const struct volume_env *env, struct record *r, bool keep_intent, struct error *e)
{
	struct secret *old = r->passphrase;
	r->passphrase = r->pending;
	r->pending = old;
	r->generation++;
	r->rotated = (int64_t)time(NULL);
	drop(&r->next_volume_key);
	if (!keep_intent)
		free(TAKE_PTR(r->beside));
	r->state = RECORD_RETIRING;
	return keystore_put(env->ks, r, "volume-key", NULL, e);
}

static int begin(const struct volume_env *env, struct record *r, struct error *e)
{
	AUTOFILE_NEW struct file_new *f = NULL;
	char tag[37];
	uuid_unparse_lower(r->uuid, tag);
	int result = file_new_plan_tagged(r->path, tag, &f, e);
	if (result == 0)
		result = secret_random(r->volume_key->len, &r->next_volume_key, e);
	if (result == 0)
		result = secret_generate_passphrase(&r->pending, e);
	if (result < 0)
		return result;
	r->beside = TAKE_PTR(f->tmp);
	f->committed = true;
	r->state = RECORD_CONVERTING;
	return keystore_put(env->ks, r, "volume-key-begin", NULL, e);
}

static int check(const struct record *r, bool online, struct error *e)
{
	struct stat st;
	if (r->integrity)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s has dm-integrity, which cannot be encrypted anew in place: create a new volume and copy inside a guest",
				 r->path);
	if (online)
		return 0;
	int result = recrypt_check(r->cipher, r->key_bits, e);
	if (result < 0)
		return error_prefix(e, "%s", r->path);
	if (r->header_path)
		return error_set(e, ERROR_FAILED, EOPNOTSUPP,
				 "%s is LUKS1 with a detached header, and two files cannot be replaced at one moment", r->path);
	if (stat(r->path, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", r->path);
	if (!S_ISREG(st.st_mode))
		return error_set(e, ERROR_FAILED, EOPNOTSUPP, "%s is a block device with LUKS1, which has no room for a copy", r->path);
	if (st.st_nlink > 1)
		return error_set(e, ERROR_REFUSED, EMLINK,
				 "%s has %lu names; a copy would take the place of this one only", r->path,
				 (unsigned long)st.st_nlink);
	return 0;
}

/* Everything that would refuse, before anything is written. */
static int look_only(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		     const struct volume_reencrypt *p, struct volume_reencrypted *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTODOMAIN virDomainPtr d = NULL;
	char target[32];
	uint64_t size = 0;
	struct volume_mapping m = { 0 };
	int result = keystore_get(env->ks, volume, &r, e);
	if (result == 0 && r->state != RECORD_CONVERTING)
		result = volume_check_ready(r, e);
	if (result == 0 && !g && r->n_domains && !p->without_libvirt)
		result = error_set(e, ERROR_LIBVIRT, ENOTCONN,
				   "domain %s has %s, and libvirt cannot be asked whether it runs (--no-libvirt goes on without)",
				   r->domains[0].name, r->path);
	bool online = result == 0 && reencrypt_is_online(r);
	if (result == 0 && !online)
		result = volume_find_guest(g, r, &d, target, sizeof(target), e);
	if (result == 0 && !online)
		result = volume_check_unmapped(r, e);
	if (result == 0 && online)
		result = volume_mapping(r, &m, e);
	if (result == 0)
		result = check(r, online, e);
	/* The header of one that was interrupted in place says of itself that it is not whole. */
	if (result == 0 && (!online || r->state == RECORD_READY))
		result = volume_actual_size(r, &size, e);
	if (result < 0)
		return result;
	*ret = (struct volume_reencrypted){
		.how = d ? "live" : !online ? "copy" : m.name[0] ? "online" : "in place", .bytes = size,
		.resumed = !d && r->state == RECORD_CONVERTING,
	};
	ret->generation = r->generation;
	if (d)
		snprintf(ret->domain, sizeof(ret->domain), "%s", virDomainGetName(d));
	return 0;
}

/* The copy has its temporary name until it takes the image's. */
static bool copy_is_beside(const struct record *r)
{
	struct stat st;
	return r->state == RECORD_CONVERTING && r->beside && lstat(r->beside, &st) == 0 && S_ISREG(st.st_mode);
}

int volume_reencrypt_settle(const struct volume_env *env, struct guest_connection *g, struct record *r,
			    bool *ret_finished, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct error why = { 0 };
	if (reencrypt_is_online(r))
		return reencrypt_online_settle(env, r, false, ret_finished, e);
	int result = reencrypt_live_settle(env, g, r, ret_finished, e);
	if (result)
		return result < 0 ? result : volume_rotate_settle(env, g, r, ret_finished, e);
	result = container_open(r->path, volume_image_format(r), CONTAINER_LOOK, &c, &why);
	/* A header destroyed meanwhile can be rebuilt, once it is settled which image this is. */
	bool unreadable = result == -EMEDIUMTYPE || (result < 0 && why.kind == ERROR_DAMAGED);
	if (result < 0 && !(unreadable && copy_is_beside(r)))
		return error_pass(e, &why);
	/* Not renamed yet: the old image is as it was. */
	if (result < 0 || volume_check_binding(r, luks_info(container_luks(c)), &why) == 0) {
		if (r->beside && unlink(r->beside) < 0 && errno != ENOENT)
			return error_errno(e, ERROR_FAILED, errno, "cannot remove %s", r->beside);
		*ret_finished = false;
		return reencrypt_undone(env, r, e);
	}
	result = reencrypt_adopt(r, r->path, e);
	*ret_finished = result == 0;
	if (result == 0)
		result = reencrypt_commit(env, r, false, e);
	return result < 0 ? result : volume_rotate_settle(env, g, r, ret_finished, e);
}

/*
 * What failed by itself (no space, no right) leaves nothing behind; what somebody stopped, or was
 * going on from an earlier run, is kept for the next.
 */
static void take_back(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		      const struct volume_reencrypted *done, const struct error *why)
{
	AUTORECORD struct record *r = NULL;
	bool finished;
	if (done->resumed || why->err == ECANCELED || keystore_get(env->ks, volume, &r, NULL) < 0 ||
	    r->state == RECORD_READY || r->state == RECORD_RETIRING || keystore_reveal(env->ks, &r, 1, "volume-key", NULL, NULL) < 0)
		return;
	if (reencrypt_is_online(r))
		reencrypt_online_settle(env, r, true, &finished, NULL);
	else
		volume_reencrypt_settle(env, g, r, &finished, NULL);
}

/* An interrupted copy at rest is no use to a running guest, whose QEMU makes its own. */
static int run_live(const struct volume_env *env, struct guest_connection *g, virDomainPtr d, const char *target,
		    struct record *r, struct error *e)
{
	bool finished = false;
	int result = r->state == RECORD_READY ? 0 : volume_reencrypt_settle(env, g, r, &finished, e);
	if (result < 0 || finished)
		return result;
	if (r->beside)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "guest %s runs since a live change of the volume key: the next one is possible after its restart",
				 virDomainGetName(d));
	result = begin(env, r, e);
	return result < 0 ? result : reencrypt_live(env, d, target, r, e);
}

static int run_copy(const struct volume_env *env, struct record *r, struct volume_reencrypted *done, struct error *e)
{
	int result = 0;
	/* Killed after the rename: only the record is behind. */
	if (r->state == RECORD_CONVERTING && reencrypt_adopt(r, r->path, NULL) == 0)
		return reencrypt_commit(env, r, false, e);
	if (r->state != RECORD_CONVERTING)
		result = begin(env, r, e);
	if (result == 0)
		result = reencrypt_copy(env, r, done, e);
	return result < 0 ? result : reencrypt_commit(env, r, false, e);
}

/* In place the passphrase could not change in the same step. */
static int rotate_passphrase(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
			     const struct volume_reencrypt *p, struct volume_reencrypted *done, struct error *e)
{
	const struct volume_rotate rotate = { .without_libvirt = p->without_libvirt };
	struct volume_rotated rotated;
	int result = volume_rotate(env, g, volume, &rotate, &rotated, e);
	if (result < 0)
		return error_prefix(e, "the volume key is new, the passphrase is not (`kvmcrypt rotate`)");
	done->generation = rotated.generation;
	return 0;
}

int volume_reencrypt(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		     const struct volume_reencrypt *p, struct volume_reencrypted *ret, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	AUTODOMAIN virDomainPtr d = NULL;
	AUTOCLOSE int lock = -1;
	struct volume_reencrypted done;
	bool finished;
	char target[32];
	int result = look_only(env, g, volume, p, &done, e);
	if (result < 0 || p->dry_run) {
		if (result == 0)
			*ret = done;
		return result;
	}
	result = volume_lock(env->ks, volume, true, &lock, e);
	if (result == 0)
		result = keystore_get(env->ks, volume, &r, e);
	if (result == 0 && r->state != RECORD_CONVERTING)
		result = volume_check_ready(r, e);
	if (result == 0)
		result = keystore_reveal(env->ks, &r, 1, "volume-key", NULL, e);
	bool online = result == 0 && reencrypt_is_online(r);
	if (result == 0 && !online)
		result = volume_find_guest(g, r, &d, target, sizeof(target), e);
	if (result == 0)
		result = reencrypt_drop_link(env, g, r, e);
	if (result < 0)
		return result;
	result = online ? reencrypt_online(env, r, &done, e) :
		 d	? run_live(env, g, d, target, r, e) :
			  run_copy(env, r, &done, e);
	if (result == 0 && r->state == RECORD_RETIRING)
		result = volume_rotate_settle(env, g, r, &finished, e);
	done.generation = r->generation;
	if (result < 0) {
		take_back(env, g, volume, &done, e);
		return result;
	}
	if (online) {
		cleanup_close(&lock);
		result = rotate_passphrase(env, g, volume, p, &done, e);
	}
	if (result == 0)
		*ret = done;
	return result;
}
