/* The items of a record that are more than a number or a text: domains, and the workflow part. */
#include "keystore/record/fields.h"

#include <string.h>

int text_read(const unsigned char *p, size_t len, size_t max, char **ret)
{
	if (!len || len > max || memchr(p, 0, len))
		return -EBADMSG;
	char *s = strndup((const char *)p, len);
	if (!s)
		return -ENOMEM;
	free(*ret);
	*ret = s;
	return 0;
}

/* ---- a domain: UUID, u16 length of the name, the name, the target to the end ---- */

void domains_write(struct tlv_writer *w, uint16_t tag, const struct record *r)
{
	for (size_t i = 0; i < r->n_domains; i++) {
		const struct record_domain *d = &r->domains[i];
		size_t name = strlen(d->name), target = strlen(d->target);
		unsigned char *p = tlv_reserve(w, tag, sizeof(uuid_t) + 2 + name + target);
		if (!p)
			continue;
		memcpy(p, d->uuid, sizeof(uuid_t));
		put_be(p + 16, name, 2);
		memcpy(p + 18, d->name, name);
		memcpy(p + 18 + name, d->target, target);
	}
}

int domain_read(const struct tlv *t, struct record *r)
{
	AUTOFREE char *name = NULL;
	AUTOFREE char *target = NULL;
	if (t->len < 18 || r->n_domains == RECORD_DOMAINS_MAX)
		return -EBADMSG;
	size_t name_len = (size_t)get_be(t->value + 16, 2);
	if (name_len > t->len - 18)
		return -EBADMSG;
	int res = text_read(t->value + 18, name_len, RECORD_NAME_MAX, &name);
	if (res == 0)
		res = text_read(t->value + 18 + name_len, t->len - 18 - name_len, RECORD_NAME_MAX, &target);
	if (res < 0)
		return res;
	size_t before = r->n_domains;
	uuid_t uuid;
	memcpy(uuid, t->value, sizeof(uuid));
	res = record_add_domain(r, uuid, name, target, NULL);
	if (res < 0)
		return res;
	/* A pair that is there twice would not come out of the writer. */
	return r->n_domains == before ? -EBADMSG : 0;
}

/* ---- the workflow part: items of its own in one value ---- */

enum work_tag {
	WORK_VERSION = 1, WORK_NUMBER, WORK_STEP,	/* of every version, so that all can say what is under way */
	WORK_MARK, WORK_PARAMS, WORK_DISPOSAL, WORK_FILE,
};
#define FILE_HEAD (4 + 8 + 8)

static void put_text(struct tlv_writer *w, uint16_t tag, const char *text)
{
	if (text)
		tlv_put(w, tag, text, strlen(text));
}

static void put_work(struct tlv_writer *w, const struct record_work *work)
{
	tlv_put_u32(w, WORK_VERSION, work->version);
	tlv_put_u32(w, WORK_NUMBER, work->number);
	tlv_put_u32(w, WORK_STEP, work->step);
	tlv_put_u64(w, WORK_MARK, work->mark);
	put_text(w, WORK_PARAMS, work->params);
	put_text(w, WORK_DISPOSAL, work->disposal);
	for (size_t i = 0; i < work->n_files; i++) {
		const struct record_file *f = &work->files[i];
		size_t path = strlen(f->path);
		unsigned char *p = tlv_reserve(w, WORK_FILE, FILE_HEAD + path);
		if (!p)
			continue;
		put_be(p, f->role, 4);
		put_be(p + 4, f->dev, 8);
		put_be(p + 12, f->inode, 8);
		memcpy(p + FILE_HEAD, f->path, path);
	}
}

void work_write(struct tlv_writer *w, uint16_t tag, const struct record_work *work)
{
	if (work->newer) {
		tlv_put(w, tag, work->newer, work->newer_len);
		return;
	}
	if (!work->version)
		return;
	struct tlv_writer count = { 0 };
	put_work(&count, work);
	unsigned char *p = tlv_reserve(w, tag, count.len);
	if (!p)
		return;
	struct tlv_writer inner = { .buf = p };
	put_work(&inner, work);
}

static int read_file(const struct tlv *t, struct record_work *w)
{
	AUTOFREE char *path = NULL;
	if (t->len <= FILE_HEAD || t->value[FILE_HEAD] != '/' || w->n_files == RECORD_FILES_MAX)
		return -EBADMSG;
	int res = text_read(t->value + FILE_HEAD, t->len - FILE_HEAD, RECORD_PATH_MAX, &path);
	if (res < 0)
		return res;
	size_t before = w->n_files;
	res = record_work_file(w, (uint32_t)get_be(t->value, 4), path, get_be(t->value + 4, 8),
			       get_be(t->value + 12, 8), NULL);
	if (res < 0)
		return res;
	return w->n_files == before ? -EBADMSG : 0;
}

static int read_item(const struct tlv *t, struct record_work *w)
{
	switch (t->tag) {
	case WORK_MARK:
		return tlv_u64(t, &w->mark) ? 0 : -EBADMSG;
	case WORK_PARAMS:
		return text_read(t->value, t->len, RECORD_TEXT_MAX, &w->params);
	case WORK_DISPOSAL:
		return text_read(t->value, t->len, RECORD_NAME_MAX, &w->disposal);
	case WORK_FILE:
		return read_file(t, w);
	}
	return -EBADMSG;
}

/* One of the three numbers that every version begins with. */
static bool next_number(struct tlv_reader *in, uint16_t tag, uint32_t *ret)
{
	struct tlv item;
	return tlv_next(in, 0, &item) == 1 && item.tag == tag && tlv_u32(&item, ret);
}

int work_read(const struct tlv *t, struct record_work *ret)
{
	struct tlv_reader in = { .p = t->value, .end = t->value + t->len };
	struct tlv item;
	bool marked = false;
	int more;
	if (!next_number(&in, WORK_VERSION, &ret->version) || !next_number(&in, WORK_NUMBER, &ret->number) ||
	    !next_number(&in, WORK_STEP, &ret->step) || !ret->version)
		return -EBADMSG;
	if (ret->version > RECORD_WORK_VERSION) {
		ret->newer = malloc(t->len);
		if (!ret->newer)
			return -ENOMEM;
		memcpy(ret->newer, t->value, t->len);
		ret->newer_len = t->len;
		return 0;
	}
	while ((more = tlv_next(&in, WORK_FILE, &item)) > 0) {
		int res = read_item(&item, ret);
		if (res < 0)
			return res;
		marked |= item.tag == WORK_MARK;
	}
	return more < 0 || !marked ? -EBADMSG : 0;
}

const char *work_problem(const struct record_work *w)
{
	if (!w->version || w->newer)
		return NULL;
	if (w->version > RECORD_WORK_VERSION)
		return "the version of its workflow is unknown";
	if (w->params && (!w->params[0] || strlen(w->params) > RECORD_TEXT_MAX))
		return "the parameters of its workflow are empty or too long";
	if (w->disposal && (!w->disposal[0] || strlen(w->disposal) > RECORD_NAME_MAX))
		return "the disposal of its workflow is empty or too long";
	if (w->n_files > RECORD_FILES_MAX)
		return "its workflow has too many files";
	for (size_t i = 0; i < w->n_files; i++)
		if (w->files[i].path[0] != '/' || strlen(w->files[i].path) > RECORD_PATH_MAX)
			return "a file of its workflow is not absolute or too long";
	return NULL;
}
