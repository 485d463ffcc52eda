/* pause - `todoku pause|resume`: what is not to be sent for now; `todoku retry|bounce|delete`: what is to become
 * of queued mail at once
 *
 *     todoku pause --tenant acme --campaign spring --for 2h --reason "wrong link"
 *     todoku resume --tenant acme --campaign spring       what names exactly this
 *     todoku resume 3f29...                               one, as `todoku pauses` lists it
 *     todoku delete --tenant acme --campaign spring
 * All nodes are asked; those that could not be are named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/query.h"
#include "cli/client_curl.h"
#include "cli/options.h"
#include "cli/rows_json.h"

#define SELECTORS                                                                                            \
    {0, "tenant", "T", "of this tenant"}, {0, "campaign", "C", "of this campaign"},                          \
        {0, "pool", "P", "of this pool"}, {0, "source", "IP", "from this source address"},                   \
        {0, "provider", "P", "to this provider"},                                                            \
    {                                                                                                        \
        0, "domain", "D", "to this recipients' domain"                                                       \
    }
#define SERVER                                                                                               \
    {0, "api", "URL", "where the API is ($TODOKU_API, else http://127.0.0.1:8025)"},                         \
    {                                                                                                        \
        'k', "key", "KEY", "the API key ($TODOKU_KEY)"                                                       \
    }

const struct cli_option cli_pause_options[] = {
    SELECTORS,
    {0, "for", "DURATION", "ends by itself after this: 30m, 2h, 3d (else when it is lifted)"},
    {0, "until", "TIME", "ends by itself then, like 2027-01-31T08:00:00Z"},
    {'r', "reason", "TEXT", "why; shown by `todoku pauses`, `todoku explain` and in the events"},
    {'j', "json", NULL, "the server's answer as it is"},
    SERVER,
};
const size_t cli_pause_option_count = sizeof cli_pause_options / sizeof *cli_pause_options;

const struct cli_option cli_resume_options[] = {
    SELECTORS, {'j', "json", NULL, "the server's answer as it is"}, SERVER};
const size_t cli_resume_option_count = sizeof cli_resume_options / sizeof *cli_resume_options;

const struct cli_option cli_act_options[] = {
    {0, "tenant", "T", "of this tenant"},
    {0, "campaign", "C", "of this campaign"},
    {0, "pool", "P", "of this pool"},
    {0, "provider", "P", "to this provider"},
    {0, "domain", "D", "to this recipients' domain"},
    {0, "recipient", "ADDRESS", "to this address"},
    {0, "id", "ID", "of this message, or this one delivery"},
    {'r', "reason", "TEXT", "why; shown in the events"},
    {'y', "yes", NULL, "do not ask on a terminal"},
    {'j', "json", NULL, "one JSON object a node, as the server gave it"},
    SERVER,
};
const size_t cli_act_option_count = sizeof cli_act_options / sizeof *cli_act_options;

static const char *const selectors[] = {
    "tenant", "campaign", "pool", "source", "provider", "domain", "recipient", "id"};
#define SELECTOR_COUNT (sizeof selectors / sizeof *selectors)

static size_t given(const struct cli_args *args)
{
    size_t count = 0;
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        count += cli_value(args, selectors[i]) != NULL;
    return count;
}

static int say_nothing_named(const struct cli_args *args)
{
    return cli_wrong(
        args->command, "say what it is about: --tenant, --campaign, --domain ..., one of them at least");
}

static void add_text(const struct cli_args *args, const char *name, struct buffer *json)
{
    if (cli_value(args, name) != NULL)
        json_text(json, name, cli_value(args, name));
}

static void begin_body(const struct cli_args *args, struct buffer *json)
{
    json_begin(json, '{');
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        add_text(args, selectors[i], json);
}

static struct client client_of(const struct cli_args *args)
{
    return (struct client){cli_value(args, "api"), cli_value(args, "key")};
}

/* Says why it failed, or prints the answer as it is where that is wanted; the exit code. */
static int tell(const struct cli_args *args, int rc, struct buffer *answer, const struct error *error)
{
    if (rc != 0)
        fprintf(stderr, "todoku %s: %s\n", args->command->name, error->text);
    else if (cli_value(args, "json") != NULL)
        fputs(buffer_text(answer), stdout);
    return rc == 0 ? 0 : 1;
}

/* ---- pause, resume ---- */

static void show_pause(struct buffer *answer)
{
    char *id = rows_member_text(buffer_text(answer), "id");
    char *until = rows_member_text(buffer_text(answer), "until");
    if (until != NULL)
        printf("paused until %s; sooner: todoku resume %s\n", until, id == NULL ? "" : id);
    else
        printf("paused until it is lifted: todoku resume %s\n", id == NULL ? "" : id);
    free(id);
    free(until);
}

