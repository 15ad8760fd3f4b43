/* Shared by the workflow files, not for callers of the library. */
#ifndef LIB_VOLUME_INTERNAL_H
#define LIB_VOLUME_INTERNAL_H

#include "lib/guest/connection.h"
#include "lib/volume/state.h"
#include "lib/volume/volume.h"

/* note() of the environment, if there is one. */
void volume_note(const struct volume_env *env, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The record's LUKS fields and geometry from a header in a container at the given region. */
void volume_fill_from_luks(struct record *r, const struct luks_info *info, uint64_t header_offset,
			   uint64_t header_length);

/* dm-integrity's algorithm as records and options name it, from what a LUKS2 header says. */
const char *volume_integrity_name(const char *luks);

/*
 * A record of 030c29a knows less of its header: what it lacks it has afterwards, if the header is proven to be its own
 * (passphrase and volume key). At the end of each workflow. Nothing where that cannot be told.
 */
void volume_learn(struct record *r);

/* A new record, revealed; its sealed fields are the caller's to fill. The last three names may be NULL. */
int volume_new_record(const char *path, const char *header, const char *integrity, const char *backing,
		      struct record **ret, struct error *e);

/*
 * Notes which volume the record's backing file is, by its path or by the LUKS header that is there; of one that is none
 * the format ("qcow2"; "": nobody says). Without a backing file nothing.
 */
int volume_note_parent(struct keystore *ks, struct record *r, const char *format, struct error *e);

/* The volume that the keystore has for this path; *ret NULL: none. */
int volume_at(struct keystore *ks, const char *path, struct record **ret, struct error *e);

/* The path as the keystore knows it: links resolved, but for the name of a block device. */
int volume_canonical(const char *path, char **ret, struct error *e);

/* The file that has the volume's LUKS header: its own, or a detached one. */
const char *volume_header_path(const struct record *r);

/*
 * The container with the volume's LUKS header, if it is the record's. ERROR_DAMAGED when the header
 * is gone or another's.
 */
int volume_open_header(const struct record *r, enum container_mode mode, struct container **ret, struct error *e);

/* Opens path as the record's format, checks that it is the record's image and that the revealed
 * record's passphrase opens it to the recorded volume key. The proof of every workflow. */
int volume_prove(const struct record *r, const char *path, int *ret_slot, struct error *e);

/* volume_prove() of an image just made, where it lies now; notes where its header came to be. */
int volume_prove_new(struct record *r, const char *path, struct error *e);

/*
 * Which keyslot does a passphrase that we generated open? Foreign keyslots may cost seconds each to
 * try, so those that are cheap come first. *ret_volume_key may be NULL. ERROR_BAD_KEY: none.
 */
int volume_unlock_cheap(struct luks *luks, const struct secret *passphrase, int *ret_slot,
			struct secret **ret_volume_key, struct error *e);
/* Among the cheap keyslots alone: -1 for none. */
int volume_cheap_slot(struct luks *luks, const struct secret *passphrase);

/* ERROR_REFUSED when another host has the volume now. */
int volume_check_here(const struct record *r, struct error *e);

/* A record that was changed elsewhere since it was read is read and revealed again. */
int volume_reread(struct keystore *ks, struct record **r, const char *purpose, struct error *e);

/*
 * May a file that belongs to owner ((uid_t)-1: to this user) be made at path? ERROR_REFUSED where others could put
 * something in its place.
 */
int volume_check_place(const char *path, uid_t owner, struct error *e);

/* The path of a new record: volume_canonical(), and one that libvirt's XML and JSON can hold. */
int volume_new_path(const char *path, char **ret, struct error *e);

/* Bytes of the volume as the image now has it, after the check that it is the record's. */
int volume_actual_size(const struct record *r, uint64_t *ret, struct error *e);

/* The record's format as the image room names it, and back. */
enum image_format volume_image_format(const struct record *r);
enum record_format volume_record_format(enum image_format format);

/* Is there anything (even a dangling link) at path? */
bool volume_path_taken(const char *path);

#endif
