#include "cmd/environment.h"

#include "cmd/output.h"
#include "cmd/person.h"
#include "cmd/terminal.h"

#include "base/text.h"
#include "lib/guest/question.h"
#include "lib/guest/wait.h"
#include "lib/volume/find.h"

#include <errno.h>

static void print_note(void *context, const char *text)
{
	say(context, "note: %s", text);
}

static void say_waiting(void *context)
{
	say(context, "waiting for libvirt's daemon, which has not answered for two seconds");
}

static int ask_person(void *context, const char *question, bool echo, struct secret **ret)
{
	(void)context;
	AUTOCLOSE int tty = terminal_open();
	if (tty < 0)
		return -ENOTTY;
	return echo ? terminal_read_line(tty, question, ret, NULL) : terminal_read_silent(tty, question, ret, NULL);
}

struct volume_env environment(struct context *ctx, struct keystore *ks)
{
	return (struct volume_env){
		.ks = ks,
		.progress = &ctx->progress,
		.note = print_note,
		.note_context = ctx,
	};
}

int environment_connect(const struct context *ctx, struct guest_connection **ret, struct error *e)
{
	guest_on_wait(say_waiting, (void *)ctx);
	guest_on_question(ask_person, NULL);
	return guest_connect(ctx->connect, ret, e);
}

int environment_find(const struct context *ctx, struct keystore *ks, const char *text, struct record **ret,
		     struct error *e)
{
	AUTOGUEST struct guest_connection *g = NULL;
	struct error why = { 0 }, in_pool = { 0 };
	int r = volume_find(ks, text, ret, &why);
	if (r == 0 || why.kind != ERROR_NOT_FOUND || !volume_may_be_in_pool(text) ||
	    environment_connect(ctx, &g, NULL) < 0)
		return r < 0 ? error_pass(e, &why) : 0;
	r = volume_find_in_pool(ks, g, text, ret, &in_pool);
	/* What names no pool was meant as a path. */
	return r == 0 ? 0 : error_pass(e, in_pool.kind == ERROR_LIBVIRT && in_pool.err == ENOENT ? &why : &in_pool);
}

int environment_try_connect(const struct context *ctx, struct guest_connection **ret,
			    struct error *ret_why, struct error *e)
{
	int r = environment_connect(ctx, ret, ret_why);
	if (r < 0 && ctx->connect) {
		*e = *ret_why;
		return r;
	}
	return 0;
}

int environment_connect_for(const struct context *ctx, const struct record *r, bool without,
			    struct guest_connection **ret, struct error *e)
{
	struct error why = { 0 };
	if (without)
		return 0;
	int result = environment_try_connect(ctx, ret, &why, e);
	if (result < 0 || *ret)
		return result;
	if (r->n_domains) {
		*e = why;
		return error_prefix(e, "domain %s has %s (--no-libvirt goes on without asking)", r->domains[0].name,
				    r->path);
	}
	say_more(ctx, "%s", why.message);
	return 0;
}

int environment_size(const char *command, char **operands, uint64_t *ret, bool *ret_more, struct error *e)
{
	bool more = ret_more && operands[1][0] == '+';
	uint64_t swapped;
	int r = text_parse_size(operands[1] + more, ret, e);
	if (r < 0 && text_parse_size(operands[0], &swapped, NULL) == 0)
		return error_set(e, ERROR_USAGE, EINVAL, "the size comes last: `kvmcrypt %s %s %s`", command,
				 operands[1], operands[0]);
	if (r == 0 && ret_more)
		*ret_more = more;
	return r;
}

/* `attach VOLUME DOMAIN` is easily written, as other commands begin with the volume. */
static int find_behind_domain(struct context *ctx, struct keystore *ks, const char *command, char **operands,
			      struct record **ret, struct error *e)
{
	AUTORECORD struct record *swapped = NULL;
	int r = environment_find(ctx, ks, operands[1], ret, e);
	if (r == -ENOENT && volume_find(ks, operands[0], &swapped, NULL) == 0)
		return error_set(e, ERROR_USAGE, EINVAL, "the domain comes first: `kvmcrypt %s %s %s`", command,
				 operands[1], operands[0]);
	return r;
}

int environment_attach(struct context *ctx, const char *command, char **operands, struct keystore **ret_ks,
		       struct record **ret_record, struct guest_connection **ret_guest, struct error *e)
{
	int r = person_unsealed_keystore(ctx, ret_ks, e);
	if (r == 0)
		r = find_behind_domain(ctx, *ret_ks, command, operands, ret_record, e);
	if (r == 0)
		r = environment_connect(ctx, ret_guest, e);
	return r;
}
