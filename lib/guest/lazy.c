/*
 * Defines the functions of libvirt and libxml2 that this program uses as calls through a table that
 * lazy_load() fills. The prototypes are their own headers', so a wrong line here does not compile;
 * a function missing here does not link.
 */
#include "lib/guest/lazy.h"

#include "lib/guest/connection.h"
#include "lib/guest/wait.h"

#include <dlfcn.h>
#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/uri.h>
#include <libxml/xpath.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* F(result, name, (parameters), (arguments)) */
#define LIBVIRT_FUNCTIONS(F)                                                                                          \
	F(virConnectPtr, virConnectOpen, (const char *uri), (uri))                                                    \
	F(int, virConnectClose, (virConnectPtr c), (c))                                                               \
	F(char *, virConnectGetDomainCapabilities,                                                                    \
	  (virConnectPtr c, const char *b, const char *a, const char *m, const char *t, unsigned int f),              \
	  (c, b, a, m, t, f))                                                                                         \
	F(int, virConnectGetLibVersion, (virConnectPtr c, unsigned long *v), (c, v))                                  \
	F(char *, virConnectGetURI, (virConnectPtr c), (c))                                                           \
	F(int, virConnectIsSecure, (virConnectPtr c), (c))                                                            \
	F(int, virConnectListAllDomains, (virConnectPtr c, virDomainPtr * *d, unsigned int f), (c, d, f))             \
	F(int, virDomainAttachDeviceFlags, (virDomainPtr d, const char *xml, unsigned int f), (d, xml, f))            \
	F(int, virDomainBlockCopy,                                                                                    \
	  (virDomainPtr d, const char *n, const char *xml, virTypedParameterPtr p, int np, unsigned int f),           \
	  (d, n, xml, p, np, f))                                                                                      \
	F(int, virDomainBlockJobAbort, (virDomainPtr d, const char *n, unsigned int f), (d, n, f))                    \
	F(int, virDomainGetBlockJobInfo, (virDomainPtr d, const char *n, virDomainBlockJobInfoPtr i, unsigned int f), \
	  (d, n, i, f))                                                                                               \
	F(int, virDomainUpdateDeviceFlags, (virDomainPtr d, const char *xml, unsigned int f), (d, xml, f))            \
	F(int, virDomainBlockResize, (virDomainPtr d, const char *n, unsigned long long s, unsigned int f),           \
	  (d, n, s, f))                                                                                               \
	F(int, virDomainDetachDeviceFlags, (virDomainPtr d, const char *xml, unsigned int f), (d, xml, f))            \
	F(int, virDomainCreate, (virDomainPtr d), (d))                                                                \
	F(int, virDomainGetAutostart, (virDomainPtr d, int *a), (d, a))                                               \
	F(virDomainPtr, virDomainDefineXML, (virConnectPtr c, const char *xml), (c, xml))                             \
	F(int, virDomainFree, (virDomainPtr d), (d))                                                                  \
	F(virConnectPtr, virDomainGetConnect, (virDomainPtr d), (d))                                                  \
	F(const char *, virDomainGetName, (virDomainPtr d), (d))                                                      \
	F(int, virDomainGetUUID, (virDomainPtr d, unsigned char *u), (d, u))                                          \
	F(char *, virDomainGetXMLDesc, (virDomainPtr d, unsigned int f), (d, f))                                      \
	F(int, virDomainIsActive, (virDomainPtr d), (d))                                                              \
	F(int, virDomainIsPersistent, (virDomainPtr d), (d))                                                          \
	F(virDomainPtr, virDomainLookupByID, (virConnectPtr c, int id), (c, id))                                      \
	F(virDomainPtr, virDomainLookupByName, (virConnectPtr c, const char *n), (c, n))                              \
	F(virDomainPtr, virDomainLookupByUUIDString, (virConnectPtr c, const char *u), (c, u))                        \
	F(virDomainPtr, virDomainLookupByUUID, (virConnectPtr c, const unsigned char *u), (c, u))                     \
	F(int, virDomainHasManagedSaveImage, (virDomainPtr d, unsigned int f), (d, f))                                \
	F(char *, virDomainManagedSaveGetXMLDesc, (virDomainPtr d, unsigned int f), (d, f))                           \
	F(int, virDomainListAllSnapshots, (virDomainPtr d, virDomainSnapshotPtr * *s, unsigned int f), (d, s, f))     \
	F(int, virDomainSnapshotFree, (virDomainSnapshotPtr s), (s))                                                  \
	F(const char *, virDomainSnapshotGetName, (virDomainSnapshotPtr s), (s))                                      \
	F(char *, virDomainSnapshotGetXMLDesc, (virDomainSnapshotPtr s, unsigned int f), (s, f))                      \
	F(virErrorPtr, virGetLastError, (void), ())                                                                   \
	F(int, virGetLastErrorCode, (void), ())                                                                       \
	F(virSecretPtr, virSecretDefineXML, (virConnectPtr c, const char *xml, unsigned int f), (c, xml, f))          \
	F(int, virSecretFree, (virSecretPtr s), (s))                                                                  \
	F(char *, virSecretGetXMLDesc, (virSecretPtr s, unsigned int f), (s, f))                                      \
	F(virSecretPtr, virSecretLookupByUUID, (virConnectPtr c, const unsigned char *u), (c, u))                     \
	F(int, virSecretSetValue, (virSecretPtr s, const unsigned char *v, size_t n, unsigned int f), (s, v, n, f))   \
	F(int, virSecretUndefine, (virSecretPtr s), (s))                                                              \
	F(int, virStoragePoolFree, (virStoragePoolPtr p), (p))                                                        \
	F(char *, virStoragePoolGetXMLDesc, (virStoragePoolPtr p, unsigned int f), (p, f))                            \
	F(int, virStoragePoolIsActive, (virStoragePoolPtr p), (p))                                                    \
	F(virStoragePoolPtr, virStoragePoolLookupByName, (virConnectPtr c, const char *n), (c, n))                    \
	F(int, virStorageVolFree, (virStorageVolPtr v), (v))                                                          \
	F(char *, virStorageVolGetPath, (virStorageVolPtr v), (v))                                                    \
	F(virStorageVolPtr, virStorageVolLookupByName, (virStoragePoolPtr p, const char *n), (p, n))

