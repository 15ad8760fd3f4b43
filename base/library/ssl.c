/* OpenSSL's libssl: what this program calls of it, as a client that looks at others' TLS. */
#include "base/library/define.h"

#include <openssl/ssl.h>

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	Z(const char *, SSL_CIPHER_get_name, 1, const SSL_CIPHER *) \
	Z(long, SSL_CTX_ctrl, 4, SSL_CTX *, int, long, void *) \
	FREE(SSL_CTX_free, SSL_CTX *) \
	Z(SSL_CTX *, SSL_CTX_new, 1, const SSL_METHOD *) \
	Z(int, SSL_CTX_set_cipher_list, 2, SSL_CTX *, const char *) \
	F(int, SSL_connect, 1, SSL *) \
	FREE(SSL_free, SSL *) \
	Z(X509 *, SSL_get1_peer_certificate, 1, const SSL *) \
	Z(const SSL_CIPHER *, SSL_get_current_cipher, 1, const SSL *) \
	Z(int, SSL_get_error, 2, const SSL *, int) \
	Z(const char *, SSL_get_version, 1, const SSL *) \
	Z(SSL *, SSL_new, 1, SSL_CTX *) \
	F(int, SSL_read, 3, SSL *, void *, int) \
	Z(int, SSL_set_fd, 2, SSL *, int) \
	F(int, SSL_write, 3, SSL *, const void *, int) \
	Z(const SSL_METHOD *, TLS_client_method, 0)

LIBRARY(ssl_load, "OpenSSL", "libssl3", ERROR_FAILED, FUNCTIONS, NULL, "libssl.so.3")
LIBRARY_NOTE("ssl", "What consoles and libvirt's daemon serve", "suggested", "\"libssl.so.3\"")
