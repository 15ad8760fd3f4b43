/* A volume's backing chain with the records that open it: what libvirt has to be told of a disk. */
#ifndef LIB_VOLUME_LAYERS_H
#define LIB_VOLUME_LAYERS_H

#include "lib/guest/disk.h"
#include "lib/image/chain.h"
#include "lib/volume/volume.h"

#define LAYERS_MAX 64

struct layers {
	struct chain *chain;
	struct guest_layer guest[LAYERS_MAX];	/* points into chain */
	size_t n;
	struct record *records[LAYERS_MAX];	/* of the encrypted ones; [0] is the volume itself */
	size_t n_records;
};

/* Walks the chain of r's image. An encrypted backing file that is no volume: ERROR_NOT_FOUND. */
int layers_find(struct keystore *ks, const struct record *r, struct layers *ret, struct error *e);
/* The one layer of a volume that the kernel has mapped: a plain block device. source outlives it. */
int layers_mapped(const char *source, struct layers *ret);
/* Those layers for QEMU's tools, once the records are revealed; ret has LAYERS_MAX entries. */
struct image_layer;
void layers_images(const struct layers *l, struct image_layer *ret);
void layers_clear(struct layers *l);

#endif
