#include "lib/posture/host/pool.h"

#include "base/cleanup.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* More than these at once wait; each is little more than its stack. */
#define THREADS_MAX 512
#define STACK_BYTES (256 * 1024)

struct pool {
	const struct pool_job *jobs;
	size_t n;
	int64_t deadline;
	atomic_size_t next;
};

static void *work(void *arg)
{
	struct pool *p = arg;
	size_t i;
	while ((i = atomic_fetch_add(&p->next, 1)) < p->n)
		p->jobs[i].run(p->jobs[i].arg, p->deadline);
	return NULL;
}

/* Signals are for the thread that waits. */
static bool start(pthread_t *ret, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, before;
	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(ret, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return r == 0;
}

void pool_run(const struct pool_job *jobs, size_t n, int64_t deadline)
{
	struct pool p = { .jobs = jobs, .n = n, .deadline = deadline };
	size_t want = n < THREADS_MAX ? n : THREADS_MAX, started = 0;
	AUTOFREE pthread_t *threads = calloc(want + 1, sizeof(*threads));
	while (threads && started < want && start(&threads[started], work, &p))
		started++;
	if (!started)
		work(&p);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}
