/*
 * The one way in which a volume is changed: intent → act → prove → commit → finish. A workflow is a table of
 * steps; the engine has the lock and the record, and what happens after an error or an interruption:
 *
 *	check        refuses early; a dry run ends here
 *	lock, read the record again, finish or undo an older workflow, check again
 *	intend       the record says what is about to be, and is stored
 *	act, prove   the image is changed, and shown to be as it was meant
 *	commit       the record says what is, and is stored
 *	finish       what only follows from that; the record is READY
 *
 * After a failure the record is read again, since a commit that reported an error may have been stored; then judge()
 * says from the disk whether the begun is undone or finished. `kvmcrypt recover` is that judge without the command, and
 * repeating an interrupted command begins with it. At every point some key of the keystore opens the volume.
 *
 * A new workflow is one file here and its lines in lib/volume/state.h.
 */
#ifndef LIB_WORKFLOW_WORKFLOW_H
#define LIB_WORKFLOW_WORKFLOW_H

#include "lib/guest/connection.h"
#include "lib/volume/hold.h"
#include "lib/volume/state.h"

/* Another volume that the workflow changes with the first: held, ready, revealed. */
struct flow_other {
	struct volume_hold hold;
	bool changed;		/* set by a step: it is stored with the record, in one transaction */
};

/* What a workflow's steps are given. */
struct flow {
	const struct workflow *workflow;
	const struct volume_env *env;
	struct guest_connection *g;	/* libvirt, or NULL: not to be asked */
	const void *params;		/* of the verb; NULL when an interrupted one is judged */
	void *result;			/* of the verb, for its steps to fill; NULL likewise */
	void *state;			/* the workflow's own, zeroed; clear() ends it */
	virDomainPtr guest;		/* by flow_find_guest(), until the state ends; or NULL */
	char target[64];		/* its disk */
	struct record *record;		/* check() before the lock: as first read, or NULL of a new volume; from then on
					   fresh and revealed. The engine frees it. */
	struct flow_other *others;	/* under the lock: in the order of their UUIDs */
	size_t n_others;
	bool dry_run;			/* it ends after check() */
	bool locked;			/* what check() finds now counts; what it opens in state stays open */
	bool resumed;			/* act() goes on where an earlier run stopped */
	bool unchanged;			/* set by check(): it is so already, nothing is to be done */
	bool gone; /* set by act(), commit(), finish(): the record goes; with undo() a new one does */
	char detail[512];		/* for a person: what judge, finish or undo found; or "" */
};

/* What does the disk say of a workflow that did not end? */
enum flow_verdict {
	FLOW_UNDO = 1,	/* the volume is as it was: undo() takes away what was begun */
	FLOW_FINISH,	/* it is as it was meant: commit(), unless the record has it, then finish() */
	FLOW_RESUME,	/* only forward: act(), prove(), commit() once more, without params */
	FLOW_LATER,	/* it waits for a guest, and harms nobody meanwhile */
	FLOW_STUCK,	/* a person has to look; flow->detail says at what */
};

enum flow_flags {
	FLOW_NEW = 1,		/* make() makes the record: there is none yet */
	FLOW_KEEP_WORK = 2,	/* what a person stopped, or had been resumed, is kept for the next run */
	FLOW_HERE = 4,		/* refused with another host's libvirt, unless env->shared_storage */
	FLOW_NOTES = 8,		/* record.work is its own from intend() to the end; version and number are set */
};

typedef int (*flow_step)(struct flow *f, struct error *e);

/*
 * Steps return 0 or -errno and may be NULL; intend() to undo() change the record in memory, the engine stores it. A
 * number that they leave as it is becomes the next one: committed after commit(), READY in the end.
 */
