/* Is a file name just that? QEMU takes "nbd:host:port" or "json:{…}" wherever it takes a path. */
#ifndef LIB_IMAGE_FILE_PLAIN_PATH_H
#define LIB_IMAGE_FILE_PLAIN_PATH_H

/*
 * NULL when name is a plain path, else why it is not: empty, control characters, not UTF-8, or a
 * protocol prefix as QEMU's path_has_protocol() sees it (a colon before the first slash).
 */
const char *plain_path_problem(const char *name);

#endif
