/* Which files go from where to where, and how: what a person said, against what lies there. */
#include "lib/workflow/move/internal.h"

#include "base/file.h"
#include "lib/image/file/copy.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The files of a piece in the record; a header's have HEADER added. */
enum { FROM = 1, TO, COPY, ASIDE, HEADER = 8 };
/* Bits of record.work.step beside the way of the data: that of the header. */
#define HEADER_SHIFT 4
#define HOW_MASK 15u

void move_clear(void *state)
{
	struct move_state *s = state;
	for (size_t i = 0; i < s->n; i++) {
		free(s->pieces[i].from);
		free(s->pieces[i].to);
		free(s->pieces[i].copy);
		free(s->pieces[i].aside);
		if (s->pieces[i].fd > 0)
			close(s->pieces[i].fd);
	}
	container_free(s->image);
	if (s->data > 0)
		close(s->data);
}

const struct move_piece *move_piece_of(const struct move_state *s, bool header)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->pieces[i].header == header)
			return &s->pieces[i];
	return NULL;
}

const char *move_path_now(const struct flow *f, bool header)
{
	const struct record *r = f->record;
	bool apart = header && r->header_path;
	const struct move_piece *p = move_piece_of(f->state, apart);
	if (!p)
		return apart ? r->header_path : r->path;
	return p->how == MOVE_NOTED ? p->to : p->from;
}

/* ---- what lies there ---- */

/* 1: in *ret; 0: nothing; what cannot be asked is an error. */
static int look(const char *path, struct stat *ret, struct error *e)
{
	if (stat(path, ret) == 0)
		return 1;
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	return error_errno(e, error_kind_of_errno(errno), errno, "cannot tell what is at %s", path);
}

/* Two files that could be it, or one and something else. */
static int refuse_two(const struct record *r, const char *from, const char *to, struct error *e)
{
	struct image_look look;
	if (image_look(to, &look, NULL) == 0 && look.encrypted && uuid_compare(look.luks_uuid, r->luks_uuid) == 0)
		return error_set(e, ERROR_REFUSED, EEXIST,
				 "%s and %s both hold this volume: remove the one that is not wanted, then move again",
				 from, to);
	return error_set(e, ERROR_EXISTS, EEXIST, "%s exists already and is something else", to);
}

static int refuse_taken(const struct flow *f, const char *to, struct error *e)
{
	AUTORECORD struct record *other = NULL;
	int r = volume_at(f->env->ks, to, &other, e);
	if (r < 0 || !other || !uuid_compare(other->uuid, f->record->uuid))
		return r;
	return error_set(e, ERROR_EXISTS, EEXIST, "the keystore has a volume at %s already", to);
}

/* ---- how ---- */

/* As mv does: a directory gets the file under its own name. */
static int resolve(const char *given, const char *from, char **ret, struct error *e)
{
	struct stat st;
	AUTOFREE char *in_it = NULL;
	size_t len = strlen(given);
	int r = look(given, &st, e);
	if (r < 0)
		return r;
	if (r == 0 && len && given[len - 1] == '/')
		return error_set(e, ERROR_NOT_FOUND, ENOENT, "%s: there is no such directory", given);
	if (r == 0 || !S_ISDIR(st.st_mode))
		return volume_new_path(given, ret, e);
	if (asprintf(&in_it, "%s/%s", given, strrchr(from, '/') + 1) < 0) {
		in_it = NULL;
		return error_oom(e);
	}
	return volume_new_path(in_it, ret, e);
}

static int directory_of(const char *path, char **ret, struct error *e)
{
	AUTOFREE char *copy = strdup(path);
	*ret = copy ? strdup(dirname(copy)) : NULL;
	return *ret ? 0 : error_oom(e);
}

static int check_directory(const char *path, struct stat *ret, struct error *e)
{
	AUTOFREE char *dir = NULL;
	int r = directory_of(path, &dir, e);
	if (r == 0 && (stat(dir, ret) < 0 || access(dir, W_OK | X_OK) < 0))
		r = error_errno(e, error_kind_of_errno(errno), errno, "cannot write to directory %s", dir);
	return r;
}

