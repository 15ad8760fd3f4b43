/* A loop device on a volume's file, for as long as a mapping has it open. */
#ifndef LIB_IMAGE_MAPPING_LOOP_H
#define LIB_IMAGE_MAPPING_LOOP_H

#include "base/error.h"

#include <stdbool.h>

#define LOOP_PATH_LEN 32

/*
 * Attaches the file and opens the device: *ret_fd keeps it until something else does; then it goes
 * with its last user. The device holds the file as image_hold() does, without any process.
 */
int loop_attach(const char *path, bool readonly, unsigned block_size, char ret_device[LOOP_PATH_LEN], int *ret_fd,
		struct error *e);

#endif
