/* drain - `todoku drain|undrain NODE`: a node is to become empty, or gets new mail again
 *
 *     todoku drain n3 --wait             asks once a second until nothing is left; one line tells how far it is
 *     todoku drain n3 --wait --timeout 10m --json        the line on stderr if that is a terminal, one object at the end
 *     todoku undrain n3
 * The drain is the cluster's affair: it goes on whether somebody waits or not, and whoever waits again sees it. What
 * drain_watch.h makes of each look is shown here. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json_out.h"
#include "base/units.h"
#include "cli/client_curl.h"
#include "cli/drain_watch.h"
#include "cli/options.h"
#include "cli/rows_json.h"

#define NDJSON "application/x-ndjson"
#define LOOK_AGAIN 1               /* seconds */
#define LINE_AGAIN (30 * USEC_SEC) /* where no line can be written over */
#define SERVER                                                                                               \
    {0, "api", "URL", "where the API is ($TODOKU_API, else http://127.0.0.1:8025)"},                         \
    {                                                                                                        \
        'k', "key", "KEY", "the API key ($TODOKU_KEY), an administrator's"                                   \
    }

const struct cli_option cli_drain_options[] = {
    {'w', "wait", NULL, "until it is empty, with what is left and how long that will take"},
    {0, "timeout", "DURATION",
        "with --wait: give up waiting after this (exit 1): 10m, 2h; the drain goes on"},
    {'j', "json", NULL, "the server's answer as it is; with --wait one object at the end"},
    SERVER,
};
const size_t cli_drain_option_count = sizeof cli_drain_options / sizeof *cli_drain_options;
const struct cli_option cli_undrain_options[] = {{'j', "json", NULL, "the server's answer as it is"}, SERVER};
const size_t cli_undrain_option_count = sizeof cli_undrain_options / sizeof *cli_undrain_options;