#define XML_FUNCTIONS(F)                                                                                    \
	F(xmlNodePtr, xmlAddChild, (xmlNodePtr p, xmlNodePtr c), (p, c))                                    \
	F(const xmlChar *, xmlBufferContent, (const xmlBuffer *b), (b))                                     \
	F(xmlBufferPtr, xmlBufferCreate, (void), ())                                                        \
	F(xmlNodePtr, xmlDocCopyNode, (const xmlNodePtr n, xmlDocPtr d, int x), (n, d, x))                  \
	F(xmlNodePtr, xmlDocGetRootElement, (const xmlDoc *d), (d))                                         \
	F(xmlNodePtr, xmlDocSetRootElement, (xmlDocPtr d, xmlNodePtr n), (d, n))                            \
	F(xmlChar *, xmlGetProp, (const xmlNode *n, const xmlChar *p), (n, p))                              \
	F(xmlNodePtr, xmlNewChild, (xmlNodePtr p, xmlNsPtr s, const xmlChar *n, const xmlChar *c), (p, s, n, c)) \
	F(xmlDocPtr, xmlNewDoc, (const xmlChar *v), (v))                                                    \
	F(xmlNodePtr, xmlNewNode, (xmlNsPtr s, const xmlChar *n), (s, n))                                   \
	F(xmlAttrPtr, xmlNewProp, (xmlNodePtr n, const xmlChar *p, const xmlChar *v), (n, p, v))            \
	F(xmlNodePtr, xmlNewTextChild, (xmlNodePtr p, xmlNsPtr s, const xmlChar *n, const xmlChar *c), (p, s, n, c)) \
	F(int, xmlMemSetup, (xmlFreeFunc f, xmlMallocFunc m, xmlReallocFunc r, xmlStrdupFunc s), (f, m, r, s)) \
	F(int, xmlNodeDump, (xmlBufferPtr b, xmlDocPtr d, xmlNodePtr n, int l, int f), (b, d, n, l, f))     \
	F(xmlAttrPtr, xmlSetProp, (xmlNodePtr n, const xmlChar *p, const xmlChar *v), (n, p, v))            \
	F(int, xmlUnsetProp, (xmlNodePtr n, const xmlChar *p), (n, p))                                      \
	F(xmlURIPtr, xmlParseURI, (const char *u), (u))                                                     \
	F(xmlDocPtr, xmlReadDoc, (const xmlChar *c, const char *u, const char *n, int o), (c, u, n, o))     \
	F(xmlXPathObjectPtr, xmlXPathEvalExpression, (const xmlChar *x, xmlXPathContextPtr c), (x, c))      \
	F(xmlXPathContextPtr, xmlXPathNewContext, (xmlDocPtr d), (d))

