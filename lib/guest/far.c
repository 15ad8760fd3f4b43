#include "lib/guest/far.h"

#include "base/file.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define UNSEEN " (--shared-storage attaches unseen)"

static void pool_freep(virStoragePoolPtr *p)
{
	if (*p)
		virStoragePoolFree(*p);
}

static void vol_freep(virStorageVolPtr *v)
{
	if (*v)
		virStorageVolFree(*v);
}

static void stream_freep(virStreamPtr *s)
{
	if (*s)
		virStreamFree(*s);
}

static int not_there(const struct guest_connection *g, const char *path, struct error *e)
{
	return error_set(e, ERROR_NOT_FOUND, ENOENT,
			 "the host of %s has no file %s: bring it there, or say --shared-storage where that host "
			 "sees this one's file", g->uri, path);
}

static char *pool_xml(const char *name, const char *directory)
{
	xmlDocPtr doc = xmlNewDoc(BAD_CAST "1.0");
	xmlNodePtr root = doc ? xmlNewNode(NULL, BAD_CAST "pool") : NULL;
	if (!root) {
		xmlFreeDoc(doc);
		return NULL;
	}
	xmlDocSetRootElement(doc, root);
	xmlNewProp(root, BAD_CAST "type", BAD_CAST "dir");
	xmlNewTextChild(root, NULL, BAD_CAST "name", BAD_CAST name);
	xmlNodePtr target = xmlNewChild(root, NULL, BAD_CAST "target", NULL);
	if (target)
		xmlNewTextChild(target, NULL, BAD_CAST "path", BAD_CAST directory);
	char *text = guest_xml_dump_all(doc);
	xmlFreeDoc(doc);
	return text;
}

/* The pool of a directory that has not seen a new file yet, or *ret_own, which the caller destroys. */
static int find_pool(struct guest_connection *g, const char *directory, virStoragePoolPtr *ret, bool *ret_own,
		     struct error *e)
{
	CLEANUP(pool_freep) virStoragePoolPtr pool = virStoragePoolLookupByTargetPath(g->conn, directory);
	char name[64], text[37];
	uuid_t id;
	*ret_own = false;
	if (pool && virStoragePoolIsActive(pool) == 1) {
		if (virStoragePoolRefresh(pool, 0) < 0)
			return guest_error(e, "cannot look into %s on the host of %s", directory, g->uri);
	} else {
		uuid_generate_random(id);
		uuid_unparse_lower(id, text);
		snprintf(name, sizeof(name), "kvmcrypt-%s", text);
		AUTOFREE char *xml = pool_xml(name, directory);
		if (!xml)
			return error_oom(e);
		pool_freep(&pool);
		pool = virStoragePoolCreateXML(g->conn, xml, 0);
		if (!pool)
			return guest_error(e, "cannot look into %s on the host of %s" UNSEEN, directory, g->uri);
		*ret_own = true;
	}
	*ret = TAKE_PTR(pool);
	return 0;
}

/* libvirt sends file systems' bytes as they are, whatever the format. */
static int download(struct guest_connection *g, virStorageVolPtr vol, const char *path, uint64_t want, int *ret_fd,
		    struct error *e)
{
	virStorageVolInfo info = { 0 };
	char chunk[65536];
	if (virStorageVolGetInfoFlags(vol, &info, VIR_STORAGE_VOL_GET_PHYSICAL) < 0)
		return guest_error(e, "cannot ask %s about %s", g->uri, path);
	uint64_t size = info.allocation;
	AUTOCLOSE int fd = memfd_create("kvmcrypt", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot keep a header in memory");
	CLEANUP(stream_freep) virStreamPtr stream = virStreamNew(g->conn, 0);
	if (want > size)
		want = size;
	if (!stream || (want && virStorageVolDownload(vol, stream, 0, want, 0) < 0))
		return guest_error(e, "cannot read %s on the host of %s", path, g->uri);
	for (uint64_t at = 0; at < want;) {
		int n = virStreamRecv(stream, chunk, sizeof(chunk));
		if (n <= 0) {
			virStreamAbort(stream);
			if (n < 0)
				return guest_error(e, "cannot read %s on the host of %s", path, g->uri);
			return error_set(e, ERROR_LIBVIRT, EIO, "%s ended early on the host of %s", path, g->uri);
		}
		int r = file_pwrite(fd, chunk, (size_t)n, at, path, e);
		if (r < 0) {
			virStreamAbort(stream);
			return r;
		}
		at += (uint64_t)n;
	}
	if (want)
		virStreamAbort(stream);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int guest_far_head(struct guest_connection *g, const char *path, uint64_t want, int *ret_fd, struct error *e)
{
	CLEANUP(pool_freep) virStoragePoolPtr pool = NULL;
	CLEANUP(vol_freep) virStorageVolPtr vol = virStorageVolLookupByPath(g->conn, path);
	const char *end = strrchr(path, '/');
	bool own = false;
	int r = 0;
	if (!vol && virGetLastErrorCode() != VIR_ERR_NO_STORAGE_VOL)
		return guest_error(e, "cannot look for %s on the host of %s" UNSEEN, path, g->uri);
	if (!vol) {
		AUTOFREE char *directory = strndup(path, end > path ? (size_t)(end - path) : 1);
		if (!directory)
			return error_oom(e);
		r = find_pool(g, directory, &pool, &own, e);
		if (r == 0 && !(vol = virStorageVolLookupByName(pool, end + 1)))
			r = virGetLastErrorCode() == VIR_ERR_NO_STORAGE_VOL
				    ? not_there(g, path, e)
				    : guest_error(e, "cannot look for %s on the host of %s", path, g->uri);
	}
	if (r == 0)
		r = download(g, vol, path, want, ret_fd, e);
	if (own)
		virStoragePoolDestroy(pool);
	return r;
}
