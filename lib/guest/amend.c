#include "lib/guest/amend.h"

#include "lib/guest/disk.h"
#include "lib/guest/master_key.h"
#include "lib/guest/qmp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECRET_CURRENT "kvmcrypt-current"
#define SECRET_FRESH "kvmcrypt-fresh"
/* QEMU's "Unable to get accurate CPU usage" comes about every third time on a busy machine. */
#define ADD_TRIES 12
#define JOB_SECONDS 120

struct guest_amend {
	virDomainPtr domain;	/* borrowed */
	struct secret *master;
	char node[64];
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
					 "QEMU has a %s above the image of disk %s: wait for its block job, then try again",
					 driver ? driver : "node", alias);
		snprintf(a->node, sizeof(a->node), "%s", node);
		return 0;
	}
	return error_set(e, ERROR_NOT_FOUND, ENOENT, "QEMU has no disk %s", alias);
}

int guest_amend_begin(struct guest_connection *g, virDomainPtr d, const char *target, struct guest_amend **ret,
		      struct error *e)
{
	char alias[128];
	struct guest_amend *a = calloc(1, sizeof(*a));
	if (!a)
		return error_oom(e);
	a->domain = d;
	AUTOFREE char *xml = virDomainGetXMLDesc(d, 0);
	int r = xml ? guest_disk_alias(xml, target, alias, sizeof(alias), e)
		    : guest_error(e, "cannot read the state of domain %s", virDomainGetName(d));
	if (r == 0)
		r = guest_require_secure(g, e);
	if (r == 0)
		r = find_node(a, alias, e);
	if (r == 0)
		r = guest_master_key(g, d, &a->master, e);
	if (r < 0) {
		guest_amend_end(a);
		return r;
	}
	*ret = a;
	return 0;
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
	/* One that a killed command left behind holds an older key. */
	drop_secret(a, id);
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

/* *ret_reason: of a job that failed, "" if it succeeded. 1: concluded. */
static int job_state(struct guest_amend *a, const char *id, char *ret_reason, size_t len, struct error *e)
{
	AUTOJSON struct json_object *jobs = NULL;
	int r = guest_qmp(a->domain, "query-jobs", NULL, &jobs, e);
	for (size_t i = 0; r == 0 && i < json_object_array_length(jobs); i++) {
		struct json_object *j = json_object_array_get_idx(jobs, i);
		const char *name = guest_qmp_text(j, "id"), *status = guest_qmp_text(j, "status");
		if (!name || strcmp(name, id) != 0)
			continue;
		if (!status || strcmp(status, "concluded") != 0)
			return 0;
		const char *why = guest_qmp_text(j, "error");
		snprintf(ret_reason, len, "%s", why ? why : "");
		return 1;
	}
	return r < 0 ? r : error_set(e, ERROR_LIBVIRT, EIO, "QEMU's job went away");
}

static int run_job(struct guest_amend *a, struct json_object *options, struct error *e)
{
	char id[64], reason[256] = "";
	snprintf(id, sizeof(id), "kvmcrypt-%ld", (long)getpid());
	struct json_object *args = json_object_new_object(), *dismiss = json_object_new_object();
	json_object_object_add(dismiss, "id", text(id));
	json_object_object_add(args, "job-id", text(id));
	json_object_object_add(args, "node-name", text(a->node));
	json_object_object_add(args, "options", options);
	int r = guest_qmp(a->domain, "x-blockdev-amend", args, NULL, e);
	for (int i = 0; r == 0 && i < JOB_SECONDS * 50; i++) {
		r = job_state(a, id, reason, sizeof(reason), e);
		if (r == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 20 * 1000 * 1000 }, NULL);
		else
			break;
		r = 0;
	}
	if (r == 0)
		r = error_set(e, ERROR_LIBVIRT, ETIMEDOUT, "QEMU has not changed the header in %d seconds", JOB_SECONDS);
	if (r != 1) {
		json_object_put(dismiss);
		return r;
	}
	guest_qmp(a->domain, "job-dismiss", dismiss, NULL, NULL);
	return reason[0] ? error_set(e, ERROR_LIBVIRT, EIO, "QEMU did not change the header: %s", reason) : 0;
}

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
	json_object_object_add(luks, "secret", text(SECRET_CURRENT));
	json_object_object_add(luks, "new-secret", text(SECRET_FRESH));
	/* Milliseconds of key derivation; the fewest, as the passphrase has 256 random bits. */
	json_object_object_add(luks, "iter-time", json_object_new_int(1));
	return run_job(a, options(a, luks), e);
}

int guest_amend_add(struct guest_amend *a, const struct secret *current, const struct secret *fresh,
		    void (*note)(void *context, const char *text), void *note_context, struct error *e)
{
	struct error why = { 0 };
	int r = give_secret(a, SECRET_CURRENT, current, e);
	if (r == 0)
		r = give_secret(a, SECRET_FRESH, fresh, e);
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
	drop_secret(a, SECRET_FRESH);
	drop_secret(a, SECRET_CURRENT);
	return r;
}

int guest_amend_remove(struct guest_amend *a, int slot, struct error *e)
{
	struct json_object *luks = json_object_new_object();
	json_object_object_add(luks, "state", text("inactive"));
	json_object_object_add(luks, "keyslot", json_object_new_int(slot));
	return run_job(a, options(a, luks), e);
}
