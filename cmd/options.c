/* Parsing by the option tables, with getopt_long(). */
#include "cmd/command.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "cmd/suggest.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char *const progress_modes[] = { "auto", "none", "json", NULL };

const struct option_spec common_options[] = {
	{ "keystore", OPTION_TEXT, offsetof(struct context, keystore), "DIR",
	  "keystore to use (default: $KVMCRYPT_KEYSTORE, /var/lib/kvmcrypt for root)", NULL,
	  COMPLETE_FILE, 0 },
	{ "connect", OPTION_TEXT, offsetof(struct context, connect), "URI",
	  "libvirt connection URI, as for virsh", NULL, COMPLETE_NONE, 'c' },
	{ "json", OPTION_FLAG, offsetof(struct context, json), NULL,
	  "print one JSON document on standard output", NULL, COMPLETE_NONE, 0 },
	{ "progress", OPTION_CHOICE, offsetof(struct context, progress_mode), "MODE",
	  "how long work is reported on standard error: auto, none or json", progress_modes,
	  COMPLETE_NONE, 0 },
	{ "quiet", OPTION_FLAG, offsetof(struct context, quiet), NULL, "say nothing but errors", NULL,
	  COMPLETE_NONE, 'q' },
	{ "verbose", OPTION_FLAG, offsetof(struct context, verbose), NULL, "say what is being done",
	  NULL, COMPLETE_NONE, 'v' },
	{ 0 },
};

#define MAX_OPTIONS 48
/* getopt values for long options; above any letter. */
#define FIRST_VALUE 1000
#define VALUE_HELP 999

struct parser {
	const struct option_spec *specs[MAX_OPTIONS];
	void *bases[MAX_OPTIONS];
	struct option longs[MAX_OPTIONS + 2];
	char letters[2 * MAX_OPTIONS + 8];
	size_t n;
};

static void add_table(struct parser *p, const struct option_spec *table, void *base)
{
	for (; table && table->kind != OPTION_END && p->n < MAX_OPTIONS; table++) {
		size_t i = p->n++;
		p->specs[i] = table;
		p->bases[i] = base;
		p->longs[i] = (struct option){ table->name,
					       table->kind == OPTION_FLAG   ? no_argument
					       : table->kind == OPTION_AUTO ? optional_argument
									    : required_argument,
					       NULL, FIRST_VALUE + (int)i };
		if (table->letter) {
			size_t len = strlen(p->letters);
			p->letters[len] = table->letter;
			p->letters[len + 1] = table->kind == OPTION_FLAG ? 0 : ':';
			p->letters[len + 2] = 0;
		}
	}
}

static bool is_choice(const char *const *choices, const char *text)
{
	for (; *choices; choices++)
		if (!strcmp(*choices, text))
			return true;
	return false;
}

static int bad_choice(const struct option_spec *s, const char *text, struct error *e)
{
	char list[256] = "";
	for (const char *const *c = s->choices; *c; c++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s", *list ? ", " : "", *c);
	return error_set(e, ERROR_USAGE, EINVAL, "--%s: '%s' is none of: %s", s->name, text, list);
}

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}

static int set_field(const struct option_spec *s, void *base, const char *text, struct error *e)
{
	void *field = (char *)base + s->offset;
	uint64_t n = 0;
	int r = 0;
	switch (s->kind) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTION_CHOICE:
		if (!is_choice(s->choices, text))
			return bad_choice(s, text, e);
		*(const char **)field = text;
		return 0;
	case OPTION_AUTO:
		*(const char **)field = text ? text : "auto";
		return 0;
	case OPTION_TEXT:
		*(const char **)field = text;
		return 0;
	case OPTION_SIZE:
		r = text_parse_size(text, field, e);
		break;
	case OPTION_DURATION:
		r = text_parse_duration(text, field, e);
		break;
	case OPTION_NUMBER:
		if (parse_number(text, UINT64_MAX, field) < 0)
			return error_set(e, ERROR_USAGE, EINVAL, "--%s: '%s' is not a number", s->name, text);
		return 0;
	case OPTION_FD:
		if (parse_number(text, 1 << 20, &n) < 0)
			return error_set(e, ERROR_USAGE, EINVAL, "--%s: '%s' is not a file descriptor",
					 s->name, text);
		*(int *)field = (int)n;
		return 0;
	case OPTION_END:
		break;
	}
	if (r < 0)
		error_prefix(e, "--%s", s->name);
	return r;
}

