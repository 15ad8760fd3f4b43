#include "lib/workflow/live_copy.h"

#include "lib/guest/blockcopy.h"
#include "lib/volume/layers.h"

#include <errno.h>

int live_copy_check(const struct container *c, const char *path, struct error *e)
{
	if (!container_info(c)->qcow2.n_snapshots)
		return 0;
	return error_set(e, ERROR_FAILED, EOPNOTSUPP,
			 "%s has internal snapshots, which a copy under a running guest would lose: stop the guest "
			 "first",
			 path);
}

static int start(struct flow *f, const char *to, struct error *e)
{
	CLEANUP(layers_clear) struct layers layers = { 0 };
	int r = layers_find(f->env->ks, f->record, &layers, e);
	if (r < 0)
		return r;
	layers.guest[0].path = to;
	const struct guest_disk disk = {
		.layers = layers.guest, .n_layers = layers.n, .target = f->target, .bus = "virtio",
	};
	return guest_copy_start(f->guest, &disk, e);
}

int live_copy_run(struct flow *f, const struct live_copy *c, struct error *e)
{
	int r = start(f, c->to, e);
	if (r < 0)
		return r;
	r = guest_copy_wait(f->guest, f->target, c->doing, f->env->progress, e);
	if (r == 0) {
		c->pivoting(f->record);
		r = flow_store(f, c->action, e);
	}
	if (r < 0) {
		guest_copy_abort(f->guest, f->target);
		return r;
	}
	return guest_copy_pivot(f->guest, f->target, e);
}

int live_copy_look(struct flow *f, const char *to, bool *ret_used, bool *ret_copying, struct error *e)
{
	struct guest_domain_xml xml = { 0 };
	int r = guest_domain_xml(f->guest, &xml, e);
	if (r < 0)
		return r;
	*ret_used = guest_disk_mentions(xml.live, to, false) || guest_disk_mentions(xml.config, to, false);
	*ret_copying = guest_disk_mentions(xml.live, to, true);
	guest_domain_xml_clear(&xml);
	return 0;
}
