/* The kernel's audit as it is now, asked over netlink: what auditctl prints leaves out whether a field is negated. */
#ifndef LIB_POSTURE_HOST_AUDIT_H
#define LIB_POSTURE_HOST_AUDIT_H

#include "base/cleanup.h"
#include "base/error.h"

#include <linux/audit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct host_audit {
	bool absent;	  /* the kernel has none */
	uint32_t enabled; /* 0 off, 1 on, 2 on until the next start of the host */
	pid_t daemon;	  /* who takes the records; 0: nobody, they go to the kernel's log */
	uint32_t lost, failure;
	struct audit_rule_data **rules;
	size_t n;
};

/* ERROR_FAILED: it takes root (CAP_AUDIT_CONTROL), or a network namespace of the host. The caller clears. */
int host_audit_read(struct host_audit *ret, struct error *e);
void host_audit_clear(struct host_audit *a);
#define AUTOAUDIT CLEANUP(host_audit_clear)

/* Field number i of a rule: its text, if it is one that has a text; NULL otherwise. Not zero-terminated: *ret_len. */
const char *audit_rule_text(const struct audit_rule_data *r, uint32_t i, size_t *ret_len);

/* The first field of this type from *i on; false: none. */
bool audit_rule_field(const struct audit_rule_data *r, uint32_t type, uint32_t *i);

/* The text of the first field of this type, zero-terminated in buf; false: it has none, or it does not fit. */
bool audit_rule_copy(const struct audit_rule_data *r, uint32_t type, char *buf, size_t len);

/* AUDIT_PERM_… that it watches for; a rule without the field watches for all. */
uint32_t audit_rule_permissions(const struct audit_rule_data *r);

/* Does it watch this file, or the directory that holds it, for records? It may leave out programs. */
bool audit_rule_watches(const struct audit_rule_data *r, const char *path, uint32_t permissions);

/* Has it a field of a security module (subj_type, obj_user …)? *ret: the text of the first. */
bool audit_rule_names_label(const struct audit_rule_data *r, char *buf, size_t len);

#endif
