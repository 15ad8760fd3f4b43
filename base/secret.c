#include "base/secret.h"

#include "base/random.h"

#include <errno.h>
#include <nettle/base64.h>
#include <nettle/memops.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

int secret_protect_process(struct error *e)
{
	const struct rlimit none = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot disable core dumps");
	/* Also keeps other processes of the same user from attaching with ptrace. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_errno(e, ERROR_FAILED, errno, "cannot make the process undumpable");
	return 0;
}

static size_t page_round(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	return (len + page - 1) / page * page;
}

/* ---- mappings ---- */

/*
 * Making a locked mapping and giving it back costs tens of microseconds, and some commands make
 * hundreds: a few pages, wiped, wait for the next. Not under a sanitizer, which is to see a use after
 * free; not in a forked child, which does not inherit the lock.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SPARE_MAX 0
#else
#define SPARE_MAX 16
#endif
static struct {
	pthread_mutex_t lock;
	unsigned char *pages[SPARE_MAX + 1];
	size_t n;
	pid_t owner;
} spare = { .lock = PTHREAD_MUTEX_INITIALIZER };

static unsigned char *take_spare(size_t mapped)
{
	unsigned char *page = NULL;
	if (mapped != page_round(1))
		return NULL;
	/* Not waited for: it may have been held by another thread when this child was forked. */
	if (pthread_mutex_trylock(&spare.lock) != 0)
		return NULL;
	if (spare.owner != getpid())
		spare.n = 0;
	if (spare.n)
		page = spare.pages[--spare.n];
	pthread_mutex_unlock(&spare.lock);
	return page;
}

/* The page is wiped. */
static bool keep_spare(unsigned char *page, size_t mapped)
{
	bool kept = false;
	if (mapped != page_round(1))
		return false;
	if (pthread_mutex_trylock(&spare.lock) != 0)
		return false;
	if (!spare.n)
		spare.owner = getpid();
	if (spare.n + 1 < ARRAY_LEN(spare.pages) && spare.owner == getpid()) {
		spare.pages[spare.n++] = page;
		kept = true;
	}
	pthread_mutex_unlock(&spare.lock);
	return kept;
}

static int map_locked(size_t mapped, unsigned char **ret, struct error *e)
{
	unsigned char *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return error_oom(e);
	if (mlock(p, mapped) < 0 || madvise(p, mapped, MADV_DONTDUMP) < 0 || madvise(p, mapped, MADV_WIPEONFORK) < 0) {
		struct rlimit limit = { 0 };
		getrlimit(RLIMIT_MEMLOCK, &limit);
		munmap(p, mapped);
		/* EAGAIN, EPERM or ENOMEM, but always the same to whoever asks. */
		return error_set(e, ERROR_FAILED, ENOMEM,
				 "cannot lock memory for a key: raise the limit, now %llu KiB (`ulimit -l`, or "
				 "LimitMEMLOCK= of a systemd unit)",
				 (unsigned long long)limit.rlim_cur / 1024);
	}
	*ret = p;
	return 0;
}

int secret_new(size_t len, struct secret **ret, struct error *e)
{
	if (!len || len > SECRET_HELD_MAX)
		return error_set(e, ERROR_FAILED, EINVAL, "a secret of %zu bytes cannot be held", len);
	AUTOFREE struct secret *s = calloc(1, sizeof(*s));
	if (!s)
		return error_oom(e);
	s->mapped = page_round(len);
	s->len = len;
	s->data = take_spare(s->mapped);
	int r = s->data ? 0 : map_locked(s->mapped, &s->data, e);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

int secret_random(size_t len, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *s = NULL;
	int r = secret_new(len, &s, e);
	if (r < 0)
		return r;
	r = random_bytes(s->data, len, e);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

int secret_copy(const void *data, size_t len, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *s = NULL;
	int r = secret_new(len, &s, e);
	if (r < 0)
		return r;
	memcpy(s->data, data, len);
	*ret = TAKE_PTR(s);
	return 0;
}

int secret_base64(const struct secret *s, struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *out = NULL;
	size_t len = (s->len + 2) / 3 * 4;
	int r = secret_new(len, &out, e);
	if (r < 0)
		return r;
	base64_encode_raw((char *)out->data, s->len, s->data);
	*ret = TAKE_PTR(out);
	return 0;
}

int secret_generate_passphrase(struct secret **ret, struct error *e)
{
	AUTOSECRET struct secret *raw = NULL;
	AUTOSECRET struct secret *text = NULL;
	int r = secret_random(SECRET_GENERATED_BITS / 8, &raw, e);
	if (r < 0)
		return r;
	r = secret_base64(raw, &text, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < text->len; i++) {
		if (text->data[i] == '+')
			text->data[i] = '-';
		else if (text->data[i] == '/')
			text->data[i] = '_';
	}
	text->data[SECRET_GENERATED_LEN] = 0;
	text->len = SECRET_GENERATED_LEN;
	*ret = TAKE_PTR(text);
	return 0;
}

int secret_read_fd(int fd, size_t max, bool strip_newline, const char *what, struct secret **ret,
		   struct error *e)
{
	AUTOSECRET struct secret *s = NULL;
	size_t len = 0;
	/* One byte more than allowed has to fit, else a longer input would pass as its beginning. */
	if (max > SECRET_MAX)
		max = SECRET_MAX;
	/* A second, larger mapping instead of a realloc that would leave a copy behind. */
	int r = secret_new(4096 < max + 1 ? 4096 : max + 1, &s, e);
	if (r < 0)
		return r;
	for (;;) {
		if (len == s->len) {
			if (len > max)
				break;
			AUTOSECRET struct secret *larger = NULL;
			r = secret_new(s->len * 8 < max + 1 ? s->len * 8 : max + 1, &larger, e);
			if (r < 0)
				return r;
			memcpy(larger->data, s->data, len);
			struct secret *old = s;
			s = TAKE_PTR(larger);
			secret_free(old);
		}
		ssize_t n = read(fd, s->data + len, s->len - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(e, ERROR_FAILED, errno, "cannot read %s", what);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		return error_set(e, ERROR_USAGE, EFBIG, "%s is longer than %zu bytes", what, max);
	if (strip_newline && len && s->data[len - 1] == '\n')
		s->data[--len] = 0;
	if (!len)
		return error_set(e, ERROR_USAGE, EINVAL, "%s is empty", what);
	s->len = len;
	*ret = TAKE_PTR(s);
	return 0;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	return a->len == b->len && secret_same(a->data, b->data, a->len);
}

bool secret_same(const void *a, const void *b, size_t len)
{
	return memeql_sec(a, b, len);
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	int saved = errno;
	secret_wipe(s->data, s->mapped);
	if (!keep_spare(s->data, s->mapped))
		munmap(s->data, s->mapped);
	free(s);
	errno = saved;
}

__attribute__((noinline)) void secret_wipe_stack(void)
{
	unsigned char below[4096];
	explicit_bzero(below, sizeof(below));
}

void secret_wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}
