#include "lib/guest/blockcopy.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define POLL_NS (50 * 1000 * 1000)
#define PIVOT_TRIES 100

int guest_copy_start(virDomainPtr d, const struct guest_disk *disk, struct error *e)
{
	AUTOFREE char *xml = guest_disk_xml(disk);
	if (!xml)
		return error_oom(e);
	unsigned flags = VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;
	if (disk->n_layers > 1)
		flags |= VIR_DOMAIN_BLOCK_COPY_SHALLOW;
	if (virDomainBlockCopy(d, disk->target, xml, NULL, 0, flags) < 0)
		return guest_error(e, "cannot copy disk %s of domain %s", disk->target, virDomainGetName(d));
	return 0;
}

int guest_copy_wait(virDomainPtr d, const char *target, const char *what, const struct progress *progress,
		    struct error *e)
{
	for (;;) {
		virDomainBlockJobInfo info = { 0 };
		int r = virDomainGetBlockJobInfo(d, target, &info, 0);
		if (r < 0)
			return guest_error(e, "cannot follow the copy of disk %s", target);
		if (r == 0)
			return error_set(e, ERROR_LIBVIRT, EIO, "QEMU gave up the copy of disk %s: see its log",
					 target);
		if (info.end && info.cur == info.end)
			return 0;
		if (progress_report(progress, what, info.cur, info.end) != 0)
			return error_set(e, ERROR_FAILED, ECANCELED, "stopped");
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
}

int guest_copy_pivot(virDomainPtr d, const char *target, struct error *e)
{
	/* All may be copied a moment before QEMU says that the job is ready. */
	for (int i = 0; virDomainBlockJobAbort(d, target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) < 0; i++) {
		if (i == PIVOT_TRIES)
			return guest_error(e, "the guest cannot go over to the copy of disk %s", target);
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
	return 0;
}

void guest_copy_abort(virDomainPtr d, const char *target)
{
	virDomainBlockJobAbort(d, target, 0);
}

int guest_copy_rename(virDomainPtr d, const char *target, const char *from, const char *to, struct error *e)
{
	struct guest_domain_xml xml = { 0 };
	int r = guest_domain_xml(d, &xml, e);
	AUTOFREE char *disk = r == 0 ? guest_disk_moved(xml.config, target, from, to) : NULL;
	guest_domain_xml_clear(&xml);
	if (!disk)
		return r;
	if (virDomainUpdateDeviceFlags(d, disk, VIR_DOMAIN_AFFECT_CONFIG) < 0)
		return guest_error(e, "cannot set the file of disk %s in the configuration of domain %s", target,
				   virDomainGetName(d));
	return 0;
}
