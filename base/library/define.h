/*
 * How a library of library.h is defined: one file each, which lists what this program calls of it and then says
 * LIBRARY(). That makes the functions under their own names and with the prototypes of their own headers, so a wrong
 * line does not compile and a missing one does not link.
 */
#ifndef BASE_LIBRARY_DEFINE_H
#define BASE_LIBRARY_DEFINE_H

#include "base/library/library.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBRARY_PAGE 4096

/* The addresses, in the order of the names: a page of their own, which is read-only once they are found. */
union library_page {
	unsigned char bytes[LIBRARY_PAGE];
} __attribute__((aligned(LIBRARY_PAGE)));

struct library_version {
	const char *name, *version;
};

struct library {
	const char *name, *package;	/* for a person */
	enum error_kind kind;		/* where it is missing */
	const char *const *files;	/* sonames of one ABI, the most common first, then NULL */
	const char *const *names;
	size_t n;
	union library_page *page;
	const struct library_version *versions;	/* of functions that have several, then {NULL}; or NULL */
	atomic_bool loaded;
};

/* See library.h. */
int library_load(struct library *l, struct error *e);

static inline bool library_ready(struct library *l)
{
	return atomic_load_explicit(&l->loaded, memory_order_acquire) || library_load(l, NULL) == 0;
}

/*
 * An entry of ".note.dlopen", by which packagers' tools see what is not linked: UAPI's "dlopen metadata for ELF
 * files", version 1. The sonames are "\"a\",\"b\"".
 */
#define LIBRARY_NOTE_TYPE 0x407c0c0au
#define LIBRARY_NOTE(feature, description, priority, sonames)                                              \
	LIBRARY_NOTE_OF("[{\"feature\":\"" feature "\",\"description\":\"" description "\",\"priority\":\"" priority \
			"\",\"soname\":[" sonames "]}]")
#define LIBRARY_NOTE_OF(json)                                                                              \
	static const struct {                                                                              \
		uint32_t owner_len, text_len, type;                                                        \
		char owner[4];                                                                             \
		char text[(sizeof(json) + 3) & ~(size_t)3];                                                \
	} note __attribute__((used, aligned(4), section(".note.dlopen"))) = { 4, sizeof(note.text),        \
									      LIBRARY_NOTE_TYPE, "FDO", json };

/* Parameters of the types given, and the arguments of a call with them. */
#define LIBRARY_P0() void
#define LIBRARY_P1(A) A a
#define LIBRARY_P2(A, B) A a, B b
#define LIBRARY_P3(A, B, C) A a, B b, C c
#define LIBRARY_P4(A, B, C, D) A a, B b, C c, D d
#define LIBRARY_P5(A, B, C, D, E) A a, B b, C c, D d, E e
#define LIBRARY_P6(A, B, C, D, E, F_) A a, B b, C c, D d, E e, F_ f
#define LIBRARY_P7(A, B, C, D, E, F_, G) A a, B b, C c, D d, E e, F_ f, G g
#define LIBRARY_P8(A, B, C, D, E, F_, G, H) A a, B b, C c, D d, E e, F_ f, G g, H h
#define LIBRARY_P9(A, B, C, D, E, F_, G, H, I) A a, B b, C c, D d, E e, F_ f, G g, H h, I i
#define LIBRARY_A0 ()
#define LIBRARY_A1 (a)
#define LIBRARY_A2 (a, b)
#define LIBRARY_A3 (a, b, c)
#define LIBRARY_A4 (a, b, c, d)
#define LIBRARY_A5 (a, b, c, d, e)
#define LIBRARY_A6 (a, b, c, d, e, f)
#define LIBRARY_A7 (a, b, c, d, e, f, g)
#define LIBRARY_A8 (a, b, c, d, e, f, g, h)
#define LIBRARY_A9 (a, b, c, d, e, f, g, h, i)

/*
 * The lines of a list. F: fails with FAILS, which the file defines; Z: with 0 or NULL; V: has no result; FREE:
 * frees, and is not worth loading a library for NULL.
 */
/* Around each call with a result; a file may have its own. */
#ifndef LIBRARY_BEGIN
#define LIBRARY_BEGIN() ((void)0)
#define LIBRARY_END() ((void)0)
#endif

#define LIBRARY_FIELD(result, name, n, ...) __typeof__(&name) name;
#define LIBRARY_FIELD_V(name, n, ...) __typeof__(&name) name;
#define LIBRARY_FIELD_FREE(name, type) __typeof__(&name) name;
#define LIBRARY_NAME(result, name, n, ...) #name,
#define LIBRARY_NAME_V(name, n, ...) #name,
#define LIBRARY_NAME_FREE(name, type) #name,
#define LIBRARY_CALL_OR(fails, result, name, n, ...)                                                       \
	result name(LIBRARY_P##n(__VA_ARGS__))                                                             \
	{                                                                                                  \
		if (!library_ready(&library))                                                              \
			return (result)(fails);                                                            \
		LIBRARY_BEGIN();                                                                           \
		result value = sym.name LIBRARY_A##n;                                                      \
		LIBRARY_END();                                                                             \
		return value;                                                                              \
	}
#define LIBRARY_CALL_F(...) LIBRARY_CALL_OR(FAILS, __VA_ARGS__)
#define LIBRARY_CALL_Z(...) LIBRARY_CALL_OR(0, __VA_ARGS__)
#define LIBRARY_CALL_V(name, n, ...)                                                                       \
	void name(LIBRARY_P##n(__VA_ARGS__))                                                               \
	{                                                                                                  \
		if (library_ready(&library))                                                               \
			sym.name LIBRARY_A##n;                                                             \
	}
#define LIBRARY_CALL_FREE(name, type)                                                                      \
	void name(type a)                                                                                  \
	{                                                                                                  \
		if (a && library_ready(&library))                                                          \
			sym.name(a);                                                                       \
	}

/* LIBRARY(load function, name, package, kind, LIST, versions, sonames…) */
#define LIBRARY(load, name_, package_, kind_, LIST, versions_, ...)                                        \
	static union {                                                                                     \
		union library_page page;                                                                   \
		struct {                                                                                   \
			LIST(LIBRARY_FIELD, LIBRARY_FIELD, LIBRARY_FIELD_V, LIBRARY_FIELD_FREE)            \
		};                                                                                         \
	} sym;                                                                                             \
	static const char *const names[] = { LIST(LIBRARY_NAME, LIBRARY_NAME, LIBRARY_NAME_V, LIBRARY_NAME_FREE) }; \
	_Static_assert(sizeof(names) <= LIBRARY_PAGE, "all addresses in one page");                        \
	static const char *const files[] = { __VA_ARGS__, NULL };                                          \
	static struct library library = { .name = name_, .package = package_, .kind = kind_, .files = files, \
					  .names = names, .n = sizeof(names) / sizeof(*names),             \
					  .page = &sym.page, .versions = versions_ };                      \
	LIST(LIBRARY_CALL_F, LIBRARY_CALL_Z, LIBRARY_CALL_V, LIBRARY_CALL_FREE)                            \
	int load(struct error *e)                                                                          \
	{                                                                                                  \
		return library_load(&library, e);                                                          \
	}

#endif
