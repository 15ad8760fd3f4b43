#include "cmd/person.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/output.h"
#include "cmd/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* So often a person is asked for what he mistyped. */
#define TRIES 3
#define CERTIFICATE_MAX 65536

static int ask_once(int tty, const char *prompt, bool twice, struct secret **ret, struct error *e)
{
	char line[512];
	AUTOSECRET struct secret *first = NULL;
	AUTOSECRET struct secret *second = NULL;
	snprintf(line, sizeof(line), "%s: ", prompt);
	int r = terminal_read_silent(tty, line, &first, e);
	if (r < 0)
		return r;
	if (twice) {
		snprintf(line, sizeof(line), "%s (again): ", prompt);
		r = terminal_read_silent(tty, line, &second, e);
		if (r < 0)
			return r;
		if (!secret_equal(first, second))
			return error_set(e, ERROR_USAGE, EINVAL, "the two entries differ");
	}
	*ret = TAKE_PTR(first);
	return 0;
}

/* Again after a slip of the fingers, or what `opens` calls a wrong key. */
static int ask(const char *prompt, const char *what, const char *option, bool twice, const struct person_key *opens,
	       struct secret **ret, struct error *e)
{
	AUTOCLOSE int tty = terminal_open();
	if (tty < 0)
		return error_set(e, ERROR_USAGE, ENOTTY,
				 "no terminal to ask for %s: use --%s-file or --%s-fd", what, option, option);
	for (int tries = 1;; tries++) {
		AUTOSECRET struct secret *key = NULL;
		int r = ask_once(tty, prompt, twice, &key, e);
		bool typed = r == 0 || e->kind == ERROR_USAGE;
		if (r == 0 && opens)
			r = opens->open(opens->context, key, e);
		if (r == 0) {
			*ret = TAKE_PTR(key);
			return 0;
		}
		if (!typed || (e->kind != ERROR_BAD_KEY && e->kind != ERROR_USAGE) || tries == TRIES)
			return r;
		terminal_ask(tty, e->message);
		terminal_ask(tty, ". Once more.");
		terminal_end_line(tty);
	}
}

/* From a file, a descriptor or the terminal; `what` and `option` name it in errors. */
static int read_text(const char *file, int fd, const char *what, const char *option, struct secret **ret,
		     struct error *e)
{
	if (file && fd >= 0)
		return error_set(e, ERROR_USAGE, EINVAL, "--%s-file and --%s-fd exclude each other", option, option);
	if (fd >= 0) {
		if (fcntl(fd, F_GETFD) < 0)
			return error_set(e, ERROR_USAGE, EBADF, "--%s-fd: descriptor %d is not open", option, fd);
		return secret_read_fd(fd, SECRET_MAX, true, what, ret, e);
	}
	if (file && !strcmp(file, "-"))
		return secret_read_fd(STDIN_FILENO, SECRET_MAX, true, "standard input", ret, e);
	AUTOCLOSE int in = open(file, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "--%s-file %s", option, file);
	return secret_read_fd(in, SECRET_MAX, true, file, ret, e);
}

int person_passphrase(const char *file, int fd, const char *prompt, bool twice, struct secret **ret, struct error *e)
{
	return file || fd >= 0 ? read_text(file, fd, "the passphrase", "passphrase", ret, e)
			       : ask(prompt, "the passphrase", "passphrase", twice, NULL, ret, e);
}

int person_open_with(const char *file, int fd, const char *prompt, const struct person_key *opens, struct secret **ret,
		     struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	if (!file && fd < 0)
		return ask(prompt, "the passphrase", "passphrase", false, opens, ret, e);
	int r = read_text(file, fd, "the passphrase", "passphrase", &key, e);
	if (r == 0)
		r = opens->open(opens->context, key, e);
	if (r == 0)
		*ret = TAKE_PTR(key);
	return r;
}

int person_pin(const char *file, int fd, const char *prompt, bool twice, struct secret **ret, struct error *e)
{
	return file || fd >= 0 ? read_text(file, fd, "the PIN", "pin", ret, e)
			       : ask(prompt, "the PIN", "pin", twice, NULL, ret, e);
}

int person_certificate(const char *file, char **ret, struct error *e)
{
	AUTOCLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "%s", file);
	AUTOFREE char *text = calloc(1, CERTIFICATE_MAX + 1);
	if (!text)
		return error_oom(e);
	if (read(fd, text, CERTIFICATE_MAX) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot read %s", file);
	*ret = TAKE_PTR(text);
	return 0;
}

