#include "lib/volume/layers.h"

#include "lib/volume/internal.h"

#include "base/file.h"
#include "lib/guest/secret.h"
#include "lib/image/node.h"

#include <errno.h>

/* The record of an encrypted backing file, by its LUKS UUID: a path may have been moved. */
static int find_record(struct keystore *ks, const struct chain_element *element, const struct record *top,
		       bool is_top, struct record **ret, struct error *e)
{
	int r = is_top ? keystore_get(ks, top->uuid, ret, e) : keystore_find_luks(ks, element->luks_uuid, ret, e);
	if (r == -ENOENT && !is_top)
		return error_set(e, ERROR_NOT_FOUND, ENOENT,
				 "backing file %s is encrypted and not in the keystore: `kvmcrypt import` it first",
				 element->path);
	return r;
}

int layers_find(struct keystore *ks, const struct record *r, struct layers *ret, struct error *e)
{
	int result = chain_walk(r->path, volume_image_format(r),
				&ret->chain, e);
	if (result < 0)
		return result;
	if (ret->chain->n > LAYERS_MAX)
		return error_set(e, ERROR_DAMAGED, ELOOP, "%s has more than %d backing files", r->path, LAYERS_MAX);
	for (size_t i = 0; i < ret->chain->n; i++) {
		const struct chain_element *element = &ret->chain->elements[i];
		struct guest_layer *layer = &ret->guest[i];
		*layer = (struct guest_layer){
			.path = element->path,
			.format = image_format_name(element->format),
			.encrypted = element->encrypted,
			.block = file_is_block_device(element->path),
		};
		ret->n = i + 1;
		if (!element->encrypted)
			continue;
		if (element->luks_version != 1)
			return error_set(e, ERROR_FAILED, EOPNOTSUPP, "%s is LUKS2, which QEMU does not open itself",
					 element->path);
		if (element->not_for_qemu)
			return error_set(e, ERROR_FAILED, EOPNOTSUPP,
					 "%s cannot be a guest's disk: QEMU does not know %s (`kvmcrypt open` maps it "
					 "by dm-crypt)",
					 element->path, element->not_for_qemu);
		result = find_record(ks, element, r, i == 0, &ret->records[ret->n_records], e);
		if (result < 0)
			return result;
		guest_secret_uuid(ret->records[ret->n_records++]->uuid, layer->secret);
	}
	/* The image at the path must be the one of the record, or a key would meet a stranger's disk. */
	if (!ret->chain->elements[0].encrypted || uuid_compare(ret->chain->elements[0].luks_uuid, r->luks_uuid) != 0)
		return error_set(e, ERROR_DAMAGED, EBADMSG, "%s is not the image this record was made for", r->path);
	return 0;
}

void layers_images(const struct layers *l, struct image_layer *ret)
{
	size_t next = 0;
	for (size_t i = 0; i < l->n; i++) {
		const struct chain_element *element = &l->chain->elements[i];
		ret[i] = (struct image_layer){
			.path = element->path,
			.format = element->format,
			.passphrase = element->encrypted ? l->records[next++]->passphrase : NULL,
		};
	}
}

int layers_mapped(const char *source, struct layers *ret)
{
	ret->guest[0] = (struct guest_layer){ .path = source, .format = "raw", .block = true };
	ret->n = 1;
	return 0;
}

void layers_clear(struct layers *l)
{
	for (size_t i = 0; i < l->n_records; i++)
		record_free(l->records[i]);
	chain_free(l->chain);
	*l = (struct layers){ 0 };
}
