/*
 * What the keystore knows of one volume. The plain fields can be read while the keystore is
 * sealed; they are associated data of the sealed part, so changing one is detected.
 */
#ifndef KEYSTORE_RECORD_RECORD_H
#define KEYSTORE_RECORD_RECORD_H

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"

#include <stddef.h>
#include <stdint.h>
#include <uuid/uuid.h>

enum record_format {
	RECORD_FORMAT_RAW = 1,
	RECORD_FORMAT_QCOW2 = 2,
};

/*
 * What a workflow has begun and not finished; READY when nothing is open. Stored, so never renumber. A reader may
 * meet any other number: a newer kvmcrypt is at it. That is no damage, and whoever would act refuses.
 */
enum record_state {
	RECORD_READY = 1,
	RECORD_CREATING = 2,
	RECORD_IMPORTING = 3,
	RECORD_ROTATING = 4,
	RECORD_CONVERTING = 5,
	RECORD_ERASING = 6,
	RECORD_RESIZING = 7,
	RECORD_RETIRING = 8,	/* rotating: the new passphrase is in force, `pending` is the old one */
	RECORD_PIVOTING = 9,	/* converting under a running guest: the copy may be newer than the image */
	RECORD_LINKED = 10,	/* ready; `beside` is a link to the image that a running guest knows it by */
	RECORD_MOVING = 11,
	RECORD_MOVED_IN_PLACE = 12,	/* the image is at its new path, what names the old one is not done */
	RECORD_RESTORING = 13,		/* a lost LUKS header is being written */
	RECORD_KEYSLOT = 14,		/* a keyslot of somebody else is being added or removed */
	RECORD_REPLACING = 15,		/* imported: the keyslots of the given passphrase are being destroyed */
};

/* What the image is for. Stored, so never renumber. */
enum record_role {
	RECORD_DISK = 0,
	RECORD_LAYER = 1,	/* an overlay, or what was frozen below one */
	RECORD_BACKUP = 2,
	RECORD_GOLDEN = 3,	/* frozen: others are made from it */
};

struct record_domain {
	uuid_t uuid;
	char *name;
	char *target;	/* "vda" */
};

#define RECORD_DIGEST_MAX 64

/* Where the LUKS header was and how it was made: enough to rebuild a lost one. Sealed. */
struct record_geometry {
	uint64_t header_offset;		/* bytes from the start of the container; 0 for raw */
	uint64_t header_length;		/* bytes, keyslot area included */
	uint64_t data_offset;		/* bytes, as LUKS says it (relative to the LUKS header) */
	uint64_t metadata_size;		/* LUKS2 JSON area, bytes; 0 for LUKS1 */
	uint64_t keyslots_size;		/* LUKS2, bytes; 0 for LUKS1 */
	uint32_t digest_iterations;	/* LUKS1 mk-digest-iter */
	unsigned char digest_salt[32];	/* LUKS1 mk-digest-salt */
};

/* Of a record whose role is RECORD_BACKUP. */
struct record_backup {
	uuid_t of;		/* the volume; null: none */
	uuid_t previous;	/* the backup that it is an increment to; null: it is full */
	char *checkpoint;	/* libvirt's name, or NULL */
	char *digest;		/* of the backup's content, "sha256:…", or NULL */
};

/* A file of an open workflow, known by what it is besides its name. */
struct record_file {
	uint32_t role;		/* the workflow's own number */
	uint64_t dev, inode;	/* 0: not known yet; dev holds till the next start of the host */
	char *path;		/* absolute */
};

/*
 * All that somebody needs who goes on with a workflow without having been told its options. The keystore knows no
 * workflow: the numbers mean something to whoever wrote them. version 0: there is none.
 */
#define RECORD_WORK_VERSION 1
struct record_work {
	uint32_t version; /* above RECORD_WORK_VERSION: a newer kvmcrypt is at it; only number and step are read */
	uint32_t number;	/* of the workflow */
	uint32_t step;
	uint64_t mark;		/* how far it is, in the workflow's own unit */
	char *params;		/* JSON text, or NULL */
	char *disposal;		/* what becomes of the old image at the end, or NULL */
	struct record_file *files;
	size_t n_files;
	unsigned char *newer;	/* the bytes of a newer version, written again as they were; the keystore's own */
	size_t newer_len;
};
void record_work_clear(struct record_work *w);	/* all zero again */
/* Appends a file, or sets what is known of the one that has this role and path. */
int record_work_file(struct record_work *w, uint32_t role, const char *path, uint64_t dev, uint64_t inode,
		     struct error *e);

