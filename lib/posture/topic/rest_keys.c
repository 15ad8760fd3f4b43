/* Keys on this host's disk: libvirt's secrets and master keys, and how good the volumes' own are. */
#include "lib/posture/topic/rest.h"

#include "base/text.h"
#include "keystore/keystore.h"
#include "lib/guest/secrets_dir.h"
#include "lib/posture/host/storage.h"
#include "lib/volume/state.h"
#include "lib/volume/volume.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A passphrase that was in use for longer counts as old. */
#define OLD_KEY_DAYS 365

static const char *const where[] = {
	[STORAGE_PLAIN] = "on the disk, in plain",
	[STORAGE_MEMORY] = "in memory",
	[STORAGE_ENCRYPTED] = "on an encrypted disk",
};

/* Files of values in libvirt's directory of secrets; -1: it cannot be read. */
static int count_values(const char *directory)
{
	DIR *d = opendir(directory);
	if (!d)
		return errno == ENOENT ? 0 : -1;
	int n = 0;
	for (const struct dirent *entry; (entry = readdir(d));) {
		const char *end = strrchr(entry->d_name, '.');
		n += end && !strcmp(end, ".base64");
	}
	closedir(d);
	return n;
}

static void look_values(struct posture_look *l)
{
	char path[PATH_MAX];
	const char *known = l->host->g ? l->host->g->secrets_dir : NULL;
	host_path(l->host, known ? known : SECRETS_DIR_DEFAULT, path, sizeof(path));
	enum storage on = STORAGE_PLAIN;
	struct error e;
	int n = count_values(path);
	if (n < 0) {
		error_errno(&e, ERROR_FAILED, errno, "it cannot be read");
		note_unknown(l, POSTURE_RUNNING, path, &e);
	} else if (!n) {
		note(l, POSTURE_PASS, POSTURE_RUNNING, path, "no value of a secret is kept there");
	} else if (storage_of(path, &on, &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, path, &e);
	} else {
		note(l, on == STORAGE_PLAIN ? POSTURE_FAIL : POSTURE_PASS, POSTURE_RUNNING, path,
		     "%d value%s of secrets %s", n, n == 1 ? "" : "s", where[on]);
	}
}

/* A value that is not private is given out to every client of libvirt that may write. */
static void look_secret(struct posture_look *l, virSecretPtr s, size_t *ret_private)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	char uuid[UUID_STR_LEN] = "", subject[64];
	char *xml = virSecretGetXMLDesc(s, 0);
	bool open =
		xml && guest_xml_find(&x, xml, "/secret[not(@private = 'yes')]/uuid", NULL) == 0 && guest_xml_count(&x);
	if (open && guest_xml_node(&x, 0)->children && guest_xml_node(&x, 0)->children->content)
		snprintf(uuid, sizeof(uuid), "%s", (const char *)guest_xml_node(&x, 0)->children->content);
	free(xml);
	snprintf(subject, sizeof(subject), "secret %s", uuid);
	if (open)
		note(l, POSTURE_WARN, POSTURE_CONFIGURED, subject,
		     "it is not private: libvirt gives its value to every client that may write");
	else
		(*ret_private)++;
}

void rest_look_secrets(struct posture_look *l)
{
	if (l->host->local || !l->host->running)
		look_values(l);
	if (!l->host->g)
		return;
	virSecretPtr *list = NULL;
	size_t private = 0;
	int n = virConnectListAllSecrets(l->host->g->conn, &list, 0);
	for (int i = 0; i < n; i++) {
		look_secret(l, list[i], &private);
		virSecretFree(list[i]);
	}
	free(list);
	if (n > 0 && private == (size_t)n)
		note(l, POSTURE_PASS, POSTURE_CONFIGURED, "libvirt", "all its secrets are private (%d)", n);
}

void rest_look_master_key(struct posture_look *l)
{
	if (!l->host->running || !l->host->local)
		return;
	glob_t found = { 0 };
	int r = glob("/var/lib/libvirt/qemu/domain-*/master-key.aes", 0, NULL, &found);
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++) {
		enum storage on;
		struct error e;
		if (storage_of(found.gl_pathv[i], &on, &e) < 0)
			note_unknown(l, POSTURE_RUNNING, found.gl_pathv[i], &e);
		else
			note(l, on == STORAGE_PLAIN ? POSTURE_FAIL : POSTURE_PASS, POSTURE_RUNNING, found.gl_pathv[i],
			     "it is %s", where[on]);
	}
	globfree(&found);
	if (r == GLOB_NOMATCH && geteuid() != 0)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, "/var/lib/libvirt/qemu", "it takes root to look there");
	else if (r == GLOB_NOMATCH)
		note(l, POSTURE_PASS, POSTURE_RUNNING, "/var/lib/libvirt/qemu", "no guest's master key is there now");
}

/* What is wrong with the keys of one volume, as far as it can be told while the keystore is sealed. */
static size_t look_volume(struct posture_look *l, const struct record *r)
{
	size_t before = l->finding->n;
	char subject[PATH_MAX + 8], age[32];
	snprintf(subject, sizeof(subject), "volume %s", r->path);
	int64_t seconds = time(NULL) - r->rotated;
	if (seconds > OLD_KEY_DAYS * 86400LL)
		note(l, POSTURE_WARN, POSTURE_RUNNING, subject, "its passphrase is %s old",
		     text_age((uint64_t)seconds, age, sizeof(age)));
	struct volume_state state;
	struct error e;
	if (!volume_is_ready(r) || host_time_left(l->host, 1) == 0)
		return l->finding->n - before;
	if (volume_look(r, &state, &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, subject, &e);
	} else if (state.condition == VOLUME_DAMAGED) {
		note(l, POSTURE_FAIL, POSTURE_RUNNING, subject, "%s", state.problem);
	} else if (state.have_info) {
		int others = -1 - __builtin_popcount(r->recovery_slots);
		for (int i = 0; i < state.info.n_keyslots; i++)
			others += state.info.keyslots[i].active;
		if (others > 0)
			note(l, POSTURE_WARN, POSTURE_RUNNING, subject,
			     "%d keyslot%s of somebody else open%s it past the keystore", others,
			     others == 1 ? "" : "s", others == 1 ? "s" : "");
	}
	return l->finding->n - before;
}

struct walk {
	struct posture_look *l;
	size_t n, unseen;
};

static int add_volume(void *ctx, const struct record *r)
{
	struct walk *w = ctx;
	if (r->moved)
		return 0;
	w->n++;
	w->unseen += host_time_left(w->l->host, 1) == 0;
	look_volume(w->l, r);
	return 0;
}

void rest_look_header(struct posture_look *l)
{
	AUTOFREE char *location = NULL;
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error e;
	struct walk w = { .l = l };
	if (!l->host->running)
		return;
	int r = keystore_location(l->host->keystore, &location, &e);
	if (r == 0)
		r = keystore_open(location, &ks, &e);
	if (r < 0 && e.kind == ERROR_NOT_FOUND)
		return;
	if (r == 0)
		r = keystore_each(ks, add_volume, &w, &e);
	if (r < 0)
		note_unknown(l, POSTURE_RUNNING, location ? location : "keystore", &e);
	else if (w.unseen)
		note(l, POSTURE_UNKNOWN, POSTURE_RUNNING, location,
		     "the time was over before the headers of %zu volumes", w.unseen);
	else if (w.n && l->finding->n == 0)
		note(l, POSTURE_PASS, POSTURE_RUNNING, location,
		     "the keys of its volumes are young, and nobody else's (%zu)", w.n);
}
