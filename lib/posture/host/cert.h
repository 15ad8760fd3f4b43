/* Certificates as files and as servers show them, by OpenSSL. None of these asks for the password of a key. */
#ifndef LIB_POSTURE_HOST_CERT_H
#define LIB_POSTURE_HOST_CERT_H

#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

/*
 * The first certificate of a PEM file; the caller frees with cert_free(). ERROR_NOT_FOUND: no such file; ERROR_DAMAGED:
 * it holds none; ERROR_FAILED: it cannot be read.
 */
int cert_read(const char *path, X509 **ret, struct error *e);
void cert_free(X509 **cert);
#define AUTOCERT CLEANUP(cert_free)

/* Seconds until it ends, negative when it has; and from when on it is good. */
int64_t cert_seconds_left(const X509 *cert);
bool cert_is_too_young(const X509 *cert);

/* Its serial number in hexadecimal; buf of 64 bytes is enough. */
#define CERT_SERIAL 64
const char *cert_serial(const X509 *cert, char *buf, size_t len);

/* Is it one and the same? */
bool cert_equal(const X509 *a, const X509 *b);

/* Whom it is for, "/CN=kvm1", printable. */
const char *cert_subject(const X509 *cert, char *buf, size_t len);

/* 1: signed by ca, 0: not, and *e says what OpenSSL says; days do not matter here. */
int cert_is_signed_by(X509 *cert, X509 *ca, struct error *e);

/*
 * Is the key of that file the one of the certificate? 1, 0; ERROR_NOT_FOUND; ERROR_DAMAGED: it holds none, or an
 * encrypted one.
 */
int cert_matches_key(const X509 *cert, const char *path, struct error *e);

/* Does it name this host, alone or with its domain? *ret_named: it has names of hosts at all. */
bool cert_names_host(const X509 *cert, const char *host, bool *ret_named);

/* What is weak about it, in words: "its RSA key has 1024 bits"; NULL: nothing. */
const char *cert_weakness(X509 *cert, char *buf, size_t len);

/* What it may not be used for and must be, as a server or as a client: "it lacks key encipherment"; NULL: nothing. */
const char *cert_misuse(X509 *cert, bool server);

/* Is it a certificate of an authority? */
bool cert_is_ca(X509 *cert);

/*
 * A list of revoked ones. 1: signed by ca; *ret_left: seconds until the next is due, INT64_MAX: it does not say. 0: not
 * signed by it. ERROR_NOT_FOUND, ERROR_DAMAGED.
 */
int cert_read_revocations(const char *path, X509 *ca, int64_t *ret_left, struct error *e);

#endif
