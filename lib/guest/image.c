#include "lib/guest/image.h"

#include "lib/guest/lazy.h"
#include "lib/guest/secret.h"
#include "lib/guest/xml.h"

#include <errno.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void guest_image_begin(struct guest_image *image, struct guest_connection *g, const uuid_t volume)
{
	*image = (struct guest_image){ .g = g };
	uuid_copy(image->volume, volume);
	guest_secret_uuid(volume, image->secret);
}

void guest_image_clear(struct guest_image *image)
{
	for (size_t i = 0; i < image->n; i++)
		free(image->names[i].path);
	image->n = 0;
}

/* ---- identity ---- */

/* What lies at a path, in *ret. 0: nothing that we could reach; 1: it does. */
static int identify(const char *path, struct guest_image_name *ret, struct error *e)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		/* A way that we may not go, or that leads nowhere, does not lead to what we have reached. */
		if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EACCES)
			return 0;
		return error_errno(e, ERROR_FAILED, errno, "cannot tell what %s is", path);
	}
	ret->dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	ret->ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	return 1;
}

int guest_image_add(struct guest_image *image, const char *path, bool decrypted, struct error *e)
{
	struct guest_image_name name = { .decrypted = decrypted };
	if (image->n == GUEST_IMAGE_NAMES)
		return error_set(e, ERROR_FAILED, ENOSPC, "%s has too many names", path);
	/* The paths of another host's daemon are not ours to look at. */
	int r = !image->g || image->g->local ? identify(path, &name, e) : 0;
	if (r < 0)
		return r;
	name.there = r == 1;
	if (!(name.path = strdup(path)))
		return error_oom(e);
	image->names[image->n++] = name;
	return 0;
}

