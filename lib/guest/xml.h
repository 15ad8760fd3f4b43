/* Reading libvirt's XML: nodes by XPath, children and attributes, and a node as text. */
#ifndef LIB_GUEST_XML_H
#define LIB_GUEST_XML_H

#include "base/cleanup.h"
#include "base/error.h"

#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <stdbool.h>
#include <stddef.h>

struct guest_xml {
	xmlDocPtr doc;
	xmlXPathContextPtr ctx;
	xmlXPathObjectPtr result;
};
void guest_xml_clear(struct guest_xml *x);
#define AUTOGUESTXML CLEANUP(guest_xml_clear)

/* The document alone; NULL if it is none. The caller frees with xmlFreeDoc(). */
xmlDocPtr guest_xml_parse(const char *text);

/* The nodes of an expression without any foreign text in it. ERROR_LIBVIRT: no XML. ENOMEM. */
int guest_xml_find(struct guest_xml *x, const char *text, const char *expression, struct error *e);
/* Likewise of a document that was read already, and stays the caller's. */
int guest_xml_query(struct guest_xml *x, xmlDocPtr doc, const char *expression, struct error *e);
size_t guest_xml_count(const struct guest_xml *x);
xmlNodePtr guest_xml_node(const struct guest_xml *x, size_t i);

/* The first child of this name; NULL if there is none, or no parent. */
xmlNodePtr guest_xml_child(xmlNodePtr parent, const char *name);
/* Has the node (NULL: no) this attribute with this value? */
bool guest_xml_is(xmlNodePtr node, const char *attribute, const char *value);
/* The attribute's value, cut off at len; "" if there is none. */
void guest_xml_copy(xmlNodePtr node, const char *attribute, char *buf, size_t len);

/* The node as text; the caller frees. NULL when out of memory, also while the node was built. */
char *guest_xml_dump(xmlDocPtr doc, xmlNodePtr node, int format);
/* The whole document likewise. */
char *guest_xml_dump_all(xmlDocPtr doc);

#endif
