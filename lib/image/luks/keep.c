/*
 * Which keyslots of a damaged LUKS1 header can go into a new one: a keyslot has its salt, its count and its key
 * material for itself, and depends of all other fields on cipher, key length and hash alone. Whether it opens
 * only its owner's passphrase can tell; one that does not, does no harm.
 */
#include "lib/image/luks/internal.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* Cipher name, mode and hash; payload offset is not among them; key bytes. */
static bool same_kind(const unsigned char *a, const unsigned char *b)
{
	return !memcmp(a + LUKS1_CIPHER, b + LUKS1_CIPHER, LUKS1_CIPHER_LEN) &&
	       !memcmp(a + LUKS1_KEY_BYTES, b + LUKS1_KEY_BYTES, 4);
}

static bool in_use(const unsigned char *slot, const unsigned char *place)
{
	uint32_t iterations = get_be32(slot + LUKS1_SLOT_ITERATIONS);
	return get_be32(slot) == LUKS1_SLOT_ENABLED && iterations && iterations <= LUKS_ITERATIONS_MAX &&
	       !memcmp(slot + LUKS1_SLOT_KEY_OFFSET, place + LUKS1_SLOT_KEY_OFFSET, 8);
}

int luks1_keep(struct luks **l, const unsigned char *old, size_t len, int *ret_kept, struct error *e)
{
	const struct luks_info *info = luks_info(*l);
	AUTOLUKS struct luks *merged = NULL;
	int kept = 0;
	*ret_kept = 0;
	if (info->version != 1 || len > (*l)->len || len < LUKS1_PHDR_PAGE || !same_kind(old, (*l)->map))
		return 0;
	AUTOFREE unsigned char *bytes = malloc((*l)->len);
	if (!bytes)
		return error_oom(e);
	memcpy(bytes, (*l)->map, (*l)->len);
	for (int i = 0; i < LUKS1_KEYSLOTS; i++) {
		const struct luks_keyslot *k = &info->keyslots[i];
		unsigned char *slot = bytes + LUKS1_SLOT(i);
		if (!in_use(old + LUKS1_SLOT(i), slot) || k->key_offset + k->key_length > len)
			continue;
		memcpy(slot, old + LUKS1_SLOT(i), LUKS1_SLOT_LEN);
		memcpy(bytes + k->key_offset, old + k->key_offset, k->key_length);
		kept++;
	}
	int r = kept ? luks_load(bytes, (*l)->len, 0, &merged, e) : 0;
	if (r < 0 || !kept)
		return r;
	luks_free(*l);
	*l = TAKE_PTR(merged);
	*ret_kept = kept;
	return 0;
}
