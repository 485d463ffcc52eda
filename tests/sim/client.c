/* client - those who hand mail in, and the coordinators they talk to
 *
 * A client submits a message of 1 to 8 recipients to one of the coordinators (struct route, the real core).
 * With an idempotency key it submits again, anywhere, when it got no answer or a 451: same id, same body.
 * Without one it gives up: nobody knows then whether the message was taken, and the ledger does not ask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "coordinator/route.h"
#include "tests/sim/agree.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/layout.h"
#include "tests/sim/ledger.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"

struct order {
    struct message *message;
    int coordinator; /* member's index while it waits for an answer there; -1 = nowhere */
    bool again;      /* will be submitted again */
    unsigned tries;
    bool other;           /* the same key with another body: must conflict */
    uint64_t place_epoch; /* since when placement was what it was at the first try; UINT64_MAX: not known */
    bool unsure;          /* an earlier submission of it may have been taken */
};

struct clients {
    struct order *orders;
    size_t count, size;
    size_t busy; /* orders that wait for an answer or for their next try */
};

static const char *const verdicts[] = {"TAKEN", "REPEATED", "CONFLICT", "LATER", "FULL", "REFUSED"};

static void submit(struct sim *sim, struct sim_event *event);

static void try_later(struct sim *sim, struct order *order, usec_t delay)
{
    order->again = true;
    sim_after(sim, delay, submit, NULL)->number = (uint64_t)(order - sim->clients->orders);
}

static void order_over(struct sim *sim, struct order *order)
{
    order->coordinator = -1;
    order->again = false;
    sim->clients->busy--;
    if (sim->scale != NULL)
        rate_answered(sim);
}

/* Is the spool that was asked first the one that would be asked now? */
static bool may_ask_again(const struct sim *sim, const struct order *order)
{
    return sim->options->keys || (sim->steady && order->place_epoch == agree_placement_epoch(sim));
}

/* No answer, or one that says nothing: with a key, ask again. */
static void unanswered(struct sim *sim, struct order *order)
{
    order->coordinator = -1;
    order->unsure = true;
    if (order->message->keyed && !order->other && order->tries < 40 && may_ask_again(sim, order))
        try_later(sim, order, sim_between(sim, 100 * USEC_MS, 20 * USEC_SEC));
    else
        order_over(sim, order);
}

static void order_again_otherwise(struct sim *sim, struct message *message, uint64_t place_epoch);

/* The key is known, the body is another one. */
static void heard_other(
    struct sim *sim, struct member *coordinator, struct order *order, enum front_verdict verdict)
{
    if (verdict != FRONT_CONFLICT && verdict != FRONT_LATER)
        sim_fail(sim, "client: %s says %s to another body under the key of m%u", coordinator->name,
            verdicts[verdict], order->message->number);
    order_over(sim, order);
}

static void heard(
    struct sim *sim, struct member *coordinator, struct order *order, enum front_verdict verdict)
{
    switch (verdict) {
    case FRONT_TAKEN:
    case FRONT_REPEATED:
        ledger_answered(sim->ledger, coordinator, order->message);
        if (sim->phase == PHASE_LOAD && sim_chance(sim, sim->weather.answer_lost)) {
            trace_line(sim, "client", "misses", "the answer about m%u", order->message->number);
            unanswered(sim, order);
        } else {
            struct message *message = order->message;
            uint64_t place_epoch = order->place_epoch;
            order_over(sim, order);
            if (sim->steady && message->keyed && sim->phase == PHASE_LOAD && sim_chance(sim, 200))
                order_again_otherwise(sim, message, place_epoch);
        }
        break;
    case FRONT_CONFLICT:
        sim_fail(
            sim, "client: %s says that m%u conflicts with itself", coordinator->name, order->message->number);
        break;
    case FRONT_LATER:
        unanswered(sim, order);
        break;
    case FRONT_FULL:
    case FRONT_REFUSED:
        if (!order->unsure)
            ledger_refused(sim->ledger, coordinator, order->message);
        order_over(sim, order);
        break;
    }
}

static void port_submitted(void *context, uint64_t token, const struct front_outcome *outcome)
{
    struct member *coordinator = context;
    struct sim *sim = coordinator->sim;
    struct order *order = &sim->clients->orders[token / 64];
    trace_member(coordinator, "answers", "m%u: %s (%s)", order->message->number, verdicts[outcome->verdict],
        outcome->text);
    if (order->coordinator != coordinator->index || order->tries != token % 64)
        sim_fail(
            sim, "client: %s answers m%u, which nobody asked", coordinator->name, order->message->number);
    if (order->other)
        heard_other(sim, coordinator, order, outcome->verdict);
    else
        heard(sim, coordinator, order, outcome->verdict);
}

