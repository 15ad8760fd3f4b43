/*
 * What QEMU's LUKS driver knows, found out by showing headers to that of 7.2: tests/unit/test_luks_qemu.c does that
 * still. What it does not know a guest cannot have as its disk, whatever dm-crypt makes of it.
 */
#include "lib/image/luks/internal.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	unsigned key_bits[3];	/* of the cipher; XTS has two keys of them */
	bool wide;		/* blocks of 128 bits, as XTS and ESSIV want */
} ciphers[] = {
	{ "aes", { 128, 192, 256 }, true },
	{ "serpent", { 128, 192, 256 }, true },
	{ "twofish", { 128, 192, 256 }, true },
	{ "cast5", { 128 }, false },
};

static const struct {
	const char *name;
	unsigned bits;
} hashes[] = {
	{ "sha1", 160 },   { "sha224", 224 },	 { "sha256", 256 }, { "sha384", 384 },
	{ "sha512", 512 }, { "ripemd160", 160 }, { "md5", 128 },
};

static const char *const modes[] = { "ecb", "cbc", "ctr", "xts" };
static const char *const generators[] = { "plain", "plain64", "essiv" };

static bool is_in(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, list[i]))
			return true;
	return false;
}

/* Its bits; 0: unknown. */
static unsigned hash_bits(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		if (!strcmp(name, hashes[i].name))
			return hashes[i].bits;
	return 0;
}

static bool takes_key(size_t cipher, unsigned bits)
{
	for (size_t i = 0; i < ARRAY_LEN(ciphers[0].key_bits); i++)
		if (bits && ciphers[cipher].key_bits[i] == bits)
			return true;
	return false;
}

/* The parts of "aes-cbc-essiv:sha256". */
struct spec {
	char text[64];
	char *cipher, *mode, *iv, *iv_hash;	/* in text; "" where there is none */
};

static void split(const char *from, struct spec *s)
{
	snprintf(s->text, sizeof(s->text), "%s", from);
	char *rest = s->text, *none = s->text + strlen(s->text);
	s->cipher = strsep(&rest, "-");
	s->mode = rest ? strsep(&rest, "-") : none;
	s->iv = rest ? strsep(&rest, ":") : none;
	s->iv_hash = rest ? rest : none;
}

static const char *cipher_problem(const struct spec *s, unsigned key_bits)
{
	size_t n = 0;
	while (n < ARRAY_LEN(ciphers) && strcmp(s->cipher, ciphers[n].name))
		n++;
	if (n == ARRAY_LEN(ciphers))
		return "its cipher";
	if (!is_in(s->mode, modes, ARRAY_LEN(modes)))
		return "its cipher mode";
	bool xts = !strcmp(s->mode, "xts");
	if ((xts && !ciphers[n].wide) || !takes_key(n, xts ? key_bits / 2 : key_bits))
		return "the length of its key";
	/* 4000 stripes of 24 bytes are no whole sectors: QEMU 7.2 aborts, and its guest with it. */
	if (key_bits == 192)
		return "the length of its key";
	if (!is_in(s->iv, generators, ARRAY_LEN(generators)) || (*s->iv_hash && !hash_bits(s->iv_hash)))
		return "its IV generator";
	if (!strcmp(s->iv, "essiv") && (!ciphers[n].wide || !takes_key(n, hash_bits(s->iv_hash))))
		return "its IV generator";
	return NULL;
}

bool luks_qemu_can_open(const struct luks_info *info, const char **ret_why)
{
	struct spec s;
	split(info->cipher, &s);
	const char *why = info->version != 1	    ? "LUKS2" :
			  !info->data_offset	    ? "a detached header" :
			  !hash_bits(info->hash)    ? "its hash" :
						      cipher_problem(&s, info->key_bits);
	if (why && ret_why)
		*ret_why = why;
	return !why;
}
