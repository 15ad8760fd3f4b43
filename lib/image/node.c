#include "lib/image/node.h"

#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *protocol_node(const char *path)
{
	struct json_object *o = json_object_new_object();
	add_text(o, "driver", file_is_block_device(path) ? "host_device" : "file");
	add_text(o, "filename", path);
	return o;
}

struct json_object *image_node(const struct image_layer *layers, size_t n, const char *name, bool writable)
{
	struct json_object *below = NULL;
	size_t secret = 0;
	for (size_t i = 0; i < n; i++)
		secret += layers[i].passphrase != NULL;
	/* From the bottom up, as each node holds the one below it. */
	for (size_t i = n; i-- > 0;) {
		const struct image_layer *l = &layers[i];
		struct json_object *o = json_object_new_object();
		char id[16] = "";
		if (l->passphrase)
			snprintf(id, sizeof(id), "s%zu", --secret);
		bool qcow2 = l->format == IMAGE_FORMAT_QCOW2;
		add_text(o, "driver", qcow2 ? "qcow2" : l->passphrase ? "luks" : "raw");
		if (i == 0 && name)
			add_text(o, "node-name", name);
		json_object_object_add(o, "read-only", json_object_new_boolean(i > 0 || !writable));
		json_object_object_add(o, "file", protocol_node(l->path));
		if (qcow2 && l->passphrase) {
			struct json_object *encrypt = json_object_new_object();
			add_text(encrypt, "format", "luks");
			add_text(encrypt, "key-secret", id);
			json_object_object_add(o, "encrypt", encrypt);
		} else if (l->passphrase) {
			add_text(o, "key-secret", id);
		}
		/* An explicit null keeps QEMU from following the name in the header. */
		if (qcow2)
			json_object_object_add(o, "backing", below);
		else
			json_object_put(below);
		below = o;
	}
	return below;
}

int image_secret_args(const struct image_layer *layers, size_t n, struct image_secret_args *ret, struct error *e)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < n; i++) {
		size_t k = ret->n_secrets;
		if (!layers[i].passphrase)
			continue;
		if (k == IMAGE_SECRETS_MAX)
			return error_set(e, ERROR_REFUSED, E2BIG,
					 "%s: a chain of more than %d encrypted files cannot be handed to QEMU's tools",
					 layers[0].path, IMAGE_SECRETS_MAX);
		snprintf(ret->text[k], sizeof(ret->text[k]), "secret,id=s%zu,file=/dev/fd/%zu", k,
			 PROCESS_FD_FIRST + k);
		ret->args[ret->n_args++] = "--object";
		ret->args[ret->n_args++] = ret->text[k];
		ret->secrets[ret->n_secrets++] = layers[i].passphrase;
	}
	return 0;
}
