/* What is at rest, and what is left at rest while a guest runs: disks, saved memory, keys. */
#include "lib/posture/look.h"

#include "lib/guest/lazy.h"
#include "lib/guest/secrets_dir.h"
#include "lib/image/chain.h"
#include "lib/posture/host/storage.h"
#include "lib/posture/topic/rest.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A disk of a guest, as its definition has it. */
struct disk {
	const struct host_guest *g;
	char subject[512];   /* "domain web, vda" */
	char path[PATH_MAX]; /* "" where it is no file or device of this host */
	bool encrypted;	     /* its definition has a secret for it */
};

/* Disks that a guest writes to or boots from; a medium that is only read holds nothing of its. */
#define DISKS "/domain/devices/disk[not(@device) or @device = 'disk' or @device = 'lun'][source][not(readonly)]"

static void fill_disk(struct disk *d, const struct host_guest *g, xmlNodePtr node)
{
	char target[64] = "";
	xmlNodePtr source = guest_xml_child(node, "source");
	*d = (struct disk){ .g = g };
	guest_xml_copy(guest_xml_child(node, "target"), "dev", target, sizeof(target));
	snprintf(d->subject, sizeof(d->subject), "%s, %s", g->subject, target);
	guest_xml_copy(source, "file", d->path, sizeof(d->path));
	if (!*d->path)
		guest_xml_copy(source, "dev", d->path, sizeof(d->path));
	d->encrypted = guest_xml_child(source, "encryption") || guest_xml_child(node, "encryption");
}

/* Does fn for each disk of each guest. */
static void each_disk(struct posture_look *l, void (*fn)(struct posture_look *l, const struct disk *d))
{
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g)) {
		AUTOGUESTXML struct guest_xml x = { 0 };
		if (!look_nodes(l, g, look_document(g), DISKS, &x))
			continue;
		for (size_t i = 0; i < guest_xml_count(&x); i++) {
			struct disk d;
			fill_disk(&d, g, guest_xml_node(&x, i));
			fn(l, &d);
		}
	}
}

static bool lies_encrypted(const char *path)
{
	enum storage on;
	return storage_of(path, &on, NULL) == 0 && on == STORAGE_ENCRYPTED;
}

static void look_disk(struct posture_look *l, const struct disk *d)
{
	struct image_look look;
	struct error e;
	if (!*d->path || !l->host->local)
		note(l, d->encrypted ? POSTURE_PASS : POSTURE_UNKNOWN, POSTURE_CONFIGURED, d->subject,
		     d->encrypted ? "it has a secret in the definition; the disk itself is elsewhere"
				  : "it is not on this host, and has no secret in the definition");
	else if (image_look(d->path, &look, &e) < 0)
		note_unknown(l, POSTURE_RUNNING, d->subject, &e);
	else if (look.encrypted && !d->encrypted)
		note(l, POSTURE_FAIL, POSTURE_CONFIGURED, d->subject,
		     "%s is encrypted, and the definition does not say so: the guest would see the ciphertext, or "
		     "overwrite it",
		     d->path);
	else if (look.encrypted)
		note(l, POSTURE_PASS, POSTURE_RUNNING, d->subject, "%s is encrypted with LUKS%d", d->path,
		     look.luks_version);
	else if (lies_encrypted(d->path))
		note(l, POSTURE_PASS, POSTURE_RUNNING, d->subject, "%s lies on dm-crypt", d->path);
	else
		note(l, POSTURE_FAIL, POSTURE_RUNNING, d->subject, "%s is in plain", d->path);
}

static void look_disks(struct posture_look *l)
{
	each_disk(l, look_disk);
}

static void look_layers(struct posture_look *l, const struct disk *d)
{
	AUTOCHAIN struct chain *chain = NULL;
	struct error e;
	struct image_look look;
	/* A disk that is in plain altogether is rest.disks'. */
	if (!*d->path || !l->host->local || image_look(d->path, &look, &e) < 0 || (!look.encrypted && !*look.backing))
		return;
	if (chain_walk(d->path, IMAGE_FORMAT_AUTO, &chain, &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, d->subject, &e);
		return;
	}
	size_t encrypted = 0;
	const struct chain_element *plain = NULL;
	for (size_t i = 0; i < chain->n; i++) {
		bool is = chain->elements[i].encrypted || lies_encrypted(chain->elements[i].path);
		encrypted += is;
		if (!is && !plain)
			plain = &chain->elements[i];
	}
	if (plain && encrypted)
		note(l, POSTURE_FAIL, POSTURE_RUNNING, d->subject, "of the %zu layers of %s, %s is in plain", chain->n,
		     d->path, plain->path);
	else if (!plain)
		note(l, POSTURE_PASS, POSTURE_RUNNING, d->subject, "all layers of %s are encrypted (%zu)", d->path,
		     chain->n);
}

static void look_chain(struct posture_look *l)
{
	each_disk(l, look_layers);
}

static bool has_encrypted_disk(struct posture_look *l, const struct host_guest *g)
{
	return look_count(l, g, look_document(g), "/domain/devices/disk//encryption") > 0;
}

