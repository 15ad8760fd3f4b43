#include "base/heap.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Of more than this an allocation is a mapping of its own, which starts as zeros and is given back when
 * it is freed: libcryptsetup wipes with buffers of 1 MiB, a whole LUKS1 header has 2.
 */
#define MAPPING_MIN (1536u * 1024)
#define PIECE (1024u * 1024)
#define PREPARE_MAX (16u * PIECE)

/* The allocators of the sanitizers have no end of a heap, and would take the pages as used. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(MADV_POPULATE_WRITE)
void heap_setup(void)
{
}

void heap_touch(void *p, size_t len)
{
	(void)p;
	(void)len;
}

void heap_prepare(size_t len)
{
	(void)len;
}
#else
void heap_setup(void)
{
	mallopt(M_MMAP_THRESHOLD, MAPPING_MIN);
	mallopt(M_TRIM_THRESHOLD, PREPARE_MAX + MAPPING_MIN);
}

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
	char *pieces[PREPARE_MAX / PIECE];
	size_t n = 0, size = len < PIECE ? len : PIECE;
	bool in_a_row = true;
	do {
		pieces[n] = malloc(size);
		in_a_row &= pieces[n] && (!n || (pieces[n] > pieces[n - 1] && pieces[n] < pieces[n - 1] + size + 64));
	} while (++n < len / PIECE && n < PREPARE_MAX / PIECE);
	if (in_a_row) {
		size_t all = (size_t)(pieces[n - 1] + size - pieces[0]);
		advise(pieces[0], all, MADV_HUGEPAGE);
		advise(pieces[0], all, MADV_POPULATE_WRITE);
	}
	while (n)
		free(pieces[--n]);
}
#endif
