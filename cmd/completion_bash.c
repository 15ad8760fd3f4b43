#include "cmd/completion.h"

#include <stdio.h>
#include <string.h>

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
			completion_choices(o->choices, " ");
			printf("' ;;\n");
		} else if (o->complete != COMPLETE_NONE) {
			printf("    '%s --%s') _kvmcrypt_values %s ;;\n", command, o->name,
			       completion_kind(o->complete));
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

/* Functions that do not depend on the tables, but for the words of commands. */
static void print_helpers(void)
{
	printf("_kvmcrypt_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\"); }\n"
	       "_kvmcrypt_values() {\n"
	       "  local IFS=$'\\n'\n"
	       "  case $1 in\n"
	       "  file) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); compopt -o filenames 2>/dev/null ;;\n"
	       "  commands) _kvmcrypt_commands \"$prev\" ;;\n"
	       "  volumes | domains)\n"
	       "    # not compgen -W, which would execute a $(command) in a name; quoted, or Enter would\n"
	       "    while read -r w; do\n"
	       "      [[ $w == \"$cur\"* ]] && COMPREPLY+=(\"$(printf %%q \"$w\")\")\n"
	       "    done < <(\"${COMP_WORDS[0]}\" --dump-values \"$1\" 2>/dev/null) ;;\n"
	       "  esac\n"
	       "}\n"
	       "# the words of commands that may follow the word $1\n"
	       "_kvmcrypt_commands() {\n"
	       "  local IFS=$' \\t\\n'\n"
	       "  case $1 in\n");
	for (const struct command *const *c = commands; *c; c++) {
		size_t len = completion_fresh_word(c);
		if (!len || !(*c)->name[len])
			continue;
		printf("  %.*s) _kvmcrypt_words '", (int)len, (*c)->name);
		completion_second_words((*c)->name, len);
		printf("' ;;\n");
	}
	printf("  '' | help) _kvmcrypt_words '");
	completion_first_words();
	printf("' ;;\n  esac\n}\n");
}

/* Finds what is being typed: $cmd, and the index of the operand, -1 for the first. */
static void print_scan(void)
{
	printf("  local cur prev cmd='' words=() operand=-1 i w before\n"
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
	       "  done\n");
}

static void print_options(void)
{
	printf("  case \"$cmd $prev\" in\n");
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
	       "  fi\n");
}

static void print_operands(const struct command *c)
{
	if (!c->operands || !c->operands->name)
		return;
	printf("  '%s') case $operand in\n", c->name);
	int i = -1;
	for (const struct operand_spec *o = c->operands; o->name; o++, i++) {
		if (o->repeated)
			printf("    *) ");
		else
			printf("    %d) ", i);
		if (o->choices) {
			printf("_kvmcrypt_words '");
			completion_choices(o->choices, " ");
			printf("' ;;\n");
		} else {
			printf("_kvmcrypt_values %s ;;\n", completion_kind(o->complete));
		}
	}
	printf("    esac ;;\n");
}

void completion_bash(void)
{
	printf("# bash completion for kvmcrypt, %s\n", COMPLETION_HEAD);
	print_helpers();
	printf("_kvmcrypt() {\n");
	print_scan();
	print_options();
	printf("  case $cmd in\n");
	for (const struct command *const *c = commands; *c; c++)
		print_operands(*c);
	printf("  *) _kvmcrypt_commands \"$cmd\" ;;\n"
	       "  esac\n}\ncomplete -F _kvmcrypt kvmcrypt\n");
}
