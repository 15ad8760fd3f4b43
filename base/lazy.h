/*
 * Libraries that are loaded when the first of their functions is called, not at program start:
 * libcryptsetup and what it needs, libdevmapper, libblkid and OpenSSL cost 3 ms and more, and most
 * commands call none of them. base/lazy_*.c define the functions of each, under their own names and
 * with the prototypes of their own headers, so a wrong line there does not compile and a missing one
 * does not link.
 */
#ifndef BASE_LAZY_H
#define BASE_LAZY_H

#include <stdatomic.h>

struct lazy_library {
	const char *file;	/* the name that the dynamic linker would look for */
	_Atomic(void *) handle;
};

/*
 * The address of a function. The library is a part of this program, as if linked: where it is missing or
 * too old there is a line on stderr and the process ends with 1.
 */
void *lazy_find(struct lazy_library *l, const char *name);

/* Parameters of the types given, and the arguments of a call with them. */
#define LAZY_P0() void
#define LAZY_P1(A) A a
#define LAZY_P2(A, B) A a, B b
#define LAZY_P3(A, B, C) A a, B b, C c
#define LAZY_P4(A, B, C, D) A a, B b, C c, D d
#define LAZY_P5(A, B, C, D, E) A a, B b, C c, D d, E e
#define LAZY_P6(A, B, C, D, E, F_) A a, B b, C c, D d, E e, F_ f
#define LAZY_P7(A, B, C, D, E, F_, G) A a, B b, C c, D d, E e, F_ f, G g
#define LAZY_P8(A, B, C, D, E, F_, G, H) A a, B b, C c, D d, E e, F_ f, G g, H h
#define LAZY_P9(A, B, C, D, E, F_, G, H, I) A a, B b, C c, D d, E e, F_ f, G g, H h, I i
#define LAZY_A0 ()
#define LAZY_A1 (a)
#define LAZY_A2 (a, b)
#define LAZY_A3 (a, b, c)
#define LAZY_A4 (a, b, c, d)
#define LAZY_A5 (a, b, c, d, e)
#define LAZY_A6 (a, b, c, d, e, f)
#define LAZY_A7 (a, b, c, d, e, f, g)
#define LAZY_A8 (a, b, c, d, e, f, g, h)
#define LAZY_A9 (a, b, c, d, e, f, g, h, i)

#define LAZY_LOOK_UP(library, name)                                                                        \
	static _Atomic(void *) found;                                                                      \
	void *at = atomic_load_explicit(&found, memory_order_acquire);                                     \
	if (!at)                                                                                           \
		atomic_store_explicit(&found, at = lazy_find(&(library), #name), memory_order_release);

/* LAZY_FUNCTION(library, result, name, number of parameters, their types) */
#define LAZY_FUNCTION(library, result, name, n, ...)                                                       \
	result name(LAZY_P##n(__VA_ARGS__))                                                                \
	{                                                                                                  \
		LAZY_LOOK_UP(library, name)                                                                \
		return ((__typeof__(&name))at)LAZY_A##n;                                                   \
	}

/* One without a result. */
#define LAZY_VOID(library, name, n, ...)                                                                   \
	void name(LAZY_P##n(__VA_ARGS__))                                                                  \
	{                                                                                                  \
		LAZY_LOOK_UP(library, name)                                                                \
		((__typeof__(&name))at)LAZY_A##n;                                                          \
	}

/* One that frees; not worth loading a library for NULL. */
#define LAZY_FREE(library, name, type)                                                                     \
	void name(type a)                                                                                  \
	{                                                                                                  \
		if (!a)                                                                                    \
			return;                                                                            \
		LAZY_LOOK_UP(library, name)                                                                \
		((__typeof__(&name))at)(a);                                                                \
	}

#endif
