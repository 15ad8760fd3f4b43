/* What the next start of the host would do: does the keystore open without a person, which guests would start? */
#ifndef LIB_SERVE_FORECAST_H
#define LIB_SERVE_FORECAST_H

#include "lib/volume/volume.h"

/* One way to unseal without a person, tried now. error.kind NONE: it works. */
struct forecast_way {
	const char *name;	/* "key-file", "tpm2" …, "credential" */
	int slot;		/* -1: none of the seal's */
	struct error error;
};
typedef int (*forecast_way_fn)(void *ctx, const struct forecast_way *way);

/* Tries every way, each by itself; a device or server that is away takes its time. */
int forecast_ways(struct keystore *ks, forecast_way_fn fn, void *ctx, struct error *e);

/* A guest that starts with libvirt and needs a volume of the keystore. error.kind NONE: nothing keeps it from that. */
struct forecast_guest {
	const char *domain;
	struct error error;
};
typedef int (*forecast_guest_fn)(void *ctx, const struct forecast_guest *guest);

/*
 * Every guest that is marked for autostart in a directory of libvirt's configurations (/etc/libvirt/qemu). Looks at
 * records and images, not at keys. No such directory: no guests.
 */
int forecast_guests(struct keystore *ks, const char *configurations, forecast_guest_fn fn, void *ctx, struct error *e);

/* Every guest that runs and has a volume of the keystore; error.kind NONE. No such directory (run): none. */
int forecast_running(struct keystore *ks, const char *run, forecast_guest_fn fn, void *ctx, struct error *e);

#endif
