/* --help of one command, and the overview of all in groups, from the tables. */
#include "cmd/command.h"
#include "cmd/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28
#define HELP_WIDTH 90

static void print_synopsis(const struct command *c)
{
	printf("kvmcrypt %s [OPTION]...", c->name);
	for (const struct operand_spec *o = c->operands; o && o->name; o++)
		printf(" %s%s%s%s", o->optional ? "[" : "", o->name, o->repeated ? "..." : "",
		       o->optional ? "]" : "");
	putchar('\n');
}

/* Words of text from the given column on, broken before `width`. */
static void print_wrapped(const char *text, int column, int indent)
{
	int at = column;
	while (*text) {
		size_t word = strcspn(text, " ");
		if (at > indent && at + 1 + (int)word > HELP_WIDTH) {
			printf("\n%*s", indent, "");
			at = indent;
		} else if (at > indent) {
			putchar(' ');
			at++;
		}
		printf("%.*s", (int)word, text);
		at += (int)word;
		text += word + strspn(text + word, " ");
	}
	putchar('\n');
}

static void print_options(const struct option_spec *table)
{
	for (; table && table->kind != OPTION_END; table++) {
		char left[128];
		if (table->letter)
			snprintf(left, sizeof(left), "  -%c, --%s", table->letter, table->name);
		else
			snprintf(left, sizeof(left), "      --%s", table->name);
		if (table->arg)
			snprintf(left + strlen(left), sizeof(left) - strlen(left),
				 table->kind == OPTION_AUTO ? "[=%s]" : "=%s", table->arg);
		int len = (int)strlen(left);
		printf("%s", left);
		if (len >= HELP_COLUMN)
			printf("\n%*s", HELP_COLUMN, "");
		else
			printf("%*s", HELP_COLUMN - len, "");
		print_wrapped(table->help, HELP_COLUMN, HELP_COLUMN);
	}
}

void command_print_help(const struct command *c)
{
	printf("Usage: ");
	print_synopsis(c);
	print_wrapped(c->description, 0, 0);
	if (c->options && c->options->kind != OPTION_END) {
		printf("\nOptions:\n");
		print_options(c->options);
	}
	printf("\nCommon options:\n");
	print_options(common_options);
	printf("  -h, --help%*sshow this help\n", HELP_COLUMN - 12, "");
	char page[64];
	snprintf(page, sizeof(page), "kvmcrypt-%.48s", c->name);
	char *space = strchr(page, ' ');
	if (space)
		*space = 0;
	printf("\nMore, with examples: man %s\n", page);
}

/* ---- all commands ---- */

/* In the order in which a newcomer meets them. */
static const struct {
	enum command_group group;
	const char *title;
} groups[] = {
	{ GROUP_KEYSTORE, "The keystore" },
	{ GROUP_VOLUMES, "Volumes" },
	{ GROUP_KEYS, "Keys of a volume" },
	{ GROUP_GUESTS, "Guests and the host's start" },
	{ GROUP_HELP, "Help" },
};

static void print_line(const struct command *c, FILE *out)
{
	fprintf(out, "  %-22s %s\n", c->name, c->summary);
}

void command_print_overview(FILE *out)
{
	fprintf(out, "Usage: kvmcrypt COMMAND [OPTION]... [OPERAND]...\n"
		     "Encrypted disks for KVM guests: creates them, keeps their keys in a sealed keystore,\n"
		     "hands them to libvirt when a guest needs them.\n");
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++) {
		fprintf(out, "\n%s:\n", groups[i].title);
		for (const struct command *const *c = commands; *c; c++)
			if ((*c)->group == groups[i].group)
				print_line(*c, out);
	}
	fprintf(out, "\n`kvmcrypt help COMMAND` says more of a command, `man kvmcrypt` of all.\n");
}

static bool is_of_family(const struct command *c, const char *word)
{
	size_t len = strlen(word);
	return !strncmp(c->name, word, len) && c->name[len] == ' ';
}

bool command_is_family(const char *word)
{
	for (const struct command *const *c = commands; *c; c++)
		if (is_of_family(*c, word))
			return true;
	return false;
}

void command_print_family(const char *word, FILE *out)
{
	fprintf(out, "Usage: kvmcrypt %s COMMAND [OPTION]...\n\nCommands:\n", word);
	for (const struct command *const *c = commands; *c; c++)
		if (is_of_family(*c, word))
			print_line(*c, out);
}

static void join(char **words, size_t n, char *buf, size_t len)
{
	snprintf(buf, len, "%s%s%s", words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
}

const struct command *command_find(char **words, size_t n, int *ret_words)
{
	char two[128];
	join(words, n, two, sizeof(two));
	for (const struct command *const *c = commands; *c; c++)
		if (!strcmp((*c)->name, words[0]) || !strcmp((*c)->name, two)) {
			*ret_words = strchr((*c)->name, ' ') ? 2 : 1;
			return *c;
		}
	return NULL;
}

int command_unknown(char **words, size_t n, struct error *e)
{
	bool family = command_is_family(words[0]);
	char two[128], both[128];
	if (family && (n < 2 || words[1][0] == '-'))
		return error_set(e, ERROR_USAGE, EINVAL, "a command is missing behind '%s' (see `kvmcrypt %s --help`)",
				 words[0], words[0]);
	join(words, family ? 2 : 1, two, sizeof(two));
	join(words, n, both, sizeof(both));
	struct suggestion near = { .word = words[family ? 1 : 0] }, whole = { .word = both };
	for (const struct command *const *c = commands; *c; c++) {
		const char *space = strchr((*c)->name, ' ');
		if (!family && !space)
			suggest_consider(&near, (*c)->name, (*c)->name);
		else if (family && is_of_family(*c, words[0]))
			suggest_consider(&near, space + 1, (*c)->name);
		/* "add-slot" alone, or behind the wrong first word */
		else if (space && !strcmp(space + 1, near.word))
			suggest_consider(&near, near.word, (*c)->name);
		else if (space)
			suggest_consider(&whole, (*c)->name, (*c)->name);
	}
	near.best = near.best ? near.best : whole.best;
	if (near.best)
		return error_set(e, ERROR_USAGE, EINVAL,
				 "there is no command '%s': did you mean `kvmcrypt %s`? (see `kvmcrypt --help`)", two,
				 near.best);
	return error_set(e, ERROR_USAGE, EINVAL, "there is no command '%s' (see `kvmcrypt --help`)", two);
}
