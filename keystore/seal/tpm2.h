/* A TPM that has no resource manager in front of it. */
#ifndef KEYSTORE_SEAL_TPM2_H
#define KEYSTORE_SEAL_TPM2_H

#include <stdbool.h>

/*
 * systemd 252 leaves sessions behind in a TPM; three, and it takes no more (TPM_RC 0x903). The kernel's
 * resource manager clears up by itself; for every other device this does, by tpm2_flushcontext (tpm2-tools).
 * device: as systemd-cryptenroll takes it, "auto" or NULL is the kernel's. Best effort.
 */
void tpm2_flush(const char *device);

/*
 * Is this the name of a TPM that may be used: NULL or "auto", /dev/tpm*, or a driver of the TSS that reaches one over
 * a socket or D-Bus? Others run a command or write to any file, and the name in a seal is not authenticated.
 */
bool tpm2_device_fits(const char *device);

#endif
