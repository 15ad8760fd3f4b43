/* Shared by the files of this folder. */
#ifndef LIB_POSTURE_HARDEN_INTERNAL_H
#define LIB_POSTURE_HARDEN_INTERNAL_H

#include "base/json.h"
#include "lib/posture/harden/harden.h"
#include "lib/posture/host/host.h"

enum fix_kind {
	FIX_CONF,   /* a key of libvirt's file */
	FIX_FILE,   /* a whole file of ours */
	FIX_SYSCTL, /* a parameter of the kernel, now; a FIX_FILE keeps it */
};

struct fix {
	const char *id;
	enum fix_kind kind;
	enum harden_when when;
	enum host_conf conf;	 /* FIX_CONF */
	const char *key, *value; /* FIX_CONF; value NULL: libvirt's default. FIX_SYSCTL: path below /proc/sys, value */
	const char *path, *content;	    /* FIX_FILE */
	bool (*fits)(const struct host *h); /* NULL: always */
};

/* Ended by an entry without id. */
extern const struct fix harden_fixes[];

/* ---- kept.c: what was there ---- */

/* {"files": [{path, original, written}], "kernel": [{path, was}]}; an empty one where there is none. */
int kept_read(const struct host *h, struct json_object **ret, struct error *e);

/*
 * Replaces a file of the host by text, after it was kept and noted; a file that is so already is left alone
 * (*ret_changed false).
 */
int kept_replace(const struct host *h, struct json_object *kept, const char *path, const char *text, bool *ret_changed,
		 struct error *e);

/* Sets a parameter of the kernel, after its value was noted. */
int kept_set(const struct host *h, struct json_object *kept, const char *key, const char *value, bool *ret_changed,
	     struct error *e);

/* ERROR_REFUSED if one of the files is no longer as it was written. */
int kept_check(const struct host *h, struct json_object *kept, struct error *e);

/* Puts all back and forgets it. */
int kept_restore(const struct host *h, struct json_object *kept, struct error *e);

#endif
