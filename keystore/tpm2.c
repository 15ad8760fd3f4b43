#include "keystore/tpm2.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <stdio.h>
#include <string.h>

#define SECONDS 10

void tpm2_flush(const char *device)
{
	static const char *const what[] = { "--transient-object", "--loaded-session", "--saved-session" };
	AUTOFREE char *tcti = NULL;
	if (!device || !strcmp(device, "auto") || strstr(device, "tpmrm") ||
	    asprintf(&tcti, "--tcti=%s%s", device[0] == '/' ? "device:" : "", device) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(what); i++) {
		const char *const argv[] = { "tpm2_flushcontext", tcti, what[i], NULL };
		const struct process p = { .argv = argv, .seconds = SECONDS };
		struct process_result res;
		if (process_run(&p, &res, NULL) < 0)
			return;
		process_result_clear(&res);
	}
}
