#include "lib/guest/xml.h"

#include "lib/guest/lazy.h"

#include <errno.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void guest_xml_clear(struct guest_xml *x)
{
	if (x->result)
		xmlXPathFreeObject(x->result);
	if (x->ctx)
		xmlXPathFreeContext(x->ctx);
	if (x->doc)
		xmlFreeDoc(x->doc);
	*x = (struct guest_xml){ 0 };
}

xmlDocPtr guest_xml_parse(const char *text)
{
	return xmlReadDoc(BAD_CAST text, "libvirt.xml", NULL,
			  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

int guest_xml_find(struct guest_xml *x, const char *text, const char *expression, struct error *e)
{
	x->doc = guest_xml_parse(text);
	return guest_xml_query(x, x->doc, expression, e);
}

int guest_xml_query(struct guest_xml *x, xmlDocPtr doc, const char *expression, struct error *e)
{
	x->ctx = doc ? xmlXPathNewContext(doc) : NULL;
	x->result = x->ctx ? xmlXPathEvalExpression(BAD_CAST expression, x->ctx) : NULL;
	if (!x->result && lazy_xml_memory(e) < 0)
		return -ENOMEM;
	if (!x->result)
		return error_set(e, ERROR_LIBVIRT, EINVAL, "libvirt's XML cannot be read");
	return 0;
}

size_t guest_xml_count(const struct guest_xml *x)
{
	return x->result && x->result->nodesetval ? (size_t)x->result->nodesetval->nodeNr : 0;
}

xmlNodePtr guest_xml_node(const struct guest_xml *x, size_t i)
{
	return x->result->nodesetval->nodeTab[i];
}

xmlNodePtr guest_xml_child(xmlNodePtr parent, const char *name)
{
	for (xmlNodePtr c = parent ? parent->children : NULL; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !strcmp((const char *)c->name, name))
			return c;
	return NULL;
}

bool guest_xml_is(xmlNodePtr node, const char *attribute, const char *value)
{
	xmlChar *text = node ? xmlGetProp(node, BAD_CAST attribute) : NULL;
	bool same = text && !strcmp((const char *)text, value);
	lazy_xml_free(text);
	return same;
}

void guest_xml_copy(xmlNodePtr node, const char *attribute, char *buf, size_t len)
{
	xmlChar *text = node ? xmlGetProp(node, BAD_CAST attribute) : NULL;
	snprintf(buf, len, "%s", text ? (const char *)text : "");
	lazy_xml_free(text);
}

char *guest_xml_dump(xmlDocPtr doc, xmlNodePtr node, int format)
{
	xmlBufferPtr buf = xmlBufferCreate();
	if (!buf)
		return NULL;
	int len = node ? xmlNodeDump(buf, doc, node, 0, format) : -1;
	char *copy = len >= 0 && lazy_xml_memory(NULL) == 0 ? strdup((const char *)xmlBufferContent(buf)) : NULL;
	xmlBufferFree(buf);
	return copy;
}

char *guest_xml_dump_all(xmlDocPtr doc)
{
	xmlChar *text = NULL;
	int len;
	xmlDocDumpMemory(doc, &text, &len);
	char *copy = text && lazy_xml_memory(NULL) == 0 ? strdup((char *)text) : NULL;
	lazy_xml_free(text);
	return copy;
}
