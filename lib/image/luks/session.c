#include "lib/image/luks/session.h"

#include "base/library/library.h"

#include <errno.h>
#include <keyutils.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void capture(int level, const char *msg, void *user)
{
	struct crypt_session *s = user;
	if (level != CRYPT_LOG_ERROR || !s || s->log[0])
		return;
	snprintf(s->log, sizeof(s->log), "%s", msg);
	size_t len = strlen(s->log);
	while (len && (s->log[len - 1] == '\n' || s->log[len - 1] == '.'))
		s->log[--len] = 0;
}

/* Without a callback libcryptsetup prints, even before a context exists. */
static void listen(struct crypt_session *s)
{
	crypt_set_log_callback(s->cd, capture, s->cd ? s : NULL);
}

int crypt_session_open(struct crypt_session *s, const char *header, const char *data, struct error *e)
{
	int r = cryptsetup_load(e);
	if (r < 0)
		return r;
	listen(s);
	r = data ? crypt_init_data_device(&s->cd, header, data) : crypt_init(&s->cd, header);
	if (r < 0)
		return error_errno(e, error_kind_of_errno(-r), r, "cannot open %s", data ? data : header);
	listen(s);
	return 0;
}

int crypt_session_by_name(struct crypt_session *s, const char *name)
{
	struct error why = { 0 };
	int r = cryptsetup_load(&why);
	if (r < 0) {
		snprintf(s->log, sizeof(s->log), "%.*s", (int)sizeof(s->log) - 1, why.message);
		return r;
	}
	listen(s);
	/* What it says of a header that is not there is for this call's error. */
	crypt_set_log_callback(NULL, capture, s);
	r = name ? crypt_init_by_name(&s->cd, name) : crypt_init(&s->cd, NULL);
	crypt_set_log_callback(NULL, capture, NULL);
	if (r >= 0)
		listen(s);
	return r;
}

void crypt_session_clear(struct crypt_session *s)
{
	crypt_free(s->cd);
	s->cd = NULL;
	keyctl_clear(KEY_SPEC_THREAD_KEYRING);
}

int crypt_session_failed(const struct crypt_session *s, int r, struct error *e, const char *what, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, what);
	vsnprintf(text, sizeof(text), what, ap);
	va_end(ap);
	enum error_kind kind = r == -EBUSY ? ERROR_BUSY : r == -EEXIST ? ERROR_EXISTS : ERROR_FAILED;
	if (s->log[0])
		return error_set(e, kind, -r, "%s: %s", text, s->log);
	return error_errno(e, kind, r, "%s", text);
}
