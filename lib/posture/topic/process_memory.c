/* Where the memory of QEMU, which holds the keys of its disks, may end up: core dumps and swap. */
#include "lib/posture/topic/process.h"

#include "lib/posture/host/storage.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The whole of a small file of the host; false and noted as unknown if it cannot be read, unless it is not there. */
static bool read_text(struct posture_look *l, const char *file, char *buf, size_t len)
{
	char path[PATH_MAX];
	FILE *f = fopen(host_path(l->host, file, path, sizeof(path)), "re");
	*buf = 0;
	if (f) {
		size_t n = fread(buf, 1, len - 1, f);
		buf[n] = 0;
		fclose(f);
		return true;
	}
	if (errno == ENOENT)
		return true;
	struct error e;
	error_errno(&e, ERROR_FAILED, errno, "it cannot be read");
	note_unknown(l, POSTURE_RUNNING, file, &e);
	return false;
}

/* A limit of 0 does not keep the kernel from starting the program behind a pipe; one of 1 does. */
#define CORE_NEVER 1
static bool core_goes_to_a_program(struct posture_look *l, char *program, size_t len)
{
	char text[512];
	if (!read_text(l, "/proc/sys/kernel/core_pattern", text, sizeof(text)) || *text != '|')
		return false;
	snprintf(program, len, "%.*s", (int)strcspn(text + 1, " \n"), text + 1);
	return true;
}

static void look_core_of(struct posture_look *l, const struct host_guest *g)
{
	struct error e;
	uint64_t most;
	const char *machine = proc_argument(&g->proc, "-machine", 0);
	if (proc_limit(&g->proc, "Max core file size", &most, &e) < 0)
		note_unknown(l, POSTURE_RUNNING, g->subject, &e);
	else if (most > CORE_NEVER && machine && strstr(machine, "dump-guest-core=on"))
		NOTE_RUNNING(l, POSTURE_FAIL, g, "a crash would write all of the guest's memory to a core dump");
	else if (most > CORE_NEVER)
		NOTE_RUNNING(l, POSTURE_FAIL, g, "a crash would write QEMU's memory to a core dump (limit: %s)",
			     most == UINT64_MAX ? "none" : "not 0");
	else
		NOTE_RUNNING(l, POSTURE_PASS, g, "no core dump of its process (limit %" PRIu64 ")", most);
}

void process_look_core(struct posture_look *l)
{
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g))
		look_core_of(l, g);
	char program[256];
	AUTOFREE char *most = NULL;
	long dump;
	const char *file = host_conf_path(HOST_CONF_QEMU);
	bool known = look_conf_text(l, HOST_CONF_QEMU, "max_core", &most);
	if (l->host->running && !(most && !strcmp(most, "1")) && core_goes_to_a_program(l, program, sizeof(program)))
		note(l, POSTURE_WARN, POSTURE_RUNNING, "kernel.core_pattern",
		     "%s gets the memory of what crashes, also with max_core = 0; max_core = 1 prevents it", program);
	if (!known ||
	    !look_conf_number(l, HOST_CONF_QEMU, "dump_guest_core", 0, &dump))
		return;
	if (!most)
		/* The default was 0 and became unlimited, so only what a guest has tells. */
		NOTE_CONFIGURED(l, POSTURE_WARN, file,
				"max_core is not set; what it is then differs between libvirt's versions");
	else if (strcmp(most, "0") && strcmp(most, "1"))
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "max_core = %s", most);
	else
		NOTE_CONFIGURED(l, POSTURE_PASS, file, "max_core = %s", most);
	if (dump)
		NOTE_CONFIGURED(l, POSTURE_FAIL, file, "dump_guest_core = %ld", dump);
}

/* Is a swap device one that keeps nothing readable: dm-crypt, or memory that is compressed? */
static bool swap_is_safe(const char *name)
{
	enum storage on;
	return strstr(name, "/zram") || (storage_of(name, &on, NULL) == 0 && on != STORAGE_PLAIN);
}

static bool has_encrypted_disk(struct posture_look *l, const struct host_guest *g)
{
	return look_count(l, g, look_document(g), "/domain/devices/disk//encryption") > 0;
}

/* All that it has is locked, so nothing of it is swapped. */
static bool is_locked(const struct proc *p)
{
	char locked[64] = "", resident[64] = "";
	proc_status(p, "VmLck", locked, sizeof(locked));
	proc_status(p, "VmRSS", resident, sizeof(resident));
	return strtoull(locked, NULL, 10) && strtoull(locked, NULL, 10) >= strtoull(resident, NULL, 10);
}

void process_look_swap(struct posture_look *l)
{
	char text[8192], *save = NULL, plain[256] = "";
	if (!l->host->running || !l->host->local || !read_text(l, "/proc/swaps", text, sizeof(text)))
		return;
	size_t n = 0;
	char *line = strtok_r(text, "\n", &save);
	while (line && (line = strtok_r(NULL, "\n", &save))) {
		line[strcspn(line, " \t")] = 0;
		n++;
		bool safe = swap_is_safe(line);
		note(l, POSTURE_PASS, POSTURE_RUNNING, line, safe ? "is encrypted, or in memory" : "is in plain");
		if (!safe)
			snprintf(plain, sizeof(plain), "%s", line);
	}
	if (!n)
		note(l, POSTURE_PASS, POSTURE_RUNNING, "/proc/swaps", "nothing is swapped on this host");
	if (!*plain)
		return;
	for (struct host_guest *g = look_next_process(l, NULL); g; g = look_next_process(l, g)) {
		if (!has_encrypted_disk(l, g))
			continue;
		bool locked = is_locked(&g->proc);
		NOTE_RUNNING(l, locked ? POSTURE_PASS : POSTURE_FAIL, g,
			     locked ? "its memory is locked"
				    : "it has an encrypted disk, and its memory may be swapped to %s",
			     plain);
	}
}
