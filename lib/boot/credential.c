#include "lib/boot/credential.h"

#include "base/cleanup.h"
#include "base/process.h"

#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 60	/* a TPM that is asked */
#define KEY_MAX 4096

struct credential_line {
	char name[128], path[1024];
};

/* LoadCredentialEncrypted=NAME:/PATH of systemd.exec(5); an empty one takes back those before it. */
static void read_unit(const char *file, struct credential_line *ret)
{
	static const char key[] = "LoadCredentialEncrypted=";
	char line[2048];
	FILE *f = fopen(file, "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *value = line + strlen(key);
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		if (sscanf(value, "%127[^:\n]:%1023[^\n]", ret->name, ret->path) != 2 || ret->path[0] != '/')
			*ret = (struct credential_line){ "", "" };
	}
	if (f)
		fclose(f);
}

/* What the daemon's unit says, wherever it comes from, its drop-ins last. */
static void find_line(const char *root, const char *daemon, struct credential_line *ret)
{
	static const char *const dirs[] = { "/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system" };
	static const char *const forms[] = { "%s%s/%s.service", "%s%s/%s.service.d/*.conf" };
	char pattern[1024];
	*ret = (struct credential_line){ "", "" };
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		for (size_t k = 0; k < ARRAY_LEN(dirs); k++) {
			glob_t found = { 0 };
			snprintf(pattern, sizeof(pattern), i ? forms[1] : forms[0], root, dirs[k], daemon);
			if (glob(pattern, 0, NULL, &found) == 0)
				for (size_t n = 0; n < found.gl_pathc; n++)
					read_unit(found.gl_pathv[n], ret);
			globfree(&found);
		}
}

static bool any_sealed(const char *root, const char *secrets)
{
	char pattern[1024];
	glob_t found = { 0 };
	snprintf(pattern, sizeof(pattern), "%s%s/*.aes256cbc", root, secrets);
	bool any = glob(pattern, 0, NULL, &found) == 0;
	globfree(&found);
	return any;
}

static int decrypt(const struct credential_line *c, const char *daemon, struct error *e)
{
	AUTOFREE char *name = NULL;
	struct error why = { 0 };
	if (asprintf(&name, "--name=%s", c->name) < 0) {
		name = NULL;
		return error_oom(e);
	}
	const char *const argv[] = { "systemd-creds", "decrypt", name, c->path, "-", NULL };
	const struct process p = { .argv = argv, .stdout_max = KEY_MAX, .stdout_secret = true, .seconds = SECONDS };
	struct process_result res = { .out = NULL };
	int r = process_run_checked(&p, &res, &why);
	process_result_clear(&res);
	if (r < 0)
		return error_set(e, ERROR_FAILED, EKEYREJECTED,
				 "%s.service would not start, and no guest with it: its credential %s cannot be had "
				 "on this host (%.200s). Others' secrets that libvirt sealed with it are lost: remove "
				 "it, restart virt-secret-init-encryption.service, and give libvirt their values anew; "
				 "ours come by `kvmcrypt load`", daemon, c->path, why.message);
	return 0;
}

int boot_credential_check(const char *root, const char *secrets, struct error *e)
{
	static const char *const daemons[] = { "libvirtd", "virtsecretd" };
	bool other = root && *root;
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(daemons) && r == 0; i++) {
		struct credential_line c;
		AUTOFREE char *path = NULL;
		find_line(other ? root : "", daemons[i], &c);
		if (!c.path[0])
			continue;
		if (asprintf(&path, "%s%s", other ? root : "", c.path) < 0) {
			path = NULL;
			return error_oom(e);
		}
		/* Where there is none, libvirt makes one; what was sealed with another it cannot read. */
		if (access(path, F_OK) < 0 && any_sealed(other ? root : "", secrets))
			r = error_set(e, ERROR_FAILED, ENOENT,
				      "%s.service may not start, and no guest with it: %s holds secrets that libvirt "
				      "has sealed (*.aes256cbc), and the credential %s that opens them is missing. "
				      "Bring it back, or remove those files and give libvirt their values anew",
				      daemons[i], secrets, c.path);
		else if (access(path, F_OK) == 0 && !other)
			r = decrypt(&c, daemons[i], e);
	}
	return r;
}
