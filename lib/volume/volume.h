/*
 * The workflows on volumes: each is a short sequence over keystore, image and guest that may be
 * interrupted at any point. The order is always: intent into the keystore, act, verify by really
 * opening, commit. volume_recover() finishes or undoes what it finds.
 */
#ifndef LIB_VOLUME_VOLUME_H
#define LIB_VOLUME_VOLUME_H

#include "base/error.h"
#include "base/progress.h"
#include "keystore/keystore.h"
#include "lib/image/container.h"

#include <stdbool.h>
#include <sys/types.h>

struct guest_connection;

/* What every workflow needs; the caller owns all of it. */
struct volume_env {
	struct keystore *ks;
	const struct progress *progress;	/* or NULL */
	/* One line for a person about something that is no error; or NULL. */
	void (*note)(void *context, const char *text);
	void *note_context;
	bool shared_storage;	/* a person says: where libvirt is another host's, both see one and the same image */
};

/*
 * VOLUME as a person gives it: a UUID, or a path, link or device node that leads to the image. Plain fields;
 * ERROR_NOT_FOUND says what to do.
 */
int volume_find(struct keystore *ks, const char *text, struct record **ret, struct error *e);

/* ---- lock.c ---- */

/*
 * One workflow at a time on a volume of this keystore: an OFD lock that ends with the descriptor
 * or the process. wait: up to 30 s. ERROR_BUSY when another process has it.
 */
int volume_lock(struct keystore *ks, const uuid_t volume, bool wait, int *ret_fd, struct error *e);

/*
 * Every volume at once: for a change of the whole keystore, which a workflow would meet in its middle. Waits up to
 * 30 s.
 */
int volume_lock_all(struct keystore *ks, int *ret_fd, struct error *e);

/* ---- create.c ---- */
struct volume_create {
	const char *path;
	uint64_t size;			/* bytes the guest sees; a multiple of 512. 0: of the device or backing file */
	enum image_format format;	/* AUTO: by suffix */
	unsigned luks_version;		/* 1, 2; 0: 2 on a block device or with an option that needs it, else 1 */
	const char *cipher;		/* NULL: aes-xts-plain64 */
	unsigned key_bits;		/* 0: 512 for XTS */
	unsigned sector_size;		/* LUKS2; 0: 4096 where the size allows it */
	const char *integrity;		/* LUKS2: "hmac-sha256", "aead"; or NULL */
	const char *header;		/* LUKS2: a new file for a detached header; or NULL */
	const char *destroy;		/* the block device whose contents may be overwritten; or NULL */
	uint32_t cluster_size;		/* qcow2; 0: 64 KiB */
	enum qcow2_prealloc prealloc;
	const char *backing;		/* or NULL */
	bool backing_in_use;		/* also one that a guest may be writing to */
	enum image_format backing_format;	/* AUTO: from the keystore or the suffix, checked */
	bool if_absent, dry_run;
	int mode;			/* -1: 0600 */
	uid_t uid;			/* (uid_t)-1: unchanged */
	gid_t gid;
};

/*
 * Makes the image and its record. ERROR_EXISTS when path or record is there; with if_absent and
 * the same parameters 0 and *ret_existed. The record comes back with plain fields. g: asked who has a backing file;
 * or NULL.
 */
int volume_create(const struct volume_env *env, struct guest_connection *g, const struct volume_create *p,
		  struct record **ret, bool *ret_existed, struct error *e);

/* ---- import.c ---- */
struct volume_import {
	const char *path;
	enum image_format format;	/* AUTO: by magic */
	const char *header;		/* its detached LUKS2 header, or NULL */
	const struct secret *passphrase;	/* opens a keyslot of it */
	bool replace;			/* remove that keyslot once ours is proven */
	struct guest_connection *g; /* replace: asked whether a domain opens the image with another secret; or NULL */
	bool dry_run;
};
int volume_import(const struct volume_env *env, const struct volume_import *p, struct record **ret,
		  bool *ret_existed, struct error *e);
/*
 * What import would refuse whatever the passphrase is, so that nobody is asked for one first. *ret_known: it is this
 * very volume already, and only .replace has anything left to do.
 */
int volume_import_look(const struct volume_env *env, const struct volume_import *p, bool *ret_known, struct error *e);

/* ---- state.c ---- */
enum volume_condition {
	VOLUME_OK,
	VOLUME_MISSING,		/* no file at the recorded path */
	VOLUME_DAMAGED,		/* or not the image the record was made for */
};
struct volume_state {
	enum volume_condition condition;
	char problem[512];		/* "" when OK */
	bool have_info;			/* info and backing are valid */
	struct luks_info info;
	char backing[1024];
	uint64_t file_size;
	bool in_use;			/* a process holds QEMU's image locks */
	int our_slot;			/* keyslot of our passphrase, -1 unknown (record not revealed) */
};
/* Looks at the image; writes nothing. Only fails on errors of our own. */
int volume_look(const struct record *r, struct volume_state *ret, struct error *e);

/* Is the open image the one the record was made for (LUKS UUID and volume key digest)? */
int volume_check_binding(const struct record *r, const struct luks_info *info, struct error *e);

/* ---- erase.c ---- */
struct volume_erase {
	bool keep_file;		/* the file stays, its keyslots do not */
	bool damaged;		/* go on where the image's keyslots cannot be destroyed */
	bool missing;		/* go on where the image is not there */
	bool dry_run;
};
/*
 * Crypto-erase: keyslots on disk destroyed, libvirt's secret undefined, file removed, record destroyed. g: NULL when
 * libvirt is not to be asked; else ERROR_REFUSED while a domain has the volume. A file that is missing, damaged, or
 * another image is an error with nothing changed, or with .missing or .damaged noted and left alone.
 * *ret_destroyed (unless dry_run): keyslots were destroyed.
 */
int volume_erase(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		 const struct volume_erase *p, bool *ret_destroyed, struct error *e);

/* ---- forget.c ---- */
/*
 * The record goes, with its key, and libvirt's secret; the image stays as it is. g: NULL when libvirt is not to be
 * asked; else ERROR_REFUSED while a domain has the volume. ERROR_REFUSED too while it is the base of another volume,
 * ERROR_BUSY while it is mapped or in the middle of a workflow.
 */
int volume_forget(const struct volume_env *env, struct guest_connection *g, const uuid_t volume, bool dry_run,
		  struct error *e);

/* ---- recover.c ---- */

/* The volumes that volume_recover() has something to do for; clears nothing. Of an unsealed keystore. */
struct volume_list;
int volume_unfinished(struct keystore *ks, struct volume_list *ret, struct error *e);

struct volume_recovered {
	uint32_t was;
	const char *outcome;	/* "finished", "undone", "waits", "in_progress", "needs_attention", "failed" */
	char detail[512];
};
/*
 * Finishes or undoes the workflow a record is in. RECORD_READY: nothing. g: libvirt, which has to
 * be asked about a volume that a guest may be running with; or NULL.
 */
int volume_recover(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		   struct volume_recovered *ret, struct error *e);

#endif
