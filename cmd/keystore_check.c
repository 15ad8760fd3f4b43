/* kvmcrypt keystore check: was anything of the keystore damaged or tampered with? */
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/person.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check_options {
	const char *expect_head;
	const char *passphrase_file;
	int passphrase_fd;
	bool repair, yes;
};

static const struct option_spec options[] = {
	{ "expect-head", OPTION_TEXT, offsetof(struct check_options, expect_head), "SEQ:HEX",
	  "the audit head that `keystore status` showed earlier must still be there", NULL, COMPLETE_NONE, 0 },
	OPTION_PASSPHRASE(struct check_options, "the keystore's passphrase or recovery key"),
	{ "repair", OPTION_FLAG, offsetof(struct check_options, repair), NULL,
	  "accept the keystore as it is, so that its keys can be used again; logged", NULL, COMPLETE_NONE, 0 },
	OPTION_YES(struct check_options),
	{ 0 },
};

struct findings {
	bool json;
	struct json_object *array;
	char *repaired;		/* what the repair's row says, or NULL */
};

static void add(void *opaque, const char *finding)
{
	struct findings *f = opaque;
	if (f->json)
		json_object_array_add(f->array, json_object_new_string(finding));
	else
		printf("%s\n", finding);
}

/* The findings and the failure are one document, so it is written here and not in main. */
static int output(struct context *ctx, struct findings *f, uint64_t records, uint64_t rows,
		  const struct error *why)
{
	struct json_object *o = json_object_new_object();
	put_bool(o, "intact", why->kind == ERROR_NONE);
	put_number(o, "records", records);
	put_number(o, "audit_rows", rows);
	json_object_object_add(o, "findings", json_object_get(f->array));
	put_text(o, "repaired", f->repaired);
	if (why->kind != ERROR_NONE) {
		struct json_object *inner = json_object_new_object();
		put_text(inner, "kind", error_kind_name(why->kind));
		put_number(inner, "exit_code", (uint64_t)why->kind);
		put_text(inner, "message", why->message);
		json_object_object_add(o, "error", inner);
		fprintf(stderr, "kvmcrypt: %s\n", why->message);
	}
	int r = output_object(ctx, o, NULL);
	return r < 0 ? r : (int)why->kind;
}

/* Asked with the findings on the screen; then checked again, which tells what no repair can put right. */
static int repair(struct context *ctx, const struct check_options *o, struct keystore *ks, struct findings *f,
		  uint64_t *ret_records, uint64_t *ret_rows, struct error *why)
{
	struct error damage = *why;
	int r = person_confirm(o->yes,
			       "This accepts the keystore as it is: who changed or put back something keeps what he "
			       "reached, and the audit trail no longer tells it from the truth.", why);
	if (r < 0)
		return r;
	if ((r = keystore_repair(ks, &f->repaired, why)) < 0)
		return error_prefix(why, "not repaired, nothing was changed (%.200s)", damage.message);
	say(ctx, "repaired: %s", f->repaired ? f->repaired : "");
	json_object_put(f->array);
	f->array = json_object_new_array();
	return keystore_check(ks, NULL, add, f, ret_records, ret_rows, why);
}

static int run(struct context *ctx, void *opaque, char **operands, size_t n, struct error *e)
{
	const struct check_options *o = opaque;
	AUTOKEYSTORE struct keystore *ks = NULL;
	uint64_t records = 0, rows = 0;
	struct error why = { 0 };
	(void)operands, (void)n;
	int r = person_open_keystore(ctx, &ks, e);
	if (r < 0)
		return r;
	/* What is wrong with the seal is a finding here, and what stops every other command. */
	keystore_tolerate(ks);
	if ((r = person_unseal_for(ks, o->passphrase_file, o->passphrase_fd, e)) < 0)
		return r;
	struct findings f = { .json = ctx->json, .array = json_object_new_array() };
	r = keystore_check(ks, o->expect_head, add, &f, &records, &rows, &why);
	if (r < 0 && why.kind == ERROR_DAMAGED && o->repair) {
		why = (struct error){ .kind = why.kind, .err = why.err };
		r = repair(ctx, o, ks, &f, &records, &rows, &why);
	}
	if (ctx->json && (r == 0 || why.kind == ERROR_DAMAGED)) {
		r = output(ctx, &f, records, rows, &why);
	} else if (r < 0) {
		*e = why;
	} else {
		say(ctx, "intact: %llu records, %llu rows of audit trail, the seal and the database",
		    (unsigned long long)records, (unsigned long long)rows);
	}
	json_object_put(f.array);
	free(f.repaired);
	return r;
}

const struct command command_keystore_check = {
	.name = "keystore check",
	.group = GROUP_KEYSTORE,
	.summary = "verify every record, the audit trail and the seal",
	.description = "Opens every record, follows the chain of the audit trail from its first row, and compares both "
		       "with each other, with the seal and with the database. Each finding is a line on standard "
		       "output. The keystore must be unsealed. A damaged audit trail stops every use of a key until "
		       "a backup is restored or --repair is given.",
	.options = options,
	.options_size = sizeof(struct check_options),
	.run = run,
};
