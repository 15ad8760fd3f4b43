#include "base/heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Of more than this an allocation is a mapping of its own, which starts as zeros and is given back when
 * it is freed: libcryptsetup wipes with buffers of 1 MiB, a whole LUKS1 header has 2.
 */
#define MAPPING_MIN (1536 << 10)

void heap_prepare(size_t len)
{
/* The allocators of the sanitizers have no such end, and would take the page as used. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(MADV_POPULATE_WRITE)
	mallopt(M_MMAP_THRESHOLD, MAPPING_MIN > len ? MAPPING_MIN : (int)len + MAPPING_MIN);
	mallopt(M_TRIM_THRESHOLD, (int)len + MAPPING_MIN);
	void *p = malloc(len);
	mallopt(M_MMAP_THRESHOLD, MAPPING_MIN);
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)p + page - 1) / page * page, to = ((uintptr_t)p + len) / page * page;
	free(p);
	if (p && to > from) {
		madvise((void *)from, to - from, MADV_HUGEPAGE);
		madvise((void *)from, to - from, MADV_POPULATE_WRITE);
	}
#else
	(void)len;
#endif
}