struct record {
	/* plain */
	uuid_t uuid;		/* the volume; also UUID of its libvirt secret's derivation */
	uint64_t revision;	/* the store's compare-and-set number; 0: not stored yet */
	uint64_t generation;	/* 1 at creation, +1 with every new passphrase */
	enum record_state state;
	char *path;		/* absolute */
	char *header_path;	/* detached LUKS header, or NULL */
	char *beside;		/* a file beside the image: what an open workflow makes or, LINKED, a link; or NULL */
	char *backing;		/* absolute path of a qcow2 volume's backing file, or NULL */
	char *integrity;	/* dm-integrity algorithm of a LUKS2 volume ("hmac-sha256"), or NULL */
	enum record_format format;
	uint64_t size;		/* bytes the guest sees */
	uint32_t luks_version;	/* 1 or 2 */
	uuid_t luks_uuid;
	unsigned char digest[RECORD_DIGEST_MAX];	/* of the volume key, as in the header */
	size_t digest_len;
	char cipher[64];	/* "aes-xts-plain64" */
	uint32_t key_bits;	/* of the volume key: 256 or 512 for XTS */
	uint32_t sector_size;
	int64_t created;	/* seconds since 1970 */
	int64_t rotated;	/* last new passphrase; = created at first */
	int64_t last_used;	/* 0: never. Kept beside the sealed envelope, see FORMAT.md */
	struct record_domain *domains;
	size_t n_domains;
	uint32_t recovery_slots;	/* a bit for each LUKS keyslot that has a recovery key */
	enum record_role role;
	uuid_t parent;		/* the record of `backing`; null: none, or not ours */
	char *parent_format;	/* of a `backing` that is not ours ("qcow2"), or NULL */
	char *snapshot;		/* name of the snapshot that a layer was frozen for, or NULL */
	struct record_backup backup;
	uuid_t cloned_from;	/* null: of none */
	char *placement;	/* who may write the volume, in a fleet; NULL: this host */
	uint64_t fence;		/* + 1 with every placement */
	char *moved;		/* the host that has the volume now; NULL: here */
	char *hash;		/* of the LUKS header ("sha256"), or NULL: not noted */
	uint64_t iv_tweak;	/* LUKS2: added to a sector's number; 0 in all but odd headers */
	uint64_t data_size;	/* LUKS2: bytes, where the header fixes it; 0: all that follows */
	struct record_work work;
	unsigned char *unknown;	/* optional fields of a newer kvmcrypt, written again as they were */
	size_t unknown_len;

	/* sealed: NULL until keystore_reveal(), or set by the creator */
	struct secret *passphrase;
	struct secret *pending;		/* during a rotation the other passphrase, or NULL: the next one, and
					   from RETIRING on the last one */
	struct secret *volume_key;
	struct secret *next_volume_key;	/* of the copy or re-encryption under way, or NULL */
	struct record_geometry geometry;
	struct secret *sealed_unknown;	/* as `unknown` */
	int revealed;			/* the sealed fields above are valid */

	/* keystore's own: the sealed bytes as read from the store */
	unsigned char *envelope;
	size_t envelope_len;
};

int record_new(struct record **ret, struct error *e);
void record_free(struct record *r);	/* wipes secrets; NULL is fine */
static inline void record_freep(struct record **r)
{
	record_free(*r);
}
#define AUTORECORD CLEANUP(record_freep)

/* Adds or renames a domain/target pair; repeating it is no change. */
int record_add_domain(struct record *r, const uuid_t domain, const char *name, const char *target,
		      struct error *e);
/* Removes it; target NULL: every target of that domain. True if something was removed. */
int record_remove_domain(struct record *r, const uuid_t domain, const char *target);

/* Format version of the stored record (FORMAT.md), RECORD_VERSION_FIRST: by 030c29a; 0: it was not stored yet. */
#define RECORD_VERSION_FIRST 1
uint32_t record_version(const struct record *r);

const char *record_state_name(enum record_state s);	/* "ready", "creating" …, "unknown" */
const char *record_format_name(enum record_format f);	/* "raw", "qcow2" */

#endif
