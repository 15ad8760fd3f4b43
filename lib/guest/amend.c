#include "lib/guest/amend.h"

#include "lib/guest/disk.h"
#include "lib/guest/master_key.h"
#include "lib/guest/qmp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * Names in QEMU are shared by all disks of the guest, so ours have the volume's UUID; who holds the volume's lock is
 * the only one to use them. Before that they had none, and a number in the job's.
 */
#define PREFIX "kvmcrypt-"
#define OLD_CURRENT PREFIX "current"
#define OLD_FRESH PREFIX "fresh"
#define NAME_LEN 64
/* QEMU's "Unable to get accurate CPU usage" comes about every third time on a busy machine. */
#define ADD_TRIES 12
#define JOB_SECONDS 120

struct guest_amend {
	virDomainPtr domain;	/* borrowed */
	struct secret *master;
	char node[64];
	char current[NAME_LEN], fresh[NAME_LEN], job[NAME_LEN];
	bool qcow2;
};

static struct json_object *text(const char *s)
{
	return json_object_new_string(s);
}

/* The top node of the disk, which is what its device names as inserted. */
static int find_node(struct guest_amend *a, const char *alias, struct error *e)
{
	AUTOJSON struct json_object *blocks = NULL;
	char device[160];
	int r = guest_qmp(a->domain, "query-block", NULL, &blocks, e);
	if (r < 0)
		return r;
	snprintf(device, sizeof(device), "/%s", alias);
	for (size_t i = 0; i < json_object_array_length(blocks); i++) {
		struct json_object *b = json_object_array_get_idx(blocks, i), *inserted = NULL;
		const char *qdev = guest_qmp_text(b, "qdev");
		const char *at = qdev ? strstr(qdev, device) : NULL;
		bool ours = qdev && (!strcmp(qdev, alias) ||
				     (at && (!at[strlen(device)] || at[strlen(device)] == '/')));
		if (!ours || !json_object_object_get_ex(b, "inserted", &inserted))
			continue;
		const char *driver = guest_qmp_text(inserted, "drv"), *node = guest_qmp_text(inserted, "node-name");
		a->qcow2 = driver && !strcmp(driver, "qcow2");
		if (!driver || !node || (!a->qcow2 && strcmp(driver, "luks") != 0))
			return error_set(e, ERROR_BUSY, EBUSY,
					 "QEMU has a %s above the image of disk %s: wait for its block job, then try "
					 "again",
					 driver ? driver : "node", alias);
		snprintf(a->node, sizeof(a->node), "%s", node);
		return 0;
	}
	return error_set(e, ERROR_NOT_FOUND, ENOENT, "QEMU has no disk %s", alias);
}

void guest_amend_end(struct guest_amend *a)
{
	if (!a)
		return;
	secret_free(a->master);
	free(a);
}

/* ---- secrets of QEMU ---- */

static void drop_secret(struct guest_amend *a, const char *id)
{
	struct json_object *args = json_object_new_object();
	json_object_object_add(args, "id", text(id));
	guest_qmp(a->domain, "object-del", args, NULL, NULL);
}

static int give_secret(struct guest_amend *a, const char *id, const struct secret *s, struct error *e)
{
	AUTOFREE char *data = NULL, *iv = NULL;
	int r = guest_master_key_seal(a->master, s, &data, &iv, e);
	if (r < 0)
		return r;
	struct json_object *args = json_object_new_object();
	json_object_object_add(args, "qom-type", text("secret"));
	json_object_object_add(args, "id", text(id));
	json_object_object_add(args, "keyid", text("masterKey0"));
	json_object_object_add(args, "iv", text(iv));
	json_object_object_add(args, "data", text(data));
	json_object_object_add(args, "format", text("base64"));
	return guest_qmp(a->domain, "object-add", args, NULL, e);
}

/* ---- the job ---- */

/* QEMU's job of our name; old: also one of a name without a volume. */
static struct json_object *our_job(struct guest_amend *a, struct json_object *jobs, bool old)
{
	for (size_t i = 0; i < json_object_array_length(jobs); i++) {
		struct json_object *j = json_object_array_get_idx(jobs, i);
		const char *name = guest_qmp_text(j, "id"), *number = name ? name + strlen(PREFIX) : "";
		if (name && !strcmp(name, a->job))
			return j;
		if (old && name && !strncmp(name, PREFIX, strlen(PREFIX)) && *number &&
		    strspn(number, "0123456789") == strlen(number))
			return j;
	}
	return NULL;
}

static void dismiss(struct guest_amend *a, const char *id)
{
	struct json_object *args = json_object_new_object();
	json_object_object_add(args, "id", text(id));
	guest_qmp(a->domain, "job-dismiss", args, NULL, NULL);
}

