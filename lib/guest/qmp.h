/* QEMU's monitor through libvirt (QEMU's docs/interop/qmp-spec). Using it marks a domain as tainted. */
#ifndef LIB_GUEST_QMP_H
#define LIB_GUEST_QMP_H

#include "base/json.h"
#include "lib/guest/connection.h"

/*
 * Runs a command; arguments (reference taken) may be NULL. *ret: what it returned, the caller puts
 * it; ret may be NULL. ERROR_LIBVIRT/EREMOTEIO with QEMU's own reason; another errno: it was not asked. No key in clear
 * goes this way: libvirt may log it.
 */
int guest_qmp(virDomainPtr d, const char *command, struct json_object *arguments, struct json_object **ret,
	      struct error *e);

/* What an answer to it says, likewise; fuzzed. */
int guest_qmp_answer(const char *text, const char *command, struct json_object **ret, struct error *e);

/* Text of a key, or NULL. */
const char *guest_qmp_text(struct json_object *o, const char *key);

#endif
