#include "base/library/define.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static void *open_first(const struct library *l)
{
	void *so = NULL;
	for (const char *const *file = l->files; *file && !so; file++)
		so = dlopen(*file, RTLD_NOW | RTLD_LOCAL);
	return so;
}

/* As the linker would have it: where a function has several versions, the one that this was compiled for. */
static void *find(const struct library *l, void *so, const char *name)
{
	for (const struct library_version *v = l->versions; v && v->name; v++)
		if (!strcmp(v->name, name))
			return dlvsym(so, name, v->version);
	return dlsym(so, name);
}

static int fill(struct library *l, struct error *e)
{
	void *so = open_first(l);
	if (!so) {
		const char *why = dlerror();
		return error_set(e, l->kind, ENOENT, "cannot load %s (Debian's package %s): %s", l->name, l->package,
				 why ? why : l->files[0]);
	}
	for (size_t i = 0; i < l->n; i++) {
		void *f = find(l, so, l->names[i]);
		if (!f)
			return error_set(e, l->kind, ENOSYS, "the installed %s is too old: it has no %s", l->name,
					 l->names[i]);
		memcpy(l->page->bytes + i * sizeof(f), &f, sizeof(f));
	}
	/* What would be called if it were overwritten. Where pages are larger it stays as it is. */
	if (sysconf(_SC_PAGESIZE) == LIBRARY_PAGE)
		mprotect(l->page, LIBRARY_PAGE, PROT_READ);
	return 0;
}

int library_load(struct library *l, struct error *e)
{
	if (atomic_load_explicit(&l->loaded, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&loading);
	int r = atomic_load_explicit(&l->loaded, memory_order_relaxed) ? 0 : fill(l, e);
	if (r == 0)
		atomic_store_explicit(&l->loaded, true, memory_order_release);
	pthread_mutex_unlock(&loading);
	return r;
}
