/* kvmcrypt load, unload: the keys of volumes into and out of libvirt, without touching domains. */
#include "cmd/attach_output.h"
#include "cmd/commands.h"
#include "cmd/environment.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "lib/guest/secrets_dir.h"

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
	size_t n, n_failed;
	struct json_object *started;
	struct error *e;
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
	w->n++;
	w->n_failed += failed;
	/* The table of a boot goes nowhere; each failure is a line of the journal. */
	if (failed && w->ram)
		say(w->ctx, "%s", l->error.message);
	return output_list_add(w->list, row, w->e);
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

static int find_all(struct context *ctx, struct keystore *ks, char **operands, size_t n, uuid_t **ret, size_t *ret_n,
		    struct error *e)
{
	uuid_t *uuids = calloc(n, sizeof(uuid_t));
	if (!uuids)
		return error_oom(e);
	for (size_t i = 0; i < n; i++) {
		AUTORECORD struct record *r = NULL;
		int result = environment_find(ctx, ks, operands[i], &r, e);
		if (result < 0) {
			free(uuids);
			return result;
		}
		uuid_copy(uuids[i], r->uuid);
	}
	*ret = uuids;
	*ret_n = n;
	return 0;
}

/* The volumes meant: named, all, or with --ram those that domains of this host have. */
static int volumes_meant(struct context *ctx, struct keystore *ks, const struct load_options *o, char **operands,
			 size_t n, uuid_t **ret, size_t *ret_n, struct error *ret_damaged, struct error *e)
{
	AUTOFREE char *configurations = NULL;
	if (n)
		return find_all(ctx, ks, operands, n, ret, ret_n, e);
	if (o->ram && asprintf(&configurations, "%s/../qemu", o->secrets_dir) < 0) {
		configurations = NULL;
		return error_oom(e);
	}
	return volume_all(ks, configurations, ret, ret_n, ret_damaged, e);
}

/* Through libvirt's daemon. */
static int run_online(struct context *ctx, const struct load_options *o, char **operands, size_t n, struct walk *w)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOGUEST struct guest_connection *g = NULL;
	AUTOFREE uuid_t *uuids = NULL;
	size_t n_uuids = 0;
	struct error damaged = { 0 };
	struct error *e = w->e;
	int r = w->load ? person_unsealed_keystore(ctx, &ks, e) : person_open_keystore(ctx, &ks, e);
	if (r == 0)
		r = volumes_meant(ctx, ks, o, operands, n, &uuids, &n_uuids, &damaged, e);
	if (r == 0)
		r = environment_connect(ctx, &g, e);
	if (r == 0)
		r = output_list_begin(ctx, "volumes", columns, &w->list, e);
	if (r < 0)
		return r;
	struct volume_env env = environment(ctx, ks);
	r = w->load ? volume_load(&env, g, uuids, n_uuids, o->dry_run, add_row, w, e)
		    : volume_unload(&env, g, uuids, n_uuids, o->dry_run, add_row, w, e);
	if (r == 0 && damaged.kind)
		r = error_pass(e, &damaged);
	/* A volume that failed keeps no guest of the others waiting. */
	if (o->start) {
		struct error why = { 0 };
		int started = volume_start_guests(g, uuids, n_uuids, o->dry_run, add_started, w, &why);
		if (started == 0 && !json_object_array_length(w->started))
			say(ctx, "no guest was waiting for a key");
		if (r == 0 && started < 0)
			r = error_pass(e, &why);
	}
	return r;
}

static void print_note(void *context, const char *text)
{
	say(context, "note: %s", text);
}

/*
 * Into the directory of a daemon that does not run yet. Whatever fails, what others have in it is
 * there when the daemon starts, and it is in memory for the keys that come later.
 */
