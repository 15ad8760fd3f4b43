/* What the writers of the shells' completions share. */
#ifndef CMD_COMPLETION_H
#define CMD_COMPLETION_H

#include "cmd/command.h"

#define COMPLETION_HEAD "made by `make generated` from the option tables; do not edit"

/* Each prints a whole file. */
void completion_bash(void);
void completion_zsh(void);
void completion_fish(void);

/* Text inside single quotes of bash, zsh and fish alike. */
void completion_quoted(const char *text);

/* "volumes": what --dump-values is asked for; "file", "commands", "none" are the shell's own. */
const char *completion_kind(enum complete c);

void completion_choices(const char *const *list, const char *separator);

/* The words that a command line can begin with, a space behind each. */
void completion_first_words(void);

/* The length of the first word if c is the first command with it; 0: one before had it. */
size_t completion_fresh_word(const struct command *const *c);

/* The second words of the commands whose first is the len letters at `word`, a space behind each. */
void completion_second_words(const char *word, size_t len);

#endif
