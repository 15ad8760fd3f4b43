/* libcryptsetup's reencryption, on the real device. */
#include "lib/image/recrypt/inplace.h"
#include "lib/image/container_internal.h"
#include "lib/image/mapping/loop.h"
#include "lib/image/luks/internal.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What is re-encrypted at a time: for so long a user of the mapping waits who wants to read or
 * write there. In sectors of 512 bytes: 8 MiB, some tens of milliseconds.
 */
#define HOTZONE (8u * 1024 * 1024 / 512)

/* ---- looking ---- */

static int load_copy(const unsigned char *bytes, size_t len, struct luks **ret, struct error *e)
{
	AUTOLUKS struct luks *l = NULL;
	int r = luks_new(len, 0, &l, e);
	if (r == 0 && pwrite(l->fd, bytes, len, 0) != (ssize_t)len)
		r = error_errno(e, ERROR_FAILED, errno, "cannot fill a memory file");
	if (r == 0)
		r = luks_start(l, e);
	if (r < 0)
		return r;
	r = crypt_load(l->session.cd, CRYPT_LUKS2, NULL);
	if (r < 0)
		return luks_fail(l, ERROR_DAMAGED, r, e, "LUKS2 header cannot be read");
	*ret = TAKE_PTR(l);
	return 0;
}

int inplace_look(const char *header_path, const struct inplace_expected *x, enum inplace_stage *ret, struct error *e)
{
	AUTOCLOSE int fd = -1;
	AUTOFREE unsigned char *bytes = NULL;
	AUTOLUKS struct luks *l = NULL;
	struct container_info info = { 0 };
	const char *text = NULL;
	int r = image_open(header_path, false, &fd, &info.file_size, e);
	if (r == 0)
		r = container_find(fd, header_path, IMAGE_FORMAT_RAW, true, &info, &bytes, e);
	if (r == 0)
		r = load_copy(bytes, info.header_length, &l, e);
	if (r == 0 && (r = crypt_dump_json(l->session.cd, &text, 0)) < 0)
		r = luks_fail(l, ERROR_DAMAGED, r, e, "LUKS2 header: cannot read its metadata");
	if (r == 0)
		r = inplace_check_json(text, strlen(text), x, ret, e);
	return r < 0 ? error_prefix(e, "%s", header_path) : 0;
}

/* ---- doing ---- */

static int start(struct crypt_session *s, const struct inplace *p, const char *device, struct error *e)
{
	int r = crypt_session_open(s, p->header_path ? p->header_path : device, device, e);
	if (r < 0)
		return r;
	r = crypt_load(s->cd, CRYPT_LUKS2, NULL);
	return r < 0 ? crypt_session_failed(s, r, e, "cannot use the header") : 0;
}

/*
 * A process that dies in the middle leaves those who use the mapping waiting for ever. So what asks
 * it to end is held back, and heard between two parts.
 */
static const int ending[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static void hold_signals(sigset_t *before)
{
	sigset_t hold;
	sigemptyset(&hold);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		struct sigaction now;
		if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(&hold, ending[i]);
	}
	pthread_sigmask(SIG_BLOCK, &hold, before);
}

static bool is_told_to_end(void)
{
	sigset_t now, blocked;
	bool told = false;
	sigpending(&now);
	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		told |= sigismember(&now, ending[i]) == 1 && sigismember(&blocked, ending[i]) == 1;
	return told;
}

static int report(uint64_t size, uint64_t offset, void *user)
{
	const struct inplace *p = user;
	return progress_report(p->progress, "re-encrypting", offset, size) || is_told_to_end();
}

static int initialize(struct crypt_session *s, const struct inplace *p, int old, int fresh, uint32_t flags,
		      struct error *e)
{
	char cipher[64];
	const struct crypt_params_luks2 luks2 = { .sector_size = p->sector_size };
	const struct crypt_params_reencrypt params = {
		.mode = CRYPT_REENCRYPT_REENCRYPT,
		.direction = CRYPT_REENCRYPT_FORWARD,
		.resilience = "checksum",
		.hash = "sha256",
		.max_hotzone_size = HOTZONE,
		.luks2 = &luks2,
		.flags = flags,
	};
	snprintf(cipher, sizeof(cipher), "%s", p->cipher);
	char *mode = strchr(cipher, '-');
	if (mode)
		*mode++ = 0;
	s->log[0] = 0;
	int r = crypt_reencrypt_init_by_passphrase(s->cd, flags & CRYPT_REENCRYPT_RECOVERY ? NULL : p->name,
						   (const char *)p->passphrase->data, p->passphrase->len, old, fresh,
						   flags ? NULL : cipher, flags ? NULL : mode, &params);
	return r < 0 ? crypt_session_failed(s, r, e, "cannot begin to re-encrypt") : 0;
}

/* libcryptsetup resumes the mapping without its private flag: udev's scanners look at it then. */
static int run(struct crypt_session *s, const struct inplace *p, struct error *e)
{
	sigset_t before;
	s->log[0] = 0;
	hold_signals(&before);
	int r = crypt_reencrypt_run(s->cd, report, (void *)p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return crypt_session_failed(s, r, e, "cannot re-encrypt");
	if (crypt_reencrypt_status(s->cd, NULL) != CRYPT_REENCRYPT_NONE)
		return error_set(e, ERROR_FAILED, ECANCELED, "stopped");
	return 0;
}

/* A file that is not mapped becomes a device for so long, which keeps QEMU off it. */
static int device_of(const struct inplace *p, char loop[LOOP_PATH_LEN], const char **ret, int *ret_fd, struct error *e)
{
	struct stat st;
	if (stat(p->data_path, &st) < 0)
		return error_errno(e, error_kind_of_errno(errno), errno, "cannot open %s", p->data_path);
	*ret = p->data_path;
	if (S_ISBLK(st.st_mode))
		return 0;
	*ret = loop;
	return loop_attach(p->data_path, false, p->sector_size, loop, ret_fd, e);
}

int inplace_begin(const struct inplace *p, int keyslot_old, int keyslot_new, struct error *e)
{
	AUTOCLOSE int fd = -1;
	CLEANUP(crypt_session_clear) struct crypt_session s = { 0 };
	char loop[LOOP_PATH_LEN];
	const char *device;
	int r = device_of(p, loop, &device, &fd, e);
	if (r == 0)
		r = start(&s, p, device, e);
	if (r == 0)
		r = initialize(&s, p, keyslot_old, keyslot_new, 0, e);
	return r < 0 ? r : run(&s, p, e);
}

int inplace_resume(const struct inplace *p, bool *ret_again, struct error *e)
{
	AUTOCLOSE int fd = -1;
	CLEANUP(crypt_session_clear) struct crypt_session s = { 0 };
	char loop[LOOP_PATH_LEN];
	const char *device;
	int r = device_of(p, loop, &device, &fd, e);
	if (r == 0)
		r = start(&s, p, device, e);
	if (r < 0)
		return r;
	*ret_again = crypt_reencrypt_status(s.cd, NULL) == CRYPT_REENCRYPT_CRASH;
	r = initialize(&s, p, CRYPT_ANY_SLOT, CRYPT_ANY_SLOT,
		       *ret_again ? CRYPT_REENCRYPT_RECOVERY : CRYPT_REENCRYPT_RESUME_ONLY, e);
	return r < 0 || *ret_again ? r : run(&s, p, e);
}
