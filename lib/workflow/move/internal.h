/* What the files of the move share. */
#ifndef LIB_WORKFLOW_MOVE_INTERNAL_H
#define LIB_WORKFLOW_MOVE_INTERNAL_H

#include "lib/volume/internal.h"
#include "lib/workflow/move/move.h"
#include "lib/workflow/workflow.h"

/* How a piece gets to its new place. Stored (record.work.step), so never renumber. */
enum move_how {
	MOVE_RENAME = 1,	/* one file system: a second name, then the first one goes */
	MOVE_COPY = 2,
	MOVE_NOTED = 3,		/* it is there already */
	MOVE_LIVE = 4,		/* copied by the QEMU of a running guest */
};

/* In record.work.step beside how: the configurations of domains are left as they are. */
#define MOVE_WITHOUT_LIBVIRT 0x100u

/* Data and header are one file, or two with places of their own. */
struct move_piece {
	bool header;		/* the detached header alone */
	enum move_how how;
	char *from, *to;
	uint64_t inode;		/* of the file at from */
	/* COPY and LIVE: */
	char *copy;		/* the new file until it is whole, beside `to` */
	char *aside;		/* the old file once `from` is a link to `to`, beside `from` */
	uint64_t copy_inode;	/* 0: not made yet */
	int fd;			/* of it, locked; or 0 */
};

#define MOVE_PIECES 2
struct move_state {
	struct move_piece pieces[MOVE_PIECES];
	size_t n;
	struct container *image;	/* the file with the LUKS header, under QEMU's locks; or NULL */
	int data;			/* the data beside a detached header likewise, or 0 */
};

/* ---- plan.c: which pieces go from where to where, and how ---- */

/* From the options, with what lies at both ends now. Writes nothing. */
int move_plan(struct flow *f, struct error *e);
/* Can it be copied: one name, and room? */
int move_check_copy(const struct move_piece *p, struct error *e);
/* Into the record, with names for the files that are to come; and out of it again. */
int move_note(struct flow *f, struct error *e);
int move_read(struct flow *f, struct error *e);
/* What is known of a piece's files, into the record. */
int move_note_files(struct record *r, const struct move_piece *p, struct error *e);
void move_clear(void *state);
/* The path that data or header have just now, before the move. */
const char *move_path_now(const struct flow *f, bool header);
const struct move_piece *move_piece_of(const struct move_state *s, bool header);

/* ---- place.c: the files ---- */

/* The whole image is at `to`, synced, and at `from` as before. */
int move_place(struct flow *f, struct move_piece *p, struct error *e);
/* COPY, LIVE: from this moment on `from` leads to the new image. Repeatable. */
int move_switch(const struct move_piece *p, struct error *e);
/* What is left at the old place goes. Repeatable. */
int move_remove_old(struct flow *f, const struct move_piece *p, struct error *e);
/* What was made at the new place goes, where the old one is still whole. */
int move_take_back(const struct move_piece *p, struct error *e);
/* The new image has `from`'s name already, or is the only one: there is no way back. */
int move_is_switched(const struct move_piece *p, bool *ret, struct error *e);
/* A new file at p->copy, locked and noted in the record. */
int move_make_file(struct flow *f, struct move_piece *p, int *ret_fd, struct error *e);
/* p->copy, whole, becomes p->to. */
int move_name_copy(const struct move_piece *p, int fd, struct error *e);

/* ---- live.c ---- */

int move_live(struct flow *f, struct move_piece *p, struct error *e);
/* An interrupted one: does the guest use the copy? Ends a copy that runs. */
int move_live_judge(struct flow *f, bool *ret_pivoted, struct error *e);

/* ---- names.c: who else names the image ---- */

/* workflow.others: the volumes above it. */
int move_others(struct flow *f, uuid_t **ret, size_t *ret_n, struct error *e);
/*
 * The image is at `path`, or will be, and has this header: *ret is the absolute name of its backing file that the
 * header is to have, or NULL where that is right as it is, or nothing better is known.
 */
int move_backing(const struct record *r, const char *path, const struct qcow2_header *h, char **ret, struct error *e);
/* The record's backing file is what the header at the record's path names, if that is there. */
int move_backing_noted(struct keystore *ks, struct record *r, struct error *e);
/* Can every name be changed that is to be? *ret_stale: one is to be. */
int move_names_check(struct flow *f, bool *ret_stale, struct error *e);
/* Overlays and configurations name the record's path, which is the new one. Repeatable. */
int move_names(struct flow *f, struct error *e);

#endif
