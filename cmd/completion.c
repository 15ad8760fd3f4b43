/* Shell completions, written from the tables; the results are committed in completions/. */
#include "cmd/completion.h"

#include <stdio.h>
#include <string.h>

void completion_quoted(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			printf("'\\''");
		else
			putchar(*text);
	}
}

const char *completion_kind(enum complete c)
{
	static const char *const words[] = {
		[COMPLETE_NONE] = "none",	[COMPLETE_FILE] = "file",	  [COMPLETE_VOLUME] = "volumes",
		[COMPLETE_DOMAIN] = "domains", [COMPLETE_COMMAND] = "commands",
	};
	return words[c];
}

void completion_choices(const char *const *list, const char *separator)
{
	for (const char *const *c = list; c && *c; c++)
		printf("%s%s", c == list ? "" : separator, *c);
}

size_t completion_fresh_word(const struct command *const *c)
{
	size_t len = strcspn((*c)->name, " ");
	/* Sorted by name, so what begins alike stands together. */
	if (c > commands && !strncmp(c[-1]->name, (*c)->name, len) && (!c[-1]->name[len] || c[-1]->name[len] == ' '))
		return 0;
	return len;
}

void completion_first_words(void)
{
	for (const struct command *const *c = commands; *c; c++)
		if (completion_fresh_word(c))
			printf("%.*s ", (int)strcspn((*c)->name, " "), (*c)->name);
}

void completion_second_words(const char *word, size_t len)
{
	for (const struct command *const *c = commands; *c; c++)
		if (!strncmp((*c)->name, word, len) && (*c)->name[len] == ' ')
			printf("%s ", (*c)->name + len + 1);
}

int dump_completion(const char *shell)
{
	if (!strcmp(shell, "bash"))
		completion_bash();
	else if (!strcmp(shell, "zsh"))
		completion_zsh();
	else if (!strcmp(shell, "fish"))
		completion_fish();
	else
		return 1;
	return 0;
}