int person_key_file(const char *path, struct secret **ret, struct error *e)
{
	AUTOCLOSE int in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "key file %s", path);
	return secret_read_fd(in, SECRET_MAX, false, path, ret, e);
}

int person_volume_key_file(const char *path, struct secret **ret, struct error *e)
{
	return !strcmp(path, "-") ? secret_read_fd(STDIN_FILENO, SECRET_MAX, false, "standard input", ret, e)
				  : person_key_file(path, ret, e);
}

int person_confirm(bool yes, const char *question, struct error *e)
{
	if (yes)
		return 0;
	AUTOCLOSE int tty = terminal_open();
	if (tty < 0)
		return error_set(e, ERROR_REFUSED, EPERM,
				 "%s Not done, as there is no terminal to ask: add --yes if you are sure", question);
	char line[1400], answer[16] = "";
	snprintf(line, sizeof(line), "%s Type yes to go on: ", question);
	terminal_ask(tty, line);
	ssize_t n = read(tty, answer, sizeof(answer) - 1);
	answer[n > 0 ? n : 0] = 0;
	answer[strcspn(answer, "\r\n")] = 0;
	if (strcmp(answer, "yes") != 0)
		return error_set(e, ERROR_REFUSED, ECANCELED, "not confirmed, nothing was changed");
	return 0;
}

/* Why a way to unseal did not work: of an error even with --quiet. */
static void tell(void *opaque, bool sealed, const char *line)
{
	const struct context *ctx = opaque;
	if (sealed)
		fprintf(stderr, "kvmcrypt: %s\n", line);
	else
		say(ctx, "note: %s", line);
}

int person_open_keystore(const struct context *ctx, struct keystore **ret, struct error *e)
{
	return person_open_expecting(ctx, NULL, ret, e);
}

int person_open_expecting(const struct context *ctx, const char *root_id, struct keystore **ret, struct error *e)
{
	AUTOFREE char *location = NULL;
	int r = keystore_location(ctx->keystore, &location, e);
	if (r < 0)
		return r;
	r = root_id ? keystore_open_expecting(location, root_id, ret, e) : keystore_open(location, ret, e);
	if (r == 0)
		keystore_tell(*ret, tell, (void *)ctx);
	return r;
}

void person_note_pin(const struct context *ctx, const struct keystore *ks)
{
	if (!keystore_is_pinned(ks))
		say(ctx, "note: no root key is pinned for %s, so another keystore in its place would not be told: "
			 "`kvmcrypt unseal` it once with a passphrase or key of yours, or with --expect-root",
		    keystore_path(ks));
}

static int unseals(void *context, const struct secret *key, struct error *e)
{
	return keystore_unseal(context, key, e);
}

int person_unseal(struct keystore *ks, const char *file, int fd, struct secret **ret, struct error *e)
{
	const struct person_key opens = { .open = unseals, .context = ks };
	char prompt[256];
	snprintf(prompt, sizeof(prompt), "Passphrase or recovery key of keystore %.200s", keystore_path(ks));
	return person_open_with(file, fd, prompt, &opens, ret, e);
}

int person_unseal_for(struct keystore *ks, const char *file, int fd, struct error *e)
{
	AUTOSECRET struct secret *key = NULL;
	if (file || fd >= 0)
		return person_unseal(ks, file, fd, &key, e);
	int r = keystore_unseal_auto(ks, e);
	if (r < 0 && e->kind == ERROR_SEALED && isatty(STDIN_FILENO))
		r = person_unseal(ks, NULL, -1, &key, e);
	return r;
}

int person_unsealed_keystore(const struct context *ctx, struct keystore **ret, struct error *e)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0 || (r = person_unseal_for(ks, NULL, -1, e)) < 0)
		return r;
	*ret = TAKE_PTR(ks);
	return 0;
}

int person_write_recovery(const struct secret *key, const char *path, struct error *e)
{
	AUTOSECRET struct secret *line = NULL;
	int r = secret_new(key->len + 1, &line, e);
	if (r < 0)
		return r;
	memcpy(line->data, key->data, key->len);
	line->data[key->len] = '\n';
	if (strcmp(path, "-") != 0)
		return file_write_atomic(path, line->data, line->len, 0600, false, e);
	/* Not through stdio, whose buffer would keep a copy. */
	if (file_write(STDOUT_FILENO, line->data, line->len, "standard output", e) < 0)
		return error_prefix(e, "the recovery key was not written; remove its slot");
	return 0;
}
