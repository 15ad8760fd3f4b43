#include "base/lazy.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static _Noreturn void missing(const char *what)
{
	const char *why = dlerror();
	fprintf(stderr, "kvmcrypt: cannot load %s: %s\n", what, why ? why : "not found");
	_exit(1);
}

void *lazy_find(struct lazy_library *l, const char *name)
{
	void *handle = atomic_load_explicit(&l->handle, memory_order_acquire);
	/* Two threads at once get the same handle. */
	if (!handle) {
		handle = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
		if (!handle)
			missing(l->file);
		atomic_store_explicit(&l->handle, handle, memory_order_release);
	}
	void *f = dlsym(handle, name);
	if (!f)
		missing(name);
	return f;
}