static int load_before(struct context *ctx, const struct load_options *o, char **operands, size_t n, struct walk *w)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOSECRETSDIR struct secrets_dir *dir = NULL;
	AUTOFREE uuid_t *uuids = NULL;
	size_t n_uuids = 0;
	struct error damaged = { 0 }, why = { 0 };
	struct error *e = w->e;
	int r = person_unsealed_keystore(ctx, &ks, e);
	if (r < 0 && e->kind == ERROR_NOT_FOUND)
		return r;
	bool unsealed = r == 0;
	if (unsealed)
		r = volumes_meant(ctx, ks, o, operands, n, &uuids, &n_uuids, &damaged, e);
	int begun = o->dry_run ? 0 : secrets_dir_begin(o->secrets_dir, print_note, ctx, &dir, &why);
	if (begun < 0)
		return error_pass(e, &why);
	if (r == 0)
		r = output_list_begin(ctx, "volumes", columns, &w->list, e);
	if (r == 0) {
		struct volume_env env = environment(ctx, ks);
		r = volume_load_ram(&env, dir, o->secrets_dir, uuids, n_uuids, add_row, w, e);
	}
	if (dir && secrets_dir_commit(dir, &why) < 0)
		return error_pass(e, &why);
	if (r == 0 && damaged.kind)
		r = error_pass(e, &damaged);
	if (r < 0 && !unsealed)
		return error_prefix(e, "guests with encrypted disks wait: `kvmcrypt unseal`, then `kvmcrypt load "
				       "--start`");
	if (r < 0)
		return error_prefix(e, "guests of %zu of %zu volumes wait: put it right, then `kvmcrypt load --start`",
				    w->n_failed + (damaged.kind != ERROR_NONE), w->n + (damaged.kind != ERROR_NONE));
	return 0;
}

static int unload_after(struct context *ctx, const struct load_options *o, char **operands, size_t n, struct walk *w)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	AUTOFREE uuid_t *uuids = NULL;
	size_t n_uuids = 0;
	struct error damaged = { 0 }, why = { 0 };
	bool was = false;
	int r = person_open_keystore(ctx, &ks, w->e);
	if (r == 0)
		r = volumes_meant(ctx, ks, o, operands, n, &uuids, &n_uuids, &damaged, w->e);
	if (r == 0)
		r = output_list_begin(ctx, "volumes", columns, &w->list, w->e);
	if (r == 0) {
		struct volume_env env = environment(ctx, ks);
		r = volume_unload_ram(&env, o->secrets_dir, uuids, n_uuids, o->dry_run, add_row, w, w->e);
	}
	/* What others have there is saved also when the keystore is damaged. */
	if (!o->dry_run && secrets_dir_leave(o->secrets_dir, &was, &why) < 0 && r == 0)
		r = error_pass(w->e, &why);
	return r;
}

/* With --ram: a daemon that runs has its directory in memory, and is asked, or there is none. */
static int run_ram(struct context *ctx, const struct load_options *o, char **operands, size_t n, struct walk *w)
{
	bool runs;
	int r = secrets_dir_daemon_runs(&runs, w->e);
	if (r < 0)
		return r;
	if (runs && (!w->load || !secrets_dir_is_mounted(o->secrets_dir)))
		return secrets_dir_check_stopped(o->secrets_dir, w->e);
	if (runs)
		return run_online(ctx, o, operands, n, w);
	return w->load ? load_before(ctx, o, operands, n, w) : unload_after(ctx, o, operands, n, w);
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

static int run(struct context *ctx, struct load_options *o, char **operands, size_t n, bool load, struct error *e)
{
	struct walk w = { .ctx = ctx, .load = load, .dry_run = o->dry_run, .ram = o->ram, .e = e };
	int r = check_usage(o, n, load, e);
	if (r < 0)
		return r;
	if (!o->secrets_dir)
		o->secrets_dir = SECRETS_DIR_DEFAULT;
	struct json_object *extra = json_object_new_object();
	w.started = json_object_new_array();
	r = o->ram ? run_ram(ctx, o, operands, n, &w) : run_online(ctx, o, operands, n, &w);
	json_object_object_add(extra, "started", w.started);
	json_object_object_add(extra, "ram",
			       o->ram ? json_object_new_boolean(secrets_dir_is_mounted(o->secrets_dir)) : NULL);
	if (w.list)
		return output_list_end(w.list, r, load ? extra : (json_object_put(extra), NULL), e);
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