/* How many snapshots keep the guest's memory; -1: libvirt does not say. */
static int snapshots_with_memory(const struct host_guest *g)
{
	virDomainSnapshotPtr *list = NULL;
	int with = 0, n = virDomainListAllSnapshots(g->domain, &list, 0);
	for (int i = 0; i < n; i++) {
		AUTOGUESTXML struct guest_xml x = { 0 };
		char *xml = virDomainSnapshotGetXMLDesc(list[i], 0);
		if (xml &&
		    guest_xml_find(&x, xml, "/domainsnapshot/memory[@snapshot = 'internal' or @snapshot = 'external']",
				   NULL) == 0)
			with += guest_xml_count(&x) > 0;
		free(xml);
		virDomainSnapshotFree(list[i]);
	}
	free(list);
	return n < 0 ? -1 : with;
}

static void look_saved_guest(struct posture_look *l, const struct host_guest *g)
{
	int saved = virDomainHasManagedSaveImage(g->domain, 0), with = snapshots_with_memory(g);
	const char *keys = has_encrypted_disk(l, g) ? ", the keys of its encrypted disks among it" : "";
	enum posture_verdict bad = *keys ? POSTURE_FAIL : POSTURE_WARN;
	if (saved < 0 || with < 0) {
		struct error e;
		guest_error(&e, "libvirt does not say what is saved of it");
		note_unknown(l, POSTURE_RUNNING, g->subject, &e);
		return;
	}
	if (saved)
		note(l, bad, POSTURE_RUNNING, g->subject, "its memory is saved in plain (managed save)%s", keys);
	if (with)
		note(l, bad, POSTURE_RUNNING, g->subject, "%d of its snapshots %s its memory in plain%s", with,
		     with == 1 ? "keeps" : "keep", keys);
	if (!saved && !with)
		note(l, POSTURE_PASS, POSTURE_RUNNING, g->subject, "nothing is saved of its memory");
}

/* Files that libvirt dumps guests' memory into, when told to or when a watchdog fires. */
static void look_dumps(struct posture_look *l, const char *directory)
{
	char path[PATH_MAX];
	DIR *d = opendir(host_path(l->host, directory, path, sizeof(path)));
	if (!d && errno != ENOENT) {
		struct error e;
		error_errno(&e, ERROR_FAILED, errno, "it cannot be read");
		note_unknown(l, POSTURE_RUNNING, directory, &e);
	}
	size_t n = 0;
	for (const struct dirent *entry; d && (entry = readdir(d));)
		n += entry->d_name[0] != '.';
	if (d)
		closedir(d);
	if (n)
		note(l, POSTURE_WARN, POSTURE_RUNNING, directory, "%zu file%s with what guests had in memory", n,
		     n == 1 ? "" : "s");
}

static void look_saved(struct posture_look *l)
{
	for (struct host_guest *g = look_next_guest(l, NULL); g; g = look_next_guest(l, g))
		look_saved_guest(l, g);
	AUTOFREE char *dump = NULL;
	if (l->host->local && look_conf_text(l, HOST_CONF_QEMU, "auto_dump_path", &dump))
		look_dumps(l, dump ? dump : "/var/lib/libvirt/qemu/dump");
}

const struct posture_check posture_rest[] = {
	{ "rest.disks", "every disk of every guest is encrypted",
	  "Who gets hold of the disk, or of a backup of it, reads it.",
	  "`kvmcrypt create` and copy what is on it, then `kvmcrypt attach`", look_disks },
	{ "rest.chain", "no layer of an encrypted disk is in plain",
	  "A snapshot that somebody made without encryption keeps in plain all that was written since.",
	  "commit the layer into its base (`virsh blockcommit`), and overwrite its file", look_chain },
	{ "rest.saved", "no memory of a guest is saved in plain",
	  "Saved memory holds all that the guest knew, and the volume keys of its disks.",
	  "start the guest and remove what is saved (`virsh managedsave-remove`, `virsh snapshot-delete`); keep the "
	  "directory of "
	  "libvirt's saves on an encrypted file system",
	  look_saved },
	{ "rest.secrets", "no passphrase lies readable on this host's disk",
	  "libvirt keeps secrets that persist as base64 in files: who has the disk opens every volume.",
	  "`kvmcrypt boot enable`, which keeps them in memory", rest_look_secrets },
	{ "rest.master-key", "the keys of running guests are not on the disk",
	  "libvirt writes each running guest's master key to its disk, and the passphrases encrypted under it to its "
	  "log: a "
	  "disk pulled from a running host opens its volumes.",
	  "`kvmcrypt load --ram` before libvirt's daemon starts (`kvmcrypt boot enable`)", rest_look_master_key },
	{ "rest.header", "keys are young, and no header is weaker than what it protects",
	  "An old passphrase has been in more memories, logs and backups; a keyslot of somebody's opens the volume "
	  "past the keystore.",
	  "`kvmcrypt rotate --all --older-than 365d`; `kvmcrypt keyslot list` and `keyslot remove`", rest_look_header },
	{ 0 },
};
