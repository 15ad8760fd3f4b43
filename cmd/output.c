#include "cmd/output.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define JSON_FLAGS (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE)
#define ROW_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
/* So many rows decide the column widths of a table before the first is printed. */
#define WIDTH_ROWS 500

/* Why standard output no longer takes anything: an errno, or 0. */
static int lost;

/* Right behind what printed, as errno is of the last call that failed. */
static void note_lost(void)
{
	if (!lost && ferror(stdout))
		lost = errno ? errno : EIO;
}

bool output_is_lost(void)
{
	return lost;
}

int output_close(void)
{
	note_lost();
	if (fflush(stdout) == EOF && !lost)
		lost = errno;
	/* A network file system may say only now that it is full. */
	if (fclose(stdout) == EOF && !lost)
		lost = errno ? errno : EIO;
	return lost;
}

/* text, and blanks up to the width. */
static void print_cell(const char *text, int width)
{
	int columns = text_columns(text);
	printf("%s%*s", text, width > columns ? width - columns : 0, "");
}

static struct json_object *lookup(struct json_object *o, const char *key)
{
	char part[64];
	const char *dot;
	while ((dot = strchr(key, '.'))) {
		snprintf(part, sizeof(part), "%.*s", (int)(dot - key), key);
		if (!json_object_object_get_ex(o, part, &o) || !o)
			return NULL;
		key = dot + 1;
	}
	struct json_object *value = NULL;
	json_object_object_get_ex(o, key, &value);
	return value;
}

static void name_list(struct json_object *array, char *buf, size_t len)
{
	buf[0] = 0;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *item = json_object_array_get_idx(array, i);
		struct json_object *name = lookup(item, "name");
		if (!name)
			name = lookup(item, "uuid");
		size_t used = strlen(buf);
		snprintf(buf + used, len - used, "%s%s", used ? "," : "",
			 name ? json_object_get_string(name) : "?");
	}
}

/* The text of a value; "" when there is none. Control characters in it are replaced. */
static void render(struct json_object *v, enum show show, char *buf, size_t len)
{
	buf[0] = 0;
	if (!v)
		return;
	switch (show) {
	case SHOW_SIZE:
		text_size((uint64_t)json_object_get_uint64(v), buf, len);
		return;
	case SHOW_AGE:
		text_age((uint64_t)json_object_get_uint64(v), buf, len);
		return;
	case SHOW_COUNT:
		snprintf(buf, len, "%zu", json_object_array_length(v));
		return;
	case SHOW_NAMES:
		name_list(v, buf, len);
		break;
	case SHOW_PLAIN:
		if (json_object_is_type(v, json_type_boolean))
			snprintf(buf, len, "%s", json_object_get_boolean(v) ? "yes" : "no");
		else
			snprintf(buf, len, "%s", json_object_get_string(v));
		break;
	}
	text_make_printable(buf);
}

static void print_lines(struct json_object *obj, const struct column *columns)
{
	int width = 0;
	char text[4200];
	for (const struct column *c = columns; c && c->key; c++)
		if ((int)strlen(c->title) > width)
			width = (int)strlen(c->title);
	for (const struct column *c = columns; c && c->key; c++) {
		render(lookup(obj, c->key), c->show, text, sizeof(text));
		if (*text)
			printf("%-*s  %s\n", width + 1, c->title, text);
	}
}

int output_object(struct context *ctx, struct json_object *obj, const struct column *columns)
{
	if (ctx->json)
		printf("%s\n", json_object_to_json_string_ext(obj, JSON_FLAGS));
	else if (!ctx->quiet)
		print_lines(obj, columns);
	note_lost();
	json_object_put(obj);
	return 0;
}

struct output_list {
	struct context *ctx;
	const char *key;
	const struct column *columns;
	size_t n_columns;
	int widths[16];
	struct json_object *held[WIDTH_ROWS];
	size_t n_held, n_rows;
	bool header_done;
};

int output_list_begin(struct context *ctx, const char *key, const struct column *columns,
		      struct output_list **ret, struct error *e)
{
	struct output_list *l = calloc(1, sizeof(*l));
	if (!l)
		return error_oom(e);
	l->ctx = ctx;
	l->key = key;
	l->columns = columns;
	while (columns[l->n_columns].key && l->n_columns < ARRAY_LEN(l->widths))
		l->n_columns++;
	if (ctx->json)
		printf("{\n  \"%s\": [", key);
	*ret = l;
	return 0;
}

