#include "keystore/record/record.h"

#include "base/list.h"

#include <string.h>
#include <time.h>

int record_new(struct record **ret, struct error *e)
{
	struct record *r = calloc(1, sizeof(*r));
	if (!r)
		return error_oom(e);
	uuid_generate_random(r->uuid);
	r->generation = 1;
	r->state = RECORD_READY;
	r->created = r->rotated = time(NULL);
	*ret = r;
	return 0;
}

static void domain_clear(struct record_domain *d)
{
	free(d->name);
	free(d->target);
}

void record_work_clear(struct record_work *w)
{
	for (size_t i = 0; i < w->n_files; i++)
		free(w->files[i].path);
	free(w->files);
	free(w->params);
	free(w->disposal);
	free(w->newer);
	*w = (struct record_work){ 0 };
}

int record_work_file(struct record_work *w, uint32_t role, const char *path, uint64_t dev, uint64_t inode,
		     struct error *e)
{
	for (size_t i = 0; i < w->n_files; i++) {
		struct record_file *f = &w->files[i];
		if (f->role == role && !strcmp(f->path, path)) {
			f->dev = dev;
			f->inode = inode;
			return 0;
		}
	}
	AUTOFREE char *copy = strdup(path);
	if (!copy || !list_grow(w->files, w->n_files))
		return error_oom(e);
	w->files[w->n_files++] = (struct record_file){
		.role = role, .dev = dev, .inode = inode, .path = TAKE_PTR(copy),
	};
	return 0;
}

void record_free(struct record *r)
{
	if (!r)
		return;
	char *const texts[] = {
		r->path, r->header_path, r->beside, r->backing, r->integrity, r->parent_format, r->snapshot,
		r->backup.checkpoint, r->backup.digest, r->placement, r->moved, r->hash,
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	record_work_clear(&r->work);
	free(r->unknown);
	secret_free(r->sealed_unknown);
	for (size_t i = 0; i < r->n_domains; i++)
		domain_clear(&r->domains[i]);
	free(r->domains);
	secret_free(r->passphrase);
	secret_free(r->pending);
	secret_free(r->volume_key);
	secret_free(r->next_volume_key);
	secret_wipe(&r->geometry, sizeof(r->geometry));
	free(r->envelope);
	free(r);
}

int record_add_domain(struct record *r, const uuid_t domain, const char *name, const char *target,
		      struct error *e)
{
	AUTOFREE char *new_name = strdup(name);
	AUTOFREE char *new_target = strdup(target);
	if (!new_name || !new_target)
		return error_oom(e);
	for (size_t i = 0; i < r->n_domains; i++) {
		struct record_domain *d = &r->domains[i];
		if (uuid_compare(d->uuid, domain) == 0 && !strcmp(d->target, target)) {
			free(d->name);
			d->name = TAKE_PTR(new_name);
			return 0;
		}
	}
	if (!list_grow(r->domains, r->n_domains))
		return error_oom(e);
	struct record_domain *d = &r->domains[r->n_domains++];
	uuid_copy(d->uuid, domain);
	d->name = TAKE_PTR(new_name);
	d->target = TAKE_PTR(new_target);
	return 0;
}

int record_remove_domain(struct record *r, const uuid_t domain, const char *target)
{
	size_t kept = 0;
	for (size_t i = 0; i < r->n_domains; i++) {
		struct record_domain *d = &r->domains[i];
		if (uuid_compare(d->uuid, domain) == 0 && (!target || !strcmp(d->target, target)))
			domain_clear(d);
		else
			r->domains[kept++] = *d;
	}
	int removed = kept != r->n_domains;
	r->n_domains = kept;
	return removed;
}

const char *record_state_name(enum record_state s)
{
	static const char *const names[] = {
		[RECORD_READY] = "ready",	  [RECORD_CREATING] = "creating",
		[RECORD_IMPORTING] = "importing", [RECORD_ROTATING] = "rotating",
		[RECORD_CONVERTING] = "converting", [RECORD_ERASING] = "erasing",
		[RECORD_RESIZING] = "resizing",
		[RECORD_PIVOTING] = "converting",
		[RECORD_RETIRING] = "rotating",
		[RECORD_LINKED] = "ready",
		[RECORD_MOVING] = "moving",
		[RECORD_MOVED_IN_PLACE] = "moving",
	};
	return (unsigned)s < ARRAY_LEN(names) && names[s] ? names[s] : "unknown";
}

const char *record_format_name(enum record_format f)
{
	return f == RECORD_FORMAT_RAW ? "raw" : f == RECORD_FORMAT_QCOW2 ? "qcow2" : "unknown";
}
