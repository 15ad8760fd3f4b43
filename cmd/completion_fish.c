#include "cmd/completion.h"

#include <stdio.h>
#include <string.h>

static void fish_options(const char *condition, const struct option_spec *o)
{
	for (; o && o->kind != OPTION_END; o++) {
		printf("complete -c kvmcrypt -n '%s' -l %s", condition, o->name);
		if (o->letter)
			printf(" -s %c", o->letter);
		if (OPTION_TAKES_WORD(o))
			printf(" -r");
		if (o->choices) {
			printf(" -f -a '");
			completion_choices(o->choices, " ");
			printf("'");
		} else if (o->complete == COMPLETE_FILE) {
			printf(" -F");
		} else if (o->complete != COMPLETE_NONE) {
			printf(" -f -a '(kvmcrypt --dump-values %s 2>/dev/null)'", completion_kind(o->complete));
		}
		printf(" -d '");
		completion_quoted(o->help);
		printf("'\n");
	}
}

static void fish_operands(const char *condition, const struct operand_spec *o)
{
	for (; o && o->name; o++) {
		printf("complete -c kvmcrypt -n '%s' ", condition);
		if (o->choices || o->complete == COMPLETE_COMMAND) {
			printf("-a '");
			if (o->choices)
				completion_choices(o->choices, " ");
			else
				completion_first_words();
			printf("'\n");
		} else if (o->complete == COMPLETE_VOLUME || o->complete == COMPLETE_DOMAIN) {
			printf("-a '(kvmcrypt --dump-values %s 2>/dev/null)'\n", completion_kind(o->complete));
		} else {
			printf("%s\n", o->complete == COMPLETE_FILE ? "-F" : "-f");
		}
	}
}

static void fish_command(const struct command *const *c)
{
	const char *name = (*c)->name, *space = strchr(name, ' ');
	int len = (int)strcspn(name, " ");
	char condition[256];
	if (completion_fresh_word(c) && space) {
		printf("complete -c kvmcrypt -n __fish_use_subcommand -a %.*s\n", len, name);
		printf("complete -c kvmcrypt -n '__fish_seen_subcommand_from help; and __fish_seen_subcommand_from "
		       "%.*s' -a '",
		       len, name);
		completion_second_words(name, (size_t)len);
		printf("'\n");
	}
	if (space) {
		printf("complete -c kvmcrypt -n '__fish_seen_subcommand_from %.*s; and test (count "
		       "(commandline -opc)) -eq 2' -a %s -d '",
		       len, name, space + 1);
		snprintf(condition, sizeof(condition),
			 "__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s", len, name, space + 1);
	} else {
		printf("complete -c kvmcrypt -n __fish_use_subcommand -a %s -d '", name);
		snprintf(condition, sizeof(condition), "__fish_seen_subcommand_from %s", name);
	}
	completion_quoted((*c)->summary);
	printf("'\n");
	fish_options(condition, (*c)->options);
	fish_operands(condition, (*c)->operands);
}

void completion_fish(void)
{
	printf("# fish completion for kvmcrypt, %s\ncomplete -c kvmcrypt -f\n", COMPLETION_HEAD);
	for (const struct command *const *c = commands; *c; c++)
		fish_command(c);
	fish_options("not __fish_use_subcommand", common_options);
}
