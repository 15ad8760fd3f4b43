#include "lib/posture/topic/certificate.h"

#include "base/text.h"
#include "lib/posture/host/cert.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

bool certificate_conf(struct posture_look *l, enum host_conf file, const char *key, const char *otherwise, char *buf,
		      size_t len)
{
	AUTOFREE char *text = NULL;
	if (!look_conf_text(l, file, key, &text))
		return false;
	snprintf(buf, len, "%s", text ? text : otherwise);
	return true;
}

void certificate_look_days(struct posture_look *l, enum posture_side side, const char *subject, const X509 *cert)
{
	char age[32];
	int64_t left = cert_seconds_left(cert);
	if (left < 0)
		note(l, POSTURE_FAIL, side, subject, "its certificate ended %s ago",
		     text_age((uint64_t)-left, age, sizeof(age)));
	else if (cert_is_too_young(cert))
		note(l, POSTURE_FAIL, side, subject, "its certificate is not good yet");
	else if (left < CERTIFICATE_WARN_DAYS * 86400)
		note(l, POSTURE_WARN, side, subject, "its certificate ends in %s",
		     text_age((uint64_t)left, age, sizeof(age)));
	else
		note(l, POSTURE_PASS, side, subject, "its certificate is good for another %s",
		     text_age((uint64_t)left, age, sizeof(age)));
}

/* The name that clients know this host by, as far as it knows itself. */
static bool host_name(struct posture_look *l, char *buf, size_t len)
{
	char path[PATH_MAX];
	if (l->host->running)
		return gethostname(buf, len) == 0;
	FILE *f = fopen(host_path(l->host, "/etc/hostname", path, sizeof(path)), "re");
	bool got = f && fgets(buf, (int)len, f);
	if (f)
		fclose(f);
	if (got)
		buf[strcspn(buf, " \t\n")] = 0;
	return got && *buf;
}

static void look_name(struct posture_look *l, const struct certificate_set *set, const X509 *cert)
{
	char name[HOST_NAME_MAX + 1];
	bool named;
	if (!host_name(l, name, sizeof(name))) {
		NOTE_CONFIGURED(l, POSTURE_UNKNOWN, set->certificate, "the host's own name is not known");
		return;
	}
	/* A client that knows it by its domain asks for that; one that knows it by its name alone asks for the name. */
	if (cert_names_host(cert, name, &named))
		return;
	NOTE_CONFIGURED(l, POSTURE_FAIL, set->certificate,
			named ? "names other hosts and not %s" : "has no subject alternative name: %s is not in it",
			name);
}

static void look_ca(struct posture_look *l, const struct certificate_set *set, X509 *cert)
{
	AUTOCERT X509 *ca = NULL;
	char path[PATH_MAX], weak[128];
	const char *weakness;
	struct error e;
	int r = cert_read(host_path(l->host, set->ca, path, sizeof(path)), &ca, &e);
	if (r < 0) {
		note(l, e.kind == ERROR_FAILED ? POSTURE_UNKNOWN : POSTURE_FAIL, POSTURE_CONFIGURED, set->ca, "%s",
		     e.message);
		return;
	}
	r = cert_is_signed_by(cert, ca, &e);
	if (r <= 0)
		note(l, r < 0 ? POSTURE_UNKNOWN : POSTURE_FAIL, POSTURE_CONFIGURED, set->certificate,
		     "is not one of %s: %s", set->ca, e.message);
	if (!cert_is_ca(ca))
		NOTE_CONFIGURED(l, POSTURE_FAIL, set->ca, "is not the certificate of an authority");
	if ((weakness = cert_weakness(ca, weak, sizeof(weak))))
		NOTE_CONFIGURED(l, POSTURE_FAIL, set->ca, "%s", weakness);
	certificate_look_days(l, POSTURE_CONFIGURED, set->ca, ca);
}

static void look_key(struct posture_look *l, const struct certificate_set *set, const X509 *cert)
{
	char path[PATH_MAX];
	struct error e;
	int r = cert_matches_key(cert, host_path(l->host, set->key, path, sizeof(path)), &e);
	if (r < 0)
		note(l, e.kind == ERROR_NOT_FOUND ? POSTURE_FAIL : POSTURE_UNKNOWN, POSTURE_CONFIGURED, set->key, "%s",
		     e.message);
	else if (!r)
		NOTE_CONFIGURED(l, POSTURE_FAIL, set->key, "is not the key of %s", set->certificate);
}

