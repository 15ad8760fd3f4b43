/*
 * The heap, made ready in one call. A new page costs a page fault, and inside a virtual machine a
 * fault can cost more than all else that is done with the page: 14 us against 0.6 when many pages are
 * asked for at once. libcryptsetup takes and returns 256 KiB a dozen times for each LUKS1 header.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>

/*
 * From now on the heap keeps what is freed for the next allocation. Once, before there are threads. All here is only a
 * matter of speed: where it cannot be had (Linux before 5.14, a limit on memory) nothing is said and allocation
 * works as ever.
 */
void heap_setup(void);

/* Has len bytes (at most 16 MiB) at the end of the heap backed by memory now. */
void heap_prepare(size_t len);

/* The same for len bytes at p, of whatever allocation, that are about to be written. */
void heap_touch(void *p, size_t len);

#endif