/* F(name, (parameters), (arguments)) of those without a result */
#define VOID_FUNCTIONS(F, G)                                                                                \
	F(virSetErrorFunc, (void *d, virErrorFunc h), (d, h))                                               \
	G(xmlBufferFree, (xmlBufferPtr b), (b))                                                             \
	G(xmlDocDumpMemory, (xmlDocPtr d, xmlChar * *m, int *n), (d, m, n))                                 \
	G(xmlFreeDoc, (xmlDocPtr d), (d))                                                                   \
	G(xmlFreeNode, (xmlNodePtr n), (n))                                                                 \
	G(xmlFreeURI, (xmlURIPtr u), (u))                                                                   \
	G(xmlUnlinkNode, (xmlNodePtr n), (n))                                                               \
	G(xmlXPathFreeContext, (xmlXPathContextPtr c), (c))                                                 \
	G(xmlXPathFreeObject, (xmlXPathObjectPtr o), (o))

#define FIELD(result, name, params, args) result(*name) params;
#define VOID_FIELD(name, params, args) void(*name) params;
static struct {
	LIBVIRT_FUNCTIONS(FIELD)
	XML_FUNCTIONS(FIELD)
	VOID_FUNCTIONS(VOID_FIELD, VOID_FIELD)
	xmlFreeFunc *xml_free;
} table;

#define CALL(result, name, params, args)                                                                    \
	result name params                                                                                  \
	{                                                                                                   \
		return table.name args;                                                                     \
	}
#define VOID_CALL(name, params, args)                                                                       \
	void name params                                                                                    \
	{                                                                                                   \
		table.name args;                                                                            \
	}
/* Many of these wait for a daemon. */
#define WAITING_CALL(result, name, params, args)                                                            \
	result name params                                                                                  \
	{                                                                                                   \
		guest_wait_begin();                                                                         \
		result value = table.name args;                                                             \
		guest_wait_end();                                                                           \
		return value;                                                                               \
	}
LIBVIRT_FUNCTIONS(WAITING_CALL)
XML_FUNCTIONS(CALL)
VOID_FUNCTIONS(VOID_CALL, VOID_CALL)

void lazy_xml_free(void *p)
{
	if (p)
		(*table.xml_free)(p);
}

static bool out_of_memory;

static void *noted(void *p)
{
	out_of_memory |= !p;
	return p;
}

static void *xml_malloc(size_t n)
{
	return noted(malloc(n));
}

static void *xml_realloc(void *p, size_t n)
{
	return noted(realloc(p, n));
}

static char *xml_strdup(const char *s)
{
	return noted(strdup(s));
}

int lazy_xml_memory(struct error *e)
{
	return out_of_memory ? error_oom(e) : 0;
}

static int find(void *so, const char *name, void *field, struct error *e)
{
	void *f = dlsym(so, name);
	if (!f)
		return error_set(e, ERROR_LIBVIRT, ENOSYS, "the installed libvirt or libxml2 is too old: it has no %s",
				 name);
	*(void **)field = f;
	return 0;
}

static int open_library(const char *name, void **ret, struct error *e)
{
	void *so = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		return error_set(e, ERROR_LIBVIRT, ENOENT, "libvirt is not installed (%s cannot be loaded)", name);
	*ret = so;
	return 0;
}

int lazy_load(struct error *e)
{
	static bool loaded;
	void *libvirt = NULL, *xml = NULL;
	if (loaded)
		return 0;
	int r = open_library("libvirt.so.0", &libvirt, e);
	if (r == 0)
		r = open_library("libxml2.so.2", &xml, e);
#define FIND(so, name)                                                                                      \
	if (r == 0)                                                                                         \
		r = find(so, #name, &table.name, e);
#define FIND_VIRT(result, name, params, args) FIND(libvirt, name)
#define FIND_XML(result, name, params, args) FIND(xml, name)
#define FIND_VOID_VIRT(name, params, args) FIND(libvirt, name)
#define FIND_VOID_XML(name, params, args) FIND(xml, name)
	LIBVIRT_FUNCTIONS(FIND_VIRT)
	XML_FUNCTIONS(FIND_XML)
	VOID_FUNCTIONS(FIND_VOID_VIRT, FIND_VOID_XML)
	if (r == 0)
		r = find(xml, "xmlFree", &table.xml_free, e);
	if (r == 0 && xmlMemSetup(free, xml_malloc, xml_realloc, xml_strdup) < 0)
		r = error_set(e, ERROR_FAILED, ENOSYS, "libxml2 does not take our allocator");
	loaded = r == 0;
	return r;
}

int lazy_qemu_command(virDomainPtr d, const char *command, char **ret, struct error *e)
{
	static int (*call)(virDomainPtr domain, const char *cmd, char **result, unsigned int flags);
	void *so = NULL;
	int r = call ? 0 : open_library("libvirt-qemu.so.0", &so, e);
	if (r == 0 && !call)
		r = find(so, "virDomainQemuMonitorCommand", &call, e);
	if (r < 0)
		return r;
	if (call(d, command, ret, 0) < 0)
		return guest_error(e, "cannot reach QEMU's monitor of domain %s", virDomainGetName(d));
	return 0;
}
