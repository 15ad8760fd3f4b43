#include "lib/volume/internal.h"

#include "lib/image/file/lock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A keystore from a backup that is older than the last rotation has the passphrase of then. */
#define WAY_LOCKED                                                                                                     \
	"no keyslot opens with the keystore's passphrase, which may be older than the last rotation: `kvmcrypt "       \
	"header "                                                                                                      \
	"restore` makes one that does"
#define WAY_UNFINISHED "no keyslot opens with the keystore's passphrase: `kvmcrypt recover`"

int volume_look(const struct record *r, struct volume_state *ret, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	struct volume_state s = { .our_slot = -1 };
	struct error why = { 0 };
	int ret_open = container_open(volume_header_path(r), volume_image_format(r),
				      CONTAINER_LOOK, &c, &why);
	if (ret_open == 0) {
		struct luks *luks = container_luks(c);
		s.have_info = true;
		s.info = *luks_info(luks);
		s.file_size = container_info(c)->file_size;
		snprintf(s.backing, sizeof(s.backing), "%s", container_info(c)->qcow2.backing);
		s.in_use = image_is_in_use(r->path);
		ret_open = volume_check_binding(r, &s.info, &why);
		if (ret_open == 0 && r->revealed && r->passphrase) {
			s.our_slot = volume_cheap_slot(luks, r->passphrase);
			if (s.our_slot < 0)
				ret_open = error_set(&why, ERROR_DAMAGED, EKEYREJECTED,
						     volume_is_ready(r) ? WAY_LOCKED : WAY_UNFINISHED);
		}
	}
	/* With a detached header the data is a file of its own. */
	if (ret_open == 0 && r->header_path && !volume_path_taken(r->path))
		ret_open = error_set(&why, ERROR_NOT_FOUND, ENOENT, "%s is not there, only its header", r->path);
	/* That it could not be asked is no news of the image. */
	if (ret_open < 0 && why.kind != ERROR_NOT_FOUND && why.kind != ERROR_DAMAGED && why.err != EMEDIUMTYPE)
		return error_pass(e, &why);
	if (ret_open < 0) {
		s.condition = why.kind == ERROR_NOT_FOUND ? VOLUME_MISSING : VOLUME_DAMAGED;
		snprintf(s.problem, sizeof(s.problem), "%.*s%s", (int)sizeof(s.problem) - 100, why.message,
			 s.condition == VOLUME_MISSING
				 ? ": mount its file system, or `kvmcrypt move` it to where it is now"
				 : "");
	}
	*ret = s;
	return 0;
}
