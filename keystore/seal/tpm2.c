#include "keystore/seal/tpm2.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <stdio.h>
#include <string.h>

#define SECONDS 10

/* A name in /dev that the kernel gives to TPMs, and nothing behind it. */
static bool is_device_file(const char *path)
{
	static const char prefix[] = "/dev/tpm";
	return !strncmp(path, prefix, sizeof(prefix) - 1) && !strchr(path + sizeof(prefix) - 1, '/');
}

bool tpm2_device_fits(const char *device)
{
	static const char *const drivers[] = { "swtpm:", "mssim:", "tabrmd:" };
	if (!device || !strcmp(device, "auto"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (!strncmp(device, drivers[i], strlen(drivers[i])))
			return true;
	return is_device_file(!strncmp(device, "device:", 7) ? device + 7 : device);
}

void tpm2_flush(const char *device)
{
	static const char *const what[] = { "--transient-object", "--loaded-session", "--saved-session" };
	AUTOFREE char *tcti = NULL;
	if (!device || !strcmp(device, "auto") || strstr(device, "tpmrm") || !tpm2_device_fits(device) ||
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