static void port_send(void *context, struct bus_msg *msg)
{
    bus_model_send(context, msg);
}

void coordinator_serves(struct member *member)
{
    struct route_ports ports = {.context = member, .send = port_send, .submitted = port_submitted};
    member->route = route_new(member->name, &ports);
}

void coordinator_gone(struct member *member)
{
    struct sim *sim = member->sim;
    route_free(&member->route);
    for (size_t i = 0; i < sim->clients->count; i++)
        if (sim->clients->orders[i].coordinator == member->index)
            unanswered(sim, &sim->clients->orders[i]);
}

static struct member *draw_coordinator(struct sim *sim)
{
    size_t first = sim_draw(sim, SIM_COORDINATORS);
    for (size_t i = 0; i < SIM_COORDINATORS; i++) {
        struct member *member = &sim->members[(size_t)sim->nodes + (first + i) % SIM_COORDINATORS];
        if (member->up)
            return member;
    }
    return NULL;
}

/* The same mail, but for the digest: as if the body were another one. */
static struct mail *otherwise(const struct mail *mail)
{
    struct mail *other = mail_new();
    other->id = mail->id;
    other->keyed = mail->keyed;
    other->created = mail->created;
    other->expires = mail->expires;
    other->body_len = mail->body_len;
    memset(other->digest, 0xee, sizeof other->digest);
    mail_set(&other->tenant, mail->tenant);
    mail_set(&other->pool, mail->pool);
    mail_set(&other->from, mail->from);
    for (uint32_t i = 0; i < mail->recipient_count; i++)
        mail_add_recipient(other, mail->recipients[i]);
    return other;
}

static void submit(struct sim *sim, struct sim_event *event)
{
    struct order *order = &sim->clients->orders[event->number];
    struct member *coordinator = draw_coordinator(sim);
    if (coordinator == NULL) {
        try_later(sim, order, USEC_SEC);
        return;
    }
    bool knows = coordinator->view_epoch >= agree_placement_epoch(sim);
    if ((order->tries > 0 || order->other) && !sim->options->keys && (!knows || !may_ask_again(sim, order))) {
        order_over(sim, order);
        return;
    }
    if (order->tries == 0 && !order->other)
        order->place_epoch = knows ? agree_placement_epoch(sim) : UINT64_MAX;
    order->again = false;
    order->tries++;
    order->coordinator = coordinator->index;
    trace_line(sim, "client", "submits", "m%u to %s%s (%u recipients, %s, %s)", order->message->number,
        coordinator->name, order->tries > 1 ? " again" : "", order->message->mail->recipient_count,
        order->message->mail->pool, order->message->keyed ? "with a key" : "no key");
    struct mail *mail = order->other ? otherwise(order->message->mail) : mail_hold(order->message->mail);
    route_submit(coordinator->route, event->number * 64 + order->tries, mail, blob_hold(order->message->body),
        member_now(coordinator));
    member_settle_tick(coordinator);
}

/* Of one of a few mailings: behind the header it is the same for many. */
static void add_mailing(struct buffer *text, unsigned mailing)
{
    for (int line = 0; line < 40; line++)
        buffer_printf(text, "mailing %u, line %d: the same for everybody who gets it\r\n", mailing, line);
}

static struct blob *make_body(struct sim *sim, unsigned number)
{
    struct buffer text = {0};
    buffer_printf(&text, "From: s%u@sender.test\r\nSubject: m%u\r\n\r\n", number, number);
    if (number % 3 == 0)
        add_mailing(&text, number / 3 % 2);
    uint64_t lines = number % 3 == 0 ? 0 : sim_chance(sim, 40) ? 600 : sim_draw(sim, 20);
    for (uint64_t i = 0; i < lines; i++) {
        static const char *const line[] = {".", "..", ".leading dot", "", "a line like any other",
            "one that is longer, so that pieces of it travel in different packets: 0123456789 0123456789"};
        buffer_printf(&text, "%s\r\n", line[sim_draw(sim, 6)]);
    }
    if (number % 3 != 0)
        buffer_printf(&text, "the end of m%u\r\n", number);
    size_t len = 0;
    char *bytes = buffer_steal(&text, &len);
    return blob_take(bytes, len);
}

static void fill_recipients(struct sim *sim, struct mail *mail, unsigned number)
{
    uint64_t count = 1 + sim_draw(sim, sim_chance(sim, 500) ? 3 : 8);
    uint64_t domains = sim_chance(sim, 300) ? 1 : LAYOUT_DOMAINS, first = sim_draw(sim, LAYOUT_DOMAINS);
    for (uint64_t i = 0; i < count; i++) {
        char address[80];
        uint64_t domain = (first + sim_draw(sim, domains)) % LAYOUT_DOMAINS;
        snprintf(address, sizeof address, "m%u-%llu@%s", number, (unsigned long long)i,
            sim->layout->domains[domain].name);
        mail_add_recipient(mail, address);
    }
}

