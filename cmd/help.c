/* --help, from the tables. */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#define HELP_COLUMN 28
#define HELP_WIDTH 90

void command_print_synopsis(const struct command *c)
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
	command_print_synopsis(c);
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
