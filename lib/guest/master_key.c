#include "lib/guest/master_key.h"

#include "lib/guest/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

#define MASTER_KEY_LEN 32
#define IV_LEN 16

static int refuse(virDomainPtr d, const char *why, struct error *e)
{
	return error_set(e, ERROR_REFUSED, EACCES,
			 "a new key for running domain %s would have to pass QEMU's monitor unencrypted: %s; run this as root on the guest's host, or stop the guest first",
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
	char *text = malloc(4 * ((len + 2) / 3) + 1);
	if (text)
		EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	return text;
}

int guest_master_key_seal(const struct secret *key, const struct secret *plain, char **ret_data, char **ret_iv,
			  struct error *e)
{
	unsigned char iv[IV_LEN];
	int n = 0, last = 0;
	AUTOFREE unsigned char *out = malloc(plain->len + IV_LEN);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool good = out && ctx && RAND_bytes(iv, sizeof(iv)) == 1 &&
		    EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key->data, iv) == 1 &&
		    EVP_EncryptUpdate(ctx, out, &n, plain->data, (int)plain->len) == 1 &&
		    EVP_EncryptFinal_ex(ctx, out + n, &last) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!good)
		return error_set(e, ERROR_FAILED, EIO, "cannot encrypt a key for QEMU");
	AUTOFREE char *data = base64(out, (size_t)(n + last));
	AUTOFREE char *iv_text = base64(iv, sizeof(iv));
	if (!data || !iv_text)
		return error_oom(e);
	*ret_data = TAKE_PTR(data);
	*ret_iv = TAKE_PTR(iv_text);
	return 0;
}
