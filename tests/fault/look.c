#include "tests/fault/look.h"

#include <dirent.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_RECORDS 8

struct known_record {
	char path[PATH_MAX], header[PATH_MAX], state[32], passphrase[256];
	uint64_t size;
	int64_t generation;
	bool seen;
};

struct looker {
	const struct place *p;
	const char *keystore;
	const struct look_base *base;
	struct look_base *take;
	struct known_record record[MAX_RECORDS];
	size_t n;
	char *text;
};

__attribute__((format(printf, 2, 3))) static void say(struct looker *l, const char *format, ...)
{
	size_t n = strlen(l->text);
	va_list ap;
	va_start(ap, format);
	vsnprintf(l->text + n, LOOK_MAX - n, format, ap);
	va_end(ap);
}

/* Asks the program about this keystore. */
__attribute__((format(printf, 4, 5)))
static int ask(struct looker *l, char *ret, size_t size, const char *format, ...)
{
	char line[PATH_MAX * 3];
	va_list ap;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	size_t n = strlen(line);
	snprintf(line + n, sizeof(line) - n, " --keystore %s/%s", l->p->dir, l->keystore);
	return run_line(l->p, line, ret, size);
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;
	json_object_object_get_ex(o, key, &v);
	return v ? json_object_get_string(v) : "";
}

static void read_records(struct looker *l)
{
	static char out[65536];
	struct json_object *list = NULL, *luks = NULL;
	int code = ask(l, out, sizeof(out), "list --json");
	struct json_object *all = json_tokener_parse(out);
	if (code != 0 || !all || !json_object_object_get_ex(all, "volumes", &list)) {
		say(l, "!list: %d %s\n", code, out);
		json_object_put(all);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(list) && l->n < MAX_RECORDS; i++) {
		struct json_object *o = json_object_array_get_idx(list, i), *v = NULL;
		struct known_record *r = &l->record[l->n++];
		snprintf(r->path, sizeof(r->path), "%s", text_of(o, "path"));
		snprintf(r->state, sizeof(r->state), "%s", text_of(o, "state"));
		if (json_object_object_get_ex(o, "luks", &luks))
			snprintf(r->header, sizeof(r->header), "%s", text_of(luks, "header_path"));
		if (!r->header[0])
			memcpy(r->header, r->path, sizeof(r->path));
		if (json_object_object_get_ex(o, "size", &v))
			r->size = (uint64_t)json_object_get_int64(v);
		if (json_object_object_get_ex(o, "generation", &v))
			r->generation = json_object_get_int64(v);
		if (ask(l, r->passphrase, sizeof(r->passphrase), "passphrase show --yes %s", r->path) != 0)
			say(l, "!passphrase of %s: %s\n", r->path, r->passphrase);
	}
	json_object_put(all);
}

static void check_keystore(struct looker *l)
{
	static char out[65536];
	struct json_object *slots = NULL;
	int code = ask(l, out, sizeof(out), "keystore status --json");
	struct json_object *status = json_tokener_parse(out);
	if (code != 0 || !status || !json_object_object_get_ex(status, "slots", &slots)) {
		say(l, "!status: %d %s\n", code, out);
		json_object_put(status);
		return;
	}
	const char *root = text_of(status, "root_key_id");
	if (l->take)
		snprintf(l->take->root, sizeof(l->take->root), "%s", root);
	say(l, "keystore: root key %s, slots", !l->base || strcmp(root, l->base->root) ? "new" : "same");
	for (size_t i = 0; i < json_object_array_length(slots); i++)
		say(l, " %s", text_of(json_object_array_get_idx(slots, i), "type"));
	say(l, "\n");
	json_object_put(status);
	/* What it says is one line when it fails, or a row for each finding. */
	code = ask(l, out, sizeof(out), "keystore check -q");
	if (code != 0)
		say(l, "!check: %d %s\n", code, out);
}

static void look_at_keystore(struct looker *l, bool check)
{
	char seal[PATH_MAX * 2];
	snprintf(seal, sizeof(seal), "%s/%s/seal", l->p->dir, l->keystore);
	/* Of a directory without a seal the program says that it is none; an empty one is none. */
	if (access(seal, F_OK) < 0) {
		*strrchr(seal, '/') = 0;
		rmdir(seal);
		say(l, "no keystore\n");
		return;
	}
	if (check)
		check_keystore(l);
	read_records(l);
}