struct workflow {
	const char *name;		/* of the audit rows: "rotate", with "-begin", "-end", "-undone" */
	uint32_t begun;			/* the record's number from intend() on; 0: the commit is the only step */
	uint32_t committed;		/* from commit() on, where finish() is left to do; else 0 */
	unsigned flags;			/* enum flow_flags */
	size_t state_size;
	const char *undone, *finished;	/* for `recover`: how it stands then */
	const char *kept, *done;	/* after an error, with the path before it: "keeps its passphrase", "has …" */
	/* Which volumes are changed with this one; from the record, without params. NULL: none. The engine frees. */
	int (*others)(struct flow *f, uuid_t **ret, size_t *ret_n, struct error *e);
	flow_step make;			/* FLOW_NEW: f->record from params; writes nothing */
	flow_step check;		/* refuses; writes nothing; run twice, see flow.locked */
	bool (*resumable)(struct flow *f);	/* FLOW_KEEP_WORK: can this call go on with it? NULL: yes */
	flow_step intend, act, prove, commit;
	flow_step finish;		/* may be repeated */
	flow_step undo;			/* may be repeated */
	int (*judge)(struct flow *f, struct error *e);	/* enum flow_verdict or -errno; NULL: it is always `verdict` */
	enum flow_verdict verdict;
	void (*clear)(void *state);	/* frees what it holds */
};

#define STATE(number, shown, flags, name) extern const struct workflow workflow_##name;
VOLUME_STATES(STATE, STATE)
#undef STATE

/* The workflow that takes up a record with this number, or NULL. */
const struct workflow *workflow_of(uint32_t number);

/* A call of a verb. */
struct flow_call {
	const struct volume_env *env;
	struct guest_connection *g;	/* or NULL */
	const unsigned char *volume;	/* NULL: FLOW_NEW */
	const void *params;
	void *result;
	bool dry_run;
	bool as_it_is;			/* an older workflow is neither settled nor an obstacle: check() decides */
	/* The caller's, who has the volume already, revealed, and keeps the lock; the record goes back into it. Or
	 * NULL. */
	struct volume_hold *hold;
};

/*
 * Runs a workflow to its end. *ret_record (or NULL): the record as it is then, with plain fields valid (of a dry run:
 * as it would be); the caller frees; NULL when it is gone. *ret_unchanged (or NULL): there was nothing to do.
 * On failure the volume is as before, or the error says that it is not and names `kvmcrypt recover`.
 */
int workflow_run(const struct workflow *w, const struct flow_call *call, struct record **ret_record,
		 bool *ret_unchanged, struct error *e);

/* ---- for steps ---- */

/* Stores the record in the middle of a step: a further number, another file. */
int flow_store(struct flow *f, const char *action, struct error *e);
/* The running guest that has the volume, into f->guest and f->target. */
int flow_find_guest(struct flow *f, struct error *e);
/* "" for none. */
const char *flow_guest_name(const struct flow *f);
/* A prove() of whatever changes a header: does the record's passphrase open it to the record's volume key? */
int flow_prove(struct flow *f, struct error *e);
/* What `recover` shows of it. */
void flow_say(struct flow *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line for a person, by env->note. */
#define flow_note(f, ...) volume_note((f)->env, __VA_ARGS__)

/* ---- recover.c: what an interruption left ---- */

enum flow_outcome {
	FLOW_NOTHING,		/* it was in no workflow */
	FLOW_UNDONE,
	FLOW_FINISHED,
	FLOW_WAITS,		/* for a guest; the volume can be used meanwhile */
	FLOW_HALFWAY,		/* it can only be gone on with, and that was not asked for */
	FLOW_NEEDS_PERSON,
};

/*
 * Brings the record of *h to an end, whatever workflow it is in. The volume is held, HOLD_UNFINISHED, and its record
 * revealed; afterwards h->record is READY (or waits for a guest), or NULL when the volume is gone. resume: also go on
 * with what takes hours. detail: 512 bytes.
 */
int workflow_settle(const struct volume_env *env, struct guest_connection *g, struct volume_hold *h, bool resume,
		    enum flow_outcome *ret, char *detail, struct error *e);

/* The volume that the keystore has for this path, if it is in the middle of something: as workflow_settle_for(). */
int workflow_settle_path(const struct volume_env *env, struct guest_connection *g, const char *path, struct error *e);
/* That volume, likewise. */
int workflow_settle_volume(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
			   struct error *e);

/* For who needs the volume READY to go on: everything but that is an error. */
int workflow_settle_for(const struct volume_env *env, struct guest_connection *g, struct volume_hold *h,
			struct error *e);

#endif