void certificate_look(struct posture_look *l, const struct certificate_set *set)
{
	AUTOCERT X509 *cert = NULL;
	char path[PATH_MAX], weak[128], subject[256];
	const char *wrong;
	struct error e;
	int r = cert_read(host_path(l->host, set->certificate, path, sizeof(path)), &cert, &e);
	if (r < 0) {
		if (e.kind == ERROR_NOT_FOUND && set->required)
			NOTE_CONFIGURED(l, POSTURE_FAIL, set->certificate, "is not there, and TLS is in use");
		else if (e.kind == ERROR_DAMAGED)
			NOTE_CONFIGURED(l, POSTURE_FAIL, set->certificate, "is no certificate in PEM");
		else if (e.kind != ERROR_NOT_FOUND)
			note_unknown(l, POSTURE_CONFIGURED, set->certificate, &e);
		return;
	}
	NOTE_CONFIGURED(l, POSTURE_PASS, set->certificate, "is for %s", cert_subject(cert, subject, sizeof(subject)));
	certificate_look_days(l, POSTURE_CONFIGURED, set->certificate, cert);
	if ((wrong = cert_weakness(cert, weak, sizeof(weak))))
		NOTE_CONFIGURED(l, POSTURE_FAIL, set->certificate, "%s", wrong);
	if ((wrong = cert_misuse(cert, set->server)))
		NOTE_CONFIGURED(l, POSTURE_FAIL, set->certificate, "%s", wrong);
	if (set->server)
		look_name(l, set, cert);
	look_ca(l, set, cert);
	look_key(l, set, cert);
}

void certificate_look_served(struct posture_look *l, const char *subject, const X509 *served, const char *file)
{
	AUTOCERT X509 *cert = NULL;
	char path[PATH_MAX], in_memory[CERT_SERIAL], on_disk[CERT_SERIAL];
	struct error e;
	certificate_look_days(l, POSTURE_RUNNING, subject, served);
	if (cert_read(host_path(l->host, file, path, sizeof(path)), &cert, &e) < 0) {
		note_unknown(l, POSTURE_RUNNING, subject, &e);
		return;
	}
	cert_serial(served, in_memory, sizeof(in_memory));
	cert_serial(cert, on_disk, sizeof(on_disk));
	if (cert_equal(served, cert))
		note(l, POSTURE_PASS, POSTURE_RUNNING, subject, "shows the certificate of %s (serial %s)", file,
		     on_disk);
	else
		note(l, POSTURE_FAIL, POSTURE_RUNNING, subject,
		     "still shows a certificate with serial %s, and %s has one with serial %s", in_memory, file,
		     on_disk);
}

/* The group's name without asking more than the host's own file. */
static bool is_group(struct posture_look *l, gid_t gid, const char *name)
{
	char path[PATH_MAX], line[4096];
	bool is = false;
	FILE *f = name ? fopen(host_path(l->host, "/etc/group", path, sizeof(path)), "re") : NULL;
	while (f && !is && fgets(line, sizeof(line), f)) {
		size_t n = strlen(name);
		const char *second = strchr(line, ':'), *number = second ? strchr(second + 1, ':') : NULL;
		is = number && !strncmp(line, name, n) && line[n] == ':' && strtoul(number + 1, NULL, 10) == gid;
	}
	if (f)
		fclose(f);
	return is;
}

bool certificate_look_private(struct posture_look *l, const char *file, const char *group)
{
	char path[PATH_MAX];
	struct stat st;
	if (stat(host_path(l->host, file, path, sizeof(path)), &st) < 0) {
		if (errno == ENOENT)
			return false;
		struct error e;
		error_errno(&e, ERROR_FAILED, errno, "it cannot be looked at");
		note_unknown(l, POSTURE_CONFIGURED, file, &e);
		return true;
	}
	unsigned mode = st.st_mode & 07777;
	if (st.st_mode & (S_IRWXO | S_IWGRP))
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "mode %04o: others than its owner may %s it", mode,
				st.st_mode & (S_IWOTH | S_IWGRP) ? "write" : "read");
	else if ((st.st_mode & S_IRWXG) && st.st_gid != 0 && !is_group(l, st.st_gid, group))
		NOTE_CONFIGURED(l, POSTURE_WARN, file, "mode %04o: group %u may read it", mode, st.st_gid);
	else
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "mode %04o, of user %u", mode, st.st_uid);
	return true;
}
