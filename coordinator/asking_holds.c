/* asking_holds - operators' pauses and commands: what touched how much, and pauses that may be forgotten
 * (asking_inside.h) */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "coordinator/asking_inside.h"

#define OLD USEC_DAY
#define MAX_ALERTS 100

void asking_set_holds(struct asking *asking, struct holds *holds)
{
    holds_hold(holds);
    holds_drop(&asking->holds);
    asking->holds = holds;
}

/* Each node's line {"node","matched","done","running" (it is still at it)}, then all of them in one. */
void merge_touched(struct question *question, struct buffer *out)
{
    int64_t matched = 0, done = 0;
    bool running = false;
    for (size_t i = 0; i < question->count; i++) {
        const struct reply *reply = &question->replies[i];
        const char *at = reply->text, *line;
        size_t len;
        while (reply_counts(reply) && row_next(&at, reply->text + reply->len, &line, &len)) {
            matched += row_number(line, len, "matched");
            done += row_number(line, len, "done");
            running = running || row_is(line, len, "running", "true");
            buffer_add(out, line, len);
            buffer_add(out, "\n", 1);
        }
    }
    json_begin(out, '{');
    json_bool(out, "total", true);
    json_number(out, "matched", matched);
    json_number(out, "done", done);
    if (running)
        json_bool(out, "running", true);
    json_end(out, '}');
    buffer_add(out, "\n", 1);
}

/* "tenant acme, domain example.net" */
static void name_hold(const struct hold_match *match, struct buffer *out)
{
    bool first = true;
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *text = hold_match_get(match, i);
        if (text == NULL)
            continue;
        buffer_printf(out, "%s%s %s", first ? "" : ", ", hold_name(i), text);
        first = false;
    }
}

static void alert_of_hold(const struct hold *hold, struct buffer *out)
{
    struct buffer detail = {0};
    char text[100];
    buffer_add_text(&detail, "mail is on hold for more than a day: ");
    name_hold(&hold->match, &detail);
    buffer_printf(&detail, " (by %s%s%s)", hold->by, hold->reason[0] == '\0' ? "" : ": ", hold->reason);
    json_begin(out, '{');
    json_text(out, "alert", "pause");
    json_text(out, "severity", "warning");
    json_text(out, "hold", hold->id);
    json_text(out, "since", clock_rfc3339(hold->since, text));
    if (hold->until != 0)
        json_text(out, "until", clock_rfc3339(hold->until, text));
    json_text(out, "detail", buffer_text(&detail));
    snprintf(text, sizeof text, "`todoku resume %s`, if it was forgotten", hold->id);
    json_text(out, "do", text);
    json_end(out, '}');
    buffer_add(out, "\n", 1);
    buffer_free(&detail);
}

void alerts_of_holds(const struct question *question, struct buffer *out)
{
    const struct holds *holds = question->asking->holds;
    size_t told = 0;
    for (size_t i = 0; holds != NULL && i < holds_count(holds) && told < MAX_ALERTS; i++) {
        const struct hold *hold = holds_at(holds, i);
        if (question->asked - hold->since < OLD || (hold->until != 0 && hold->until <= question->asked))
            continue;
        alert_of_hold(hold, out);
        told++;
    }
}
