/* The tables in other forms: JSON for programs and tests, man page sections, shell completions. */
#include "cmd/command.h"
#include "cmd/output.h"
#include "cmd/person.h"
#include "lib/workflow/workflow.h"
#include "lib/guest/connection.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static struct json_object *options_json(const struct option_spec *o)
{
	struct json_object *a = json_object_new_array();
	for (; o && o->kind != OPTION_END; o++) {
		struct json_object *j = json_object_new_object();
		char letter[2] = { o->letter, 0 };
		put_text(j, "name", o->name);
		put_text(j, "letter", o->letter ? letter : NULL);
		put_text(j, "argument", o->arg);
		put_text(j, "help", o->help);
		json_object_array_add(a, j);
	}
	return a;
}

void dump_cli(void)
{
	struct json_object *all = json_object_new_array();
	for (const struct command *const *c = commands; *c; c++) {
		struct json_object *j = json_object_new_object();
		put_text(j, "name", (*c)->name);
		put_text(j, "summary", (*c)->summary);
		struct json_object *operands = json_object_new_array();
		for (const struct operand_spec *o = (*c)->operands; o && o->name; o++)
			json_object_array_add(operands, json_object_new_string(o->name));
		json_object_object_add(j, "operands", operands);
		json_object_object_add(j, "options", options_json((*c)->options));
		json_object_array_add(all, j);
	}
	struct json_object *top = json_object_new_object();
	json_object_object_add(top, "commands", all);
	json_object_object_add(top, "common_options", options_json(common_options));
	printf("%s\n", json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(top);
}

/* roff: a dash as typed, a backslash kept, a leading dot or quote harmless. */
static void roff(const char *text)
{
	if (*text == '.' || *text == '\'')
		printf("\\&");
	for (; *text; text++) {
		if (*text == '-')
			printf("\\-");
		else if (*text == '\\')
			printf("\\e");
		else
			putchar(*text);
	}
}

static void man_options(const struct option_spec *o)
{
	for (; o && o->kind != OPTION_END; o++) {
		printf(".TP\n");
		if (o->letter)
			printf("\\fB\\-%c\\fR, ", o->letter);
		printf("\\fB\\-\\-");
		roff(o->name);
		printf("\\fR");
		if (o->arg)
			printf(o->kind == OPTION_AUTO ? "[=\\fI%s\\fR]" : "=\\fI%s\\fR", o->arg);
		putchar('\n');
		roff(o->help);
		printf("\n");
	}
}

static void man_synopsis(const struct command *c)
{
	printf(".B kvmcrypt ");
	roff(c->name);
	printf("\n[\\fIOPTION\\fR]...");
	for (const struct operand_spec *o = c->operands; o && o->name; o++)
		printf("\n%s\\fI%s\\fR%s%s", o->optional ? "[" : "", o->name, o->repeated ? "..." : "",
		       o->optional ? "]" : "");
	printf("\n");
}

/* The page kvmcrypt-WORD.1 covers the command WORD, or the group "WORD …". */
int dump_man(const char *word)
{
	size_t len = strlen(word), found = 0;
	bool any = false;
	if (!strcmp(word, "common")) {
		man_options(common_options);
		return 0;
	}
	for (const struct command *const *c = commands; *c; c++) {
		if (strncmp((*c)->name, word, len) != 0 || ((*c)->name[len] && (*c)->name[len] != ' '))
			continue;
		if (!found++)
			printf(".SH SYNOPSIS\n");
		else
			printf(".br\n");
		man_synopsis(*c);
	}
	if (!found)
		return 1;
	printf(".SH OPTIONS\n");
	for (const struct command *const *c = commands; *c; c++) {
		if (strncmp((*c)->name, word, len) != 0 || ((*c)->name[len] && (*c)->name[len] != ' '))
			continue;
		if ((*c)->name[len]) {
			printf(".SS ");
			roff((*c)->name);
			printf("\n");
			roff((*c)->description);
			printf("\n");
		}
		man_options((*c)->options);
		any = any || (*c)->name[len] || ((*c)->options && (*c)->options->kind != OPTION_END);
	}
	printf("%sThe options that every command has are in\n.BR kvmcrypt (1).\n", any ? ".PP\n" : "");
	return 0;
}

/* A name that would drive the terminal, or be two, is not offered. */
static int print_name(void *ctx, const char *name)
{
	(void)ctx;
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return 0;
	puts(name);
	return 0;
}

static int print_path(void *ctx, const struct record *r)
{
	return print_name(ctx, r->path);
}

int dump_values(const char *kind)
{
	struct context ctx = { 0 };
	struct error e = { 0 };
	if (!strcmp(kind, "volumes")) {
		AUTOKEYSTORE struct keystore *ks = NULL;
		if (person_open_keystore(&ctx, &ks, &e) == 0)
			keystore_each(ks, print_path, NULL, &e);
		return 0;
	}
	if (!strcmp(kind, "domains")) {
		AUTOGUEST struct guest_connection *g = NULL;
		if (guest_connect(NULL, &g, &e) == 0)
			guest_each_domain(g, print_name, NULL, &e);
		return 0;
	}
	return 1;
}

void dump_workflows(void)
{
	static const uint32_t numbers[] = {
#define STATE(number, shown, flags, name) number,
		VOLUME_STATES(STATE, STATE)
#undef STATE
	};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (workflow_of(numbers[i])->begun == numbers[i])
			puts(workflow_of(numbers[i])->name);
}
