/* lib/guest: XML written while memory runs out is whole, or not there. */
#include "fixture.h"

#include "lib/guest/boot.h"
#include "lib/guest/disk.h"
#include "lib/guest/image.h"
#include "lib/guest/lazy.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libxml/xmlmemory.h>
#include <libxml/xmlversion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct error e;
static xmlFreeFunc real_free;
static xmlMallocFunc real_malloc;
static xmlReallocFunc real_realloc;
static xmlStrdupFunc real_strdup;
static unsigned calls, fail_at;

/* The failing call asks for more than there is, so that what guards the allocator sees it fail. */
static bool fails(void)
{
	return ++calls == fail_at;
}

static void *my_malloc(size_t n)
{
	return real_malloc(fails() ? (size_t)PTRDIFF_MAX : n);
}

static void *my_realloc(void *p, size_t n)
{
	return real_realloc(p, fails() ? (size_t)PTRDIFF_MAX : n);
}

static char *my_strdup(const char *s)
{
	char *copy = my_malloc(strlen(s) + 1);
	return copy ? strcpy(copy, s) : NULL;
}

static int setup(void **state)
{
	(void)state;
	if (lazy_load(&e) < 0)
		return -1;
	/* The one that is loaded already. */
	void *so = dlopen(LIBXML_VERSION >= 21400 ? "libxml2.so.16" : "libxml2.so.2", RTLD_NOW | RTLD_NOLOAD);
	if (!so)
		return -1;
	int (*get)(xmlFreeFunc *, xmlMallocFunc *, xmlReallocFunc *, xmlStrdupFunc *);
	int (*set)(xmlFreeFunc, xmlMallocFunc, xmlReallocFunc, xmlStrdupFunc);
	*(void **)&get = dlsym(so, "xmlMemGet");
	*(void **)&set = dlsym(so, "xmlMemSetup");
	get(&real_free, &real_malloc, &real_realloc, &real_strdup);
	return set(real_free, my_malloc, my_realloc, my_strdup);
}

static char *write_disk(void)
{
	const struct guest_layer layers[] = {
		{ .path = "/a & b.qcow2", .format = "qcow2", .encrypted = true },
		{ .path = "/base.raw", .format = "raw" },
	};
	const struct guest_disk disk = { .layers = layers, .n_layers = 2, .target = "vda", .bus = "virtio",
					 .readonly = true, .boot_order = 1 };
	return guest_disk_xml(&disk);
}

static const char domain[] = "<domain><os><boot dev='hd'/></os><devices><disk device='disk'>"
			     "<source file='/x'/><target dev='vda' bus='virtio'/></disk></devices></domain>";

static char *insert_boot(void)
{
	return guest_boot_insert(domain, "<disk><target dev='vdb'/></disk>", 1, &e);
}

static char *extract(void)
{
	return guest_disk_extract(domain, "vda");
}

static char *find(void)
{
	AUTOGUESTIMAGE struct guest_image image;
	struct guest_use use = { 0 };
	guest_image_begin(&image, NULL, (uuid_t){ 0 });
	if (guest_image_add(&image, "/x", false, &e) < 0 || guest_image_find(&image, domain, &use, &e) < 0)
		return NULL;
	return strdup(use.found ? use.target : "not found");
}

/* In a child, since the memory of having run out stays for the life of a process. */
static int one(char *(*fn)(void), unsigned n, const char *whole)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0) {
		/* libxml2 has much to say about it. */
		int null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		dup2(null, 2);
		signal(SIGSEGV, SIG_DFL);
		calls = 0;
		fail_at = n;
		char *text = fn();
		bool failed = calls >= n;
		if (!failed)
			_exit(text && !strcmp(text, whole) ? 0 : 3);
		_exit(!text && lazy_xml_memory(NULL) == -ENOMEM ? 1 : 2);
	}
	waitpid(pid, &status, 0);
	/* The XPath of libxml2 2.9 itself falls over one of them: an end too, and before anything was changed. */
	if (fn != write_disk && fn != insert_boot && WIFSIGNALED(status))
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static void sweep(char *(*fn)(void))
{
	fail_at = 0;
	char *whole = fn();
	assert_non_null(whole);
	unsigned n = 1;
	for (int r; (r = one(fn, n, whole)) != 0; n++)
		if (r != 1)
			fail_msg("allocation %u: %s", n,
				 r == 2	  ? "a failure went unnoticed"
				 : r == 3 ? "another text"
					  : "crashed");
	assert_true(n > 5);
	free(whole);
}

static void disk_is_whole(void **state)
{
	(void)state;
	sweep(write_disk);
}

static void boot_order_is_whole(void **state)
{
	(void)state;
	sweep(insert_boot);
}

static void reading_tells(void **state)
{
	(void)state;
	sweep(extract);
	sweep(find);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disk_is_whole),
		cmocka_unit_test(boot_order_is_whole),
		cmocka_unit_test(reading_tells),
	};
	return cmocka_run_group_tests_name("guest_xml", tests, setup, NULL);
}