static void read_passphrase(struct passphrase *p, const char *name)
{
	FILE *f = fopen(name, "re");
	*p = (struct passphrase){ .name = name };
	if (!f)
		return;
	if (fgets(p->text, sizeof(p->text), f))
		p->text[strcspn(p->text, "\n")] = 0;
	fclose(f);
}

static void compare(struct looker *l, const char *path, const struct known_record *r, const struct volume_look *v)
{
	size_t i;
	for (i = 0; l->base && i < l->base->n && strcmp(l->base->volume[i].path, path) != 0; i++)
		;
	/* Moved, it is known by its key. */
	if (l->base && i == l->base->n)
		for (i = 0; i < l->base->n && memcmp(v->key, l->base->volume[i].look.key, VOLUME_KEY_MAX) != 0; i++)
			;
	if (!l->base || i == l->base->n) {
		say(l, " passphrase new, key new");
		return;
	}
	const struct volume_look *old = &l->base->volume[i].look;
	say(l, " passphrase %s, key %s", r && !strcmp(r->passphrase, l->base->volume[i].passphrase) ? "same" : "new",
	    v->key_len == old->key_len && !memcmp(v->key, old->key, old->key_len) ? "same" : "new");
	if (old->data && v->data)
		say(l, ", data %s", !memcmp(old->data, v->data, VOLUME_SAMPLE) ? "same" : "other");
}

static void look_at_volume(struct looker *l, const char *path, struct known_record *r)
{
	struct passphrase known[4] = { { .name = "ours" } };
	struct volume_look v;
	/* Nothing is opened by what is not known. */
	snprintf(known[0].text, sizeof(known[0].text), "%s", r ? r->passphrase : "");
	read_passphrase(&known[1], "old");
	read_passphrase(&known[2], "rec");
	read_passphrase(&known[3], "rec2");
	const char *wrong = volume_read(path, r ? r->path : path, known, 4, &v);
	/* What nobody says is ours may have anybody's keyslots. */
	if (r && strstr(v.slots, "unknown"))
		say(l, "!who opens a keyslot of this is not known:\n");
	say(l, "volume %s: %s, %llu of %llu bytes, keyslots %s,", path + strlen(l->p->dir) + 1,
	    r ? r->state : "no record", r ? (unsigned long long)r->size : 0, (unsigned long long)v.size, v.slots);
	if (wrong)
		say(l, r ? " !%s" : " %s", wrong);
	else if (r && !v.ours)
		say(l, " !the keystore's passphrase does not open it");
	else
		compare(l, path, r, &v);
	say(l, "\n");
	if (l->take && !wrong && l->take->n < 4) {
		size_t i = l->take->n++;
		snprintf(l->take->volume[i].path, PATH_MAX, "%s", path);
		snprintf(l->take->volume[i].passphrase, 64, "%.63s", r ? r->passphrase : "");
		l->take->volume[i].look = v;
	} else {
		free(v.data);
	}
	if (r)
		r->seen = true;
}

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), len = strlen(end);
	return n >= len && !strcmp(name + n - len, end);
}

/* Left out: what comes and goes with the store, and the copy that a restore makes of what it replaces. */
static int is_name(const struct dirent *e)
{
	const char *n = e->d_name;
	return strcmp(n, ".") != 0 && strcmp(n, "..") != 0 && !ends_in(n, "-wal") && !ends_in(n, "-shm") &&
	       strcmp(n, "workflow.lock") != 0 && strncmp(n, "before-restore-", 15) != 0;
}

/* A name with a time or random part in it is another each time. */
static void say_name(struct looker *l, const char *name)
{
	char plain[PATH_MAX];
	size_t n = 0;
	for (const char *c = name; *c; c++) {
		bool digit = *c >= '0' && *c <= '9';
		if (!digit || n == 0 || plain[n - 1] != '#')
			plain[n++] = digit ? '#' : *c;
	}
	plain[n] = 0;
	say(l, "file %s\n", plain);
}

