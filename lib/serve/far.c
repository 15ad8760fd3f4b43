#include "lib/serve/far.h"

#include "lib/guest/far.h"
#include "lib/volume/internal.h"

#include <errno.h>

/* So much has every header that we make in a qcow2 file with clusters of the usual size; a record knows better. */
#define HEAD_MIN (4ull * 1024 * 1024)
#define HEAD_MAX (256ull * 1024 * 1024)

static int check_one(struct guest_connection *g, const struct record *r, struct error *e)
{
	AUTOCONTAINER struct container *c = NULL;
	AUTOCLOSE int fd = -1;
	struct error why = { 0 };
	uint64_t want = r->geometry.header_offset + r->geometry.header_length;
	want = want < HEAD_MIN ? HEAD_MIN : want > HEAD_MAX ? HEAD_MAX : want;
	int result = guest_far_head(g, r->path, want, &fd, e);
	if (result < 0)
		return result;
	result = container_look(fd, r->path, volume_image_format(r), &c, &why);
	if (result == 0)
		result = volume_check_binding(r, luks_info(container_luks(c)), &why);
	if (result == 0)
		return 0;
	if (why.err == ENOMEM)
		return error_pass(e, &why);
	return error_set(e, ERROR_DAMAGED, EBADMSG, "on the host of %s: %.800s", g->uri, why.message);
}

int far_check(struct guest_connection *g, const struct layers *layers, struct error *e)
{
	for (size_t i = 0; i < layers->n_records; i++) {
		int r = check_one(g, layers->records[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}
