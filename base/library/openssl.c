/* OpenSSL's libcrypto: what this program calls of it. */
#include "base/library/define.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/cms.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

_Static_assert(OPENSSL_VERSION_MAJOR == 3, "the name of the library below");

#define FAILS 1

#define FUNCTIONS(F, Z, V, FREE) \
	Z(BIGNUM *, ASN1_INTEGER_to_BN, 2, const ASN1_INTEGER *, BIGNUM *) \
	Z(int, ASN1_INTEGER_set, 2, ASN1_INTEGER *, long) \
	Z(const unsigned char *, ASN1_STRING_get0_data, 1, const ASN1_STRING *) \
	Z(int, ASN1_STRING_length, 1, const ASN1_STRING *) \
	Z(int, ASN1_TIME_to_tm, 2, const ASN1_TIME *, struct tm *) \
	Z(long, BIO_ctrl, 4, BIO *, int, long, void *) \
	FREE(BIO_free_all, BIO *) \
	Z(BIO *, BIO_new, 1, const BIO_METHOD *) \
	Z(BIO *, BIO_new_mem_buf, 2, const void *, int) \
	Z(const BIO_METHOD *, BIO_s_mem, 0) \
	FREE(BN_CTX_free, BN_CTX *) \
	Z(BN_CTX *, BN_CTX_secure_new, 0) \
	Z(int, BN_add_word, 2, BIGNUM *, unsigned long) \
	Z(BIGNUM *, BN_bin2bn, 3, const unsigned char *, int, BIGNUM *) \
	Z(char *, BN_bn2hex, 1, const BIGNUM *) \
	FREE(BN_clear_free, BIGNUM *) \
	Z(BIGNUM *, BN_copy, 2, BIGNUM *, const BIGNUM *) \
	Z(int, BN_div, 5, BIGNUM *, BIGNUM *, const BIGNUM *, const BIGNUM *, BN_CTX *) \
	FREE(BN_free, BIGNUM *) \
	Z(BIGNUM *, BN_secure_new, 0) \
	Z(int, BN_sub_word, 2, BIGNUM *, unsigned long) \
	FREE(CMS_ContentInfo_free, CMS_ContentInfo *) \
	Z(CMS_RecipientInfo *, CMS_add0_recipient_password, 7, CMS_ContentInfo *, int, int, int, \
	  unsigned char *, ssize_t, const EVP_CIPHER *) \
	Z(int, CMS_decrypt, 6, CMS_ContentInfo *, EVP_PKEY *, X509 *, BIO *, BIO *, unsigned int) \
	Z(int, CMS_decrypt_set1_password, 3, CMS_ContentInfo *, unsigned char *, ssize_t) \
	Z(int, CMS_decrypt_set1_pkey, 3, CMS_ContentInfo *, EVP_PKEY *, X509 *) \
	Z(CMS_ContentInfo *, CMS_encrypt, 4, STACK_OF(X509) *, BIO *, const EVP_CIPHER *, unsigned int) \
	Z(int, CMS_final, 4, CMS_ContentInfo *, BIO *, BIO *, unsigned int) \
	Z(const ASN1_OBJECT *, CMS_get0_type, 1, const CMS_ContentInfo *) \
	V(CRYPTO_free, 3, void *, const char *, int) \
	F(int, CRYPTO_memcmp, 3, const void *, const void *, size_t) \
	Z(void *, CRYPTO_memdup, 4, const void *, size_t, const char *, int) \
	FREE(EC_GROUP_free, EC_GROUP *) \
	Z(const BIGNUM *, EC_GROUP_get0_order, 1, const EC_GROUP *) \
	Z(EC_GROUP *, EC_GROUP_new_by_curve_name, 1, int) \
	FREE(EC_POINT_free, EC_POINT *) \
	Z(int, EC_POINT_mul, 6, const EC_GROUP *, EC_POINT *, const BIGNUM *, const EC_POINT *, \
	  const BIGNUM *, BN_CTX *) \
	Z(EC_POINT *, EC_POINT_new, 1, const EC_GROUP *) \
	Z(size_t, EC_POINT_point2oct, 6, const EC_GROUP *, const EC_POINT *, point_conversion_form_t, \
	  unsigned char *, size_t, BN_CTX *) \
	V(ERR_clear_error, 0) \
	V(ERR_error_string_n, 3, unsigned long, char *, size_t) \
	Z(unsigned long, ERR_peek_last_error, 0) \
	Z(int, EVP_CIPHER_CTX_ctrl, 4, EVP_CIPHER_CTX *, int, int, void *) \
	FREE(EVP_CIPHER_CTX_free, EVP_CIPHER_CTX *) \
	Z(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, 0) \
	Z(int, EVP_CipherInit_ex, 6, EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *, \
	  const unsigned char *, int) \
	Z(int, EVP_CipherUpdate, 5, EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int) \
	Z(int, EVP_DecryptInit_ex, 5, EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *, \
	  const unsigned char *) \
	Z(int, EVP_EncryptFinal_ex, 3, EVP_CIPHER_CTX *, unsigned char *, int *) \
	Z(int, EVP_EncryptInit_ex, 5, EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *, \
	  const unsigned char *) \
	Z(int, EVP_EncryptUpdate, 5, EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int) \
	FREE(EVP_PKEY_CTX_free, EVP_PKEY_CTX *) \
	Z(EVP_PKEY_CTX *, EVP_PKEY_CTX_new_from_name, 3, OSSL_LIB_CTX *, const char *, const char *) \
	FREE(EVP_PKEY_free, EVP_PKEY *) \
	Z(int, EVP_PKEY_eq, 2, const EVP_PKEY *, const EVP_PKEY *) \
	Z(int, EVP_PKEY_get_base_id, 1, const EVP_PKEY *) \
	Z(int, EVP_PKEY_get_bits, 1, const EVP_PKEY *) \
	Z(int, EVP_PKEY_fromdata, 4, EVP_PKEY_CTX *, EVP_PKEY **, int, OSSL_PARAM *) \
	Z(int, EVP_PKEY_fromdata_init, 1, EVP_PKEY_CTX *) \
	Z(int, EVP_DigestSign, 5, EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t) \
	Z(int, EVP_DigestSignInit, 5, EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, ENGINE *, EVP_PKEY *) \
	Z(int, EVP_DigestVerify, 5, EVP_MD_CTX *, const unsigned char *, size_t, const unsigned char *, size_t) \
	Z(int, EVP_DigestVerifyInit, 5, EVP_MD_CTX *, EVP_PKEY_CTX **, const EVP_MD *, ENGINE *, EVP_PKEY *) \
	FREE(EVP_MD_CTX_free, EVP_MD_CTX *) \
	Z(EVP_MD_CTX *, EVP_MD_CTX_new, 0) \
	Z(const EVP_CIPHER *, EVP_aes_128_gcm, 0) \
	Z(const EVP_CIPHER *, EVP_aes_128_xts, 0) \
	Z(const EVP_CIPHER *, EVP_aes_256_cbc, 0) \
	Z(const EVP_CIPHER *, EVP_aes_256_gcm, 0) \
	Z(const EVP_CIPHER *, EVP_aes_256_xts, 0) \
	Z(const EVP_MD *, EVP_get_digestbyname, 1, const char *) \
	Z(const EVP_MD *, EVP_sha256, 0) \
	Z(int, OBJ_obj2nid, 1, const ASN1_OBJECT *) \
	FREE(GENERAL_NAMES_free, GENERAL_NAMES *) \
	FREE(OPENSSL_sk_free, OPENSSL_STACK *) \
	Z(OPENSSL_STACK *, OPENSSL_sk_new_null, 0) \
	Z(int, OPENSSL_sk_num, 1, const OPENSSL_STACK *) \
	Z(int, OPENSSL_sk_push, 2, OPENSSL_STACK *, const void *) \
	Z(void *, OPENSSL_sk_value, 2, const OPENSSL_STACK *, int) \
	FREE(OSSL_PARAM_BLD_free, OSSL_PARAM_BLD *) \
	Z(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_new, 0) \
	Z(int, OSSL_PARAM_BLD_push_BN, 3, OSSL_PARAM_BLD *, const char *, const BIGNUM *) \
	Z(int, OSSL_PARAM_BLD_push_octet_string, 4, OSSL_PARAM_BLD *, const char *, const void *, size_t) \
	Z(int, OSSL_PARAM_BLD_push_utf8_string, 4, OSSL_PARAM_BLD *, const char *, const char *, size_t) \
	Z(OSSL_PARAM *, OSSL_PARAM_BLD_to_param, 1, OSSL_PARAM_BLD *) \
	FREE(OSSL_PARAM_free, OSSL_PARAM *) \
	Z(EVP_PKEY *, PEM_read_bio_PrivateKey, 4, BIO *, EVP_PKEY **, pem_password_cb *, void *) \
	Z(X509 *, PEM_read_bio_X509, 4, BIO *, X509 **, pem_password_cb *, void *) \
	Z(X509_CRL *, PEM_read_bio_X509_CRL, 4, BIO *, X509_CRL **, pem_password_cb *, void *) \
	Z(int, PEM_write_bio_X509, 2, BIO *, const X509 *) \
	Z(int, PKCS5_PBKDF2_HMAC, 8, const char *, int, const unsigned char *, int, int, const EVP_MD *, int, \
	  unsigned char *) \
	Z(X509_EXTENSION *, X509V3_EXT_conf_nid, 4, struct lhash_st_CONF_VALUE *, X509V3_CTX *, int, const char *) \
	V(X509V3_set_ctx, 6, X509V3_CTX *, X509 *, X509 *, X509_REQ *, X509_CRL *, int) \
	FREE(X509_CRL_free, X509_CRL *) \
	Z(const ASN1_TIME *, X509_CRL_get0_nextUpdate, 1, const X509_CRL *) \
	Z(int, X509_CRL_verify, 2, X509_CRL *, EVP_PKEY *) \
	FREE(X509_EXTENSION_free, X509_EXTENSION *) \
	Z(int, X509_NAME_add_entry_by_txt, 7, X509_NAME *, const char *, int, const unsigned char *, int, int, int) \
	Z(char *, X509_NAME_oneline, 3, const X509_NAME *, char *, int) \
	Z(int, X509_STORE_CTX_get_error, 1, const X509_STORE_CTX *) \
	FREE(X509_STORE_CTX_free, X509_STORE_CTX *) \
	Z(int, X509_STORE_CTX_init, 4, X509_STORE_CTX *, X509_STORE *, X509 *, STACK_OF(X509) *) \
	Z(X509_STORE_CTX *, X509_STORE_CTX_new, 0) \
	Z(int, X509_STORE_add_cert, 2, X509_STORE *, X509 *) \
	FREE(X509_STORE_free, X509_STORE *) \
	Z(X509_STORE *, X509_STORE_new, 0) \
	Z(int, X509_STORE_set_flags, 2, X509_STORE *, unsigned long) \
	Z(int, X509_add_ext, 3, X509 *, X509_EXTENSION *, int) \
	Z(int, X509_check_ca, 1, X509 *) \
	Z(int, X509_cmp, 2, const X509 *, const X509 *) \
	FREE(X509_free, X509 *) \
	Z(EVP_PKEY *, X509_get0_pubkey, 1, const X509 *) \
	Z(void *, X509_get_ext_d2i, 4, const X509 *, int, int *, int *) \
	Z(uint32_t, X509_get_extended_key_usage, 1, X509 *) \
	Z(uint32_t, X509_get_key_usage, 1, X509 *) \
	Z(EVP_PKEY *, X509_get_pubkey, 1, X509 *) \
	Z(ASN1_INTEGER *, X509_get_serialNumber, 1, X509 *) \
	Z(X509_NAME *, X509_get_subject_name, 1, const X509 *) \
	Z(ASN1_TIME *, X509_getm_notAfter, 1, const X509 *) \
	Z(ASN1_TIME *, X509_getm_notBefore, 1, const X509 *) \
	Z(ASN1_TIME *, X509_gmtime_adj, 2, ASN1_TIME *, long) \
	Z(X509 *, X509_new, 0) \
	Z(int, X509_pubkey_digest, 4, const X509 *, const EVP_MD *, unsigned char *, unsigned int *) \
	Z(int, X509_get_signature_info, 5, X509 *, int *, int *, int *, uint32_t *) \
	Z(int, X509_set_issuer_name, 2, X509 *, const X509_NAME *) \
	Z(int, X509_set_pubkey, 2, X509 *, EVP_PKEY *) \
	Z(int, X509_set_version, 2, X509 *, long) \
	Z(int, X509_sign, 3, X509 *, EVP_PKEY *, const EVP_MD *) \
	Z(int, X509_verify_cert, 1, X509_STORE_CTX *) \
	Z(const char *, X509_verify_cert_error_string, 1, long) \
	Z(CMS_ContentInfo *, d2i_CMS_ContentInfo, 3, CMS_ContentInfo **, const unsigned char **, long) \
	Z(int, i2d_CMS_ContentInfo, 2, const CMS_ContentInfo *, unsigned char **)

LIBRARY(openssl_load, "OpenSSL", "libssl3", ERROR_FAILED, FUNCTIONS, NULL, "libcrypto.so.3")
LIBRARY_NOTE("openssl", "Keys for other hosts, and re-encryption", "required", "\"libcrypto.so.3\"")