static void look_at_files(struct looker *l, const char *dir)
{
	struct dirent **e;
	struct stat st;
	int n = scandir(dir, &e, is_name, alphasort);
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX * 2];
		size_t r;
		snprintf(path, sizeof(path), "%s/%s", dir, e[i]->d_name);
		free(e[i]);
		if (lstat(path, &st) < 0)
			continue;
		for (r = 0; r < l->n && strcmp(l->record[r].header, path) != 0; r++)
			;
		bool keystores = !strncmp(path + strlen(l->p->dir) + 1, l->keystore, strlen(l->keystore));
		if (S_ISDIR(st.st_mode))
			look_at_files(l, path);
		else if (!keystores && strcmp(path + strlen(path) - 5, "/seal") != 0 && volume_is_one(path))
			look_at_volume(l, path, r < l->n ? &l->record[r] : NULL);
		else
			say_name(l, path + strlen(l->p->dir) + 1);
	}
	if (n >= 0)
		free(e);
}

static void look(const struct place *p, const char *keystore, const struct look_base *base, struct look_base *take,
		 bool check, char *ret)
{
	struct looker *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	*l = (struct looker){ .p = p, .keystore = keystore, .base = base, .take = take, .text = ret };
	ret[0] = 0;
	look_at_keystore(l, check);
	look_at_files(l, p->dir);
	for (size_t i = 0; i < l->n; i++)
		if (!l->record[i].seen)
			say(l, "record of %s: %s, without a header\n", l->record[i].path + strlen(p->dir) + 1,
			    l->record[i].state);
	free(l);
}

void look_at(const struct place *p, const char *keystore, const struct look_base *base, bool check, char *ret)
{
	look(p, keystore, base, NULL, check, ret);
}

void look_base_take(const struct place *p, const char *keystore, struct look_base *ret)
{
	static char text[LOOK_MAX];
	*ret = (struct look_base){ 0 };
	look(p, keystore, NULL, ret, true, text);
}

void look_base_free(struct look_base *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->volume[i].look.data);
	*b = (struct look_base){ 0 };
}

const char *look_without_store(const char *text)
{
	return strncmp(text, "keystore: ", 10) ? text : strchr(text, '\n') + 1;
}

bool look_is_sound(const char *text)
{
	/* "volume v.raw: ready, …" */
	for (const char *line = strstr(text, "volume "); line; line = strstr(line + 1, "\nvolume ")) {
		const char *state = strchr(line, ':');
		if (strncmp(state, ": ready,", 8) != 0 && strncmp(state, ": no record,", 12) != 0)
			return false;
	}
	const char *headless = strstr(text, "\nrecord of ");
	return !strchr(text, '!') && (!headless || strstr(headless, ": ready,"));
}

/* The line of text that begins as this one does up to its colon, "" if none. */
static void find_line(const char *text, const char *like, char *ret)
{
	size_t n = strcspn(like, ":\n");
	ret[0] = 0;
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, like, n) && (line[n] == ':' || line[n] == '\n'))
			snprintf(ret, 1024, "%.*s", (int)strcspn(line, "\n"), line);
}

/* The N-th of the points ", " apart. */
static size_t point(const char *line, size_t n, const char **ret)
{
	const char *end;
	for (; n && line; n--, line = line ? line + 2 : NULL)
		line = strstr(line, ", ");
	*ret = line ? line : "";
	end = line ? strstr(line, ", ") : NULL;
	return end ? (size_t)(end - line) : strlen(*ret);
}

static bool same_point(const char *a, const char *b, size_t n)
{
	const char *x, *y;
	size_t len = point(a, n, &x);
	return point(b, n, &y) == len && !memcmp(x, y, len);
}

bool look_is_between(const char *text, const char *before, const char *after)
{
	char now[1024], x[1024], y[1024];
	const char *end;
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		snprintf(now, sizeof(now), "%.*s", (int)strcspn(line, "\n"), line);
		find_line(before, line, x);
		find_line(after, line, y);
		if (!x[0] || !y[0])
			return false;
		for (size_t n = 0; n == 0 || (point(now, n, &end) && end[0]); n++)
			if (!same_point(now, x, n) && !same_point(now, y, n))
				return false;
	}
	return true;
}
