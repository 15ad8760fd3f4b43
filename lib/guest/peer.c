#include "lib/guest/peer.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BIT(fd) (1u << ((fd) % 8))

static bool is_connected(int fd, struct ucred *ret)
{
	int domain = 0;
	socklen_t len = sizeof(domain), size = sizeof(*ret);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &size) == 0;
}

void guest_sockets_note(struct guest_sockets *ret)
{
	struct ucred peer;
	memset(ret, 0, sizeof(*ret));
	for (int fd = 0; fd < (int)sizeof(ret->seen) * 8; fd++)
		if (is_connected(fd, &peer))
			ret->seen[fd / 8] |= BIT(fd);
}

/* libvirtd, and virtqemud, virtproxyd … of the modular one. */
static bool is_libvirt(const char *program)
{
	size_t len = strlen(program);
	if (!strcmp(program, "libvirtd"))
		return true;
	return len > 5 && !strncmp(program, "virt", 4) && program[len - 1] == 'd' &&
	       strspn(program, "abcdefghijklmnopqrstuvwxyz") == len;
}

/* Its file is root's or ours, and its "/" is our "/": another container's daemon means other files by a path. */
static bool is_of_this_system(pid_t pid)
{
	char path[64];
	struct stat file, root, ours;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (stat(path, &file) < 0 || (file.st_uid != 0 && file.st_uid != geteuid()) || (file.st_mode & 022))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	return stat(path, &root) == 0 && stat("/", &ours) == 0 && root.st_dev == ours.st_dev &&
	       root.st_ino == ours.st_ino;
}

static void judge(const struct ucred *c, struct guest_peer *ret)
{
	static const char gone[] = " (deleted)";
	char link[64], target[512] = "";
	*ret = (struct guest_peer){ .kind = PEER_OTHER, .pid = c->pid, .program = "?" };
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)c->pid);
	ssize_t n = c->pid > 0 ? readlink(link, target, sizeof(target) - 1) : -1;
	bool hidden = n < 0 && c->pid > 0 && errno == EACCES;
	/* A daemon that was upgraded and not restarted. */
	size_t len = strlen(target), cut = sizeof(gone) - 1;
	if (len > cut && !strcmp(target + len - cut, gone))
		target[len - cut] = 0;
	const char *base = strrchr(target, '/');
	if (base && base[1])
		snprintf(ret->program, sizeof(ret->program), "%.60s", base + 1);
	if (c->uid != 0 && c->uid != geteuid())
		return;
	if (c->pid == 1 && c->uid == 0)
		ret->kind = PEER_SYSTEMD;
	else if (hidden && c->uid == 0)
		ret->kind = PEER_HIDDEN;
	else if (is_libvirt(ret->program) && is_of_this_system(c->pid))
		ret->kind = PEER_DAEMON;
}

void guest_sockets_peer(const struct guest_sockets *before, struct guest_peer *ret)
{
	*ret = (struct guest_peer){ .kind = PEER_NONE, .program = "?" };
	for (int fd = 0; fd < (int)sizeof(before->seen) * 8; fd++) {
		struct ucred peer;
		struct guest_peer one;
		/* A pair that we made ourselves is the way to a child, ssh for one. */
		if ((before->seen[fd / 8] & BIT(fd)) || !is_connected(fd, &peer) || peer.pid == getpid())
			continue;
		judge(&peer, &one);
		if (one.kind > ret->kind)
			*ret = one;
	}
}
