/* The ways to unseal in words, for who has to decide about them. */
#include "keystore/seal/kind.h"

#include <stdio.h>
#include <string.h>

static void describe_one(FILE *f, const struct slot *s)
{
	const struct slot_params *p = &s->params;
	const char *const what[] = { p->device, p->pcrs, p->public_key, s->path, p->servers, p->thumbprints };
	static const char *const names[] = { "", "PCRs ", "signed with ", "", "", "signing keys " };
	fprintf(f, "slot %d (%s", s->slot, slot_type_name(s->type));
	if (s->label)
		fprintf(f, " '%s'", s->label);
	for (size_t i = 0; i < ARRAY_LEN(what); i++)
		if (what[i])
			fprintf(f, ", %s%s", names[i], what[i]);
	fputs(p->with_pin ? ", with a PIN)" : ")", f);
}

int slots_describe(const struct slot *slots, size_t n, bool (*wanted)(const struct slot *s, void *ctx), void *ctx,
		   char **ret, struct error *e)
{
	char *text = NULL;
	size_t len = 0, count = 0;
	FILE *f = open_memstream(&text, &len);
	if (!f)
		return error_oom(e);
	for (size_t i = 0; i < n; i++) {
		if (wanted && !wanted(&slots[i], ctx))
			continue;
		fputs(count++ ? "; " : "", f);
		describe_one(f, &slots[i]);
	}
	if (fclose(f) != 0) {
		free(text);
		return error_oom(e);
	}
	*ret = text;
	return 0;
}
