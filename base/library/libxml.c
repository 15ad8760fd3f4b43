/* libxml2: what this program calls of it. */
#include "base/library/define.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/uri.h>
#include <libxml/xmlversion.h>
#include <libxml/xpath.h>

/* The one that this is compiled for: 2.14 changed the ABI, and its name for it. */
#if LIBXML_VERSION >= 21400
#define PACKAGE "libxml2-16"
#define FILE_NAME "libxml2.so.16"
#define NOTED "\"libxml2.so.16\""
#else
#define PACKAGE "libxml2"
#define FILE_NAME "libxml2.so.2"
#define NOTED "\"libxml2.so.2\""
#endif

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, xmlMemSetup, 4, xmlFreeFunc, xmlMallocFunc, xmlReallocFunc, xmlStrdupFunc) \
	F(int, xmlNodeDump, 5, xmlBufferPtr, xmlDocPtr, xmlNodePtr, int, int) \
	F(int, xmlUnsetProp, 2, xmlNodePtr, const xmlChar *) \
	Z(xmlAttrPtr, xmlNewProp, 3, xmlNodePtr, const xmlChar *, const xmlChar *) \
	Z(xmlAttrPtr, xmlSetProp, 3, xmlNodePtr, const xmlChar *, const xmlChar *) \
	Z(const xmlChar *, xmlBufferContent, 1, const xmlBuffer *) \
	FREE(xmlBufferFree, xmlBufferPtr) \
	Z(xmlBufferPtr, xmlBufferCreate, 0) \
	V(xmlDocDumpMemory, 3, xmlDocPtr, xmlChar **, int *) \
	Z(xmlDocPtr, xmlNewDoc, 1, const xmlChar *) \
	Z(xmlDocPtr, xmlReadDoc, 4, const xmlChar *, const char *, const char *, int) \
	FREE(xmlFreeDoc, xmlDocPtr) \
	FREE(xmlFreeNode, xmlNodePtr) \
	FREE(xmlFreeURI, xmlURIPtr) \
	Z(xmlChar *, xmlGetProp, 2, const xmlNode *, const xmlChar *) \
	Z(xmlChar *, xmlNodeGetContent, 1, const xmlNode *) \
	Z(xmlNodePtr, xmlAddChild, 2, xmlNodePtr, xmlNodePtr) \
	Z(xmlNodePtr, xmlDocCopyNode, 3, const xmlNodePtr, xmlDocPtr, int) \
	Z(xmlNodePtr, xmlDocGetRootElement, 1, const xmlDoc *) \
	Z(xmlNodePtr, xmlDocSetRootElement, 2, xmlDocPtr, xmlNodePtr) \
	Z(xmlNodePtr, xmlNewChild, 4, xmlNodePtr, xmlNsPtr, const xmlChar *, const xmlChar *) \
	Z(xmlNodePtr, xmlNewNode, 2, xmlNsPtr, const xmlChar *) \
	Z(xmlNodePtr, xmlNewTextChild, 4, xmlNodePtr, xmlNsPtr, const xmlChar *, const xmlChar *) \
	Z(xmlURIPtr, xmlParseURI, 1, const char *) \
	Z(char *, xmlURIUnescapeString, 3, const char *, int, char *) \
	V(xmlUnlinkNode, 1, xmlNodePtr) \
	Z(xmlXPathContextPtr, xmlXPathNewContext, 1, xmlDocPtr) \
	FREE(xmlXPathFreeContext, xmlXPathContextPtr) \
	FREE(xmlXPathFreeObject, xmlXPathObjectPtr) \
	Z(xmlXPathObjectPtr, xmlXPathEvalExpression, 2, const xmlChar *, xmlXPathContextPtr)

LIBRARY(libxml_load, "libxml2", PACKAGE, ERROR_LIBVIRT, FUNCTIONS, NULL, FILE_NAME)
LIBRARY_NOTE("libvirt", "Guests", "recommended", NOTED)
