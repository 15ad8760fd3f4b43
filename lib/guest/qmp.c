#include "lib/guest/qmp.h"

#include "base/json.h"
#include "lib/guest/lazy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DEPTH 1024	/* as QEMU itself reads and writes; query-block is as deep as a disk's chain is long */

const char *guest_qmp_text(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;
	return json_object_object_get_ex(o, key, &v) ? json_object_get_string(v) : NULL;
}

static int failed(struct json_object *reply, const char *command, struct error *e)
{
	struct json_object *error = NULL;
	const char *why = json_object_object_get_ex(reply, "error", &error) ? guest_qmp_text(error, "desc") : NULL;
	return error_set(e, ERROR_LIBVIRT, EREMOTEIO, "QEMU refused %s: %s", command, why ? why : "it gives no reason");
}

int guest_qmp_answer(const char *text, const char *command, struct json_object **ret, struct error *e)
{
	AUTOJSON struct json_object *answer = json_parse(text, strlen(text), DEPTH);
	struct json_object *value = NULL;
	if (!answer || !json_object_object_get_ex(answer, "return", &value))
		return failed(answer, command, e);
	if (ret)
		*ret = json_object_get(value);
	return 0;
}

int guest_qmp(virDomainPtr d, const char *command, struct json_object *arguments, struct json_object **ret,
	      struct error *e)
{
	AUTOJSON struct json_object *call = json_object_new_object();
	AUTOFREE char *text = NULL;
	json_object_object_add(call, "execute", json_object_new_string(command));
	if (arguments)
		json_object_object_add(call, "arguments", arguments);
	int r = lazy_qemu_command(d, json_object_to_json_string_ext(call, JSON_C_TO_STRING_PLAIN), &text, e);
	return r < 0 ? r : guest_qmp_answer(text, command, ret, e);
}
