#include "lib/posture/host/audit.h"

#include "base/library/library.h"

#include <errno.h>
#include <libaudit.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* The kernel answers at once. */
#define ANSWER_MS 1000

void host_audit_clear(struct host_audit *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->rules[i]);
	free(a->rules);
	*a = (struct host_audit){ 0 };
}

static int next_reply(int fd, struct audit_reply *ret, struct error *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, ANSWER_MS);
	if (n == 0)
		errno = ETIMEDOUT;
	n = n == 1 ? audit_get_reply(fd, ret, GET_REPLY_NONBLOCKING, 0) : -errno;
	if (n > 0 && ret->type == NLMSG_ERROR && ret->error && ret->error->error)
		n = ret->error->error;
	return n > 0 ? 0 : error_errno(e, ERROR_FAILED, n ? -n : ENODATA, "the kernel's audit does not answer");
}

static int add_rule(struct host_audit *a, const struct audit_rule_data *rule, size_t len, struct error *e)
{
	if (len < sizeof(*rule) || rule->buflen > len - sizeof(*rule) || rule->field_count > AUDIT_MAX_FIELDS)
		return error_set(e, ERROR_FAILED, EBADMSG, "the kernel's audit gives a rule that is too short");
	struct audit_rule_data **more = realloc(a->rules, (a->n + 1) * sizeof(struct audit_rule_data *));
	if (more)
		a->rules = more;
	struct audit_rule_data *copy = more ? malloc(len) : NULL;
	if (!copy)
		return error_oom(e);
	a->rules[a->n++] = memcpy(copy, rule, len);
	return 0;
}

static int read_status(int fd, struct host_audit *a, struct error *e)
{
	struct audit_reply reply;
	int r = audit_request_status(fd);
	if (r <= 0)
		return error_errno(e, ERROR_FAILED, r < 0 ? -r : EIO, "the kernel's audit cannot be asked");
	/* An acknowledgement comes before the answer. */
	do
		r = next_reply(fd, &reply, e);
	while (r == 0 && reply.type != AUDIT_GET);
	if (r == 0) {
		a->enabled = reply.status->enabled;
		a->daemon = (pid_t)reply.status->pid;
		a->lost = reply.status->lost;
		a->failure = reply.status->failure;
	}
	return r;
}

static int read_rules(int fd, struct host_audit *a, struct error *e)
{
	struct audit_reply reply;
	int r = audit_request_rules_list_data(fd);
	if (r <= 0)
		return error_errno(e, ERROR_FAILED, r < 0 ? -r : EIO, "the kernel's audit rules cannot be asked for");
	while ((r = next_reply(fd, &reply, e)) == 0 && reply.type != NLMSG_DONE) {
		if (reply.type == AUDIT_LIST_RULES)
			r = add_rule(a, reply.ruledata, (size_t)reply.len, e);
		if (r < 0)
			break;
	}
	return r;
}

int host_audit_read(struct host_audit *ret, struct error *e)
{
	AUTOAUDIT struct host_audit a = { 0 };
	int r = audit_load(e);
	if (r < 0)
		return r;
	AUTOCLOSE int fd = audit_open();
	if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT || errno == EINVAL)) {
		a.absent = true;
	} else if (fd < 0) {
		return error_errno(e, ERROR_FAILED, errno, "the kernel's audit cannot be reached");
	} else if ((r = read_status(fd, &a, e)) < 0 || (r = read_rules(fd, &a, e)) < 0) {
		return r;
	}
	*ret = a;
	a = (struct host_audit){ 0 };
	return 0;
}

/* Fields whose value is the length of their text, which lie one behind the other in the rule's buffer. */
static bool has_text(uint32_t type)
{
	switch (type) {
	case AUDIT_SUBJ_USER:
	case AUDIT_SUBJ_ROLE:
	case AUDIT_SUBJ_TYPE:
	case AUDIT_SUBJ_SEN:
	case AUDIT_SUBJ_CLR:
	case AUDIT_OBJ_USER:
	case AUDIT_OBJ_ROLE:
	case AUDIT_OBJ_TYPE:
	case AUDIT_OBJ_LEV_LOW:
	case AUDIT_OBJ_LEV_HIGH:
	case AUDIT_WATCH:
	case AUDIT_DIR:
	case AUDIT_EXE:
	case AUDIT_FILTERKEY:
		return true;
	default:
		return false;
	}
}

const char *audit_rule_text(const struct audit_rule_data *r, uint32_t i, size_t *ret_len)
{
	size_t at = 0;
	if (i >= r->field_count || !has_text(r->fields[i]))
		return NULL;
	for (uint32_t k = 0; k < i; k++)
		at += has_text(r->fields[k]) ? r->values[k] : 0;
	if (at > r->buflen || r->values[i] > r->buflen - at)
		return NULL;
	*ret_len = r->values[i];
	return r->buf + at;
}

bool audit_rule_field(const struct audit_rule_data *r, uint32_t type, uint32_t *i)
{
	for (; *i < r->field_count; (*i)++)
		if (r->fields[*i] == type)
			return true;
	return false;
}

bool audit_rule_copy(const struct audit_rule_data *r, uint32_t type, char *buf, size_t len)
{
	uint32_t i = 0;
	size_t n;
	const char *text = audit_rule_field(r, type, &i) ? audit_rule_text(r, i, &n) : NULL;
	if (!text || n >= len)
		return false;
	memcpy(buf, text, n);
	buf[n] = 0;
	return true;
}

uint32_t audit_rule_permissions(const struct audit_rule_data *r)
{
	uint32_t i = 0;
	return audit_rule_field(r, AUDIT_PERM, &i)
		       ? r->values[i]
		       : AUDIT_PERM_READ | AUDIT_PERM_WRITE | AUDIT_PERM_EXEC | AUDIT_PERM_ATTR;
}

bool audit_rule_names_label(const struct audit_rule_data *r, char *buf, size_t len)
{
	for (uint32_t i = 0; i < r->field_count; i++)
		if ((r->fields[i] >= AUDIT_SUBJ_USER && r->fields[i] <= AUDIT_SUBJ_CLR) ||
		    (r->fields[i] >= AUDIT_OBJ_USER && r->fields[i] <= AUDIT_OBJ_LEV_HIGH))
			return audit_rule_copy(r, r->fields[i], buf, len);
	return false;
}

bool audit_rule_watches(const struct audit_rule_data *r, const char *path, uint32_t permissions)
{
	char watched[PATH_MAX];
	if (r->action != AUDIT_ALWAYS || (r->flags & ~(uint32_t)AUDIT_FILTER_PREPEND) != AUDIT_FILTER_EXIT ||
	    (audit_rule_permissions(r) & permissions) != permissions)
		return false;
	if (audit_rule_copy(r, AUDIT_WATCH, watched, sizeof(watched)))
		return !strcmp(watched, path);
	if (!audit_rule_copy(r, AUDIT_DIR, watched, sizeof(watched)))
		return false;
	size_t n = strlen(watched);
	while (n > 1 && watched[n - 1] == '/')
		n--;
	return !strncmp(path, watched, n) && (!path[n] || path[n] == '/');
}
