#include "lib/guest/renew.h"

#include "lib/guest/secrets_dir.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* A daemon that is starting holds its process ID file before it listens. */
#define CONNECT_SECONDS 10

static int ask(struct guest_connection *g, const uuid_t volume, const char *path, const struct secret *passphrase,
	       bool *ret_had, struct error *e)
{
	int had = guest_secret_exists(g, volume, e);
	int r = had == 1 ? guest_secret_register(g, volume, path, passphrase, NULL, NULL, e) : had;
	if (r == 0)
		*ret_had = had;
	return r;
}

/* This host's own daemon; without a connection it is the one that could not be reached. */
static bool is_system(const struct guest_connection *g)
{
	return !g || (g->local && g->secrets_dir && !strcmp(g->secrets_dir, SECRETS_DIR_DEFAULT));
}

/* Before it reads them. 1: done, and nobody can have read the old one; 0: a daemon runs, or has no such file. */
static int renew_file(struct guest_connection *g, const uuid_t volume, const char *path,
		      const struct secret *passphrase, struct error *e)
{
	AUTOSECRETSDIR struct secrets_dir *dir = NULL;
	bool changed, runs = false;
	if (!is_system(g) || !secrets_dir_is_mounted(SECRETS_DIR_DEFAULT) ||
	    !secrets_dir_has(SECRETS_DIR_DEFAULT, volume))
		return 0;
	int r = secrets_dir_daemon_runs(&runs, e);
	if (r < 0 || runs)
		return r;
	if (secrets_dir_begin(SECRETS_DIR_DEFAULT, NULL, NULL, &dir, e) < 0)
		return e->kind == ERROR_BUSY ? 0 : -e->err;
	r = secrets_dir_put(dir, volume, path, passphrase, &changed, e);
	/* One that started meanwhile may have read either. */
	if (r == 0)
		r = secrets_dir_daemon_runs(&runs, e);
	return r < 0 ? r : !runs;
}

static int reconnect(const struct guest_connection *g, struct guest_connection **ret, struct error *e)
{
	int r = guest_connect(g->uri, ret, e);
	bool runs = is_system(g);
	for (int i = 0; i < CONNECT_SECONDS * 10 && r < 0 && runs; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000 * 1000 }, NULL);
		r = guest_connect(g->uri, ret, e);
		if (secrets_dir_daemon_runs(&runs, NULL) < 0)
			runs = false;
	}
	return r;
}

int guest_secret_renew(struct guest_connection *g, const uuid_t volume, const char *path,
		       const struct secret *passphrase, bool *ret_had, struct error *e)
{
	AUTOGUEST struct guest_connection *again = NULL;
	struct error first = { 0 }, why = { 0 };
	if (!g) {
		int renewed = renew_file(g, volume, path, passphrase, e);
		*ret_had = renewed == 1;
		return renewed < 0 ? renewed : 0;
	}
	if (ask(g, volume, path, passphrase, ret_had, &first) == 0)
		return 0;
	/* Only what a new connection could mend is tried again. */
	if (first.kind != ERROR_LIBVIRT)
		return error_pass(e, &first);
	int r = renew_file(g, volume, path, passphrase, &why);
	if (r == 1)
		*ret_had = true;
	if (r == 0)
		r = reconnect(g, &again, &why);
	if (r == 0)
		r = ask(again, volume, path, passphrase, ret_had, &why);
	return r < 0 ? error_pass(e, &first) : 0;
}