int cli_pause(int argc, char **argv)
{
    struct cli_args args;
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    if (args.rest_count > 0)
        return cli_wrong(args.command, "`%s` is too much", args.rest[0]);
    if (given(&args) == 0)
        return say_nothing_named(&args);
    struct buffer json = {0}, answer = {0};
    struct error error = {0};
    struct client client = client_of(&args);
    begin_body(&args, &json);
    add_text(&args, "for", &json);
    add_text(&args, "until", &json);
    add_text(&args, "reason", &json);
    json_end(&json, '}');
    int rc = client_command(&client, "POST", "/v1/pauses", buffer_text(&json), &answer, &error);
    code = tell(&args, rc, &answer, &error);
    if (code == 0 && cli_value(&args, "json") == NULL)
        show_pause(&answer);
    buffer_free(&json);
    buffer_free(&answer);
    return code;
}

int cli_resume(int argc, char **argv)
{
    struct cli_args args;
    int code = cli_parse(argc, argv, &args);
    long long lifted = 1;
    if (code >= 0)
        return code;
    if (args.rest_count > 1)
        return cli_wrong(args.command, "`%s` is too much", args.rest[1]);
    if ((args.rest_count == 1) == (given(&args) > 0))
        return args.rest_count == 0 ? say_nothing_named(&args)
                                    : cli_wrong(args.command, "say either an ID or what it names");
    struct buffer path = {0}, query = {0}, answer = {0};
    struct error error = {0};
    struct client client = client_of(&args);
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (cli_value(&args, selectors[i]) != NULL)
            query_add(&query, selectors[i], cli_value(&args, selectors[i]));
    buffer_add_text(&path, args.rest_count == 1 ? "/v1/pauses/" : "/v1/pauses?");
    if (args.rest_count == 1)
        client_escape(&path, args.rest[0]);
    buffer_add(&path, buffer_bytes(&query), buffer_len(&query));
    int rc = client_command(&client, "DELETE", buffer_text(&path), NULL, &answer, &error);
    code = tell(&args, rc, &answer, &error);
    if (code == 0 && cli_value(&args, "json") == NULL) {
        rows_member_number(buffer_text(&answer), "lifted", &lifted);
        printf("%lld pause%s lifted\n", lifted, lifted == 1 ? "" : "s");
    }
    buffer_free(&path);
    buffer_free(&query);
    buffer_free(&answer);
    return code;
}

/* ---- retry, bounce, delete ---- */

static const struct {
    const char *name, *question, *done;
} acts[] = {
    {"retry", "try at once all queued mail", "will be tried at once"},
    {"bounce", "bounce to its senders all queued mail", "bounced"},
    {"delete", "delete all queued mail", "deleted"},
};

static size_t act_of(const struct cli_args *args)
{
    size_t i = 0;
    while (strcmp(acts[i].name, args->command->name) != 0)
        i++;
    return i;
}

static bool confirmed(const struct cli_args *args)
{
    if (cli_value(args, "yes") != NULL || isatty(STDIN_FILENO) != 1)
        return true;
    fprintf(stderr, "%s with", acts[act_of(args)].question);
    for (size_t i = 0; i < SELECTOR_COUNT; i++)
        if (cli_value(args, selectors[i]) != NULL)
            fprintf(stderr, " %s %s", selectors[i], cli_value(args, selectors[i]));
    fputs("? [y/N] ", stderr);
    char line[16];
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static void show_line(const char *line, const char *done)
{
    long long matched = 0, touched = 0;
    bool running = strstr(line, "\"running\":true") != NULL;
    rows_member_number(line, "matched", &matched);
    rows_member_number(line, "done", &touched);
    char *node = rows_member_text(line, "node");
    if (node != NULL)
        printf("%-12s %lld of %lld%s\n", node, touched, matched, running ? ", and is still at it" : "");
    else
        printf("%lld deliver%s %s%s\n", touched, touched == 1 ? "y" : "ies", done,
            running             ? "; more follow"
            : touched < matched ? "; the others were being sent just then"
                                : "");
    free(node);
}

static void show_acts(struct buffer *lines, const char *name, const char *done)
{
    struct table none;
    char missing[200] = "";
    char *text = (char *)buffer_text(lines), *rest = NULL;
    if (rows_read(text, buffer_len(lines), NULL, &none, missing, NULL) == 0)
        table_free(&none);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (strstr(line, "\"incomplete\"") == NULL)
            show_line(line, done);
    if (missing[0] != '\0')
        fprintf(stderr, "todoku %s: not all could be asked; say it again when they are back: %s\n", name,
            missing);
}

int cli_act(int argc, char **argv)
{
    struct cli_args args;
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    if (args.rest_count > 0)
        return cli_wrong(args.command, "`%s` is too much", args.rest[0]);
    if (given(&args) == 0)
        return say_nothing_named(&args);
    if (!confirmed(&args)) {
        fputs("nothing was done\n", stderr);
        return 1;
    }
    struct buffer json = {0}, answer = {0};
    struct error error = {0};
    struct client client = client_of(&args);
    char path[40];
    size_t act = act_of(&args);
    begin_body(&args, &json);
    add_text(&args, "reason", &json);
    json_end(&json, '}');
    snprintf(path, sizeof path, "/v1/%s", acts[act].name);
    int rc = client_command(&client, "POST", path, buffer_text(&json), &answer, &error);
    code = tell(&args, rc, &answer, &error);
    if (code == 0 && cli_value(&args, "json") == NULL)
        show_acts(&answer, acts[act].name, acts[act].done);
    buffer_free(&json);
    buffer_free(&answer);
    return code;
}
