#include "lib/volume/internal.h"
#include "lib/workflow/reencrypt/reencrypt.h"
#include "lib/workflow/rotate.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX 8u

struct many {
	const struct volume_env *env;
	struct guest_connection *g;
	const uuid_t *volumes;
	size_t n;
	const struct volume_rotate *p;
	int64_t before;
	volume_rotation_fn fn;
	void *ctx;
	/* under the lock, as is every call of fn, note and progress */
	pthread_mutex_t lock;
	size_t next, done, failed;
	int stop;		/* what fn returned */
};

static void note_locked(void *context, const char *text)
{
	struct many *m = context;
	pthread_mutex_lock(&m->lock);
	m->env->note(m->env->note_context, text);
	pthread_mutex_unlock(&m->lock);
}

static bool take(struct many *m, size_t *ret)
{
	pthread_mutex_lock(&m->lock);
	bool more = m->next < m->n && !m->stop;
	if (more)
		*ret = m->next++;
	pthread_mutex_unlock(&m->lock);
	return more;
}

static void report(struct many *m, const struct volume_rotation *one)
{
	pthread_mutex_lock(&m->lock);
	m->failed += one->error.kind != ERROR_NONE;
	int r = m->fn(m->ctx, one);
	if (!m->p->volume_key && progress_report(m->env->progress, "rotating", ++m->done, m->n) != 0 && r == 0)
		r = -ECANCELED;
	if (r && !m->stop)
		m->stop = r;
	pthread_mutex_unlock(&m->lock);
}

static void rotate_one(struct many *m, const struct volume_env *env, struct guest_connection *g, const uuid_t volume)
{
	AUTORECORD struct record *r = NULL;
	struct volume_rotation one = { .uuid = volume };
	int (*rotate)(const struct volume_env *env, struct guest_connection *g, const uuid_t volume,
		      const struct volume_rotate *p, struct volume_rotated *ret, struct error *e) =
		m->p->volume_key ? volume_reencrypt : volume_rotate;
	int result = keystore_get(env->ks, volume, &r, &one.error);
	one.record = r;
	if (result == 0) {
		one.done.generation = r->generation;
		if (!m->before || r->rotated < m->before || volume_key_from_future(r))
			rotate(env, g, volume, m->p, &one.done, &one.error);
	}
	report(m, &one);
}

static void run(struct many *m, struct keystore *ks, struct guest_connection *g)
{
	struct volume_env env = {
		.ks = ks, .progress = m->p->volume_key ? m->env->progress : NULL,
		.note = m->env->note ? note_locked : NULL, .note_context = m,
		.shared_storage = m->env->shared_storage,
	};
	size_t i;
	while (take(m, &i)) {
		/* A daemon that was restarted meanwhile is no reason to fail; one that is gone will be told of. */
		if (g)
			guest_refresh(g, NULL);
		rotate_one(m, &env, g, m->volumes[i]);
	}
}

struct worker {
	struct many *many;
	/* Handles are for one thread; the root key is copied, not unsealed again. */
	struct keystore *ks;
	struct guest_connection *g;
	pthread_t thread;
};

static void *work(void *ctx)
{
	struct worker *w = ctx;
	run(w->many, w->ks, w->g);
	return NULL;
}

static void worker_clear(struct worker *w)
{
	guest_disconnect(w->g);
	keystore_free(w->ks);
}

/* One that cannot be started is told of, and nothing has begun. */
static int start(struct worker *w, struct many *m, struct error *e)
{
	w->many = m;
	int r = keystore_dup(m->env->ks, &w->ks, e);
	if (r == 0 && m->g)
		r = guest_connect(m->g->uri, &w->g, e);
	int err = r == 0 ? pthread_create(&w->thread, NULL, work, w) : 0;
	if (err)
		r = error_errno(e, ERROR_FAILED, err, "cannot start a thread (--jobs 1 needs none)");
	if (r < 0)
		worker_clear(w);
	return r;
}

static size_t count_jobs(unsigned jobs, size_t n)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	size_t want = jobs ? jobs : processors > 0 ? (size_t)processors : 1;
	if (want > JOBS_MAX)
		want = JOBS_MAX;
	return want < n ? want : n;
}

int volume_rotate_many(const struct volume_env *env, struct guest_connection *g, const uuid_t *volumes, size_t n,
		       const struct volume_rotate *p, int64_t before, unsigned jobs, volume_rotation_fn fn, void *ctx,
		       size_t *ret_failed, struct error *e)
{
	struct many m = {
		.env = env, .g = g, .volumes = volumes, .n = n, .p = p, .before = before, .fn = fn, .ctx = ctx,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	struct worker workers[JOBS_MAX] = { 0 };
	/* A re-encryption takes all processors by itself. */
	size_t started = 0, want = p->volume_key ? 1 : count_jobs(jobs, n);
	int r = 0;
	/* This thread is one of them. None begins before all are there. */
	pthread_mutex_lock(&m.lock);
	while (r == 0 && started + 1 < want && (r = start(&workers[started], &m, e)) == 0)
		started++;
	m.stop = r;
	pthread_mutex_unlock(&m.lock);
	if (r == 0)
		run(&m, env->ks, g);
	for (size_t i = 0; i < started; i++) {
		pthread_join(workers[i].thread, NULL);
		worker_clear(&workers[i]);
	}
	*ret_failed = m.failed;
	return m.stop;
}
