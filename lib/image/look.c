/* What an image is, from its first bytes: for backing files, which are only looked at. */
#include "lib/image/container_internal.h"

#include "base/file.h"
#include "lib/image/file/open.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD_LEN 4096u

static int look_luks(int fd, const char *path, enum image_format format, struct container_info *info,
		     struct image_look *look, struct error *e)
{
	AUTOFREE unsigned char *bytes = NULL;
	AUTOLUKS struct luks *luks = NULL;
	int r = container_find(fd, path, format, false, info, &bytes, e);
	if (r < 0)
		return r;
	bool raw = format == IMAGE_FORMAT_RAW;
	r = luks_load(bytes, info->header_length, raw ? info->file_size : 0, &luks, e);
	if (r < 0)
		return error_prefix(e, "%s", path);
	look->encrypted = true;
	look->luks_version = luks_info(luks)->version;
	luks_qemu_can_open(luks_info(luks), &look->not_for_qemu);
	uuid_copy(look->luks_uuid, luks_info(luks)->uuid);
	return raw ? container_raw_size(fd, path, info->file_size, luks_info(luks), &look->size, e) : 0;
}

static int look_qcow2(int fd, const char *path, struct container_info *info, struct image_look *look,
		      struct error *e)
{
	struct qcow2_header h;
	int r = qcow2_read(fd, info->file_size, path, &h, e);
	if (r < 0)
		return r;
	look->format = IMAGE_FORMAT_QCOW2;
	look->size = h.size;
	memcpy(look->backing, h.backing, sizeof(look->backing));
	memcpy(look->backing_format, h.backing_format, sizeof(look->backing_format));
	return h.crypt == QCOW2_CRYPT_LUKS ? look_luks(fd, path, IMAGE_FORMAT_QCOW2, info, look, e) : 0;
}

static int wrong_format(const char *path, const char *declared, struct error *e)
{
	return error_set(e, ERROR_DAMAGED, EMEDIUMTYPE, "%s is not of the format '%s' it is said to have",
			 path, declared);
}

int image_look_as(const char *path, const char *declared, struct image_look *ret, struct error *e)
{
	AUTOCLOSE int fd = -1;
	struct container_info info = { 0 };
	struct image_look look = { .format = IMAGE_FORMAT_RAW };
	unsigned char head[HEAD_LEN];
	int r = image_open(path, false, &fd, &info.file_size, e);
	if (r < 0)
		return r;
	size_t len = info.file_size < sizeof(head) ? (size_t)info.file_size : sizeof(head);
	if ((r = file_pread(fd, head, len, 0, path, e)) < 0)
		return r;
	look.size = info.file_size;
	bool qcow2 = qcow2_is(head, len), luks = luks_version_of(head, len);
	if (declared && !strcmp(declared, "raw")) {
		/* The guest owns every byte: no magic in it means anything. */
	} else if (declared && strcmp(declared, qcow2 ? "qcow2" : luks ? "luks" : "raw")) {
		return wrong_format(path, declared, e);
	} else if (qcow2) {
		r = look_qcow2(fd, path, &info, &look, e);
	} else if (luks) {
		r = look_luks(fd, path, IMAGE_FORMAT_RAW, &info, &look, e);
	}
	if (r < 0)
		return r;
	*ret = look;
	return 0;
}

int image_look(const char *path, struct image_look *ret, struct error *e)
{
	return image_look_as(path, NULL, ret, e);
}
