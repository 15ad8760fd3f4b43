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

/* The allocators of the sanitizers have no end of a heap, and would take the pages as used. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && defined(MADV_POPULATE_WRITE)
static void advise(void *p, size_t len, int advice)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)p + page - 1) / page * page, to = ((uintptr_t)p + len) / page * page;
	if (p && to > from)
		madvise((void *)from, to - from, advice);
}

void heap_touch(void *p, size_t len)
{
	advise(p, len, MADV_POPULATE_WRITE);
}

void heap_prepare(size_t len)
{
	mallopt(M_MMAP_THRESHOLD, (int)len + MAPPING_MIN);
	mallopt(M_TRIM_THRESHOLD, (int)len + MAPPING_MIN);
	void *p = malloc(len);
	mallopt(M_MMAP_THRESHOLD, MAPPING_MIN);
	advise(p, len, MADV_HUGEPAGE);
	heap_touch(p, len);
	free(p);
}
#else
void heap_touch(void *p, size_t len)
{
	(void)p;
	(void)len;
}

void heap_prepare(size_t len)
{
	(void)len;
}
#endif
