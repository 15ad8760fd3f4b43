/* The keystore and its pin: compared on opening, and changed with the root key in one step. */
#include "keystore/internal.h"

#include "keystore/pin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int keystore_names(struct keystore *ks, const char *location, struct error *e)
{
	char cwd[4096] = "";
	if (location[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return error_errno(e, ERROR_FAILED, errno, "cannot tell the working directory");
	if (asprintf(&ks->given, "%s%s%s", cwd, *cwd ? "/" : "", location) < 0) {
		ks->given = NULL;
		return error_oom(e);
	}
	size_t len = strlen(ks->given);
	while (len > 1 && ks->given[len - 1] == '/')
		ks->given[--len] = 0;
	return 0;
}

/* By the path it is at, and as it was named: a link may be turned to another directory. */
static const char *name(const struct keystore *ks, size_t i)
{
	return i == 0 ? ks->path : ks->given && strcmp(ks->given, ks->path) ? ks->given : NULL;
}
#define EACH_NAME(ks, n) (const char *n = name(ks, 0), *n##_once = n; n; n = n == n##_once ? name(ks, 1) : NULL)

static int refuse(const struct keystore *ks, const char *at, const struct pin *pin, const uuid_t id, struct error *e)
{
	AUTOFREE char *file = NULL;
	char has[UUID_STR_LEN], wants[UUID_STR_LEN];
	int r = pin_file(at, &file, e);
	if (r < 0)
		return r;
	uuid_unparse_lower(id, has);
	uuid_unparse_lower(uuid_is_null(pin->root) ? pin->next : pin->root, wants);
	return error_set(e, ERROR_REFUSED, EPERM,
			 "keystore %s: its root key is %s, and not %s, which %s names: another keystore was put in its "
			 "place, or restored; if you know that it is right, `kvmcrypt unseal --expect-root %s`",
			 ks->path, has, wants, file, has);
}

int keystore_pin_allows(struct keystore *ks, const uuid_t id, struct error *e)
{
	ks->pinned = false;
	for EACH_NAME(ks, at) {
		struct pin pin;
		bool found = false;
		int r = pin_read(at, &found, &pin, e);
		if (r < 0)
			return r;
		if (found && !pin_fits(&pin, id))
			return refuse(ks, at, &pin, id, e);
		ks->pinned |= found;
	}
	return 0;
}

int keystore_check_pin(struct keystore *ks, struct error *e)
{
	struct error why = { 0 };
	AUTOCLOSE int lock = -1;
	size_t len = sizeof(uuid_t);
	int r = keystore_pin_allows(ks, ks->root_id, &why);
	if (r == 0 || why.kind != ERROR_REFUSED)
		return r < 0 ? error_pass(e, &why) : 0;
	/* A change of the root key may have come between the store and the pin. */
	if ((r = seal_lock(ks->dir, false, &lock, e)) < 0 ||
	    (r = store_meta_get(ks->store, META_ROOT_ID, ks->root_id, &len, e)) < 0)
		return r;
	return keystore_pin_allows(ks, ks->root_id, e);
}

int keystore_pin_begin(struct keystore *ks, const uuid_t next, bool always, struct error *e)
{
	for EACH_NAME(ks, at) {
		struct pin pin = { .root = { 0 } };
		bool found = false;
		int r = pin_read(at, &found, &pin, e);
		if (r < 0)
			return r;
		uuid_copy(pin.next, next);
		if ((found || always) && (r = pin_write(at, &pin, e)) < 0)
			return r;
	}
	return 0;
}

/* What was begun: done if the store has the new root key, else not. A failure leaves both right, which does no harm. */
void keystore_pin_settle(struct keystore *ks)
{
	uuid_t id = { 0 };
	size_t len = sizeof(id);
	if (ks->store && store_meta_get(ks->store, META_ROOT_ID, id, &len, NULL) < 0)
		return;
	for EACH_NAME(ks, at) {
		struct pin pin;
		bool found = false;
		pin_sweep(at);
		if (pin_read(at, &found, &pin, NULL) < 0 || !found || uuid_is_null(pin.next))
			continue;
		if (!uuid_compare(pin.next, id))
			uuid_copy(pin.root, id);
		uuid_clear(pin.next);
		pin_write(at, &pin, NULL);
	}
}

bool keystore_is_pinned(const struct keystore *ks)
{
	return ks->pinned;
}

int keystore_pin(struct keystore *ks, struct error *e)
{
	AUTOCLOSE int lock = -1;
	bool same = true;
	int r = keystore_need_root(ks, e);
	for EACH_NAME(ks, at) {
		struct pin pin;
		bool found = false;
		same &= r == 0 && pin_read(at, &found, &pin, NULL) == 0 && found && uuid_is_null(pin.next) &&
			!uuid_compare(pin.root, ks->root_id);
	}
	/* Under the lock: a change of the root key has its own next one in there. */
	if (r < 0 || same || (r = seal_lock(ks->dir, true, &lock, e)) < 0 || (r = keystore_same_root(ks, e)) < 0)
		return r;
	for EACH_NAME(ks, at) {
		struct pin pin = { .root = { 0 } };
		uuid_copy(pin.root, ks->root_id);
		if ((r = pin_write(at, &pin, e)) < 0)
			return r;
	}
	ks->pinned = true;
	return 0;
}
