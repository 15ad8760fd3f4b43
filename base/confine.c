#include "base/confine.h"

#include "base/cleanup.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define ARCH AUDIT_ARCH_RISCV64
#elif defined(__s390x__)
#define ARCH AUDIT_ARCH_S390X
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCH AUDIT_ARCH_PPC64LE
#endif

/* ---- calls ---- */

#define DENY(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, REFUSED)
#define REFUSED (SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA))
#define MOUNTS                                                                                             \
	DENY(SYS_mount), DENY(SYS_umount2), DENY(SYS_pivot_root), DENY(SYS_move_mount), DENY(SYS_open_tree),    \
		DENY(SYS_fsopen), DENY(SYS_fsconfig), DENY(SYS_fsmount), DENY(SYS_fspick)
/* Another architecture's numbers (i386's, x32's) mean other calls. */
#ifdef __x86_64__
#define OTHER_NUMBERS BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), BPF_STMT(BPF_RET | BPF_K, REFUSED),
#else
#define OTHER_NUMBERS
#endif
#define HEAD                                                                                               \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),                           \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0), BPF_STMT(BPF_RET | BPF_K, REFUSED),       \
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),                     \
		OTHER_NUMBERS DENY(SYS_keyctl), DENY(SYS_add_key), DENY(SYS_request_key), DENY(SYS_ptrace), \
		DENY(SYS_process_vm_readv), DENY(SYS_process_vm_writev), DENY(SYS_bpf),                    \
		DENY(SYS_perf_event_open), DENY(SYS_init_module), DENY(SYS_finit_module),                  \
		DENY(SYS_delete_module), DENY(SYS_kexec_load), DENY(SYS_setns), DENY(SYS_unshare),         \
		DENY(SYS_open_by_handle_at), DENY(SYS_userfaultfd), DENY(SYS_swapon), DENY(SYS_swapoff),   \
		DENY(SYS_reboot), DENY(SYS_acct), DENY(SYS_quotactl), DENY(SYS_clock_settime),             \
		DENY(SYS_pidfd_getfd), DENY(SYS_chroot)
#define TAIL BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int deny_calls(bool mounts)
{
#ifdef ARCH
	static const struct sock_filter all[] = { HEAD, MOUNTS, TAIL };
	static const struct sock_filter may_mount[] = { HEAD, TAIL };
	const struct sock_fprog program = {
		.len = (unsigned short)(mounts ? ARRAY_LEN(may_mount) : ARRAY_LEN(all)),
		.filter = (struct sock_filter *)(mounts ? may_mount : all),
	};
	/* A kernel without it: EINVAL. */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 && errno != EINVAL ? -errno : 0;
#else
	(void)mounts;
	return 0;
#endif
}

/* ---- capabilities and user ---- */

/*
 * What is given up here, root's exec does not bring back without new privileges; out of the bounding set it is gone for
 * good. Who may not do that (in a unit of systemd's, in a container) has few anyway, and shall not fail for it.
 */
static int keep_only(unsigned long keep)
{
	for (unsigned long c = 0; c <= 63; c++)
		if (!(keep >> c & 1) && prctl(PR_CAPBSET_DROP, c) < 0 && errno != EINVAL && errno != EPERM)
			return -errno;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2], data[2] = { { 0 } };
	if (syscall(SYS_capget, &head, now) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		data[i].permitted = data[i].effective = now[i].permitted & (unsigned)(keep >> (32 * i));
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, data) < 0 && errno != EPERM ? -errno : 0;
}

/*
 * A user that nobody else is, so that no other process may look into it; where a container has no such numbers,
 * nobody.
 */
static int become_nobody(void)
{
	unsigned id;
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return -errno;
	id = 0x40000000u | (id & 0x3fffffffu);
	if (syscall(SYS_setgroups, 0, NULL) < 0)
		return errno == EPERM ? 0 : -errno;
	if (syscall(SYS_setresgid, id, id, id) < 0 && syscall(SYS_setresgid, 65534, 65534, 65534) < 0)
		return errno == EPERM ? 0 : -errno;
	if (syscall(SYS_setresuid, id, id, id) < 0 && syscall(SYS_setresuid, 65534, 65534, 65534) < 0)
		return errno == EPERM ? 0 : -errno;
	/* It was forgotten with the change of user. */
	return prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 ? -errno : 0;
}

int confine_child(enum process_confine how)
{
	bool root = geteuid() == 0;
	int r = 0;
	/* What a user mounts by FUSE is mounted by fusermount, which is setuid. */
	if (how == PROCESS_OURS || (how == PROCESS_EXPORT && !root))
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (root)
		r = keep_only(how == PROCESS_FOREIGN ? 1ul << CAP_SETUID | 1ul << CAP_SETGID :
			      how == PROCESS_EXPORT  ? 1ul << CAP_DAC_OVERRIDE | 1ul << CAP_SYS_ADMIN :
						       1ul << CAP_DAC_OVERRIDE);
	if (r == 0 && root && how == PROCESS_FOREIGN)
		r = become_nobody();
	return r < 0 ? r : deny_calls(how == PROCESS_EXPORT);
}