/* One separator where there are several, and no "/./". */
static bool same_text(const char *a, const char *b)
{
	for (;;) {
		while (a[0] == '/' && (a[1] == '/' || (a[1] == '.' && (a[2] == '/' || !a[2]))))
			a += a[1] == '/' ? 1 : 2;
		while (b[0] == '/' && (b[1] == '/' || (b[1] == '.' && (b[2] == '/' || !b[2]))))
			b += b[1] == '/' ? 1 : 2;
		if (*a != *b)
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

/* Of what is not there (a file system that is not mounted, a mapping that is closed) the directory still tells. */
static bool same_place(const char *a, const char *b)
{
	struct stat in_a, in_b;
	const char *end_a = strrchr(a, '/'), *end_b = strrchr(b, '/');
	if (!end_a || !end_b || strcmp(end_a, end_b) != 0)
		return false;
	AUTOFREE char *dir_a = strndup(a, (size_t)(end_a - a) + 1);
	AUTOFREE char *dir_b = strndup(b, (size_t)(end_b - b) + 1);
	return dir_a && dir_b && stat(dir_a, &in_a) == 0 && stat(dir_b, &in_b) == 0 && in_a.st_dev == in_b.st_dev &&
	       in_a.st_ino == in_b.st_ino;
}

/* udev's links to a mapping (dm-name-NAME, dm-uuid-…-NAME) are gone while it is closed, and end with its name. */
static bool ends_with_name(const char *path, const char *device)
{
	const char *name = strrchr(device, '/') + 1, *base = strrchr(path, '/');
	size_t len = strlen(name);
	return base && strlen(base) > len && !strcmp(base + strlen(base) - len, name);
}

/* The name of ours that a path leads to; *ret NULL: none. */
static int match_path(const struct guest_image *image, const char *path, const struct guest_image_name **ret,
		      struct error *e)
{
	struct guest_image_name other = { 0 };
	*ret = NULL;
	for (size_t i = 0; i < image->n; i++)
		if (same_text(path, image->names[i].path)) {
			*ret = &image->names[i];
			return 0;
		}
	if (path[0] != '/' || (image->g && !image->g->local))
		return 0;
	int r = identify(path, &other, e);
	for (size_t i = 0; i < image->n && r >= 0 && !*ret; i++) {
		const struct guest_image_name *name = &image->names[i];
		if (name->there ? r == 1 && name->dev == other.dev && name->ino == other.ino
				: r == 0 && (same_place(path, name->path) ||
					     (name->decrypted && ends_with_name(path, name->path))))
			*ret = name;
	}
	return r < 0 ? r : 0;
}

/* ---- pools ---- */

static void pool_freep(virStoragePoolPtr *p)
{
	if (*p)
		virStoragePoolFree(*p);
}

/*
 * libvirt knows only volumes that were there when it looked into the pool last; where they lie it says all the same.
 * What is not mounted or activated now may lie anywhere later.
 */
static int path_in_pool(virStoragePoolPtr p, const char *pool, const char *volume, char **ret, struct error *e)
{
	AUTOGUESTXML struct guest_xml type = { 0 };
	AUTOGUESTXML struct guest_xml path = { 0 };
	int active = virStoragePoolIsActive(p);
	AUTOFREE char *xml = active < 0 ? NULL : virStoragePoolGetXMLDesc(p, 0);
	if (!xml)
		return guest_error(e, "cannot ask for storage pool '%s'", pool);
	int r = guest_xml_find(&type, xml, "/pool[@type='dir']", e);
	if (r == 0)
		r = guest_xml_find(&path, xml, "/pool/target/path/text()", e);
	if (r < 0)
		return r;
	if ((!active && !guest_xml_count(&type)) || !guest_xml_count(&path))
		return error_set(e, ERROR_LIBVIRT, ENOTCONN,
				 "storage pool '%s' is not active, so nobody can tell what its volume '%s' is: `virsh "
				 "pool-start %s`",
				 pool, volume, pool);
	return asprintf(ret, "%s/%s", (const char *)guest_xml_node(&path, 0)->content, volume) < 0
		       ? *ret = NULL, error_oom(e)
		       : 0;
}

int guest_pool_path(struct guest_connection *g, const char *pool, const char *volume, char **ret, struct error *e)
{
	CLEANUP(pool_freep) virStoragePoolPtr p = virStoragePoolLookupByName(g->conn, pool);
	if (!p && virGetLastErrorCode() == VIR_ERR_NO_STORAGE_POOL)
		return error_set(e, ERROR_LIBVIRT, ENOENT,
				 "libvirt has no storage pool '%s', so nobody can tell what its volume '%s' is", pool,
				 volume);
	if (!p)
		return guest_error(e, "cannot ask for storage pool '%s'", pool);
	virStorageVolPtr v = virStorageVolLookupByName(p, volume);
	char *path = v ? virStorageVolGetPath(v) : NULL;
	if (v)
		virStorageVolFree(v);
	if (!path)
		return path_in_pool(p, pool, volume, ret, e);
	*ret = path;
	return 0;
}

/* ---- disks ---- */

static bool is_our_secret(const struct guest_image *image, xmlNodePtr secret)
{
	char text[64], usage[64], volume[37];
	uuid_t uuid;
	guest_xml_copy(secret, "uuid", text, sizeof(text));
	guest_xml_copy(secret, "usage", usage, sizeof(usage));
	uuid_unparse_lower(image->volume, volume);
	if (uuid_parse(text, uuid) == 0)
		return !uuid_compare(uuid, image->secret);
	return !strncmp(usage, GUEST_SECRET_USAGE, strlen(GUEST_SECRET_USAGE)) &&
	       !strcasecmp(usage + strlen(GUEST_SECRET_USAGE), volume);
}

static bool has_our_secret(const struct guest_image *image, xmlNodePtr encryption)
{
	for (xmlNodePtr s = encryption ? encryption->children : NULL; s; s = s->next)
		if (s->type == XML_ELEMENT_NODE && !strcmp((const char *)s->name, "secret") && is_our_secret(image, s))
			return true;
	return false;
}

/* The name of ours that a <source> leads to, by path or pool; *ret NULL: none. */
static int match_name(const struct guest_image *image, xmlNodePtr source, const struct guest_image_name **ret,
		      struct error *e)
{
	char pool[256], volume[256], path[4352];
	*ret = NULL;
	guest_xml_copy(source, "pool", pool, sizeof(pool));
	guest_xml_copy(source, "volume", volume, sizeof(volume));
	guest_xml_copy(source, "file", path, sizeof(path));
	if (!path[0])
		guest_xml_copy(source, "dev", path, sizeof(path));
	if (pool[0] && volume[0] && image->g) {
		AUTOFREE char *found = NULL;
		int r = guest_pool_path(image->g, pool, volume, &found, e);
		return r < 0 ? r : match_path(image, found, ret, e);
	}
	return path[0] ? match_path(image, path, ret, e) : 0;
}

/* Does one <source> (with the encryption that goes with it) mean the image? *u says how, if so. */
static int match_source(const struct guest_image *image, xmlNodePtr source, xmlNodePtr encryption, bool *ret,
			struct guest_use *u, struct error *e)
{
	const struct guest_image_name *name = NULL;
	u->encrypted = encryption != NULL;
	u->our_secret = has_our_secret(image, encryption);
	/* The secret is enough, and no name is asked for: after a copy under a running guest the path is another. */
	int r = image->n && !u->our_secret ? match_name(image, source, &name, e) : 0;
	*ret = name || u->our_secret;
	u->decrypted = name && name->decrypted;
	return r;
}

int guest_image_match(const struct guest_image *image, xmlNodePtr source, xmlNodePtr encryption,
		      enum guest_match *ret, struct error *e)
{
	const struct guest_image_name *name = NULL;
	int r = match_name(image, source, &name, e);
	if (r == 0)
		*ret = name ? name->decrypted ? GUEST_MATCH_DEVICE : GUEST_MATCH_NAME
			    : has_our_secret(image, encryption) ? GUEST_MATCH_SECRET : GUEST_MATCH_NONE;
	return r;
}

/* Every <source> below a disk's own elements: its chain, and the destination of a copy that runs. */
static int match_below(const struct guest_image *image, xmlNodePtr parent, bool *ret, struct guest_use *u,
		       struct error *e)
{
	int r = 0;
	for (xmlNodePtr c = parent->children; c && r == 0 && !*ret; c = c->next) {
		if (c->type != XML_ELEMENT_NODE)
			continue;
		if (!strcmp((const char *)c->name, "source"))
			r = match_source(image, c, guest_xml_child(c, "encryption"), ret, u, e);
		if (r == 0 && !*ret)
			r = match_below(image, c, ret, u, e);
	}
	return r;
}

static int match_disk(const struct guest_image *image, xmlNodePtr disk, struct guest_use *u, struct error *e)
{
	xmlNodePtr source = guest_xml_child(disk, "source");
	/* libvirt takes <encryption> below <source> and, from old configurations, below <disk>. */
	xmlNodePtr encryption = guest_xml_child(source, "encryption");
	int r = match_source(image, source, encryption ? encryption : guest_xml_child(disk, "encryption"), &u->found, u,
			     e);
	if (r == 0 && !u->found)
		r = match_below(image, disk, &u->below, u, e);
	return r;
}

int guest_image_find(const struct guest_image *image, const char *xml, struct guest_use *ret, struct error *e)
{
	AUTOGUESTXML struct guest_xml x = { 0 };
	struct guest_use found = { 0 };
	int r = xml ? guest_xml_find(&x, xml, "//disk", e) : 0;
	for (size_t i = 0; i < guest_xml_count(&x) && r == 0 && !found.found; i++) {
		xmlNodePtr disk = guest_xml_node(&x, i), target = guest_xml_child(disk, "target");
		struct guest_use u = { 0 };
		r = match_disk(image, disk, &u, e);
		/* One that has it on top counts for more than one that has it below. */
		if (r < 0 || !(u.found || (u.below && !found.below)))
			continue;
		guest_xml_copy(target, "dev", u.target, sizeof(u.target));
		guest_xml_copy(target, "bus", u.bus, sizeof(u.bus));
		guest_xml_copy(guest_xml_child(disk, "source"), "file", u.top, sizeof(u.top));
		if (!u.top[0])
			guest_xml_copy(guest_xml_child(disk, "source"), "dev", u.top, sizeof(u.top));
		found = u;
	}
	if (r == 0)
		r = lazy_xml_memory(e);
	if (r == 0)
		*ret = found;
	return r;
}
