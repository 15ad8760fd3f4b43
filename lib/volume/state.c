#include "lib/volume/state.h"

#include <errno.h>
#include <time.h>

struct volume_state_line {
	const char *shown;
	unsigned flags;
};

static const struct volume_state_line lines[] = {
	[RECORD_READY] = { "ready", 0 },
#define STATE(number, shown, flags, workflow) [number] = { shown, flags },
	VOLUME_STATES(STATE, STATE)
#undef STATE
};

const char *const volume_shown_states[] = {
#define STATE(number, shown, flags, workflow) shown,
#define MORE(number, shown, flags, workflow)
	"ready", VOLUME_STATES(STATE, MORE) "moved", NULL,
#undef STATE
#undef MORE
};

static const struct volume_state_line *line_of(uint32_t number)
{
	return number < ARRAY_LEN(lines) && lines[number].shown ? &lines[number] : NULL;
}

const char *volume_state_name(uint32_t number)
{
	const struct volume_state_line *l = line_of(number);
	return l ? l->shown : "unknown";
}

const char *volume_shown_state(const struct record *r)
{
	return r->moved && r->moved[0] ? "moved" : volume_state_name(r->state);
}

unsigned volume_state_flags(uint32_t number)
{
	const struct volume_state_line *l = line_of(number);
	return l ? l->flags : STATE_UNKNOWN | STATE_NO_KEY | STATE_TWO_IMAGES | STATE_TWO_KEYS;
}

uint32_t volume_state_of(const struct record *r)
{
	if (r->state != RECORD_READY && r->state != RECORD_LINKED)
		return r->state;
	if (r->next_volume_key)
		return RECORD_CONVERTING;
	if (r->pending)
		return RECORD_ROTATING;
	return r->beside ? RECORD_LINKED : RECORD_READY;
}

bool volume_is_ready(const struct record *r)
{
	return r->state == RECORD_READY || volume_state_flags(r->state) & STATE_USABLE;
}

int volume_check_ready(const struct record *r, struct error *e)
{
	if (volume_is_ready(r))
		return 0;
	if (volume_state_flags(r->state) & STATE_UNKNOWN)
		return error_set(e, ERROR_BUSY, EBUSY,
				 "a newer kvmcrypt is at %s (workflow %u): finish it with that version's `kvmcrypt "
				 "recover`",
				 r->path, (unsigned)r->state);
	return error_set(e, ERROR_BUSY, EBUSY, "%s is in an unfinished workflow (%s): run `kvmcrypt recover`", r->path,
			 volume_state_name(r->state));
}

bool volume_key_from_future(const struct record *r)
{
	/* Clocks of two hosts may differ by so much. */
	return r->rotated > (int64_t)time(NULL) + 300;
}
