#include "lib/posture/harden/internal.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void harden_report_clear(struct harden_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->changes[i].path);
		free(r->changes[i].what);
	}
	free(r->changes);
	free(r->left);
	*r = (struct harden_report){ 0 };
}

static int add_change(struct harden_report *r, const struct posture_check *c, enum harden_when when, const char *path,
		      const char *what, struct error *e)
{
	/* One file may mend several. */
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->changes[i].path, path) && !strcmp(r->changes[i].what, what))
			return 0;
	struct harden_change *more = realloc(r->changes, (r->n + 1) * sizeof(*more));
	if (!more)
		return error_oom(e);
	r->changes = more;
	r->changes[r->n++] = (struct harden_change){ c, when, strdup(path), strdup(what) };
	return r->changes[r->n - 1].path && r->changes[r->n - 1].what ? 0 : error_oom(e);
}

static int add_left(struct harden_report *r, const struct posture_check *c, struct error *e)
{
	const struct posture_check **more = realloc(r->left, (r->n_left + 1) * sizeof(*more));
	if (!more)
		return error_oom(e);
	r->left = more;
	r->left[r->n_left++] = c;
	return 0;
}

struct run {
	struct host *host;
	struct json_object *kept;
	bool dry_run;
	bool conf_changed[HOST_CONFS];
	struct harden_report *report;
};

/* Into what will be written; nothing is written yet. 1: it is a change. */
static int set_conf(struct run *run, const struct posture_check *c, const struct fix *f, struct error *e)
{
	AUTOFREE char *now = NULL;
	char what[256];
	long n = 0;
	int r = host_conf_get(run->host, f->conf, f->key, &now, e);
	if (r == 0)
		r = host_conf_count(run->host, f->conf, f->key, &n, e);
	if (r < 0)
		return r;
	if (f->value ? now && !strcmp(now, f->value) : r == 0)
		return 0;
	r = host_conf_set(run->host, f->conf, f->key, f->value, e);
	if (r < 0)
		return r;
	run->conf_changed[f->conf] = true;
	snprintf(what, sizeof(what), f->value ? "%s = %s" : "%s: libvirt's default", f->key, f->value);
	r = add_change(run->report, c, f->when, host_conf_path(f->conf), what, e);
	return r < 0 ? r : 1;
}

static bool same_text(const struct host *h, const char *path, const char *text)
{
	char file[4096];
	AUTOFREE char *now = NULL;
	return file_read_text(host_path(h, path, file, sizeof(file)), &now, NULL) == 0 && !strcmp(now, text);
}

static int write_file(struct run *run, const struct posture_check *c, const struct fix *f, struct error *e)
{
	bool changed = !same_text(run->host, f->path, f->content);
	int r = changed && !run->dry_run ? kept_replace(run->host, run->kept, f->path, f->content, &changed, e) : 0;
	if (r == 0 && changed)
		r = add_change(run->report, c, f->when, f->path, "written", e);
	return r < 0 ? r : changed;
}

static int set_parameter(struct run *run, const struct posture_check *c, const struct fix *f, struct error *e)
{
	char path[256], what[64];
	bool changed = false;
	snprintf(path, sizeof(path), "/proc/sys/%s", f->key);
	snprintf(what, sizeof(what), "%s", f->value);
	if (run->dry_run) {
		AUTOFREE char *now = NULL;
		if (!run->host->running || access(path, F_OK) < 0 || file_read_text(path, &now, NULL) < 0)
			return 0;
		changed = strncmp(now, f->value, strlen(f->value)) != 0;
	}
	int r = run->dry_run ? 0 : kept_set(run->host, run->kept, f->key, f->value, &changed, e);
	if (r == 0 && changed)
		r = add_change(run->report, c, f->when, path, what, e);
	return r < 0 ? r : changed;
}

/* Does it have a fix on this host? 1: yes, done (or, in a dry run, told). */
static int mend(struct run *run, const struct posture_check *c, struct error *e)
{
	int r = 0;
	bool has = false;
	for (const struct fix *f = harden_fixes; r >= 0 && f->id; f++) {
		if (strcmp(f->id, c->id) != 0 || (f->fits && !f->fits(run->host)))
			continue;
		has = true;
		r = f->kind == FIX_CONF	  ? set_conf(run, c, f, e)
		    : f->kind == FIX_FILE ? write_file(run, c, f, e)
					  : set_parameter(run, c, f, e);
	}
	return r < 0 ? r : has;
}

/* Each of libvirt's files once, with all its keys. */
static int write_confs(struct run *run, struct error *e)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < HOST_CONFS; i++) {
		AUTOFREE char *text = NULL;
		bool changed;
		if (!run->conf_changed[i])
			continue;
		r = host_conf_text(run->host, (enum host_conf)i, &text, e);
		if (r == 0 && !run->dry_run)
			r = kept_replace(run->host, run->kept, host_conf_path((enum host_conf)i), text, &changed, e);
	}
	return r;
}

/* The fixes of one finding; what has none, or was mended and waits for a start, stays with the person. */
static int mend_finding(struct run *run, const struct posture_finding *f, struct error *e)
{
	if (f->verdict < POSTURE_WARN)
		return 0;
	int r = mend(run, f->check, e);
	return r == 0 ? add_left(run->report, f->check, e) : r < 0 ? r : 0;
}

int harden_run(const struct harden_params *p, struct harden_report *ret, struct error *e)
{
	AUTOPOSTURE struct posture_report found = { 0 };
	AUTOHOST struct host *h = NULL;
	AUTOJSON struct json_object *kept = NULL;
	const struct posture_params look = {
		.root = p->root,
		.connect = p->connect,
		.keystore = p->keystore,
		.which = p->which,
		.n_which = p->n_which,
	};
	int r = posture_run(&look, &found, e);
	if (r == 0)
		r = host_open(p->root, p->connect, NULL, 0, &h, e);
	if (r == 0 && h->running && !h->local)
		r = error_set(e, ERROR_REFUSED, EREMOTE, "libvirt is another host's: run this there");
	if (r == 0)
		r = kept_read(h, &kept, e);
	struct run run = { .host = h, .kept = kept, .dry_run = p->dry_run, .report = ret };
	for (size_t i = 0; r == 0 && i < found.n; i++)
		r = mend_finding(&run, &found.findings[i], e);
	return r < 0 ? r : write_confs(&run, e);
}

/* What will be put back, for a person. */
static int tell(struct json_object *kept, const char *list, const char *what, struct harden_report *ret,
		struct error *e)
{
	struct json_object *entries = NULL, *path = NULL;
	int r = 0;
	if (!json_object_object_get_ex(kept, list, &entries))
		return 0;
	for (size_t i = 0; r == 0 && i < json_object_array_length(entries); i++)
		if (json_object_object_get_ex(json_object_array_get_idx(entries, i), "path", &path))
			r = add_change(ret, NULL, HARDEN_NOW, json_object_get_string(path), what, e);
	return r;
}

int harden_undo(const char *root, bool dry_run, struct harden_report *ret, struct error *e)
{
	AUTOJSON struct json_object *kept = NULL;
	/* Only paths are asked of it. */
	struct host h = { .root = root ? root : "", .running = !root, .local = true };
	int r = kept_read(&h, &kept, e);
	if (r == 0)
		r = kept_check(&h, kept, e);
	if (r == 0)
		r = tell(kept, "files", "put back", ret, e);
	if (r == 0)
		r = tell(kept, "kernel", "put back", ret, e);
	return r < 0 || dry_run ? r : kept_restore(&h, kept, e);
}
