/* smtp_client_events - what waits to be told to the owner
 *
 * Occurrences in order, each small; the texts of their replies stand in one buffer behind them, once for all
 * recipients that got the same one. When all is told both begin anew, so a session in its stride allocates
 * nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/smtp_client_state.h"

/* Above this the memory is given back when all is told. */
#define TEXTS_KEPT 16384
#define EVENTS_KEPT 256

struct told client_tell(struct smtp_client *client, const struct reply *reply)
{
    struct told told = {.code = reply->code, .text = buffer_len(&client->events.texts)};
    memcpy(told.enhanced, reply->enhanced, sizeof told.enhanced);
    buffer_add(&client->events.texts, reply->text, strlen(reply->text) + 1);
    return told;
}

static struct occurrence *add(struct client_events *events, enum smtp_client_event event)
{
    if (events->first + events->count == events->room) {
        events->room = events->room == 0 ? 8 : events->room * 2;
        events->list = xrealloc(events->list, events->room * sizeof *events->list);
    }
    struct occurrence *o = &events->list[events->first + events->count++];
    *o = (struct occurrence){.event = event};
    return o;
}

void client_happened(struct smtp_client *client, enum smtp_client_event event)
{
    add(&client->events, event);
}

void client_result(struct smtp_client *client, size_t recipient, enum smtp_stage stage,
    const struct told *told, bool later_now)
{
    struct occurrence *o = add(&client->events, SMTP_CLIENT_RESULT);
    o->recipient = recipient;
    o->stage = stage;
    o->told = *told;
    o->later_now = later_now;
}

void client_closed(struct smtp_client *client, enum smtp_stage stage, const struct told *told)
{
    struct occurrence *o = add(&client->events, SMTP_CLIENT_CLOSED);
    o->stage = stage;
    o->told = *told;
}

void client_unhappen(struct smtp_client *client, enum smtp_client_event event)
{
    struct client_events *events = &client->events;
    if (events->count > 0 && events->list[events->first + events->count - 1].event == event)
        events->count--;
}

static void begin_anew(struct client_events *events)
{
    events->first = 0;
    buffer_clear(&events->texts);
    if (events->texts.size > TEXTS_KEPT)
        buffer_free(&events->texts);
    if (events->room > EVENTS_KEPT) {
        free(events->list);
        events->list = NULL;
        events->room = 0;
    }
}

enum smtp_client_event smtp_client_next(struct smtp_client *client, struct smtp_client_report *report_r)
{
    struct client_events *events = &client->events;
    report_r->event = SMTP_CLIENT_NOTHING;
    report_r->reply.code = 0;
    report_r->reply.enhanced[0] = report_r->reply.text[0] = '\0';
    if (events->count == 0)
        return SMTP_CLIENT_NOTHING;

    const struct occurrence *o = &events->list[events->first++];
    report_r->event = o->event;
    report_r->recipient = o->recipient;
    report_r->stage = o->stage;
    report_r->later_now = o->later_now;
    if (o->event == SMTP_CLIENT_RESULT || o->event == SMTP_CLIENT_CLOSED) {
        const char *text = buffer_bytes(&events->texts) + o->told.text;
        report_r->reply.code = o->told.code;
        memcpy(report_r->reply.enhanced, o->told.enhanced, sizeof report_r->reply.enhanced);
        memcpy(report_r->reply.text, text, strlen(text) + 1);
    }
    if (--events->count == 0)
        begin_anew(events);
    return report_r->event;
}

void client_events_free(struct client_events *events)
{
    free(events->list);
    buffer_free(&events->texts);
}
