/* A slot whose key a TPM2 gives back. */
#include "keystore/seal/tpm2.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "keystore/seal/systemd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 10
#define OPEN_SECONDS 30

/* A name in /dev that the kernel gives to TPMs, and nothing behind it. */
static bool is_device_file(const char *path)
{
	static const char prefix[] = "/dev/tpm";
	return !strncmp(path, prefix, sizeof(prefix) - 1) && !strchr(path + sizeof(prefix) - 1, '/');
}

bool tpm2_device_fits(const char *device)
{
	static const char *const drivers[] = { "swtpm:", "mssim:", "tabrmd:" };
	if (!slot_word_fits(device))
		return false;
	if (!device || !strcmp(device, "auto"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++)
		if (!strncmp(device, drivers[i], strlen(drivers[i])))
			return true;
	return is_device_file(!strncmp(device, "device:", 7) ? device + 7 : device);
}

void tpm2_flush(const char *device)
{
	static const char *const what[] = { "--transient-object", "--loaded-session", "--saved-session" };
	AUTOFREE char *tcti = NULL;
	if (!device || !strcmp(device, "auto") || strstr(device, "tpmrm") || !tpm2_device_fits(device) ||
	    asprintf(&tcti, "--tcti=%s%s", device[0] == '/' ? "device:" : "", device) < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(what); i++) {
		const char *const argv[] = { "tpm2_flushcontext", tcti, what[i], NULL };
		const struct process p = { .argv = argv, .seconds = SECONDS };
		struct process_result res;
		if (process_run(&p, &res, NULL) < 0)
			return;
		process_result_clear(&res);
	}
}

/* ---- the kind ---- */

/* Since systemd 255. */
static bool knows_pcrlock(void)
{
	const char *const argv[] = { "systemd-cryptenroll", "--help", NULL };
	const struct process p = { .argv = argv, .stdout_max = 64 << 10, .seconds = SECONDS };
	CLEANUP(process_result_clear) struct process_result res = { .out = NULL };
	return process_run(&p, &res, NULL) == 0 && res.out && strstr(res.out, "--tpm2-pcrlock=");
}

static void describe(const struct slot_params *p, struct systemd_arguments *a)
{
	systemd_argument(a, "--tpm2-device", text_or(p->device, "auto"));
	systemd_argument(a, "--tpm2-pcrs", text_or(p->pcrs, p->pcrlock ? "" : "7"));
	/* systemd searches what is not named: found or not would then decide what is made. "" is none. */
	systemd_argument(a, "--tpm2-public-key", text_or(p->public_key, ""));
	systemd_argument(a, "--tpm2-public-key-pcrs", p->public_key ? text_or(p->public_key_pcrs, "11") : "");
	if (p->public_key)
		systemd_argument(a, "--tpm2-signature", p->signature);
	if (p->pcrlock || knows_pcrlock())
		systemd_argument(a, "--tpm2-pcrlock", text_or(p->pcrlock, ""));
	systemd_argument(a, "--tpm2-with-pin", p->with_pin ? "yes" : "no");
}

/* "7+11", or with newer systemd "7:sha256=…". */
static bool pcrs_fit(const char *text)
{
	return !text || !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-+,:=")];
}

static int check(const char *path, const struct slot_params *p, struct error *e)
{
	const char *const files[] = { p->public_key, p->signature, p->pcrlock };
	(void)path;
	if (!pcrs_fit(p->pcrs) || !pcrs_fit(p->public_key_pcrs))
		return error_set(e, ERROR_USAGE, EINVAL, "'%s' are no PCRs: give numbers, such as 7+11",
				 pcrs_fit(p->pcrs) ? p->public_key_pcrs : p->pcrs);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (files[i] && files[i][0] != '/')
			return error_set(e, ERROR_USAGE, EINVAL, "'%s' is no absolute path", files[i]);
	if (tpm2_device_fits(p->device))
		return 0;
	return error_set(e, ERROR_USAGE, EINVAL,
			 "'%s' names no TPM: give /dev/tpmrm0, or swtpm:, mssim: or tabrmd: with what belongs to it",
			 p->device);
}

/*
 * The plug-ins of systemd 252 and 257 answer with other errnos and other words. What does not differ are the response
 * codes that the TSS prints (TPM 2.0 Library, Part 2, 6.6.3).
 */
#define RC_SESSION_MEMORY "0x00000903"
#define RC_LOCKOUT "0x00000921"
#define RC_AUTH_FAIL "0x0000098e" /* of the first session, which has the PIN */

/* The sessions of others are gone after a flush, too. */
static bool again(const struct token_words *said)
{
	return systemd_said(said->all, RC_SESSION_MEMORY) || systemd_said(said->all, "out of memory for session");
}

/* Of the values that the PCRs have now, where they had to be signed. */
static bool lacks_signature(const struct slot_params *p, int r, const char *said)
{
	if (!p->public_key)
		return false;
	/* It may be the file that is missing, which says no more than PCRs that have changed. */
	bool nothing_else = p->pcrs && !*p->pcrs;
	return r == -ENXIO || systemd_said(said, "signature") ||
	       (r == -ENOENT && (nothing_else || (p->signature && access(p->signature, R_OK) < 0)));
}

static int explain(const struct slot *slot, int r, const struct token_words *heard, struct error *e)
{
	const char *said = heard->last;
	const struct slot_params *p = &slot->params;
	if (r == -EAGAIN || systemd_said(said, "TCTI") || systemd_said(said, "TPM2 context"))
		return error_set(e, ERROR_SEALED, ENODEV, "no TPM answers at %s%s%s: unseal another way",
				 text_or(p->device, "auto"), *said ? ": " : "", said);
	/* Before what looks like a wrong PIN: each further try prolongs it. */
	if (r == -ENOLCK || systemd_said(said, "lockout") || systemd_said(heard->all, RC_LOCKOUT))
		return error_set(e, ERROR_SEALED, EBUSY,
				 "the TPM is locked after too many wrong PINs: wait, or clear it with "
				 "tpm2_dictionarylockout");
	if (systemd_said(heard->all, RC_AUTH_FAIL))
		return 0;
	if (lacks_signature(p, r, said))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "%s has no signature for the TPM's present PCR values: sign them "
				 "(systemd-measure(1)), or unseal another way",
				 text_or(p->signature, "systemd's tpm2-pcr-signature.json"));
	bool changed = r == -ENOENT || r == -EPERM || systemd_said(said, "policy") ||
		       systemd_said(heard->all, "Esys_PolicyOR"); /* none of those that the pcrlock policy foresees */
	if (changed && p->pcrlock)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "the TPM's PCRs are not those that the policy %s foresees: unseal another way, then "
				 "`systemd-pcrlock make-policy`", p->pcrlock);
	if (changed)
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "the TPM's PCRs are not those it was sealed with (firmware or boot configuration "
				 "changed?): unseal another way, then `kvmcrypt keystore reseal`");
	return 0;
}

