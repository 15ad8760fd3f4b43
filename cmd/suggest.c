#include "cmd/suggest.h"

#include <string.h>

/* Longer words are no slip of a finger. */
#define WORD_MAX 48

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Letters added, left out, wrong, or two neighbours swapped: each counts one. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][WORD_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];
	size_t n = strlen(a), m = strlen(b);
	if (n > WORD_MAX || m > WORD_MAX)
		return WORD_MAX;
	for (size_t k = 0; k <= m; k++)
		last[k] = before[k] = k;
	for (size_t i = 1; i <= n; i++) {
		now[0] = i;
		for (size_t k = 1; k <= m; k++) {
			now[k] = least(last[k - 1] + (a[i - 1] != b[k - 1]), 1 + least(last[k], now[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				now[k] = least(now[k], before[k - 2] + 1);
		}
		size_t *free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[m];
}

void suggest_consider(struct suggestion *s, const char *name, const char *meant)
{
	size_t len = strlen(s->word), d = distance(s->word, name);
	/* The beginning of a name is a slip as well: "stat" for "status". */
	if (len >= 3 && !strncmp(name, s->word, len))
		d = 1;
	if (d > (len + 2) / 4 || (s->best && d >= s->distance))
		return;
	s->best = meant;
	s->distance = d;
}
