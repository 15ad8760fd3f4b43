/* Lists that grow by one. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stdlib.h>

/*
 * Makes room for one more in an array of n that is NULL at first and grows by this alone: its room is the next power
 * of two, so nothing has to be counted beside n. False: no memory, and the array is as before.
 */
#define list_grow(array, n)                                                       \
	({                                                                        \
		void *grown_ = list_grown((array), (n), sizeof(*(array)));        \
		if (grown_)                                                       \
			(array) = grown_;                                         \
		grown_ != NULL;                                                   \
	})

static inline void *list_grown(void *array, size_t n, size_t size)
{
	return n & (n - 1) ? array : reallocarray(array, n ? 2 * n : 1, size);
}

#endif
