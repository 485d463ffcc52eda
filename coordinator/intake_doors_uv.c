/* intake_doors_uv - the addresses that SMTP clients connect to, and which loop serves whom
 *
 * The coordinator's own loop has the listeners and counts the sessions. With coordinator.loops at 1 it serves them too;
 * else it gives each to the work loop that has the fewest. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "coordinator/coordinator_state_uv.h"

static struct intake *fewest(const struct coordinator *c)
{
    struct intake *best = &c->intakes[0];
    for (size_t i = 1; i < c->intake_count; i++)
        if (c->intakes[i].given < best->given)
            best = &c->intakes[i];
    return best;
}

static bool on_accepted(void *context, struct stream *stream, const char *peer,
    const struct sockaddr *address, const struct stream_calls **calls_r, void **context_r,
    const char **refusal_r)
{
    struct door *door = context;
    struct coordinator *c = door->coordinator;
    struct intake *intake = fewest(c);
    *refusal_r = "421 4.3.2 too many connections; try again later\r\n";
    if (c->session_count >= c->settings->coordinator.max_sessions)
        return false;
    uint64_t seed = random_next(&c->random);
    if (intake->work == NULL) {
        c->session_count++;
        return intake_take(intake, door->index, seed, stream, peer, address, calls_r, context_r);
    }
    if (!intake_far_give(intake, door->index, seed, stream))
        return false;
    c->session_count++;
    intake->given++;
    *refusal_r = NULL; /* it goes on elsewhere */
    return false;
}

static struct tls_context *make_context(
    const struct intake *intake, size_t door, const struct setting_listener *setting, struct error *error)
{
    struct tls_context *context = tls_context_server(setting->tls_cert, setting->tls_key, error);
    if (context != NULL)
        tls_context_share_tickets(context, intake->coordinator->tickets[door].bytes);
    return context;
}

static int open_offers(struct intake *intake, struct error *error)
{
    const struct settings *settings = intake->settings;
    intake->offer_count = settings->coordinator.smtp_count;
    intake->offers = xcalloc(intake->offer_count, sizeof *intake->offers);
    for (size_t i = 0; i < intake->offer_count; i++) {
        const struct setting_listener *setting = &settings->coordinator.smtp[i];
        struct offer *offer = &intake->offers[i];
        offer->listen = xstrdup(setting->listen);
        offer->auth_required = setting->auth_required;
        if (setting->tls_cert == NULL)
            continue;
        offer->tls = make_context(intake, i, setting, error);
        if (offer->tls == NULL)
            return -1;
    }
    return 0;
}

static int open_intakes(struct coordinator *c, struct error *error)
{
    unsigned loops = c->settings->coordinator.loops;
    if (loops == 0)
        loops = work_loops_by_machine();
    c->intake_count = loops == 1 ? 1 : loops - 1;
    c->intakes = xcalloc(c->intake_count, sizeof *c->intakes);
    c->tickets = xcalloc(c->settings->coordinator.smtp_count, sizeof *c->tickets);
    random_secret(c->tickets, c->settings->coordinator.smtp_count * sizeof *c->tickets);
    if (loops > 1)
        c->inbox = inbox_open(&c->loop);
    for (size_t i = 0; i < c->intake_count; i++) {
        struct intake *intake = &c->intakes[i];
        intake->coordinator = c;
        intake->number = i;
        intake->settings = c->settings;
        list_init(&intake->sessions);
    }
    for (size_t i = 0; i < c->intake_count; i++)
        if (open_offers(&c->intakes[i], error) != 0 ||
            (loops > 1 && intake_far_open(&c->intakes[i], error) != 0))
            return -1;
    return 0;
}

static int open_door(
    struct coordinator *c, struct door *door, const struct setting_listener *setting, struct error *error)
{
    static const struct listener_calls calls = {.accepted = on_accepted};
    door->coordinator = c;
    door->index = (size_t)(door - c->doors);
    door->listener = listener_start(&c->loop, setting->listen, &calls, door, error);
    return door->listener == NULL ? -1 : 0;
}

int intake_open(struct coordinator *c, struct error *error)
{
    if (open_intakes(c, error) != 0)
        return error_prefix(error, "coordinator.smtp");
    c->door_count = c->settings->coordinator.smtp_count;
    c->doors = xcalloc(c->door_count, sizeof *c->doors);
    for (size_t i = 0; i < c->door_count; i++)
        if (open_door(c, &c->doors[i], &c->settings->coordinator.smtp[i], error) != 0)
            return error_prefix(error, "coordinator.smtp");
    return 0;
}

/* Sessions hold the context that they were offered. */
static void reload_offer(struct intake *intake, size_t door, const struct setting_listener *setting)
{
    struct offer *offer = &intake->offers[door];
    struct error why;
    bool tells = intake->number == 0; /* the others find the same */
    if (strcmp(setting->listen, offer->listen) != 0) {
        if (tells)
            log_warn(offer->listen, "this address was changed in the configuration: that needs a restart");
        return;
    }
    offer->auth_required = setting->auth_required;
    struct tls_context *fresh = setting->tls_cert == NULL ? NULL : make_context(intake, door, setting, &why);
    if (setting->tls_cert != NULL && fresh == NULL) {
        if (tells)
            log_error(setting->listen, "%s; the certificate stays as it was", why.text);
        return;
    }
    tls_context_free(&offer->tls);
    offer->tls = fresh;
}

void intake_take_settings(struct intake *intake, const struct settings *settings)
{
    intake->settings = settings;
    if (settings->coordinator.smtp_count != intake->offer_count) {
        if (intake->number == 0)
            log_warn("coordinator.smtp", "addresses were added or taken away: that needs a restart");
        return;
    }
    for (size_t i = 0; i < intake->offer_count; i++)
        reload_offer(intake, i, &settings->coordinator.smtp[i]);
}

void intake_reload(struct coordinator *c)
{
    for (size_t i = 0; i < c->intake_count; i++)
        if (c->intakes[i].work == NULL)
            intake_take_settings(&c->intakes[i], c->settings);
        else
            intake_far_reload(&c->intakes[i], c->settings);
}

void intake_stop(struct coordinator *c, usec_t now)
{
    for (size_t i = 0; i < c->door_count; i++)
        if (c->doors[i].listener != NULL)
            listener_stop(&c->doors[i].listener);
    for (size_t i = 0; i < c->intake_count; i++)
        if (c->intakes[i].work != NULL)
            intake_far_stop(&c->intakes[i]);
        else if (c->inbox == NULL)
            intake_say_stop(&c->intakes[i], now);
}

void intake_end_all(struct coordinator *c)
{
    for (size_t i = 0; i < c->intake_count; i++)
        if (c->intakes[i].work != NULL)
            intake_far_end(&c->intakes[i]);
        else if (c->inbox == NULL)
            intake_end_sessions(&c->intakes[i]);
}

void intake_join(struct coordinator *c)
{
    intake_far_flush(c);
    for (size_t i = 0; i < c->intake_count; i++)
        work_loop_stop(&c->intakes[i].work);
    c->alone = true;
    if (c->inbox != NULL)
        inbox_run(c->inbox);
}

void intake_close(struct coordinator *c)
{
    for (size_t i = 0; i < c->intake_count; i++) {
        struct intake *intake = &c->intakes[i];
        for (size_t j = 0; j < intake->offer_count; j++) {
            free(intake->offers[j].listen);
            tls_context_free(&intake->offers[j].tls);
        }
        free(intake->offers);
        heap_free(&intake->timers);
    }
    free(c->intakes);
    free(c->tickets);
    free(c->doors);
}