static struct mail *make_mail(struct sim *sim, unsigned number, const struct blob *body)
{
    static const char *const pools[] = {"shared", "shared", "fast", "bulk"};
    struct mail *mail = mail_new();
    char text[64];
    mail->id = id_make(sim->now, &sim->random);
    mail->keyed = sim_chance(sim, 400);
    mail->priority = (enum mail_priority)sim_draw(sim, 3);
    mail->created = sim->now;
    mail->send_at = sim_chance(sim, 50) ? sim->now + sim_between(sim, USEC_SEC, USEC_MIN) : 0;
    usec_t max_age = sim->members[0].settings->delivery.max_age;
    mail->expires = sim->now + (sim_chance(sim, 100) ? sim_between(sim, 5 * USEC_SEC, USEC_MIN) : max_age);
    mail->dsn = sim->members[0].settings->delivery.dsn;
    mail_set(&mail->pool, pools[sim_draw(sim, 4)]);
    mail_set(&mail->tenant, strcmp(mail->pool, "fast") == 0 || sim_chance(sim, 500) ? "acme" : "zen");
    if (strcmp(mail->pool, "bulk") == 0)
        mail_set(&mail->tenant, "zen");
    snprintf(text, sizeof text, "k%d", (int)sim_draw(sim, 3));
    mail_set(&mail->campaign, text);
    snprintf(text, sizeof text, "s%u@sender.test", number);
    mail_set(&mail->from, text);
    mail->body_len = body->len;
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t part = hash64(i, body->bytes, body->len);
        memcpy(mail->digest + 8 * i, &part, 8);
    }
    fill_recipients(sim, mail, number);
    return mail;
}

static struct order *add_order(struct sim *sim, struct message *message)
{
    struct clients *clients = sim->clients;
    if (clients->count == clients->size) {
        clients->size = clients->size == 0 ? 64 : 2 * clients->size;
        clients->orders = xrealloc(clients->orders, clients->size * sizeof *clients->orders);
    }
    struct order *order = &clients->orders[clients->count++];
    *order = (struct order){.message = message, .coordinator = -1};
    clients->busy++;
    return order;
}

static void order_again_otherwise(struct sim *sim, struct message *message, uint64_t place_epoch)
{
    struct order *order = add_order(sim, message);
    order->other = true;
    order->place_epoch = place_epoch;
    try_later(sim, order, sim_between(sim, USEC_MS, 5 * USEC_SEC));
}

static void tell_recipients(struct sim *sim, const struct message *message)
{
    char text[200] = "";
    for (uint32_t i = 0, used = 0; i < message->mail->recipient_count && used < sizeof text - 40; i++)
        used += (uint32_t)snprintf(
            text + used, sizeof text - used, " .%u %s", i, mail_domain(message->mail->recipients[i]));
    trace_line(sim, "client", "writes", "m%u:%s", message->number, text);
}

void clients_submit(struct sim *sim, struct mail *mail, struct blob *body)
{
    struct order *order = add_order(sim, ledger_add(sim->ledger, mail, body));
    tell_recipients(sim, order->message);
    try_later(sim, order, sim_between(sim, 0, 50 * USEC_MS));
}

static void new_order(struct sim *sim)
{
    unsigned number = ledger_messages(sim->ledger);
    struct blob *body = make_body(sim, number);
    struct mail *mail = make_mail(sim, number, body);
    clients_submit(sim, mail, body);
    mail_drop(&mail);
    blob_drop(&body);
}

/* Mail comes in bursts. */
static void next_burst(struct sim *sim, struct sim_event *event)
{
    (void)event;
    if (sim->phase != PHASE_LOAD)
        return;
    uint64_t count = sim_chance(sim, 100) ? 12 : 1 + sim_draw(sim, 4);
    for (uint64_t i = 0; i < count; i++)
        new_order(sim);
    sim_after(sim, sim_between(sim, 0, sim->slow ? 3 * USEC_MIN : 4 * USEC_SEC), next_burst, NULL);
}

void clients_start(struct sim *sim)
{
    sim->clients = xcalloc(1, sizeof *sim->clients);
    if (sim->fairness != NULL)
        fairness_begin(sim);
    else if (sim->scale != NULL)
        scale_begin(sim);
    else
        sim_after(sim, 10 * USEC_MS, next_burst, NULL);
}

void clients_free(struct sim *sim)
{
    if (sim->clients != NULL)
        free(sim->clients->orders);
    free(sim->clients);
    sim->clients = NULL;
}

bool clients_waiting(const struct sim *sim)
{
    return sim->clients->busy > 0;
}

uint64_t clients_submitted(const struct sim *sim)
{
    return sim->clients->count;
}