struct job {
    struct client client;
    const char *node;
    bool json, terminal;
    usec_t timeout; /* 0 = none */
    usec_t began, told_at;
    struct drain_watch watch;
    struct drain_sight sight;
    struct buffer why; /* the last that was told, a line each */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* Sleeps and requests end; the second Ctrl-C ends the process. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- telling ---- */

/* What was written over must not stay behind it. */
static void clear_line(const struct job *job)
{
    if (job->terminal)
        fputs("\r\033[K", stderr);
}

static void show_line(struct job *job, usec_t now)
{
    struct buffer line = {0};
    if (!job->terminal && (job->json || (job->told_at != 0 && now - job->told_at < LINE_AGAIN)))
        return;
    job->told_at = now;
    drain_line(&line, job->node, &job->sight);
    clear_line(job);
    fputs(buffer_text(&line), stderr);
    if (!job->terminal)
        fputc('\n', stderr);
    fflush(stderr);
    buffer_free(&line);
}

/* Reasons that were not told before. */
static void show_why(struct job *job, struct buffer *why)
{
    bool same = strcmp(buffer_text(why), buffer_text(&job->why)) == 0;
    buffer_clear(&job->why);
    buffer_add(&job->why, buffer_bytes(why), buffer_len(why));
    if (same || job->json)
        return;
    clear_line(job);
    char *text = (char *)buffer_text(why), *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        fprintf(stderr, "  %s\n", line);
}

static void ask_why(struct job *job)
{
    struct buffer path = {0}, answer = {0}, why = {0};
    struct error error = {0};
    buffer_printf(&path, "/v1/nodes/%s/drain", job->node);
    if (client_get(&job->client, buffer_text(&path), NDJSON, &answer, &error) == 0)
        rows_member_list(buffer_text(&answer), "why", "\n", &why);
    else
        buffer_printf(&why, "%s\n", error.text);
    show_why(job, &why);
    buffer_free(&path);
    buffer_free(&answer);
    buffer_free(&why);
}

static void add_why(struct buffer *out, struct buffer *why)
{
    char *text = (char *)buffer_text(why), *rest = NULL;
    json_begin_named(out, "why", '[');
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        json_text(out, NULL, line);
    json_end(out, ']');
}

static void show_object(struct job *job, bool empty, usec_t now)
{
    struct buffer out = {0};
    json_begin(&out, '{');
    json_text(&out, "node", job->node);
    json_text(&out, "state", job->sight.state);
    json_bool(&out, "empty", empty);
    if (job->sight.queued >= 0)
        json_number(&out, "queued", job->sight.queued);
    if (!empty && job->sight.queued > 0)
        json_fraction(&out, "drain_per_second", job->sight.rate);
    if (!empty && job->sight.left_ms >= 0)
        json_number(&out, "empty_in_ms", job->sight.left_ms);
    json_number(&out, "waited_ms", (now - job->began) / USEC_MS);
    add_why(&out, &job->why);
    json_end(&out, '}');
    puts(buffer_text(&out));
    buffer_free(&out);
}

static int end_empty(struct job *job, usec_t now)
{
    struct buffer time = {0};
    buffer_clear(&job->why);
    clear_line(job);
    if (job->json) {
        show_object(job, true, now);
        return 0;
    }
    drain_duration(&time, (now - job->began) / USEC_MS);
    printf("%s is empty, after %s; to take it out: todoku members remove %s\n", job->node, buffer_text(&time),
        job->node);
    buffer_free(&time);
    return 0;
}

/* Not empty; `why` says what ended the waiting. */
static int end_early(struct job *job, const char *why, usec_t now)
{
    if (!interrupted)
        ask_why(job);
    clear_line(job);
    fprintf(stderr, "todoku drain: %s\n", why);
    if (job->json)
        show_object(job, false, now);
    return 1;
}

static int end_waiting(struct job *job, const char *what, usec_t now)
{
    char why[300];
    if (job->sight.queued >= 0)
        snprintf(why, sizeof why,
            "%s with %lld queued; the drain of %s goes on: `todoku nodes` shows it, `todoku undrain %s` ends "
            "it",
            what, job->sight.queued, job->node, job->node);
    else
        snprintf(why, sizeof why,
            "%s; the drain of %s goes on: `todoku nodes` shows it, `todoku undrain %s` ends it", what,
            job->node, job->node);
    return end_early(job, why, now);
}

/* ---- waiting ---- */

static void look(struct job *job)
{
    struct buffer path = {0}, answer = {0};
    struct error error = {0};
    buffer_printf(&path, "/v1/nodes?node=%s", job->node);
    job->sight = (struct drain_sight){.queued = -1, .left_ms = -1};
    if (client_get(&job->client, buffer_text(&path), NDJSON, &answer, &error) == 0) {
        char *end = strchr(buffer_text(&answer), '\n'); /* behind it: who could not be asked */
        if (end != NULL)
            *end = '\0';
        drain_sight_read(buffer_text(&answer), &job->sight);
    }
    buffer_free(&path);
    buffer_free(&answer);
}

static void pause_a_while(void)
{
    struct timespec wait = {.tv_sec = LOOK_AGAIN};
    if (!interrupted)
        nanosleep(&wait, NULL);
}

static int wait_until_empty(struct job *job)
{
    catch_signals();
    job->terminal = isatty(STDERR_FILENO) == 1;
    job->began = clock_now();
    drain_watch_begin(&job->watch, job->began);
    for (;;) {
        look(job);
        usec_t now = clock_now();
        enum drain_verdict verdict = drain_watch_look(&job->watch, &job->sight, now);
        if (verdict == DRAIN_EMPTY)
            return end_empty(job, now);
        if (verdict == DRAIN_TAKEN_BACK)
            return end_early(job, "somebody has taken the drain back; it gets new mail again", now);
        if (drain_watch_wants_why(&job->watch, now) && !interrupted)
            ask_why(job);
        show_line(job, now);
        if (job->timeout > 0 && now - job->began >= job->timeout)
            return end_waiting(job, "the time is over", now);
        pause_a_while();
        if (interrupted)
            return end_waiting(job, "nobody waits any more", clock_now());
    }
}

/* ---- the commands ---- */

/* New mail of these pools would find nobody. */
static void warn_alone(const char *answer)
{
    struct buffer pools = {0};
    if (rows_member_list(answer, "alone", " ", &pools) > 0)
        fprintf(stderr,
            "todoku drain: no other node takes mail of its pools: %s- new mail of them gets 451 while it is "
            "drained, "
            "and what it holds of them is sent from there\n",
            buffer_text(&pools));
    buffer_free(&pools);
}

static void show_begun(const struct job *job, const char *answer, bool drain)
{
    bool changed = strstr(answer, "\"changed\":true") != NULL, seen = strstr(answer, "\"seen\":true") != NULL;
    if (!drain)
        printf("%s %s\n", job->node, changed ? "gets new mail again" : "is not drained: nothing has changed");
    else
        printf("%s %s%s\n", job->node,
            changed ? "gets no new mail, and hands on what it holds" : "is drained already",
            seen ? "; `todoku nodes` shows how far it is" : "; it is not in the view yet");
}

/* 0, 1 = failed, -1 = it is in the view: there is something to wait for. */
static int command(struct job *job, bool drain, bool wait)
{
    struct buffer path = {0}, answer = {0};
    struct error error = {0};
    buffer_add_text(&path, "/v1/nodes/");
    client_escape(&path, job->node);
    buffer_add_text(&path, "/drain");
    int rc = client_command(
        &job->client, drain ? "POST" : "DELETE", buffer_text(&path), drain ? "{}" : NULL, &answer, &error);
    const char *text = buffer_text(&answer);
    int code = rc == 0 ? 0 : 1;
    if (rc != 0)
        fprintf(stderr, "todoku %s: %s\n", drain ? "drain" : "undrain", error.text);
    else if (!wait && job->json)
        fputs(text, stdout);
    else if (!wait)
        show_begun(job, text, drain);
    if (rc == 0 && drain)
        warn_alone(text);
    if (rc == 0 && wait && strstr(text, "\"seen\":true") == NULL) {
        fprintf(stderr, "todoku drain: %s is not in the view: nobody knows what it holds, if it ever ran\n",
            job->node);
        code = 1;
    } else if (rc == 0 && wait)
        code = -1;
    buffer_free(&path);
    buffer_free(&answer);
    return code;
}

int cli_drain(int argc, char **argv)
{
    struct cli_args args;
    struct error error = {0};
    struct job job = {0};
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    bool drain = strcmp(args.command->name, "drain") == 0, wait = drain && cli_value(&args, "wait") != NULL;
    const char *timeout = drain ? cli_value(&args, "timeout") : NULL;
    if (args.rest_count != 1)
        return args.rest_count == 0 ? cli_wrong(args.command, "NODE is missing")
                                    : cli_wrong(args.command, "`%s` is too much", args.rest[1]);
    if (timeout != NULL && (!wait || units_duration(timeout, &job.timeout, &error) != 0 || job.timeout == 0))
        return cli_wrong(args.command, "--timeout %s",
            !wait                   ? "goes with --wait"
            : error.text[0] != '\0' ? error.text
                                    : "must be longer than nothing");
    job.client = (struct client){cli_value(&args, "api"), cli_value(&args, "key")};
    job.node = args.rest[0];
    job.json = cli_value(&args, "json") != NULL;
    code = command(&job, drain, wait);
    if (code < 0)
        code = wait_until_empty(&job);
    buffer_free(&job.why);
    return code;
}
