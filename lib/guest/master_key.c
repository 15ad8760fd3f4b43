#include "lib/guest/master_key.h"

#include "lib/guest/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/aes.h>
#include <nettle/base64.h>
#include <nettle/cbc.h>
#include <string.h>
#include <unistd.h>

#define MASTER_KEY_LEN 32
#define IV_LEN 16

static int refuse(virDomainPtr d, const char *why, struct error *e)
{
	return error_set(e, ERROR_REFUSED, EACCES,
			 "a new key for running domain %s would have to pass QEMU's monitor unencrypted: %s; run this "
			 "as root on the guest's host, or stop the guest first",
			 virDomainGetName(d), why);
}

int guest_master_key(struct guest_connection *g, virDomainPtr d, struct secret **ret, struct error *e)
{
	AUTOJSON struct json_object *file = NULL;
	AUTOSECRET struct secret *key = NULL;
	if (!g->local)
		return refuse(d, "its master key is on another host", e);
	struct json_object *args = json_object_new_object();
	json_object_object_add(args, "path", json_object_new_string("/objects/masterKey0"));
	json_object_object_add(args, "property", json_object_new_string("file"));
	struct error why = { 0 };
	int r = guest_qmp(d, "qom-get", args, &file, &why);
	/* That it could not be asked says nothing about its key. */
	if (r < 0 && r != -EREMOTEIO)
		return error_pass(e, &why);
	const char *path = r == 0 ? json_object_get_string(file) : NULL;
	if (!path)
		return refuse(d, r < 0 ? why.message : "it has no master key", e);
	AUTOCLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return refuse(d, "its master key cannot be read", e);
	r = secret_read_fd(fd, MASTER_KEY_LEN, false, path, &key, e);
	if (r == 0 && key->len != MASTER_KEY_LEN)
		r = refuse(d, "its master key has another length", e);
	if (r == 0)
		*ret = TAKE_PTR(key);
	return r;
}

static char *base64(const unsigned char *bytes, size_t len)
{
	char *text = calloc(1, BASE64_ENCODE_RAW_LENGTH(len) + 1);
	if (text)
		base64_encode_raw(text, len, bytes);
	return text;
}

/* PKCS #7 (RFC 5652, section 6.3): whole blocks, the last byte says how many were added. */
static int padded(const struct secret *plain, struct secret **ret, struct error *e)
{
	size_t add = AES_BLOCK_SIZE - plain->len % AES_BLOCK_SIZE;
	AUTOSECRET struct secret *out = NULL;
	int r = secret_new(plain->len + add, &out, e);
	if (r < 0)
		return r;
	memcpy(out->data, plain->data, plain->len);
	memset(out->data + plain->len, (int)add, add);
	*ret = TAKE_PTR(out);
	return 0;
}

int guest_master_key_seal(const struct secret *key, const struct secret *plain, char **ret_data, char **ret_iv,
			  struct error *e)
{
	unsigned char iv[IV_LEN], chain[IV_LEN];
	AUTOSECRET struct secret *in = NULL;
	AUTOSECRET struct secret *memory = NULL;
	AUTOSECRET struct secret *random = NULL;
	int r = padded(plain, &in, e);
	if (r < 0 || (r = secret_new(sizeof(struct aes256_ctx), &memory, e)) < 0 ||
	    (r = secret_random(IV_LEN, &random, e)) < 0)
		return r;
	AUTOFREE unsigned char *out = malloc(in->len);
	if (!out)
		return error_oom(e);
	struct aes256_ctx *ctx = (struct aes256_ctx *)(void *)memory->data;
	memcpy(iv, random->data, IV_LEN);
	memcpy(chain, iv, IV_LEN);
	aes256_set_encrypt_key(ctx, key->data);
	cbc_encrypt(ctx, (nettle_cipher_func *)aes256_encrypt, AES_BLOCK_SIZE, chain, in->len, out, in->data);
	secret_wipe_stack();
	AUTOFREE char *data = base64(out, in->len);
	AUTOFREE char *iv_text = base64(iv, sizeof(iv));
	if (!data || !iv_text)
		return error_oom(e);
	*ret_data = TAKE_PTR(data);
	*ret_iv = TAKE_PTR(iv_text);
	return 0;
}
