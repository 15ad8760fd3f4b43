/* Waiting for many at once: each in a thread of its own, so that those who hang do not hold up those who answer. */
#ifndef LIB_POSTURE_HOST_POOL_H
#define LIB_POSTURE_HOST_POOL_H

#include <stddef.h>
#include <stdint.h>

/* A job ends by itself at the deadline (clock_ms()); it keeps its result in arg, errors too. */
struct pool_job {
	void (*run)(void *arg, int64_t deadline);
	void *arg;
};

/* Runs all of them to their end. What finds no thread runs after the others. */
void pool_run(const struct pool_job *jobs, size_t n, int64_t deadline);

#endif
