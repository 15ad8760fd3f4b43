/* Shell completions, written from the tables; the results are committed in completions/. */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

static const char head[] = "made by `make generated` from the option tables; do not edit";

/* Inside single quotes of bash, zsh and fish alike. */
static void quoted(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			printf("'\\''");
		else
			putchar(*text);
	}
}

static const char *kind_word(enum complete c)
{
	switch (c) {
	case COMPLETE_FILE:
		return "file";
	case COMPLETE_VOLUME:
		return "volumes";
	case COMPLETE_DOMAIN:
		return "domains";
	case COMPLETE_NONE:
		break;
	}
	return "none";
}

static void choices(const char *const *list, const char *separator)
{
	for (const char *const *c = list; c && *c; c++)
		printf("%s%s", c == list ? "" : separator, *c);
}

/* ---- bash ---- */

static void bash_option_words(const struct option_spec *o)
{
	for (; o && o->kind != OPTION_END; o++)
		printf("--%s%s ", o->name, OPTION_TAKES_WORD(o) ? "=" : "");
}

static void bash_option_values(const char *command, const struct option_spec *o)
{
	for (; o && o->kind != OPTION_END; o++) {
		if (o->choices) {
			printf("    '%s --%s') _kvmcrypt_words '", command, o->name);
			choices(o->choices, " ");
			printf("' ;;\n");
		} else if (o->complete != COMPLETE_NONE) {
			printf("    '%s --%s') _kvmcrypt_values %s ;;\n", command, o->name,
			       kind_word(o->complete));
		}
	}
}

/* Has a command in front of this one an option of the name? */
static bool named_before(const struct command *const *end, const char *name)
{
	for (const struct command *const *c = commands; c < end; c++)
		for (const struct option_spec *o = (*c)->options; o && o->kind != OPTION_END; o++)
			if (!strcmp(o->name, name))
				return true;
	return false;
}

/* Options whose next word is their value, so neither a command's word nor an operand. */
static void bash_valued_options(void)
{
	for (const struct option_spec *o = common_options; o->kind != OPTION_END; o++)
		if (OPTION_TAKES_WORD(o))
			printf("--%s ", o->name);
	for (const struct option_spec *o = common_options; o->kind != OPTION_END; o++)
		if (OPTION_TAKES_WORD(o) && o->letter)
			printf("-%c ", o->letter);
	for (const struct command *const *c = commands; *c; c++)
		for (const struct option_spec *o = (*c)->options; o && o->kind != OPTION_END; o++)
			if (OPTION_TAKES_WORD(o) && !named_before(c, o->name))
				printf("--%s ", o->name);
}

