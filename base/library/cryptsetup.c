/* libcryptsetup: what this program calls of it. */
#include "base/library/define.h"

#include <errno.h>
#include <libcryptsetup.h>

typedef int progress_fn(uint64_t size, uint64_t offset, void *context);
typedef void log_fn(int level, const char *message, void *context);

#define FAILS -ENOSYS

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, crypt_activate_by_volume_key, 5, struct crypt_device *, const char *, const char *, size_t, uint32_t) \
	F(int, crypt_deactivate_by_name, 3, struct crypt_device *, const char *, uint32_t) \
	F(int, crypt_dump_json, 3, struct crypt_device *, const char **, uint32_t) \
	F(int, crypt_format, 8, struct crypt_device *, const char *, const char *, const char *, const char *, \
	  const char *, size_t, void *) \
	FREE(crypt_free, struct crypt_device *) \
	Z(const char *, crypt_get_device_name, 1, struct crypt_device *) \
	Z(const char *, crypt_get_type, 1, struct crypt_device *) \
	Z(const char *, crypt_get_uuid, 1, struct crypt_device *) \
	F(int, crypt_get_volume_key_size, 1, struct crypt_device *) \
	F(int, crypt_init, 2, struct crypt_device **, const char *) \
	F(int, crypt_init_by_name, 2, struct crypt_device **, const char *) \
	F(int, crypt_init_data_device, 3, struct crypt_device **, const char *, const char *) \
	F(int, crypt_keyslot_add_by_key, 7, struct crypt_device *, int, const char *, size_t, const char *, \
	  size_t, uint32_t) \
	F(int, crypt_keyslot_add_by_volume_key, 6, struct crypt_device *, int, const char *, size_t, \
	  const char *, size_t) \
	F(int, crypt_keyslot_destroy, 2, struct crypt_device *, int) \
	Z(const char *, crypt_keyslot_get_encryption, 3, struct crypt_device *, int, size_t *) \
	F(int, crypt_keyslot_get_pbkdf, 3, struct crypt_device *, int, struct crypt_pbkdf_type *) \
	F(int, crypt_keyslot_max, 1, const char *) \
	F(int, crypt_keyslot_set_encryption, 3, struct crypt_device *, const char *, size_t) \
	F(int, crypt_keyslot_set_priority, 3, struct crypt_device *, int, crypt_keyslot_priority) \
	Z(crypt_keyslot_info, crypt_keyslot_status, 2, struct crypt_device *, int) \
	F(int, crypt_load, 3, struct crypt_device *, const char *, void *) \
	F(int, crypt_persistent_flags_set, 3, struct crypt_device *, crypt_flags_type, uint32_t) \
	F(int, crypt_reencrypt_init_by_passphrase, 9, struct crypt_device *, const char *, const char *, \
	  size_t, int, int, const char *, const char *, const struct crypt_params_reencrypt *) \
	F(int, crypt_reencrypt_run, 3, struct crypt_device *, progress_fn *, void *) \
	Z(crypt_reencrypt_info, crypt_reencrypt_status, 2, struct crypt_device *, struct crypt_params_reencrypt *) \
	F(int, crypt_set_data_offset, 2, struct crypt_device *, uint64_t) \
	V(crypt_set_debug_level, 1, int) \
	V(crypt_set_log_callback, 3, struct crypt_device *, log_fn *, void *) \
	F(int, crypt_set_metadata_size, 3, struct crypt_device *, uint64_t, uint64_t) \
	F(int, crypt_set_pbkdf_type, 2, struct crypt_device *, const struct crypt_pbkdf_type *) \
	V(crypt_set_rng_type, 2, struct crypt_device *, int) \
	Z(const char *, crypt_token_external_path, 0) \
	F(int, crypt_token_json_get, 3, struct crypt_device *, int, const char **) \
	F(int, crypt_token_json_set, 3, struct crypt_device *, int, const char *) \
	F(int, crypt_volume_key_get, 6, struct crypt_device *, int, char *, size_t *, const char *, size_t) \
	F(int, crypt_volume_key_verify, 3, struct crypt_device *, const char *, size_t)

/* The older one has another idea of the sector size where none is asked for. */
static const struct library_version versions[] = { { "crypt_format", "CRYPTSETUP_2.4" }, { 0 } };

LIBRARY(cryptsetup_load, "libcryptsetup", "libcryptsetup12", ERROR_FAILED, FUNCTIONS, versions, "libcryptsetup.so.12")
LIBRARY_NOTE("cryptsetup", "LUKS2 and dm-crypt", "required", "\"libcryptsetup.so.12\"")
