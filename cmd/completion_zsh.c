#include "cmd/completion.h"

#include <stdio.h>
#include <string.h>

static void zsh_action(enum complete c, const char *const *list)
{
	if (list) {
		printf("(");
		completion_choices(list, " ");
		printf(")");
	} else if (c == COMPLETE_FILE) {
		printf("_files");
	} else if (c == COMPLETE_COMMAND) {
		printf("_kvmcrypt_commands");
	} else if (c != COMPLETE_NONE) {
		printf("{_kvmcrypt_values %s}", completion_kind(c));
	} else {
		printf(" ");
	}
}

/* zsh's _arguments treats [ ] and : in a description as its own. */
static void zsh_help(const char *text)
{
	for (; *text; text++) {
		if (*text == '[' || *text == ']' || *text == ':')
			putchar('\\');
		if (*text == '\'')
			printf("'\\''");
		else
			putchar(*text);
	}
}

static void zsh_options(const struct option_spec *o)
{
	for (; o && o->kind != OPTION_END; o++) {
		printf(" \\\n      '--%s%s[", o->name, o->kind == OPTION_AUTO ? "=-" : OPTION_TAKES_WORD(o) ? "=" : "");
		zsh_help(o->help);
		printf("]");
		if (o->kind != OPTION_FLAG) {
			printf(o->kind == OPTION_AUTO ? "::%s:" : ":%s:", o->arg);
			zsh_action(o->complete, o->choices);
		}
		printf("'");
	}
}

/* For `help`: all first words, behind one of two words its second ones. */
static void print_help_words(void)
{
	printf("_kvmcrypt_commands() {\n  case $words[CURRENT-1] in\n");
	for (const struct command *const *c = commands; *c; c++) {
		size_t len = completion_fresh_word(c);
		if (!len || !(*c)->name[len])
			continue;
		printf("  %.*s) compadd -- ", (int)len, (*c)->name);
		completion_second_words((*c)->name, len);
		printf(";;\n");
	}
	printf("  help) compadd -- ");
	completion_first_words();
	printf(";;\n  esac\n}\n");
}

static void print_first_words(void)
{
	printf("  if (( CURRENT == 2 )); then\n"
	       "    local -a list\n"
	       "    list=(\n");
	for (const struct command *const *c = commands; *c; c++) {
		size_t len = completion_fresh_word(c);
		if (!len)
			continue;
		printf("      '%.*s:", (int)len, (*c)->name);
		completion_quoted((*c)->name[len] ? "group of commands" : (*c)->summary);
		printf("'\n");
	}
	printf("    )\n    _describe command list\n    return\n  fi\n");
}

static void print_second_words(void)
{
	printf("  case $cmd in\n");
	for (const struct command *const *c = commands; *c; c++) {
		size_t len = completion_fresh_word(c);
		if (!len || !(*c)->name[len])
			continue;
		printf("  %.*s)\n    if (( CURRENT == 3 )); then compadd -- ", (int)len, (*c)->name);
		completion_second_words((*c)->name, len);
		printf("\n      return; fi\n"
		       "    cmd=\"$words[2] $words[3]\"; shift words; (( CURRENT-- )) ;;\n");
	}
	printf("  esac\n");
}

static void print_arguments(const struct command *c)
{
	printf("  '%s')\n    _arguments", c->name);
	zsh_options(c->options);
	zsh_options(common_options);
	printf(" \\\n      '--help[show help]'");
	for (const struct operand_spec *o = c->operands; o && o->name; o++) {
		printf(" \\\n      '%s:%s:", o->repeated ? "*" : o->optional ? ":" : "", o->name);
		zsh_action(o->complete, o->choices);
		printf("'");
	}
	printf(" ;;\n");
}

void completion_zsh(void)
{
	printf("#compdef kvmcrypt\n# zsh completion for kvmcrypt, %s\n", COMPLETION_HEAD);
	printf("_kvmcrypt_values() {\n"
	       "  local -a values\n"
	       "  values=(${(f)\"$($service --dump-values $1 2>/dev/null)\"})\n"
	       "  compadd -a values\n"
	       "}\n");
	print_help_words();
	printf("_kvmcrypt() {\n"
	       "  local cmd=$words[2]\n");
	print_first_words();
	print_second_words();
	printf("  shift words; (( CURRENT-- ))\n  case $cmd in\n");
	for (const struct command *const *c = commands; *c; c++)
		print_arguments(*c);
	printf("  esac\n}\n_kvmcrypt \"$@\"\n");
}
