/* A slot whose key a TPM2 gives back. */
#include "keystore/seal/tpm2.h"

#include "base/cleanup.h"
#include "base/process.h"
#include "keystore/seal/systemd.h"

#include <stdio.h>
#include <string.h>

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

static void describe(const struct slot_params *p, struct systemd_arguments *a)
{
	systemd_argument(a, "--tpm2-device", text_or(p->device, "auto"));
	systemd_argument(a, "--tpm2-pcrs", text_or(p->pcrs, "7"));
	systemd_argument(a, "--tpm2-public-key", p->public_key);
	if (p->public_key)
		systemd_argument(a, "--tpm2-public-key-pcrs", text_or(p->public_key_pcrs, "11"));
	/* systemd searches one by itself otherwise: found or not would then decide what is made. */
	if (p->public_key)
		systemd_argument(a, "--tpm2-signature", p->signature);
	systemd_argument(a, "--tpm2-with-pin", p->with_pin ? "yes" : "no");
}

/* "7+11", or with newer systemd "7:sha256=…". */
static bool pcrs_fit(const char *text)
{
	return !text || !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-+,:=")];
}

static int check(const char *path, const struct slot_params *p, struct error *e)
{
	const char *const files[] = { p->public_key, p->signature };
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

/* The sessions of others are gone after a flush, too. */
static bool again(const char *said)
{
	return systemd_said(said, "0x00000903") || systemd_said(said, "out of memory for session");
}

static int explain(const struct slot *slot, int r, const char *said, struct error *e)
{
	if (r == -EAGAIN || systemd_said(said, "TCTI"))
		return error_set(e, ERROR_SEALED, ENODEV, "no TPM answers at %s%s%s: unseal another way",
				 text_or(slot->params.device, "auto"), *said ? ": " : "", said);
	if (r == -ENOLCK || systemd_said(said, "lockout"))
		return error_set(e, ERROR_SEALED, EBUSY,
				 "the TPM is locked after too many wrong PINs: wait, or clear it with "
				 "tpm2_dictionarylockout");
	if (r == -ENOENT || systemd_said(said, "policy"))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "the TPM's PCRs are not those it was sealed with (firmware or boot configuration "
				 "changed?): unseal another way, then `kvmcrypt keystore reseal`");
	if (slot->params.public_key && systemd_said(said, "signature"))
		return error_set(e, ERROR_BAD_KEY, EKEYREJECTED,
				 "%s has no signature for the TPM's present PCR values: sign them "
				 "(systemd-measure(1)), or unseal another way",
				 text_or(slot->params.signature, "systemd's tpm2-pcr-signature.json"));
	return 0;
}

static const struct systemd_device tpm2 = {
	.token = "systemd-tpm2", .seconds = OPEN_SECONDS, .describe = describe, .after = tpm2_flush,
	.again = again, .explain = explain,
};

static int enrol(struct seal *s, const struct secret *root, const struct credential *c, int *ret_slot, struct error *e)
{
	return systemd_enrol(&tpm2, s, root, c, ret_slot, e);
}

/* systemd 252, systemd_tpm2_plugin_params of src/shared/tpm2-util.h; newer versions read further members. */
struct tpm2_plugin_params {
	uint32_t search_pcr_mask;	/* all bits: whichever the token has */
	const char *device;
	const char *signature_path;
	const char *later[4];
};

static int open_it(const struct seal *s, const struct slot *slot, const struct secret *pin, struct secret **ret,
		   struct error *e)
{
	struct tpm2_plugin_params params = {
		.search_pcr_mask = UINT32_MAX,
		.device = slot->params.device,
		.signature_path = slot->params.signature,
	};
	/* NULL is for the plug-in what "auto" is for a person. */
	if (params.device && !strcmp(params.device, "auto"))
		params.device = NULL;
	return systemd_open(&tpm2, s, slot, pin, &params, ret, e);
}

const struct slot_kind slot_kind_tpm2 = {
	.name = "tpm2", .turn = 2, .device = true, .check = check, .enrol = enrol, .open = open_it,
};