static const struct systemd_device tpm2 = {
	.token = "systemd-tpm2", .seconds = OPEN_SECONDS, .describe = describe, .after = tpm2_flush,
	.again = again, .explain = explain,
};

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	if (c->params && c->params->pcrlock && !knows_pcrlock())
		return error_set(e, ERROR_USAGE, ENOTSUP,
				 "this host's systemd-cryptenroll takes no pcrlock policy: that came with systemd 255");
	return systemd_enrol(&tpm2, s, root, c, ret_slot, e);
}

/* systemd 252, systemd_tpm2_plugin_params of src/shared/tpm2-util.h; newer versions read further members. */
struct tpm2_plugin_params {
	uint32_t search_pcr_mask;	/* all bits: whichever the token has */
	const char *device;
	const char *signature_path;
	const char *pcrlock_path;	/* since 255 */
	const char *later[4];
};

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *pin, struct secret **ret,
		   struct error *e)
{
	struct tpm2_plugin_params params = {
		.search_pcr_mask = UINT32_MAX,
		.device = slot->params.device,
		.signature_path = slot->params.signature,
		.pcrlock_path = slot->params.pcrlock,
	};
	/* NULL is for the plug-in what "auto" is for a person. */
	if (params.device && !strcmp(params.device, "auto"))
		params.device = NULL;
	return systemd_open(&tpm2, s, slot, pin, &params, ret, e);
}

const struct slot_kind slot_kind_tpm2 = {
	.name = "tpm2", .turn = 2, .device = true, .check = check, .enrol = enrol, .open = open_it,
};