/* Waits for the job and dismisses it: 1, and why it failed, "" if it did not. 0: there is none. */
static int end_job(struct guest_amend *a, bool old, char *ret_reason, size_t len, struct error *e)
{
	for (int i = 0; i < JOB_SECONDS * 50; i++) {
		AUTOJSON struct json_object *jobs = NULL;
		int r = guest_qmp(a->domain, "query-jobs", NULL, &jobs, e);
		struct json_object *j = r == 0 ? our_job(a, jobs, old) : NULL;
		const char *status = j ? guest_qmp_text(j, "status") : NULL;
		if (r < 0 || !j)
			return r;
		if (status && !strcmp(status, "concluded")) {
			const char *why = guest_qmp_text(j, "error");
			snprintf(ret_reason, len, "%s", why ? why : "");
			dismiss(a, guest_qmp_text(j, "id"));
			return 1;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
	}
	return error_set(e, ERROR_LIBVIRT, ETIMEDOUT, "QEMU has not changed the header in %d seconds", JOB_SECONDS);
}

static int run_job(struct guest_amend *a, struct json_object *options, struct error *e)
{
	char reason[256] = "";
	struct json_object *args = json_object_new_object();
	json_object_object_add(args, "job-id", text(a->job));
	json_object_object_add(args, "node-name", text(a->node));
	json_object_object_add(args, "options", options);
	int r = guest_qmp(a->domain, "x-blockdev-amend", args, NULL, e);
	if (r == 0)
		r = end_job(a, false, reason, sizeof(reason), e);
	if (r == 0)
		return error_set(e, ERROR_LIBVIRT, EIO, "QEMU's job went away");
	if (r > 0 && reason[0])
		return error_set(e, ERROR_LIBVIRT, EIO, "QEMU did not change the header: %s", reason);
	return r < 0 ? r : 0;
}

/* What a command that was killed left: a job that runs is waited for, its result does not matter. */
static int sweep(struct guest_amend *a, struct error *e)
{
	char reason[256];
	int r;
	while ((r = end_job(a, true, reason, sizeof(reason), e)) == 1)
		;
	drop_secret(a, OLD_CURRENT);
	drop_secret(a, OLD_FRESH);
	drop_secret(a, a->current);
	drop_secret(a, a->fresh);
	return r;
}

/* ---- begin ---- */

static void choose_names(struct guest_amend *a, const uuid_t volume)
{
	char uuid[37];
	uuid_unparse_lower(volume, uuid);
	snprintf(a->current, sizeof(a->current), PREFIX "current-%s", uuid);
	snprintf(a->fresh, sizeof(a->fresh), PREFIX "fresh-%s", uuid);
	snprintf(a->job, sizeof(a->job), PREFIX "job-%s", uuid);
}

int guest_amend_begin(struct guest_connection *g, virDomainPtr d, const char *target, const uuid_t volume,
		      struct guest_amend **ret, struct error *e)
{
	char alias[128];
	struct guest_amend *a = calloc(1, sizeof(*a));
	if (!a)
		return error_oom(e);
	a->domain = d;
	choose_names(a, volume);
	AUTOFREE char *xml = virDomainGetXMLDesc(d, 0);
	int r = xml ? guest_disk_alias(xml, target, alias, sizeof(alias), e)
		    : guest_error(e, "cannot read the state of domain %s", virDomainGetName(d));
	if (r == 0)
		r = guest_require_secure(g, e);
	if (r == 0)
		r = find_node(a, alias, e);
	if (r == 0)
		r = guest_master_key(g, d, &a->master, e);
	if (r == 0)
		r = sweep(a, e);
	if (r < 0) {
		guest_amend_end(a);
		return r;
	}
	*ret = a;
	return 0;
}

/* ---- keyslots ---- */

/* The luks driver takes the options by themselves, qcow2 below "encrypt". */
static struct json_object *options(const struct guest_amend *a, struct json_object *luks)
{
	struct json_object *o = a->qcow2 ? json_object_new_object() : luks;
	json_object_object_add(o, "driver", text(a->qcow2 ? "qcow2" : "luks"));
	if (a->qcow2) {
		json_object_object_add(luks, "format", text("luks"));
		json_object_object_add(o, "encrypt", luks);
	}
	return o;
}

static int add_once(struct guest_amend *a, struct error *e)
{
	struct json_object *luks = json_object_new_object();
	json_object_object_add(luks, "state", text("active"));
	json_object_object_add(luks, "secret", text(a->current));
	json_object_object_add(luks, "new-secret", text(a->fresh));
	/* Milliseconds of key derivation; the fewest, as the passphrase has 256 random bits. */
	json_object_object_add(luks, "iter-time", json_object_new_int(1));
	return run_job(a, options(a, luks), e);
}

int guest_amend_add(struct guest_amend *a, const struct secret *current, const struct secret *fresh,
		    void (*note)(void *context, const char *text), void *note_context, struct error *e)
{
	struct error why = { 0 };
	int r = give_secret(a, a->current, current, e);
	if (r == 0)
		r = give_secret(a, a->fresh, fresh, e);
	for (int i = 1; r == 0; i++) {
		why = (struct error){ 0 };
		r = add_once(a, &why);
		if (r == 0)
			break;
		*e = why;
		/* Only its own clock is worth another try. */
		if (i == ADD_TRIES || !strstr(why.message, "CPU usage"))
			break;
		if (note)
			note(note_context, "QEMU could not measure its key derivation, trying again");
		r = 0;
	}
	drop_secret(a, a->fresh);
	drop_secret(a, a->current);
	return r;
}

int guest_amend_remove(struct guest_amend *a, int slot, struct error *e)
{
	struct json_object *luks = json_object_new_object();
	json_object_object_add(luks, "state", text("inactive"));
	json_object_object_add(luks, "keyslot", json_object_new_int(slot));
	return run_job(a, options(a, luks), e);
}
