/* kvmcrypt load, unload: the keys of volumes into and out of libvirt, without touching domains. */
#include "cmd/attach_output.h"
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/volumes.h"
#include "lib/guest/secrets_dir.h"
#include "lib/serve/load.h"

#include <errno.h>
#include <stdio.h>

struct load_options {
	bool all, ram, start, dry_run;
	const char *secrets_dir;
};

#define ALL                                                                                               \
	{ "all", OPTION_FLAG, offsetof(struct load_options, all), NULL, "every volume of the keystore", NULL, \
	  COMPLETE_NONE, 0 }
#define RAM(help)                                                                                         \
	{ "ram", OPTION_FLAG, offsetof(struct load_options, ram), NULL, help, NULL, COMPLETE_NONE, 0 },   \
	{ "secrets-dir", OPTION_TEXT, offsetof(struct load_options, secrets_dir), "DIR",                  \
	  "with --ram: the daemon's directory of secrets (/etc/libvirt/secrets)", NULL, COMPLETE_FILE, 0 }

static const struct option_spec load_options[] = {
	ALL,
	RAM("before libvirt's daemon starts: mount a ramfs on its directory of secrets and put them there"),
	{ "start", OPTION_FLAG, offsetof(struct load_options, start), NULL,
	  "start the guests that are marked for autostart and waited for a key (of all volumes if none is named)", NULL,
	  COMPLETE_NONE, 0 },
	OPTION_DRY_RUN(struct load_options),
	{ 0 },
};

static const struct option_spec unload_options[] = {
	ALL,
	RAM("while libvirt's daemon is stopped: unmount the ramfs that load --ram has mounted"),
	OPTION_DRY_RUN(struct load_options),
	{ 0 },
};

static const struct column columns[] = {
	{ "path", "PATH", SHOW_PLAIN },	      { "secret.registered", "REGISTERED", SHOW_PLAIN },
	{ "changed", "CHANGED", SHOW_PLAIN }, { "error", "ERROR", SHOW_PLAIN },
	{ NULL, NULL, SHOW_PLAIN },
};

struct walk {
	struct output_list *list;
	struct context *ctx;
	bool load, dry_run, ram;
	struct json_object *started;
};

static int add_row(void *opaque, const struct volume_loaded *l)
{
	struct walk *w = opaque;
	struct json_object *row = json_object_new_object();
	bool failed = l->error.kind != ERROR_NONE;
	bool now = w->dry_run ? w->load != l->changed : w->load;
	put_uuid(row, "uuid", l->record->uuid);
	put_text(row, "path", l->record->path);
	volume_json_secret(row, l->record, failed ? -1 : now);
	put_bool(row, "changed", l->changed);
	put_text(row, "error", failed ? l->error.message : NULL);
	/* The table of a boot goes nowhere; each failure is a line of the journal. */
	if (failed && w->ram)
		say(w->ctx, "%s", l->error.message);
	return output_list_add(w->list, row);
}

static int add_started(void *opaque, const struct volume_started *s)
{
	struct walk *w = opaque;
	struct json_object *o = json_object_new_object();
	put_text(o, "name", s->domain);
	put_uuid(o, "uuid", s->uuid);
	put_bool(o, "started", s->started);
	put_text(o, "error", s->error.kind ? s->error.message : NULL);
	json_object_array_add(w->started, o);
	if (s->error.kind)
		say(w->ctx, "%s", s->error.message);
	else
		say(w->ctx, s->started ? "domain %s started" : "domain %s would be started", s->domain);
	return 0;
}

static int check_usage(const struct load_options *o, size_t n, bool load, struct error *e)
{
	if (o->all && n)
		return error_set(e, ERROR_USAGE, EINVAL, "give either --all or the volumes");
	if (!o->all && !n && !o->start)
		return error_set(e, ERROR_USAGE, EINVAL, "give either --all or the volumes");
	if (o->ram && o->start)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "--ram and --start exclude each other: libvirt's daemon, when it starts, starts the "
				 "guests");
	if (o->secrets_dir && !o->ram)
		return error_set(e, ERROR_USAGE, EINVAL, "--secrets-dir goes with --ram");
	if (o->ram && !load && n)
		return error_set(e, ERROR_USAGE, EINVAL, "unload --ram is for --all: the whole directory goes");
	return 0;
}

