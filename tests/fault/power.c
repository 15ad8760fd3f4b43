#include "tests/fault/power.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define DATA_MAX (8u << 20)

struct power_data {
	struct power_data *next;
	int fd;			/* of our own, as the program may close its */
	dev_t dev;
	ino_t ino;
	off_t offset, old_size;
	size_t len;		/* that there was at offset */
	size_t changed;
	unsigned char old[];
};

enum power_kind { MADE, RENAMED, EXCHANGED, GONE };

struct power_name {
	struct power_name *next;
	enum power_kind kind;
	dev_t dev;
	ino_t dir;		/* in which the (new) name is */
	char path[PATH_MAX], to[PATH_MAX];
	char stashed[PATH_MAX];	/* the file that had the name; "": none had */
};

/* A file that somebody may read only through its directory is the root's all the same. */
static int open_again(const struct trace_call *c, struct stat *st)
{
	char name[64];
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", c->pid, c->fd);
	int fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static off_t position(const struct trace_call *c, const struct stat *st)
{
	char name[64];
	long long pos = 0;
	unsigned flags = 0;
	snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", c->pid, c->fd);
	FILE *f = fopen(name, "re");
	if (!f)
		return 0;
	if (fscanf(f, "pos: %lld flags: %o", &pos, &flags) != 2)
		pos = 0;
	fclose(f);
	return flags & O_APPEND ? st->st_size : (off_t)pos;
}

static size_t vector_len(const struct trace_call *c)
{
	struct { uint64_t base, len; } v[64];
	size_t n = c->arg[2] < 64 ? (size_t)c->arg[2] : 64, sum = 0;
	if (trace_read(c->pid, c->arg[1], v, n * sizeof(v[0])) < 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		sum += v[i].len;
	return sum;
}

/* The range that a call changes. */
static bool range(const struct trace_call *c, const struct stat *st, off_t *offset, size_t *len)
{
	*offset = 0;
	if (!strcmp(c->name, "write") || !strcmp(c->name, "writev"))
		*offset = position(c, st);
	if (!strcmp(c->name, "write"))
		*len = c->arg[2];
	else if (!strcmp(c->name, "writev"))
		*len = vector_len(c);
	else if (!strcmp(c->name, "pwritev"))
		*offset = (off_t)c->arg[3], *len = vector_len(c);
	else if (!strcmp(c->name, "pwrite64"))
		*offset = (off_t)c->arg[3], *len = c->arg[2];
	else if (!strcmp(c->name, "fallocate"))
		*offset = (off_t)c->arg[2], *len = c->arg[3];
	else if (!strcmp(c->name, "ftruncate"))
		*offset = (off_t)c->arg[1], *len = st->st_size > *offset ? (size_t)(st->st_size - *offset) : 0;
	else
		return false;
	return true;
}

static void note_data(struct power *p, const struct trace_call *c)
{
	struct stat st;
	off_t offset;
	size_t len;
	int fd = open_again(c, &st);
	if (fd < 0)
		return;
	if (!range(c, &st, &offset, &len)) {
		close(fd);
		return;
	}
	size_t keep = offset >= st.st_size ? 0 : len;
	if (keep > (size_t)(st.st_size - offset))
		keep = (size_t)(st.st_size - offset);
	if (keep > DATA_MAX)
		keep = DATA_MAX;
	struct power_data *d = calloc(1, sizeof(*d) + keep);
	if (!d || pread(fd, d->old, keep, offset) != (ssize_t)keep)
		abort();
	*d = (struct power_data){ p->data, fd, st.st_dev, st.st_ino, offset, st.st_size, keep, len };
	p->data = d;
}

static void note_name(struct power *p, const struct trace_call *c)
{
	struct stat st;
	struct power_name *n = calloc(1, sizeof(*n));
	bool two = !strncmp(c->name, "rename", 6);
	const char *name = c->to[0] ? c->to : c->path;
	if (!n)
		abort();
	snprintf(n->path, sizeof(n->path), "%s", c->path);
	snprintf(n->to, sizeof(n->to), "%s", name);
	n->kind = two ? RENAMED : !strncmp(c->name, "unlink", 6) || !strcmp(c->name, "rmdir") ? GONE : MADE;
	if (!strcmp(c->name, "renameat2") && c->arg[4] & RENAME_EXCHANGE)
		n->kind = EXCHANGED;
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s", name);
	*strrchr(dir, '/') = 0;
	/* A name that the call is going to fail with loses nothing. */
	bool there = lstat(name, &st) == 0, is_dir = there && S_ISDIR(st.st_mode);
	if (stat(dir, &st) < 0 || (n->kind == MADE && there) || (n->kind == GONE && (!there || is_dir)) ||
	    (two && access(c->path, F_OK) < 0)) {
		free(n);
		return;
	}
	n->dev = st.st_dev;
	n->dir = st.st_ino;
	if (there && (n->kind == RENAMED || n->kind == GONE)) {
		snprintf(n->stashed, sizeof(n->stashed), "%s/%u", p->stash, p->n_stashed++);
		if (linkat(AT_FDCWD, name, AT_FDCWD, n->stashed, 0) < 0)
			abort();
	}
	n->next = p->names;
	p->names = n;
}

static void drop_data(struct power *p, const struct stat *st)
{
	for (struct power_data **d = &p->data; *d;) {
		struct power_data *this = *d;
		if (st && (this->dev != st->st_dev || this->ino != st->st_ino)) {
			d = &this->next;
			continue;
		}
		*d = this->next;
		close(this->fd);
		free(this);
	}
}

static void drop_names(struct power *p, const struct stat *st)
{
	for (struct power_name **n = &p->names; *n;) {
		struct power_name *this = *n;
		if (st && (this->dev != st->st_dev || this->dir != st->st_ino)) {
			n = &this->next;
			continue;
		}
		*n = this->next;
		if (this->stashed[0])
			unlink(this->stashed);
		free(this);
	}
}

void power_note(struct power *p, const struct trace_call *c)
{
	struct stat st;
	char name[64];
	if (c->group == TRACE_DATA)
		note_data(p, c);
	if (c->group == TRACE_NAME)
		note_name(p, c);
	/* sync_file_range promises nothing. */
	if (strcmp(c->name, "fsync") != 0 && strcmp(c->name, "fdatasync") != 0)
		return;
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", c->pid, c->fd);
	if (stat(name, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode))
		drop_names(p, &st);
	else
		drop_data(p, &st);
}

static void take_back(const struct power_name *n)
{
	if (n->kind == MADE && unlink(n->to) < 0)
		rmdir(n->to);
	if (n->kind == EXCHANGED)
		renameat2(AT_FDCWD, n->path, AT_FDCWD, n->to, RENAME_EXCHANGE);
	if (n->kind == RENAMED)
		rename(n->to, n->path);
	if (n->stashed[0])
		(void)!link(n->stashed, n->to);
}

/*
 * What of a directory is lost is its newest, as a journal keeps its order: so once one stays, all older
 * in it do. Two directories may lie on two disks.
 */
static void cut_names(const struct power *p, unsigned mode, unsigned *seed)
{
	const struct power_name *stays[16];
	size_t n_stays = 0, i;
	for (const struct power_name *n = p->names; n && mode != 2; n = n->next) {
		for (i = 0; i < n_stays && (stays[i]->dev != n->dev || stays[i]->dir != n->dir); i++)
			;
		if (i < n_stays)
			continue;
		if (mode == 3 && n_stays < 16 && rand_r(seed) & 1)
			stays[n_stays++] = n;
		else
			take_back(n);
	}
}

static void cut_data(struct power *p, unsigned mode, unsigned *seed)
{
	for (const struct power_data *d = p->data; d; d = d->next) {
		for (size_t done = 0, n; done < d->len; done += n) {
			n = SECTOR - (size_t)(d->offset + (off_t)done) % SECTOR;
			if (n > d->len - done)
				n = d->len - done;
			if (mode == 0 || rand_r(seed) & 1)
				(void)!pwrite(d->fd, d->old + done, n, d->offset + (off_t)done);
		}
		/* What was longer before, and is again, has been written above. */
		if (mode == 0)
			(void)!ftruncate(d->fd, d->old_size);
	}
}

void power_cut(struct power *p, unsigned seed)
{
	unsigned mode = seed % 4;
	cut_names(p, mode, &seed);
	cut_data(p, mode, &seed);
	power_free(p);
}

void power_free(struct power *p)
{
	drop_data(p, NULL);
	drop_names(p, NULL);
}
