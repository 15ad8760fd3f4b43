#include "cmd/attach_output.h"

#include "cmd/output.h"
#include "lib/guest/at_rest.h"
#include "lib/guest/domains_dir.h"
#include "lib/guest/secret.h"

void volume_json_secret(struct json_object *o, const struct record *r, int registered)
{
	/* The kernel opens LUKS2, libvirt has no part in its key. */
	if (r->luks_version == 2) {
		json_object_object_add(o, "secret", NULL);
		return;
	}
	struct json_object *s = json_object_new_object();
	uuid_t uuid;
	guest_secret_uuid(r->uuid, uuid);
	put_uuid(s, "uuid", uuid);
	json_object_object_add(s, "registered", registered < 0 ? NULL : json_object_new_boolean(registered));
	json_object_object_add(o, "secret", s);
}

void attached_core(struct context *ctx, const char *domain, const struct guest_core *core)
{
	char where[256] = "goes into a core dump";
	if (!core->runs || !core->dumps)
		return;
	if (core->program[0])
		snprintf(where, sizeof(where), "is handed to %s", core->program);
	say(ctx,
	    "warning: should the QEMU of guest %s crash, its memory, keys included, %s: for now `prlimit --pid %ld "
	    "--core=1`, for good `kvmcrypt boot enable --no-core-dumps`",
	    domain, where, core->pid);
}

struct exposed {
	struct context *ctx;
	struct json_object *array;
};

static int add_exposed(void *opaque, const char *domain, const char *what, const char *path, const char *way)
{
	const struct exposed *x = opaque;
	struct json_object *o = json_object_new_object();
	put_text(o, "domain", domain);
	put_text(o, "what", what);
	put_text(o, "path", path);
	json_object_array_add(x->array, o);
	say(x->ctx, "warning: %s of guest %s is on a disk (%s): %s", what, domain, path, way);
	return 0;
}

bool attached_exposed(struct context *ctx, const char *domain, struct json_object *array)
{
	struct exposed x = { .ctx = ctx, .array = array };
	struct error why = { 0 };
	if (guest_at_rest(DOMAINS_DIR_DEFAULT, domain, add_exposed, &x, &why) == 0)
		return true;
	say_more(ctx, "%s", why.message);
	return false;
}

struct json_object *attached_json(const struct record *r, const struct volume_attached *a)
{
	struct json_object *o = json_object_new_object(), *d = json_object_new_object();
	put_uuid(o, "uuid", r->uuid);
	put_text(o, "path", r->path);
	put_text(d, "name", a->domain);
	put_uuid(d, "uuid", a->domain_uuid);
	json_object_object_add(o, "domain", d);
	put_text(o, "target", a->target[0] ? a->target : NULL);
	put_text(o, "bus", a->bus[0] ? a->bus : NULL);
	put_bool(o, "live", a->live);
	put_bool(o, "config", a->config);
	put_bool(o, "changed", a->changed);
	json_object_object_add(o, "core_dumps", a->core.runs ? json_object_new_boolean(a->core.dumps) : NULL);
	volume_json_secret(o, r, a->registered);
	return o;
}
