#include "cmd/progress.h"

#include "base/text.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
	struct timespec began, shown;
	char what[64];
	bool line_open;
} bar;

static double seconds_since(const struct timespec *t)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

/* True when it is time to show again; also starts the clock of a new piece of work. */
static bool due(const char *what, uint64_t done, uint64_t total)
{
	if (strncmp(bar.what, what, sizeof(bar.what) - 1) != 0) {
		snprintf(bar.what, sizeof(bar.what), "%s", what);
		clock_gettime(CLOCK_MONOTONIC, &bar.began);
		bar.shown = bar.began;
		return false;
	}
	if (done < total && seconds_since(&bar.shown) < 0.2)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &bar.shown);
	return true;
}

static int draw_bar(void *context, const char *what, uint64_t done, uint64_t total)
{
	(void)context;
	if (!due(what, done, total) || !total)
		return 0;
	double elapsed = seconds_since(&bar.began);
	/* Short work needs no bar. */
	if (elapsed < 0.5)
		return 0;
	char size[32], rate[32];
	double per_second = (double)done / elapsed;
	int left = per_second > 0 ? (int)((double)(total - done) / per_second) : 0;
	fprintf(stderr, "\r%s  %3d %%  %s  %s/s  %d:%02d left \033[K", what,
		(int)(100.0 * (double)done / (double)total), text_size(total, size, sizeof(size)),
		text_size((uint64_t)per_second, rate, sizeof(rate)), left / 60, left % 60);
	bar.line_open = true;
	return 0;
}

static int draw_json(void *context, const char *what, uint64_t done, uint64_t total)
{
	(void)context;
	if (!due(what, done, total))
		return 0;
	struct json_object *o = json_object_new_object();
	json_object_object_add(o, "progress", json_object_new_string(what));
	json_object_object_add(o, "done", json_object_new_uint64(done));
	json_object_object_add(o, "total", json_object_new_uint64(total));
	fprintf(stderr, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return 0;
}

void progress_setup(struct context *ctx)
{
	if (!strcmp(ctx->progress_mode, "json"))
		ctx->progress.report = draw_json;
	else if (!strcmp(ctx->progress_mode, "auto") && !ctx->quiet && isatty(STDERR_FILENO))
		ctx->progress.report = draw_bar;
}

void progress_finish(void)
{
	if (bar.line_open)
		fputc('\n', stderr);
	bar.line_open = false;
}