static void bash(void)
{
	printf("# bash completion for kvmcrypt, %s\n", head);
	printf("_kvmcrypt_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
	       "_kvmcrypt_values() {\n"
	       "  local IFS=$'\\n'\n"
	       "  case $1 in\n"
	       "  file) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null ;;\n"
	       "  volumes | domains)\n"
	       "    # not compgen -W, which would execute a $(command) in a name; quoted, or Enter would\n"
	       "    while read -r w; do\n"
	       "      [[ $w == \"$cur\"* ]] && COMPREPLY+=(\"$(printf %%q \"$w\")\")\n"
	       "    done < <(\"${COMP_WORDS[0]}\" --dump-values \"$1\" 2>/dev/null) ;;\n"
	       "  esac\n"
	       "}\n"
	       "_kvmcrypt() {\n"
	       "  local cur prev cmd='' words=() operand=-1 i w before\n"
	       "  local IFS=$' \\t\\n'\n"
	       "  COMPREPLY=()\n"
	       "  cur=${COMP_WORDS[COMP_CWORD]}\n"
	       "  prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
	       "  local valued=' ");
	bash_valued_options();
	printf("'\n"
	       "  # --name=value arrives as three words\n"
	       "  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
	       "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "    w=${COMP_WORDS[i]}\n"
	       "    case $w in -* | =) continue ;; esac\n"
	       "    before=${COMP_WORDS[i - 1]}\n"
	       "    [[ $before == = ]] && before=${COMP_WORDS[i - 2]}\n"
	       "    [[ $valued == *\" $before \"* ]] && continue\n"
	       "    if [[ -z $cmd ]]; then cmd=$w; elif [[ $operand == -1 && ' ");
	for (const struct command *const *c = commands; *c; c++)
		if (strchr((*c)->name, ' '))
			printf("%s|", (*c)->name);
	printf(" ' == *[\\ \\|]\"$cmd $w|\"* ]]; then cmd=\"$cmd $w\"; else operand=$((operand + 1)); fi\n"
	       "  done\n"
	       "  case \"$cmd $prev\" in\n");
	for (const struct command *const *c = commands; *c; c++)
		bash_option_values((*c)->name, (*c)->options);
	printf("    *) case $prev in\n"
	       "      --progress) _kvmcrypt_words 'auto none json' ;;\n"
	       "      --keystore) _kvmcrypt_values file ;;\n"
	       "      esac ;;\n"
	       "  esac\n"
	       "  [[ ${#COMPREPLY[@]} -gt 0 ]] && return\n"
	       "  if [[ $cur == -* ]]; then\n"
	       "    case $cmd in\n");
	for (const struct command *const *c = commands; *c; c++) {
		printf("    '%s') _kvmcrypt_words '", (*c)->name);
		bash_option_words((*c)->options);
		bash_option_words(common_options);
		printf("--help' ;;\n");
	}
	printf("    *) _kvmcrypt_words '--help --version' ;;\n"
	       "    esac\n"
	       "    [[ ${COMPREPLY[*]} == *= ]] && compopt -o nospace 2>/dev/null\n"
	       "    return\n"
	       "  fi\n"
	       "  case $cmd in\n"
	       "  '') _kvmcrypt_words '");
	for (const struct command *const *c = commands; *c; c++)
		printf("%.*s ", (int)strcspn((*c)->name, " "), (*c)->name);
	printf("' ;;\n");
	const char *group = "";
	size_t group_len = 0;
	for (const struct command *const *c = commands; *c; c++) {
		const char *space = strchr((*c)->name, ' ');
		if (!space)
			continue;
		size_t len = (size_t)(space - (*c)->name);
		if (len != group_len || strncmp(group, (*c)->name, len) != 0) {
			printf("%s  '%.*s') _kvmcrypt_words '", group_len ? "' ;;\n" : "", (int)len, (*c)->name);
			group = (*c)->name;
			group_len = len;
		}
		printf("%s ", space + 1);
	}
	printf("%s", group_len ? "' ;;\n" : "");
	for (const struct command *const *c = commands; *c; c++) {
		if (!(*c)->operands || !(*c)->operands->name)
			continue;
		printf("  '%s') case $operand in\n", (*c)->name);
		int i = -1;
		for (const struct operand_spec *o = (*c)->operands; o->name; o++, i++) {
			printf("    %s) ", o->repeated ? "*" : (char[]){ (char)(i < 0 ? '-' : '0' + i),
									i < 0 ? '1' : 0, 0 });
			if (o->choices) {
				printf("_kvmcrypt_words '");
				choices(o->choices, " ");
				printf("' ;;\n");
			} else {
				printf("_kvmcrypt_values %s ;;\n", kind_word(o->complete));
			}
		}
		printf("    esac ;;\n");
	}
	printf("  esac\n}\ncomplete -F _kvmcrypt kvmcrypt\n");
}

/* ---- zsh ---- */

