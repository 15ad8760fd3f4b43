/* libaudit: what this program calls of it. */
#include "base/library/define.h"

#include <libaudit.h>

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, audit_get_reply, 4, int, struct audit_reply *, reply_t, int) \
	F(int, audit_open, 0) \
	F(int, audit_request_rules_list_data, 1, int) \
	F(int, audit_request_status, 1, int)

LIBRARY(audit_load, "libaudit", "libaudit1", ERROR_FAILED, FUNCTIONS, NULL, "libaudit.so.1")
LIBRARY_NOTE("audit", "The kernel's audit log", "suggested", "\"libaudit.so.1\"")
