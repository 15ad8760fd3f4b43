#include "lib/guest/wait.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define TELL_AFTER_MS 2000
#define LOOK_EVERY_MS 250

static struct {
	void (*fn)(void *ctx);
	void *ctx;
	pthread_t owner;
	_Atomic bool started;
	_Atomic long since;	/* ms of the monotonic clock when a call began; 0: none is under way */
} watch;

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Ends with the process. */
static void *look(void *unused)
{
	long told = 0;
	(void)unused;
	for (;;) {
		long since = atomic_load(&watch.since);
		if (since && since != told && now_ms() - since > TELL_AFTER_MS) {
			told = since;
			watch.fn(watch.ctx);
		}
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_EVERY_MS * 1000 * 1000 }, NULL);
	}
	return NULL;
}

void guest_on_wait(void (*fn)(void *ctx), void *ctx)
{
	if (atomic_load(&watch.started))
		return;
	watch.fn = fn;
	watch.ctx = ctx;
	watch.owner = pthread_self();
}

/* Signals stay with the thread that expects them. Without this one nobody is told, which is no reason to fail. */
static void start(void)
{
	pthread_t thread;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, NULL, look, NULL) == 0)
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void guest_wait_begin(void)
{
	if (!watch.fn || !pthread_equal(pthread_self(), watch.owner))
		return;
	atomic_store(&watch.since, now_ms());
	if (!atomic_exchange(&watch.started, true))
		start();
}

void guest_wait_end(void)
{
	if (watch.fn && pthread_equal(pthread_self(), watch.owner))
		atomic_store(&watch.since, 0);
}
