#include "lib/workflow/create/base.h"

#include "lib/image/file/lock.h"
#include "lib/volume/internal.h"
#include "lib/volume/users.h"

#include <errno.h>
#include <sys/stat.h>

#define NOT_ASKED "asked whether as its own disk (--backing-in-use goes on without)"
#define WAY_ON "freeze it (chmod a-w) or copy it first; --backing-in-use goes on if it surely does not change"

static bool is_frozen(const struct record *r, const char *backing)
{
	struct stat st;
	return (r && r->role == RECORD_GOLDEN) ||
	       (stat(backing, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 0222));
}

static int ask_libvirt(struct guest_connection *g, const struct record *r, const char *backing, struct error *e)
{
	static const uuid_t none;
	AUTOGUESTIMAGE struct guest_image image = { 0 };
	struct guest_user user = { 0 };
	char who[512];
	guest_image_begin(&image, g, r ? r->uuid : none);
	int result = guest_image_add(&image, backing, false, e);
	if (result == 0)
		result = guest_user_any(&image, NULL, GUEST_LIVE | GUEST_CONFIG | GUEST_SAVED, &user, e);
	if (result < 0 || !user.place || !user.use.found)
		return result;
	guest_user_text(&user, who, sizeof(who));
	return error_set(e, ERROR_REFUSED, EBUSY,
			 "%s has %s as its disk %s, and what it writes would change every overlay: " WAY_ON, who,
			 backing, user.use.target);
}

int create_base_check(const struct volume_env *env, struct guest_connection *g, const char *backing, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int result = volume_at(env->ks, backing, &r, e);
	if (result < 0 || is_frozen(r, backing))
		return result;
	if (image_is_written(backing))
		return error_set(e, ERROR_REFUSED, EBUSY,
				 "%s is open to be written to by a guest or another process: " WAY_ON, backing);
	if (g)
		return ask_libvirt(g, r, backing, e);
	return r ? volume_check_libvirt(NULL, r, NOT_ASKED, e) : 0;
}
