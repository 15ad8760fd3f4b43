/*
 * What a command file is: an options struct, a table that fills it, and run(): parse → one call
 * into lib → output. The table is the single source of parsing, --help, completions and the
 * option sections of the man pages. A new command is one file and one line in cmd/main.c.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include "base/error.h"
#include "base/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What a shell offers as completion. VOLUME and DOMAIN complete to real values, COMMAND to the words of one. */
enum complete {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_VOLUME,
	COMPLETE_DOMAIN,
	COMPLETE_COMMAND,
};

/* How the text of an option is checked and what field it fills. */
enum option_kind {
	OPTION_END = 0,
	OPTION_FLAG,		/* bool */
	OPTION_TEXT,		/* const char * */
	OPTION_CHOICE,		/* const char *, one of .choices */
	OPTION_SIZE,		/* uint64_t, "20G" */
	OPTION_DURATION,	/* uint64_t seconds, "90d" */
	OPTION_NUMBER,		/* uint64_t */
	OPTION_FD,		/* int, ≥ 0; the default -1 is set by the framework */
	OPTION_AUTO,		/* const char *; may be given without a value, which then is "auto" */
};

/* Is the word behind the option its value? */
#define OPTION_TAKES_WORD(o) ((o)->kind != OPTION_FLAG && (o)->kind != OPTION_AUTO)

struct option_spec {
	const char *name;	/* long name without dashes */
	enum option_kind kind;
	size_t offset;		/* of the field in the options struct */
	const char *arg;	/* placeholder: "FILE"; NULL for a flag */
	const char *help;	/* one line, lower case, no full stop */
	const char *const *choices;	/* for OPTION_CHOICE, NULL-terminated */
	enum complete complete;
	char letter;		/* short option, or 0 */
};

struct operand_spec {
	const char *name;	/* "VOLUME"; NULL ends the list */
	bool optional;
	bool repeated;		/* the last one only */
	enum complete complete;
	const char *const *choices;
};

/* The options that every command has. */
struct context {
	const char *keystore;	/* --keystore or NULL */
	const char *connect;	/* --connect or NULL (libvirt's default) */
	bool json, quiet, verbose;
	const char *progress_mode;	/* --progress: auto, none, json */
	struct progress progress;	/* give it to long work */
	bool document_done;		/* the JSON document is out and tells of the failure */
};

/* Where the overview of `kvmcrypt --help` shows a command. */
enum command_group {
	GROUP_VOLUMES = 0,
	GROUP_KEYS,
	GROUP_GUESTS,
	GROUP_KEYSTORE,
	GROUP_HELP,
};

struct command {
	const char *name;		/* "create", "keystore add-slot" */
	enum command_group group;
	const char *summary;		/* for the list and the man page's NAME */
	const char *description;	/* a paragraph for --help */
	const struct operand_spec *operands;
	const struct option_spec *options;
	size_t options_size;		/* of the options struct; zeroed before parsing */
	int (*run)(struct context *ctx, void *options, char **operands, size_t n, struct error *e);
};

/* Shared entries for option tables; T is the options struct. */
#define OPTION_DRY_RUN(T)                                                                          \
	{ "dry-run", OPTION_FLAG, offsetof(T, dry_run), NULL,                                      \
	  "show what would be done and change nothing", NULL, COMPLETE_NONE, 0 }
#define OPTION_EXPECT_ROOT(T)                                                                      \
	{ "expect-root", OPTION_TEXT, offsetof(T, expect_root), "ID",                              \
	  "the root key must be this one, and is pinned", NULL, COMPLETE_NONE, 0 }
#define OPTION_YES(T)                                                                              \
	{ "yes", OPTION_FLAG, offsetof(T, yes), NULL, "do not ask for confirmation", NULL,         \
	  COMPLETE_NONE, 'y' }
#define OPTION_NO_LIBVIRT(T, what)                                                                 \
	{ "no-libvirt", OPTION_FLAG, offsetof(T, no_libvirt), NULL, what, NULL, COMPLETE_NONE, 0 }
#define OPTION_SHARED_STORAGE(T)                                                                   \
	{ "shared-storage", OPTION_FLAG, offsetof(T, shared_storage), NULL,                        \
	  "the image is one and the same file for this host and the host of --connect", NULL,      \
	  COMPLETE_NONE, 0 }
#define OPTION_PASSPHRASE(T, what)                                                                 \
	{ "passphrase-file", OPTION_TEXT, offsetof(T, passphrase_file), "FILE",                    \
	  "read " what " from FILE (- for stdin), up to a trailing newline", NULL, COMPLETE_FILE,  \
	  0 },                                                                                     \
	{ "passphrase-fd", OPTION_FD, offsetof(T, passphrase_fd), "N",                             \
	  "read " what " from file descriptor N", NULL, COMPLETE_NONE, 0 }
#define OPTION_VOLUME_KEY_FILE(T, what)                                                             \
	{ "key-file", OPTION_TEXT, offsetof(T, key_file), "FILE",                                  \
	  what " is the content of FILE, byte for byte, as cryptsetup's --key-file (- for stdin)", NULL, \
	  COMPLETE_FILE, 0 }
#define OPTION_PIN(T)                                                                              \
	{ "pin-fd", OPTION_FD, offsetof(T, pin_fd), "N", "read the PIN from file descriptor N",    \
	  NULL, COMPLETE_NONE, 0 },                                                                \
	{ "pin-file", OPTION_TEXT, offsetof(T, pin_file), "FILE",                                  \
	  "read the PIN from FILE (- for stdin), up to a trailing newline", NULL, COMPLETE_FILE, 0 }

/* All commands, sorted by name, NULL-terminated (cmd/main.c). */
extern const struct command *const commands[];
/* The options of every command (cmd/options.c). */
extern const struct option_spec common_options[];

/*
 * Parses argv (without the command's words) into ctx and options, and runs the command.
 * *ret_help: --help was asked and printed.
 */
int command_parse(const struct command *c, int argc, char **argv, struct context *ctx, void *options,
		  char ***ret_operands, size_t *ret_n, bool *ret_help, struct error *e);

/* The usage text, from the tables: of one command, of those that begin with `word`, of all in their groups. */
void command_print_help(const struct command *c);
void command_print_family(const char *word, FILE *out);
void command_print_overview(FILE *out);

/* The command that the first of n words name: *ret_words says how many they are (1 or 2). NULL: none. */
const struct command *command_find(char **words, size_t n, int *ret_words);

/* Is it the first word of commands that have two, as "keystore" is? */
bool command_is_family(const char *word);

/* ERROR_USAGE for words that are no command: says which, and what may have been meant. */
int command_unknown(char **words, size_t n, struct error *e);

/* Machine-readable and generated forms of the tables (cmd/dump.c, hidden options of main). */
void dump_cli(void);
void dump_workflows(void);	/* a name a line; the fault sweep has a row for each */
int dump_man(const char *command_name);
int dump_completion(const char *shell);
/* Values for completion, a line each: "volumes", "domains". Prints nothing on any failure. */
int dump_values(const char *kind);

#endif