/* Without a daemon the directory is made ready, or left, even if the keystore stays closed. */
static int run_offline(struct context *ctx, const struct volume_load *p, struct keystore *ks,
		       const struct error *closed, struct error *e)
{
	const struct volume_env env = environment(ctx, ks);
	return p->load ? volume_load_before(&env, p, closed, e) : volume_unload_after(&env, p, closed, e);
}

static int load(struct context *ctx, struct volume_load *p, char **operands, size_t n, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	AUTOVOLUMES struct volume_list named = { 0 };
	struct error closed = { 0 };
	bool online;
	int r = volume_load_where(p, &online, e);
	if (r < 0)
		return r;
	r = p->load ? person_unsealed_keystore(ctx, &ks, &closed) : person_open_keystore(ctx, &ks, &closed);
	if (r == 0 && p->load)
		person_note_pin(ctx, ks);
	if (r < 0 && !online && !(p->load && closed.kind == ERROR_NOT_FOUND))
		return run_offline(ctx, p, NULL, &closed, e);
	if (r < 0)
		return error_pass(e, &closed);
	if (n && (r = volumes_chosen(ctx, ks, false, operands, n, NULL, &named, e)) < 0)
		return r;
	p->named = n ? &named : NULL;
	if (!online)
		return run_offline(ctx, p, ks, NULL, e);
	const struct volume_env env = environment(ctx, ks);
	r = environment_connect(ctx, &g, e);
	return r < 0 ? r : volume_load_online(&env, g, p, e);
}

static int run(struct context *ctx, struct load_options *o, char **operands, size_t n, bool is_load, struct error *e)
{
	struct walk w = { .ctx = ctx, .load = is_load, .dry_run = o->dry_run, .ram = o->ram };
	int r = check_usage(o, n, is_load, e);
	if (r < 0)
		return r;
	struct volume_load p = {
		.load = is_load,
		.start = o->start,
		.ram = o->ram,
		.dry_run = o->dry_run,
		.secrets_dir = o->secrets_dir ? o->secrets_dir : SECRETS_DIR_DEFAULT,
		.loaded = add_row,
		.started = add_started,
		.ctx = &w,
	};
	struct json_object *extra = json_object_new_object();
	w.started = json_object_new_array();
	r = output_list_begin(ctx, "volumes", columns, &w.list, e);
	if (r == 0)
		r = load(ctx, &p, operands, n, e);
	if (r == 0 && o->start && !json_object_array_length(w.started))
		say(ctx, "no guest was waiting for a key");
	json_object_object_add(extra, "started", w.started);
	json_object_object_add(extra, "ram",
			       o->ram ? json_object_new_boolean(secrets_dir_is_mounted(p.secrets_dir)) : NULL);
	if (w.list)
		return output_list_end(w.list, r, is_load ? extra : (json_object_put(extra), NULL), e);
	json_object_put(extra);
	return r;
}

static int run_load(struct context *ctx, void *o, char **operands, size_t n, struct error *e)
{
	return run(ctx, o, operands, n, true, e);
}

static int run_unload(struct context *ctx, void *o, char **operands, size_t n, struct error *e)
{
	return run(ctx, o, operands, n, false, e);
}

static const struct operand_spec operands[] = { { "VOLUME", true, true, COMPLETE_VOLUME, NULL }, { 0 } };

const struct command command_load = {
	.name = "load",
	.group = GROUP_GUESTS,
	.summary = "register the secrets of volumes with libvirt",
	.description = "Gives libvirt the keys of the named volumes, or of all, so that guests that have them as "
		       "disks can start. A volume that fails does not stop the others. With --ram this is done "
		       "before libvirt's daemon starts, in memory; with --start the guests that waited for a key "
		       "are started.",
	.operands = operands,
	.options = load_options,
	.options_size = sizeof(struct load_options),
	.run = run_load,
};

const struct command command_unload = {
	.name = "unload",
	.group = GROUP_GUESTS,
	.summary = "make libvirt forget the secrets of volumes",
	.description = "Undefines the secrets of the named volumes, or of all. A running guest goes on; its next "
		       "start fails until `kvmcrypt load`. Works while the keystore is sealed.",
	.operands = operands,
	.options = unload_options,
	.options_size = sizeof(struct load_options),
	.run = run_unload,
};
