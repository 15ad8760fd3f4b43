/* A disk that a domain has already, spelled as attach writes one now; everything else of it stays. */
#ifndef LIB_GUEST_RESPELL_H
#define LIB_GUEST_RESPELL_H

#include "lib/guest/image.h"

/*
 * The <disk> with this target in xml, with snapshot='no' and engine='qemu', and for each of the n images (0: none)
 * that is in its chain and encrypted, the volume's own secret. *ret NULL: it is so already. The caller frees.
 */
int guest_disk_respell(const char *xml, const char *target, const struct guest_image *images, size_t n, char **ret,
		       struct error *e);

#endif
