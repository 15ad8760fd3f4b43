/* kvmcrypt: finds the command, runs it, prints its error and maps the error's kind to an exit code. */
#include "base/cleanup.h"
#include "base/lock.h"
#include "base/secret.h"
#include "cmd/command.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifndef KVMCRYPT_VERSION
#define KVMCRYPT_VERSION "unknown"
#endif

/* Sorted by name; a test checks it. Man page, completion and tests/cli script carry the same name. */
const struct command *const commands[] = {
	&command_attach,
	&command_boot_disable,
	&command_boot_enable,
	&command_boot_status,
	&command_check,
	&command_close,
	&command_create,
	&command_detach,
	&command_erase,
	&command_harden,
	&command_header_restore,
	&command_header_show,
	&command_help,
	&command_import,
	&command_init,
	&command_keyslot_add,
	&command_keyslot_list,
	&command_keyslot_remove,
	&command_keystore_add_slot,
	&command_keystore_backup,
	&command_keystore_certificate,
	&command_keystore_check,
	&command_keystore_export,
	&command_keystore_forget,
	&command_keystore_import,
	&command_keystore_log,
	&command_keystore_rekey,
	&command_keystore_remove_slot,
	&command_keystore_reseal,
	&command_keystore_restore,
	&command_keystore_status,
	&command_list,
	&command_load,
	&command_move,
	&command_open,
	&command_passphrase_show,
	&command_recover,
	&command_resize,
	&command_rotate,
	&command_seal,
	&command_show,
	&command_unload,
	&command_unseal,
	NULL,
};

/* A key written to descriptor 1 because stdout was closed would be a leak: fill 0 to 2. */
static void sanitise_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

static int report(const struct context *ctx, const struct error *e)
{
	fprintf(stderr, "kvmcrypt: %s\n", e->message);
	if (ctx->json && !ctx->document_done)
		output_error(e);
	return (int)(e->kind ? e->kind : ERROR_FAILED);
}

/* Is --json among the words? Errors of parsing itself are to be JSON too when asked for. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (!strcmp(argv[i], "--json"))
			return true;
	return false;
}

/* What was printed must have arrived: the exit code of the whole. A reader that has seen enough needs no message. */
static int finish(int code)
{
	int lost = output_close();
	if (lost && lost != EPIPE)
		fprintf(stderr, "kvmcrypt: cannot write to standard output: %s\n", strerror(lost));
	return code ? code : lost ? ERROR_FAILED : 0;
}

static void say_waits(void *ctx, const char *what)
{
	say(ctx, "note: %s", what);
}

static int run_command(const struct command *c, int argc, char **argv)
{
	struct context ctx = { .progress_mode = "auto", .json = wants_json(argc, argv) };
	struct error e = { 0 };
	AUTOFREE void *options = calloc(1, c->options_size ? c->options_size : 1);
	char **operands = NULL;
	size_t n = 0;
	bool help = false;
	if (!options) {
		error_oom(&e);
		return report(&ctx, &e);
	}
	int r = command_parse(c, argc, argv, &ctx, options, &operands, &n, &help, &e);
	if (r == 0 && help) {
		command_print_help(c);
		return 0;
	}
	if (r == 0)
		r = secret_protect_process(&e);
	if (r == 0) {
		progress_setup(&ctx);
		lock_on_wait(say_waits, &ctx);
		r = c->run(&ctx, options, operands, n, &e);
		progress_finish();
	}
	if (r < 0)
		r = report(&ctx, &e);
	return r;
}

/*
 * `kvmcrypt -c URI attach …`: options in front of the command are common ones and are moved behind
 * its words, where the command's parser reads them. *ret is a new array for the caller to free.
 */
static int move_leading_options(int argc, char **argv, char ***ret, struct error *e)
{
	int n = 1;
	while (n < argc && argv[n][0] == '-' && argv[n][1]) {
		const struct option_spec *o = common_options;
		bool is_long = argv[n][1] == '-';
		size_t len = strcspn(argv[n] + 2, "=");
		for (; o->kind != OPTION_END; o++)
			if (is_long ? strlen(o->name) == len && !strncmp(o->name, argv[n] + 2, len)
				    : argv[n][1] == o->letter)
				break;
		if (o->kind == OPTION_END)
			return error_set(e, ERROR_USAGE, EINVAL,
					 "'%s' is no common option, so it belongs behind the command (see `kvmcrypt "
					 "--help`)",
					 argv[n]);
		bool separate = OPTION_TAKES_WORD(o) && !(is_long ? argv[n][2 + len] == '=' : argv[n][2] != 0);
		n += separate ? 2 : 1;
	}
	char **moved = calloc((size_t)argc + 1, sizeof(char *));
	if (!moved)
		return error_oom(e);
	int lead = n - 1 < argc - 1 ? n - 1 : argc - 1, words = argc - 1 - lead;
	/* Two words at most are the command's; the options go behind them. */
	int front = words > 1 && command_is_family(argv[n]) ? 2 : words > 0 ? 1 : 0, at = 0;
	moved[at++] = argv[0];
	for (int i = 0; i < front; i++)
		moved[at++] = argv[1 + lead + i];
	for (int i = 0; i < lead; i++)
		moved[at++] = argv[1 + i];
	for (int i = front; i < words; i++)
		moved[at++] = argv[1 + lead + i];
	*ret = moved;
	return 0;
}

static int hidden(int argc, char **argv)
{
	if (!strcmp(argv[1], "--dump-cli")) {
		dump_cli();
		return 0;
	}
	if (!strcmp(argv[1], "--dump-workflows")) {
		dump_workflows();
		return 0;
	}
	if (!strcmp(argv[1], "--dump-man") && argc == 3)
		return dump_man(argv[2]);
	if (!strcmp(argv[1], "--dump-completion") && argc == 3)
		return dump_completion(argv[2]);
	if (!strcmp(argv[1], "--dump-values") && argc == 3)
		return dump_values(argv[2]);
	return -1;
}

static int start(int argc, char **argv)
{
	if (argc < 2) {
		command_print_overview(stderr);
		return ERROR_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		command_print_overview(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("kvmcrypt %s\n", KVMCRYPT_VERSION);
		return 0;
	}
	int r = hidden(argc, argv);
	if (r >= 0)
		return r;
	AUTOFREE char **moved = NULL;
	struct error e = { 0 };
	const struct context none = { .json = wants_json(argc, argv) };
	if (move_leading_options(argc, argv, &moved, &e) < 0)
		return report(&none, &e);
	argv = moved;
	if (argv[1][0] == '-') {
		error_set(&e, ERROR_USAGE, EINVAL, "a command is missing (see `kvmcrypt --help`)");
		return report(&none, &e);
	}
	int words = 0;
	const struct command *c = command_find(argv + 1, (size_t)argc - 1, &words);
	if (c)
		return run_command(c, argc - words, argv + words);
	if (command_is_family(argv[1])) {
		bool help = argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"));
		if (help || argc == 2)
			command_print_family(argv[1], help ? stdout : stderr);
		if (help)
			return 0;
	}
	command_unknown(argv + 1, (size_t)argc - 1, &e);
	return report(&none, &e);
}

int main(int argc, char **argv)
{
	sanitise_descriptors();
	/* What they stand for comes back as an error, EPIPE and EFBIG, with a name and a way out. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	umask(077);
	int code = finish(start(argc, argv));
	/* Everything is wiped and the terminal restored: now end as whoever sent the signal expects. */
	if (terminal_stopped_by()) {
		signal(terminal_stopped_by(), SIG_DFL);
		raise(terminal_stopped_by());
	}
	return code;
}