/* Fields whose "not given" is not zero. */
static void set_defaults(const struct option_spec *table, void *base)
{
	for (; table && table->kind != OPTION_END; table++)
		if (table->kind == OPTION_FD)
			*(int *)((char *)base + table->offset) = -1;
}

static const struct option_spec *by_value(const struct parser *p, int value, void **ret_base)
{
	for (size_t i = 0; i < p->n; i++)
		if (value == FIRST_VALUE + (int)i || (p->specs[i]->letter && value == p->specs[i]->letter)) {
			*ret_base = p->bases[i];
			return p->specs[i];
		}
	return NULL;
}

/* The word as getopt_long() read it: a long option without its value. */
static int unknown_long(const struct command *c, const struct parser *p, const char *word, struct error *e)
{
	char name[64], names[160] = "";
	size_t len = strcspn(word + 2, "="), n = 0;
	struct suggestion near = { .word = name };
	snprintf(name, sizeof(name), "%.*s", (int)len, word + 2);
	for (size_t i = 0; i < p->n; i++) {
		suggest_consider(&near, p->specs[i]->name, p->specs[i]->name);
		if (!len || strncmp(p->specs[i]->name, name, len) != 0)
			continue;
		size_t used = strlen(names);
		snprintf(names + used, sizeof(names) - used, "%s--%s", n++ ? ", " : "", p->specs[i]->name);
	}
	if (n > 1)
		return error_set(e, ERROR_USAGE, EINVAL, "option '--%s' may be any of %s", name, names);
	if (near.best)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "unknown option '--%s': did you mean --%s? (see `kvmcrypt %s --help`)", name,
				 near.best, c->name);
	return error_set(e, ERROR_USAGE, EINVAL, "unknown option '--%s' (see `kvmcrypt %s --help`)", name, c->name);
}

/* getopt_long() returned '?' or ':' and has gone past `word`; optopt tells more. */
static int bad_option(const struct command *c, const struct parser *p, int value, const char *word, struct error *e)
{
	void *base = NULL;
	const struct option_spec *s = optopt ? by_value(p, optopt, &base) : NULL;
	if (value == ':' && s)
		return error_set(e, ERROR_USAGE, EINVAL, "option '--%s' needs a value: --%s=%s", s->name, s->name,
				 s->arg);
	if (s || optopt == VALUE_HELP)
		return error_set(e, ERROR_USAGE, EINVAL, "option '--%s' takes no value", s ? s->name : "help");
	if (!optopt)
		return unknown_long(c, p, word, e);
	return error_set(e, ERROR_USAGE, EINVAL, "unknown option '-%c' (see `kvmcrypt %s --help`)", optopt, c->name);
}

static int check_operands(const struct command *c, size_t n, struct error *e)
{
	size_t min = 0, max = 0;
	for (const struct operand_spec *o = c->operands; o && o->name; o++) {
		if (!o->optional)
			min++;
		max = o->repeated ? SIZE_MAX : max + 1;
		if (!o->optional && n < min)
			return error_set(e, ERROR_USAGE, EINVAL, "%s is missing (see `kvmcrypt %s --help`)",
					 o->name, c->name);
	}
	if (n > max)
		return error_set(e, ERROR_USAGE, EINVAL, "too many operands (see `kvmcrypt %s --help`)",
				 c->name);
	return 0;
}

int command_parse(const struct command *c, int argc, char **argv, struct context *ctx, void *options,
		  char ***ret_operands, size_t *ret_n, bool *ret_help, struct error *e)
{
	struct parser p = { .letters = ":h" };
	add_table(&p, c->options, options);
	add_table(&p, common_options, ctx);
	p.longs[p.n] = (struct option){ "help", no_argument, NULL, VALUE_HELP };
	set_defaults(c->options, options);

	opterr = 0;
	optind = 0;
	for (;;) {
		int value = getopt_long(argc, argv, p.letters, p.longs, NULL);
		if (value == -1)
			break;
		if (value == 'h' || value == VALUE_HELP) {
			*ret_help = true;
			return 0;
		}
		if (value == '?' || value == ':')
			return bad_option(c, &p, value, argv[optind - 1], e);
		void *base = NULL;
		const struct option_spec *s = by_value(&p, value, &base);
		int r = s ? set_field(s, base, optarg, e)
			  : error_set(e, ERROR_FAILED, EINVAL, "option table out of step");
		if (r < 0)
			return r;
	}
	*ret_operands = argv + optind;
	*ret_n = (size_t)(argc - optind);
	return check_operands(c, *ret_n, e);
}