int move_check_copy(const struct move_piece *p, struct error *e)
{
	struct stat st;
	AUTOFREE char *dir = NULL;
	if (lstat(p->from, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", p->from);
	if (st.st_nlink > 1)
		return error_set(e, ERROR_REFUSED, EMLINK,
				 "%s has %lu names, and a copy would leave the others with the old data", p->from,
				 (unsigned long)st.st_nlink);
	int r = directory_of(p->to, &dir, e);
	return r < 0 ? r : image_check_space(p->from, dir, 0, e);
}

/* A file that is there goes to a place where there is none. */
static int plan_way(const struct flow *f, struct move_piece *p, struct error *e)
{
	const struct volume_move *params = f->params;
	struct stat st, dir_from, dir_to;
	if (lstat(p->from, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", p->from);
	if (S_ISLNK(st.st_mode))
		return error_set(e, ERROR_REFUSED, ELOOP,
				 "%s is a symbolic link by now: `kvmcrypt move` the volume to where that leads first",
				 p->from);
	if (!S_ISREG(st.st_mode))
		return error_set(e, ERROR_REFUSED, EOPNOTSUPP,
				 "%s is a block device, whose data stays: only another name of it can be taken note of",
				 p->from);
	int r = check_directory(p->from, &dir_from, e);
	if (r == 0)
		r = check_directory(p->to, &dir_to, e);
	if (r == 0)
		r = volume_check_place(p->to, st.st_uid, e);
	if (r < 0)
		return r;
	p->inode = st.st_ino;
	p->how = f->guest && params->live ? MOVE_LIVE : dir_to.st_dev == st.st_dev ? MOVE_RENAME : MOVE_COPY;
	return p->how == MOVE_RENAME ? 0 : move_check_copy(p, e);
}

static int plan_piece(struct flow *f, bool header, const char *from, const char *given, struct error *e)
{
	struct move_state *s = f->state;
	struct stat at_from, at_to;
	AUTOFREE char *to = NULL;
	int r = resolve(given, from, &to, e);
	int has_from = r < 0 ? r : look(from, &at_from, e);
	if (has_from < 0)
		return has_from;
	bool stays = !strcmp(from, to);
	int has_to = stays ? has_from : look(to, &at_to, e);
	if (has_to < 0)
		return has_to;
	if (!has_from && !has_to)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 stays ? "%s is not there: mount its file system, or say where it is now"
				       : "neither %s nor %s is there", from, to);
	if (stays)
		return 0;
	if ((r = refuse_taken(f, to, e)) < 0)
		return r;
	struct move_piece *p = &s->pieces[s->n++];
	*p = (struct move_piece){ .header = header, .from = strdup(from), .to = TAKE_PTR(to) };
	if (!p->from)
		return error_oom(e);
	bool same = has_from && has_to && file_is_same(&at_from, &at_to);
	if (has_from && has_to && !same)
		return refuse_two(f->record, p->from, p->to, e);
	if (!has_to)
		return plan_way(f, p, e);
	p->how = MOVE_NOTED;
	p->inode = at_to.st_ino;
	return 0;
}

int move_plan(struct flow *f, struct error *e)
{
	const struct volume_move *params = f->params;
	const struct move_state *s = f->state;
	const struct record *r = f->record;
	if (params->header && !r->header_path)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "%s has no header of its own: --header is for volumes that have", r->path);
	int result = plan_piece(f, false, r->path, params->to, e);
	if (result == 0 && params->header)
		result = plan_piece(f, true, r->header_path, params->header, e);
	if (result == 0 && s->n == 2 && !strcmp(s->pieces[0].to, s->pieces[1].to))
		result = error_set(e, ERROR_USAGE, EINVAL, "data and header cannot both be %s", s->pieces[0].to);
	return result;
}

/* ---- the record ---- */

int move_note_files(struct record *r, const struct move_piece *p, struct error *e)
{
	struct record_work *w = &r->work;
	uint32_t base = p->header ? HEADER : 0;
	int result = record_work_file(w, base + FROM, p->from, 0, p->inode, e);
	if (result == 0)
		result = record_work_file(w, base + TO, p->to, 0, 0, e);
	if (result == 0 && p->copy)
		result = record_work_file(w, base + COPY, p->copy, 0, p->copy_inode, e);
	if (result == 0 && p->aside)
		result = record_work_file(w, base + ASIDE, p->aside, 0, 0, e);
	return result;
}

static int plan_names(struct move_piece *p, struct error *e)
{
	AUTOFILE_NEW struct file_new *copy = NULL;
	AUTOFILE_NEW struct file_new *aside = NULL;
	if (p->copy || (p->how != MOVE_COPY && p->how != MOVE_LIVE))
		return 0;
	int r = file_new_plan(p->to, &copy, e);
	if (r == 0)
		r = file_new_plan(p->from, &aside, e);
	if (r < 0)
		return r;
	p->copy = TAKE_PTR(copy->tmp);
	p->aside = TAKE_PTR(aside->tmp);
	return 0;
}

int move_note(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	struct record_work *w = &f->record->work;
	int r = 0;
	w->step = f->g ? 0 : MOVE_WITHOUT_LIBVIRT;
	for (size_t i = 0; i < s->n && r == 0; i++) {
		struct move_piece *p = &s->pieces[i];
		r = plan_names(p, e);
		w->step |= (uint32_t)p->how << (p->header ? HEADER_SHIFT : 0);
		if (r == 0)
			r = move_note_files(f->record, p, e);
	}
	return r;
}

static int read_file(struct move_piece *p, const struct record_file *file, struct error *e)
{
	char **to[] = { [FROM] = &p->from, [TO] = &p->to, [COPY] = &p->copy, [ASIDE] = &p->aside };
	uint32_t kind = file->role & ~(uint32_t)HEADER;
	if (kind < FROM || kind > ASIDE || *to[kind])
		return error_set(e, ERROR_DAMAGED, EBADMSG, "a file of the move is noted wrongly");
	if (!(*to[kind] = strdup(file->path)))
		return error_oom(e);
	if (kind == FROM)
		p->inode = file->inode;
	if (kind == COPY)
		p->copy_inode = file->inode;
	return 0;
}

int move_read(struct flow *f, struct error *e)
{
	struct move_state *s = f->state;
	const struct record_work *w = &f->record->work;
	int r = 0;
	if (s->n)
		return 0;
	for (unsigned header = 0; header < 2; header++) {
		enum move_how how = w->step >> (header ? HEADER_SHIFT : 0) & HOW_MASK;
		if (!how)
			continue;
		struct move_piece *p = &s->pieces[s->n++];
		*p = (struct move_piece){ .header = header, .how = how };
		for (size_t i = 0; i < w->n_files && r == 0; i++)
			if (!(w->files[i].role & HEADER) == !header)
				r = read_file(p, &w->files[i], e);
		if (r == 0 && (!p->from || !p->to || how > MOVE_LIVE ||
			       ((how == MOVE_COPY || how == MOVE_LIVE) && (!p->copy || !p->aside))))
			r = error_set(e, ERROR_DAMAGED, EBADMSG, "what the record knows of its move is not complete");
	}
	return r < 0 ? error_prefix(e, "%s", f->record->path) : 0;
}
