/* What a QEMU answers on its monitor: it may be a guest's by now. */
#include "base/cleanup.h"
#include "lib/guest/qmp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTOFREE char *text = strndup((const char *)data, size);
	struct json_object *value = NULL;
	struct error e = { 0 };
	int r = text ? guest_qmp_answer(text, "query-block", &value, &e) : 0;
	if (r < 0 && (!e.kind || strpbrk(e.message, "\n\033")))
		abort();
	if (r == 0)
		guest_qmp_text(value, "status");
	json_object_put(value);
	return 0;
}
