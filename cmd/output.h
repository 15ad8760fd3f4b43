/*
 * Output: a command fills a json-c object once; here it becomes a JSON document, a block of
 * "name: value" lines or a row of an aligned table; nothing of the latter with --quiet. Never hand a secret to
 * these functions. What standard output does not take is main's to say.
 */
#ifndef CMD_OUTPUT_H
#define CMD_OUTPUT_H

#include "cmd/command.h"

#include <json-c/json.h>

/* How a value is shown in text. */
enum show {
	SHOW_PLAIN,
	SHOW_SIZE,	/* bytes as 20G */
	SHOW_AGE,	/* seconds as 12d */
	SHOW_COUNT,	/* of an array */
	SHOW_NAMES,	/* of an array of objects: their "name" (or "uuid"), comma-separated */
};

struct column {
	const char *key;	/* JSON key; "luks.cipher" goes one level down */
	const char *title;
	enum show show;
};

/* Takes the reference of obj. columns end with a NULL key; keys that are null are left out in text. */
int output_object(struct context *ctx, struct json_object *obj, const struct column *columns);

/*
 * A list of any length in constant memory: {"<key>": [ … ]} or a table. The table's widths come
 * from the first rows. extra: keys added behind the list in JSON, or NULL (reference taken).
 */
struct output_list;
int output_list_begin(struct context *ctx, const char *key, const struct column *columns,
		      struct output_list **ret, struct error *e);
int output_list_add(struct output_list *l, struct json_object *row);	/* takes row */
/* Frees l. result: of the work; a failure with its e is part of the JSON document, and returned. */
int output_list_end(struct output_list *l, int result, struct json_object *extra, struct error *e);

/*
 * Standard output takes no more: a walk that only prints need not go on. What changes something goes on all
 * the same, and main says at the end what was lost.
 */
bool output_is_lost(void);

/* The one flush and close, at the end of the process: 0, or the errno of the first write that failed. */
int output_close(void);

/* The failure document for --json. */
void output_error(const struct error *e);

/* For a person, on stderr; not with --quiet. say_more() only with --verbose. */
void say(const struct context *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void say_more(const struct context *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Small helpers to fill objects; NULL text and time 0 become null. */
void put_text(struct json_object *o, const char *key, const char *text);
void put_time(struct json_object *o, const char *key, int64_t when);
void put_number(struct json_object *o, const char *key, uint64_t n);
void put_bool(struct json_object *o, const char *key, bool b);
void put_uuid(struct json_object *o, const char *key, const unsigned char *uuid);

#endif
