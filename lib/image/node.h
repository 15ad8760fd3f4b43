/*
 * An image and its backing chain as a tree of QEMU block nodes (QEMU's qapi/block-core.json,
 * "BlockdevOptions"), for QEMU tools as children: every format is said, nothing is probed, and
 * quoting is json-c's.
 */
#ifndef LIB_IMAGE_NODE_H
#define LIB_IMAGE_NODE_H

#include "base/error.h"
#include "base/secret.h"
#include "lib/image/container.h"

#include <json-c/json.h>
#include <stdbool.h>

struct image_layer {
	const char *path;
	enum image_format format;
	const struct secret *passphrase;	/* NULL: not encrypted */
};

/*
 * The tree, the top layer first. name: node-name of the top, or NULL. The k-th encrypted layer
 * names the secret object "s<k>". The caller puts the reference.
 */
struct json_object *image_node(const struct image_layer *layers, size_t n, const char *name,
			       bool writable);

#define IMAGE_SECRETS_MAX 8	/* as many as process_run() hands over */

/*
 * For a child process: "--object" arguments that read "s<k>" from the descriptors that
 * process_run() gives it, and the passphrases in that order. args has 2 * IMAGE_SECRETS_MAX
 * entries, text holds them. ERROR_REFUSED for more encrypted layers than that.
 */
struct image_secret_args {
	const char *args[2 * IMAGE_SECRETS_MAX];
	size_t n_args;
	const struct secret *secrets[IMAGE_SECRETS_MAX];
	size_t n_secrets;
	char text[IMAGE_SECRETS_MAX][64];
};
int image_secret_args(const struct image_layer *layers, size_t n, struct image_secret_args *ret,
		      struct error *e);

#endif
