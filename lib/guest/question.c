#include "lib/guest/question.h"

#include "lib/guest/connection.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

/* Of one connection, the last that was asked about: a process that makes several makes them to one daemon. */
static struct {
	int (*fn)(void *ctx, const char *question, bool echo, struct secret **ret);
	void *ctx;
	char *uri;
	struct secret *name, *password;
} person;

void guest_on_question(int (*fn)(void *ctx, const char *question, bool echo, struct secret **ret), void *ctx)
{
	person.fn = fn;
	person.ctx = ctx;
}

static void forget_answers(const char *uri)
{
	if (person.uri && uri && !strcmp(person.uri, uri))
		return;
	secret_free(person.name);
	secret_free(person.password);
	free(person.uri);
	person.name = person.password = NULL;
	person.uri = uri ? strdup(uri) : NULL;
}

/* libvirt frees the text, and does not wipe it: it is of use for this daemon alone. */
static int answer(virConnectCredentialPtr c, struct secret **kept, const char *uri)
{
	char question[512];
	bool echo = c->type == VIR_CRED_AUTHNAME;
	snprintf(question, sizeof(question), "%s for libvirt at %.300s: ", echo ? "Name" : "Password", uri);
	if (!*kept && (!person.fn || person.fn(person.ctx, question, echo, kept) < 0))
		return -1;
	c->result = calloc(1, (*kept)->len + 1);
	if (!c->result)
		return -1;
	memcpy(c->result, (*kept)->data, (*kept)->len);
	c->resultlen = (unsigned)(*kept)->len;
	return 0;
}

static int ask(virConnectCredentialPtr list, unsigned n, void *uri)
{
	for (unsigned i = 0; i < n; i++) {
		struct secret **kept = list[i].type == VIR_CRED_AUTHNAME     ? &person.name :
				       list[i].type == VIR_CRED_PASSPHRASE ? &person.password : NULL;
		if (!kept || answer(&list[i], kept, uri) < 0)
			return -1;
	}
	return 0;
}

/* An alias has no colon; what it stands for is known when it is open, and then a password would be given already. */
static bool may_ask(const char *uri)
{
	const char *scheme_end = uri ? strchr(uri, ':') : NULL;
	const char *tcp = uri ? strcasestr(uri, "+tcp") : NULL;
	return scheme_end && !(tcp && tcp < scheme_end);
}

int guest_open(const char *uri, virConnectPtr *ret, bool *ret_password, struct error *e)
{
	/* VIR_CRED_USERNAME, which auth.conf cannot answer, would have the whole fail. */
	int types[] = { VIR_CRED_AUTHNAME, VIR_CRED_PASSPHRASE };
	const char *text = uri && *uri ? uri : getenv("LIBVIRT_DEFAULT_URI");
	virConnectAuth auth = { types, ARRAY_LEN(types), ask, (void *)text };
	*ret_password = false;
	/* Without any: who takes a ticket or a certificate needs no more, and over +tcp nothing else is taken. */
	*ret = virConnectOpen(uri);
	bool denied = !*ret && virGetLastErrorCode() == VIR_ERR_AUTH_FAILED;
	if (denied && may_ask(text)) {
		forget_answers(text);
		*ret = virConnectOpenAuth(uri, &auth, 0);
		*ret_password = true;
		if (!*ret)
			forget_answers(NULL);
	}
	if (*ret)
		return 0;
	return guest_error(e, "cannot connect to libvirt%s%s (%s)", text ? " at " : "", text ? text : "",
			   !denied ? "is its daemon running? see --connect" :
			   may_ask(text) ? "name and password are in libvirt's auth.conf, or typed" :
			   "a password goes only over +tls, named by its whole URI");
}
