#include "base/error.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int fill(struct error *e, enum error_kind kind, int err, const char *suffix, const char *fmt,
		va_list ap)
{
	if (err <= 0)
		err = EIO;
	if (!e)
		return -err;
	char text[sizeof(e->message)];
	vsnprintf(text, sizeof(text), fmt, ap);
	e->kind = kind;
	e->err = err;
	if (suffix)
		snprintf(e->message, sizeof(e->message), "%.800s: %s", text, suffix);
	else
		snprintf(e->message, sizeof(e->message), "%s", text);
	text_make_printable(e->message);
	return -err;
}

int error_set(struct error *e, enum error_kind kind, int err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = fill(e, kind, err, NULL, fmt, ap);
	va_end(ap);
	return r;
}

int error_errno(struct error *e, enum error_kind kind, int err, const char *fmt, ...)
{
	char buf[128];
	if (err < 0)
		err = -err;
	const char *why = strerror_r(err, buf, sizeof(buf));
	va_list ap;
	va_start(ap, fmt);
	int r = fill(e, kind, err, why, fmt, ap);
	va_end(ap);
	return r;
}

int error_prefix(struct error *e, const char *fmt, ...)
{
	if (!e)
		return -EIO;
	char context[512], whole[sizeof(e->message) + sizeof(context) + 3];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", context, e->message);
	memcpy(e->message, whole, sizeof(e->message) - 1);
	e->message[sizeof(e->message) - 1] = 0;
	text_make_printable(e->message);
	return e->err > 0 ? -e->err : -EIO;
}

enum error_kind error_kind_of_errno(int err)
{
	switch (err < 0 ? -err : err) {
	case ENOENT:
	case ENOTDIR:
		return ERROR_NOT_FOUND;
	case EEXIST:
		return ERROR_EXISTS;
	case EBUSY:
	case ETXTBSY:
	case EAGAIN:
		return ERROR_BUSY;
	default:
		return ERROR_FAILED;
	}
}

const char *error_kind_name(enum error_kind kind)
{
	static const char *const names[] = {
		[ERROR_NONE] = "none",		 [ERROR_FAILED] = "failed",
		[ERROR_USAGE] = "usage",	 [ERROR_SEALED] = "sealed",
		[ERROR_NOT_FOUND] = "not_found", [ERROR_BAD_KEY] = "bad_key",
		[ERROR_BUSY] = "busy",		 [ERROR_DAMAGED] = "damaged",
		[ERROR_LIBVIRT] = "libvirt",	 [ERROR_REFUSED] = "refused",
		[ERROR_EXISTS] = "exists",
	};
	return kind <= ERROR_EXISTS ? names[kind] : "failed";
}

int error_pass(struct error *e, const struct error *from)
{
	if (e)
		*e = *from;
	return from->err > 0 ? -from->err : -EIO;
}

int error_oom(struct error *e)
{
	return error_set(e, ERROR_FAILED, ENOMEM, "out of memory");
}