static void zsh_action(enum complete c, const char *const *list)
{
	if (list) {
		printf("(");
		choices(list, " ");
		printf(")");
	} else if (c == COMPLETE_FILE) {
		printf("_files");
	} else if (c != COMPLETE_NONE) {
		printf("{_kvmcrypt_values %s}", kind_word(c));
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

static void zsh(void)
{
	printf("#compdef kvmcrypt\n# zsh completion for kvmcrypt, %s\n", head);
	printf("_kvmcrypt_values() {\n"
	       "  local -a values\n"
	       "  values=(${(f)\"$($service --dump-values $1 2>/dev/null)\"})\n"
	       "  compadd -a values\n"
	       "}\n"
	       "_kvmcrypt() {\n"
	       "  local cmd=$words[2]\n"
	       "  if (( CURRENT == 2 )); then\n"
	       "    local -a list\n"
	       "    list=(\n");
	const char *last = "";
	size_t last_len = 0;
	for (const struct command *const *c = commands; *c; c++) {
		size_t len = strcspn((*c)->name, " ");
		if (len == last_len && !strncmp(last, (*c)->name, len))
			continue;
		last = (*c)->name;
		last_len = len;
		printf("      '%.*s:", (int)len, (*c)->name);
		quoted((*c)->name[len] ? "group of commands" : (*c)->summary);
		printf("'\n");
	}
	printf("    )\n    _describe command list\n    return\n  fi\n  case $cmd in\n");
	last_len = 0;
	for (const struct command *const *c = commands; *c; c++) {
		const char *space = strchr((*c)->name, ' ');
		if (!space)
			continue;
		size_t len = (size_t)(space - (*c)->name);
		bool fresh = len != last_len || strncmp(last, (*c)->name, len) != 0;
		if (fresh)
			printf("%s  %.*s)\n    if (( CURRENT == 3 )); then compadd --", last_len ? "\n      return; fi\n    cmd=\"$words[2] $words[3]\"; shift words; (( CURRENT-- )) ;;\n" : "",
			       (int)len, (*c)->name);
		printf(" %s", space + 1);
		last = (*c)->name;
		last_len = len;
	}
	if (last_len)
		printf("\n      return; fi\n    cmd=\"$words[2] $words[3]\"; shift words; (( CURRENT-- )) ;;\n");
	printf("  esac\n  shift words; (( CURRENT-- ))\n  case $cmd in\n");
	for (const struct command *const *c = commands; *c; c++) {
		printf("  '%s')\n    _arguments", (*c)->name);
		zsh_options((*c)->options);
		zsh_options(common_options);
		printf(" \\\n      '--help[show help]'");
		for (const struct operand_spec *o = (*c)->operands; o && o->name; o++) {
			printf(" \\\n      '%s:%s:", o->repeated ? "*" : o->optional ? ":" : "", o->name);
			zsh_action(o->complete, o->choices);
			printf("'");
		}
		printf(" ;;\n");
	}
	printf("  esac\n}\n_kvmcrypt \"$@\"\n");
}

/* ---- fish ---- */

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
			choices(o->choices, " ");
			printf("'");
		} else if (o->complete == COMPLETE_FILE) {
			printf(" -F");
		} else if (o->complete != COMPLETE_NONE) {
			printf(" -f -a '(kvmcrypt --dump-values %s 2>/dev/null)'", kind_word(o->complete));
		}
		printf(" -d '");
		quoted(o->help);
		printf("'\n");
	}
}

static void fish(void)
{
	printf("# fish completion for kvmcrypt, %s\ncomplete -c kvmcrypt -f\n", head);
	for (const struct command *const *c = commands; *c; c++) {
		const char *space = strchr((*c)->name, ' ');
		char condition[256];
		if (space) {
			size_t len = (size_t)(space - (*c)->name);
			printf("complete -c kvmcrypt -n __fish_use_subcommand -a %.*s\n", (int)len, (*c)->name);
			printf("complete -c kvmcrypt -n '__fish_seen_subcommand_from %.*s; and test (count "
			       "(commandline -opc)) -eq 2' -a %s -d '",
			       (int)len, (*c)->name, space + 1);
			quoted((*c)->summary);
			printf("'\n");
			snprintf(condition, sizeof(condition),
				 "__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s", (int)len,
				 (*c)->name, space + 1);
		} else {
			printf("complete -c kvmcrypt -n __fish_use_subcommand -a %s -d '", (*c)->name);
			quoted((*c)->summary);
			printf("'\n");
			snprintf(condition, sizeof(condition), "__fish_seen_subcommand_from %s", (*c)->name);
		}
		fish_options(condition, (*c)->options);
		for (const struct operand_spec *o = (*c)->operands; o && o->name; o++) {
			printf("complete -c kvmcrypt -n '%s' ", condition);
			if (o->choices) {
				printf("-a '");
				choices(o->choices, " ");
				printf("'\n");
			} else if (o->complete == COMPLETE_VOLUME || o->complete == COMPLETE_DOMAIN) {
				printf("-a '(kvmcrypt --dump-values %s 2>/dev/null)'\n", kind_word(o->complete));
			} else {
				printf("%s\n", o->complete == COMPLETE_FILE ? "-F" : "-f");
			}
		}
	}
	fish_options("not __fish_use_subcommand", common_options);
}

int dump_completion(const char *shell)
{
	if (!strcmp(shell, "bash"))
		bash();
	else if (!strcmp(shell, "zsh"))
		zsh();
	else if (!strcmp(shell, "fish"))
		fish();
	else
		return 1;
	return 0;
}