static void print_row(struct output_list *l, struct json_object *row)
{
	char text[4200];
	for (size_t i = 0; i < l->n_columns; i++) {
		render(lookup(row, l->columns[i].key), l->columns[i].show, text, sizeof(text));
		if (!*text)
			strcpy(text, "-");
		if (i + 1 == l->n_columns)
			printf("%s\n", text);
		else
			print_cell(text, l->widths[i] + 2);
	}
	json_object_put(row);
}

static void flush_held(struct output_list *l)
{
	char text[4200];
	if (!l->n_held || l->header_done)
		return;
	for (size_t i = 0; i < l->n_columns; i++) {
		l->widths[i] = (int)strlen(l->columns[i].title);
		for (size_t k = 0; k < l->n_held; k++) {
			render(lookup(l->held[k], l->columns[i].key), l->columns[i].show, text, sizeof(text));
			int columns = text_columns(text);
			if (columns > l->widths[i])
				l->widths[i] = columns;
		}
	}
	for (size_t i = 0; i < l->n_columns; i++)
		if (i + 1 == l->n_columns)
			printf("%s\n", l->columns[i].title);
		else
			printf("%-*s  ", l->widths[i], l->columns[i].title);
	for (size_t k = 0; k < l->n_held; k++)
		print_row(l, l->held[k]);
	l->n_held = 0;
	l->header_done = true;
}

int output_list_add(struct output_list *l, struct json_object *row)
{
	if (l->ctx->json) {
		printf("%s\n    %s", l->n_rows ? "," : "", json_object_to_json_string_ext(row, ROW_FLAGS));
		json_object_put(row);
	} else if (l->ctx->quiet) {
		json_object_put(row);
	} else if (l->header_done) {
		print_row(l, row);
	} else {
		l->held[l->n_held++] = row;
		if (l->n_held == WIDTH_ROWS)
			flush_held(l);
	}
	l->n_rows++;
	note_lost();
	return 0;
}

static struct json_object *error_json(const struct error *e)
{
	struct json_object *o = json_object_new_object();
	put_text(o, "kind", error_kind_name(e->kind));
	put_number(o, "exit_code", (uint64_t)e->kind);
	put_text(o, "message", e->message);
	return o;
}

int output_list_end(struct output_list *l, int result, struct json_object *extra, struct error *e)
{
	if (l->ctx->json) {
		printf("%s]", l->n_rows ? "\n  " : "");
		/* The rows and the failure are one document. */
		if (result < 0) {
			extra = extra ? extra : json_object_new_object();
			json_object_object_add(extra, "error", error_json(e));
			l->ctx->document_done = true;
		}
		if (extra) {
			json_object_object_foreach(extra, key, value) {
				printf(",\n  \"%s\": %s", key,
				       json_object_to_json_string_ext(value, ROW_FLAGS));
			}
		}
		printf("\n}\n");
	} else {
		flush_held(l);
	}
	for (size_t i = 0; i < l->n_held; i++)
		json_object_put(l->held[i]);
	json_object_put(extra);
	free(l);
	note_lost();
	return result;
}

void output_error(const struct error *e)
{
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "error", error_json(e));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_FLAGS));
	note_lost();
	json_object_put(o);
}

static void talk(const char *fmt, va_list ap)
{
	char line[2048];
	vsnprintf(line, sizeof(line), fmt, ap);
	text_make_printable(line);
	fprintf(stderr, "%s\n", line);
}

void say(const struct context *ctx, const char *fmt, ...)
{
	if (ctx->quiet)
		return;
	va_list ap;
	va_start(ap, fmt);
	talk(fmt, ap);
	va_end(ap);
}

void say_more(const struct context *ctx, const char *fmt, ...)
{
	if (ctx->quiet || !ctx->verbose)
		return;
	va_list ap;
	va_start(ap, fmt);
	talk(fmt, ap);
	va_end(ap);
}

void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

void put_time(struct json_object *o, const char *key, int64_t when)
{
	char buf[32];
	put_text(o, key, text_time(when, buf, sizeof(buf)));
}

void put_number(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

void put_bool(struct json_object *o, const char *key, bool b)
{
	json_object_object_add(o, key, json_object_new_boolean(b));
}

void put_uuid(struct json_object *o, const char *key, const unsigned char *uuid)
{
	char text[37];
	uuid_unparse_lower(uuid, text);
	put_text(o, key, text);
}
