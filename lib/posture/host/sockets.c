#include "lib/posture/host/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define STATE_LISTEN 10 /* TCP_LISTEN of the kernel's own enumeration */
#define ANSWER_MAX 65536

static int ask(int fd, sa_family_t family, struct error *e)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 request;
	} m = {
		.head = { .nlmsg_len = sizeof(m),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.request = { .sdiag_family = (uint8_t)family,
			     .sdiag_protocol = IPPROTO_TCP,
			     .idiag_states = 1u << STATE_LISTEN },
	};
	if (send(fd, &m, sizeof(m), 0) < 0)
		return error_errno(e, ERROR_FAILED, errno, "the kernel cannot be asked for sockets");
	return 0;
}

static int add(struct host_sockets *s, const struct inet_diag_msg *m, struct error *e)
{
	struct host_socket *more = realloc(s->list, (s->n + 1) * sizeof(*more));
	if (!more)
		return error_oom(e);
	s->list = more;
	struct host_socket *one = &more[s->n++];
	*one = (struct host_socket){ .inode = m->idiag_inode,
				     .family = m->idiag_family,
				     .port = ntohs(m->id.idiag_sport) };
	memcpy(&one->address, m->id.idiag_src, sizeof(one->address));
	return 0;
}

/* 1: more is to come; 0: that was all. */
static int take(struct host_sockets *s, const struct nlmsghdr *h, struct error *e)
{
	if (h->nlmsg_type == NLMSG_DONE)
		return 0;
	if (h->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *err = NLMSG_DATA(h);
		bool whole = h->nlmsg_len >= NLMSG_LENGTH(sizeof(*err));
		/* A kernel without IPv6 knows no such sockets. */
		if (whole && (err->error == -ENOENT || err->error == -EAFNOSUPPORT))
			return 0;
		return error_errno(e, ERROR_FAILED, whole ? -err->error : EPROTO, "the kernel does not tell sockets");
	}
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return error_set(e, ERROR_FAILED, EPROTO, "the kernel's answer about sockets is too short");
	int r = add(s, NLMSG_DATA(h), e);
	return r < 0 ? r : 1;
}

static int answers(int fd, struct host_sockets *s, struct error *e)
{
	AUTOFREE char *buf = malloc(ANSWER_MAX);
	if (!buf)
		return error_oom(e);
	for (;;) {
		ssize_t n = recv(fd, buf, ANSWER_MAX, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(e, ERROR_FAILED, n ? errno : EPROTO, "the kernel does not tell sockets");
		unsigned len = (unsigned)n;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
			int r = take(s, h, e);
			if (r <= 0)
				return r;
		}
	}
}

int sockets_read(struct host_sockets *ret, struct error *e)
{
	AUTOSOCKETS struct host_sockets s = { 0 };
	for (int i = 0; i < 2; i++) {
		/* One for each question: an answer that ended early leaves nothing for the next. */
		AUTOCLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
		if (fd < 0)
			return error_errno(e, ERROR_FAILED, errno, "the kernel cannot be asked for sockets");
		int r = ask(fd, i ? AF_INET6 : AF_INET, e);
		if (r == 0)
			r = answers(fd, &s, e);
		if (r < 0)
			return r;
	}
	*ret = s;
	s = (struct host_sockets){ 0 };
	return 0;
}

void sockets_clear(struct host_sockets *s)
{
	free(s->list);
	*s = (struct host_sockets){ 0 };
}

enum reach socket_reach(const struct host_socket *s)
{
	struct in_addr four;
	memcpy(&four, &s->address, sizeof(four));
	bool mapped = s->family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&s->address);
	if (mapped)
		memcpy(&four, &s->address.s6_addr[12], sizeof(four));
	if (s->family == AF_INET6 && !mapped)
		return IN6_IS_ADDR_UNSPECIFIED(&s->address) ? REACH_ANY
		       : IN6_IS_ADDR_LOOPBACK(&s->address)  ? REACH_LOOPBACK
							    : REACH_ADDRESS;
	uint32_t address = ntohl(four.s_addr);
	return address == INADDR_ANY ? REACH_ANY : address >> 24 == 127 ? REACH_LOOPBACK : REACH_ADDRESS;
}

const char *socket_text(const struct host_socket *s, char *buf, size_t len)
{
	char address[INET6_ADDRSTRLEN] = "?";
	inet_ntop(s->family, &s->address, address, sizeof(address));
	snprintf(buf, len, s->family == AF_INET6 ? "[%s]:%u" : "%s:%u", address, s->port);
	return buf;
}

socklen_t socket_target(const struct host_socket *s, struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){ 0 };
	bool any = socket_reach(s) == REACH_ANY;
	if (s->family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
		*six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(s->port) };
		six->sin6_addr = any ? in6addr_loopback : s->address;
		return sizeof(*six);
	}
	struct sockaddr_in *four = (struct sockaddr_in *)ret;
	*four = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(s->port) };
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!any)
		memcpy(&four->sin_addr, &s->address, sizeof(four->sin_addr));
	return sizeof(*four);
}

int proc_sockets(const struct proc *p, uint64_t **ret, size_t *ret_n, struct error *e)
{
	AUTOCLOSE int fd = openat(p->fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return error_errno(e, ERROR_FAILED, errno, "what process %d has open cannot be seen", (int)p->pid);
	fd = -1; /* d's now */
	AUTOFREE uint64_t *list = NULL;
	size_t n = 0, room = 0;
	int r = 0;
	for (struct dirent *one; r == 0 && (one = readdir(d));) {
		char name[64] = "";
		uint64_t inode;
		if (readlinkat(dirfd(d), one->d_name, name, sizeof(name) - 1) < 0 ||
		    sscanf(name, "socket:[%" SCNu64 "]", &inode) != 1)
			continue;
		if (n == room) {
			room = room ? 2 * room : 32;
			uint64_t *more = realloc(list, room * sizeof(*more));
			if (!more) {
				r = error_oom(e);
				break;
			}
			list = more;
		}
		list[n++] = inode;
	}
	closedir(d);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

bool socket_is_one_of(const struct host_socket *s, const uint64_t *inodes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (inodes[i] == s->inode)
			return true;
	return false;
}
