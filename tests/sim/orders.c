/* orders - see orders.h */
#include "tests/sim/orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/hold.h"
#include "node/node.h"
#include "tests/sim/layout.h"

enum { MOST_PAUSES = 12, TEXT = 48, INTERVALS = 8 };

struct pause {
    bool on;
    char texts[HOLD_NAMES][TEXT];
    struct hold_match match;
    usec_t until; /* by everybody's clock; 0 = until it is lifted */
    /* By node: when this process heard of it; 0 = it has not, or has heard that it is lifted. */
    usec_t heard[SIM_NODES];
};

/* What a process started of the campaign that trickles; messages may be seen a little out of their order. */
struct released {
    uint64_t life;
    usec_t interval;
    unsigned count;
};

struct orders {
    struct pause pauses[MOST_PAUSES];
    struct released released[SIM_NODES][INTERVALS];
    /* Of a release, by the view that a node goes by; and the largest of the last while. */
    struct {
        uint32_t now, lately;
        usec_t changed;
    } shares[SIM_NODES];
};

static struct orders *orders_of(struct sim *sim)
{
    if (sim->orders == NULL)
        sim->orders = xcalloc(1, sizeof *sim->orders);
    return sim->orders;
}

void orders_free(struct sim *sim)
{
    free(sim->orders);
    sim->orders = NULL;
}

/* ---- what it is about ---- */

static void set_text(
    struct hold_match *match, char texts[HOLD_NAMES][TEXT], const char *name, const char *text)
{
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (strcmp(hold_name(i), name) == 0) {
            snprintf(texts[i], TEXT, "%s", text);
            hold_match_set(match, i, texts[i]);
        }
}

static void draw_source(struct sim *sim, char out[TEXT])
{
    const struct settings *settings = sim->members[sim_draw(sim, (uint64_t)sim->nodes)].settings;
    snprintf(out, TEXT, "%s", settings->node.sources[sim_draw(sim, settings->node.source_count)].address);
}

/* One thing or two. */
static void draw_match(
    struct sim *sim, struct hold_match *match, char texts[HOLD_NAMES][TEXT], bool with_source)
{
    static const char *const pools[] = {"shared", "fast", "bulk"}, *const providers[] = {
                                                                       "alpha", "beta", "gamma"};
    char text[TEXT];
    *match = (struct hold_match){0};
    for (int i = sim_chance(sim, 400) ? 2 : 1; i > 0; i--)
        switch (sim_draw(sim, with_source ? 6 : 5)) {
        case 0:
            set_text(match, texts, "tenant", sim_chance(sim, 500) ? "acme" : "zen");
            break;
        case 1:
            snprintf(text, sizeof text, "k%d", (int)sim_draw(sim, 3));
            set_text(match, texts, "campaign", text);
            break;
        case 2:
            set_text(match, texts, "pool", pools[sim_draw(sim, 3)]);
            break;
        case 3:
            set_text(match, texts, "provider", providers[sim_draw(sim, 3)]);
            break;
        case 4:
            set_text(match, texts, "domain", sim->layout->domains[sim_draw(sim, LAYOUT_DOMAINS)].name);
            break;
        default:
            draw_source(sim, text);
            set_text(match, texts, "source", text);
        }
}

static bool fits(const char *wanted, const char *is)
{
    return wanted == NULL || (is != NULL && strcmp(wanted, is) == 0);
}

/* `provider`, `source`: null = not known, which fits nothing that names one. */
static bool match_fits(
    const struct hold_match *match, const struct truth *truth, const char *provider, const char *source)
{
    const struct mail *mail = truth->message->mail;
    return fits(match->tenant, mail->tenant) && fits(match->campaign, mail->campaign) &&
           fits(match->pool, mail->pool) && fits(match->provider, provider) && fits(match->source, source) &&
           fits(match->domain, mail_domain(mail->recipients[truth->index]));
}

static const char *describe(const struct hold_match *match, char out[200])
{
    int used = 0;
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (hold_match_get(match, i) != NULL)
            used += snprintf(out + used, 200 - (size_t)used, "%s%s=%s", used == 0 ? "" : "&", hold_name(i),
                hold_match_get(match, i));
    return out;
}

/* ---- pauses ---- */

static void tell_node(struct member *member)
{
    struct sim *sim = member->sim;
    struct holds *holds = holds_new();
    for (int i = 0; i < MOST_PAUSES; i++) {
        struct pause *pause = &orders_of(sim)->pauses[i];
        struct hold hold = {
            .match = pause->match, .since = sim->now, .until = pause->until, .reason = "", .by = ""};
        if (!pause->on) {
            pause->heard[member->index] = 0;
            continue;
        }
        snprintf(hold.id, sizeof hold.id, "%x", (unsigned)i);
        if (holds_add(holds, &hold, NULL) == 0 && pause->heard[member->index] == 0)
            pause->heard[member->index] = sim->now;
    }
    trace_member(member, "pauses", "%zu", holds_count(holds));
    node_set_holds(member->node, holds, member_now(member));
    holds_drop(&holds);
    member_settle_tick(member);
}

static void hears(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    tell_node(event->member);
}

static void tell_all(struct sim *sim)
{
    for (int i = 0; i < sim->nodes; i++) {
        struct member *member = &sim->members[i];
        if (member->up)
            sim_after(sim, sim_between(sim, 0, 2 * USEC_SEC), hears, member)->life = member->life;
    }
}

/* Another process: it has not heard of anything yet, and without a view a release is all its own. */
void orders_node_serves(struct member *member)
{
    for (int i = 0; i < MOST_PAUSES; i++)
        orders_of(member->sim)->pauses[i].heard[member->index] = 0;
    orders_of(member->sim)->shares[member->index].now = SIM_RELEASE_COUNT;
    tell_node(member);
}

static void lift(struct sim *sim, struct sim_event *event)
{
    struct pause *pause = &orders_of(sim)->pauses[event->number];
    char text[200];
    if (!pause->on)
        return;
    trace_line(sim, "operator", "lifts", "%s", describe(&pause->match, text));
    pause->on = false;
    tell_all(sim);
}

void orders_pause(struct sim *sim)
{
    char text[200];
    uint64_t at = 0;
    while (at < MOST_PAUSES && orders_of(sim)->pauses[at].on)
        at++;
    if (at == MOST_PAUSES)
        return;
    struct pause *pause = &orders_of(sim)->pauses[at];
    usec_t time = sim_chance(sim, 700) ? sim_between(sim, 100 * USEC_MS, 10 * USEC_SEC)
                                       : sim_between(sim, 10 * USEC_SEC, 3 * USEC_MIN);
    memset(pause, 0, sizeof *pause);
    pause->on = true;
    draw_match(sim, &pause->match, pause->texts, true);
    pause->until = sim_chance(sim, 400) ? sim->now + sim_between(sim, 0, 2 * time) : 0;
    trace_line(
        sim, "operator", "pauses", "%s for %lld ms", describe(&pause->match, text), (long long)time / 1000);
    sim_after(sim, time, lift, NULL)->number = at;
    tell_all(sim);
}

void orders_end(struct sim *sim)
{
    for (int i = 0; i < MOST_PAUSES; i++)
        orders_of(sim)->pauses[i].on = false;
    tell_all(sim);
}

static void check_pauses(struct sim *sim, const struct wire *wire, const struct truth *truth)
{
    const struct member *member = wire->member;
    const char *provider = sim_limits(member->settings, wire->provider)->name;
    const char *source = member->settings->node.sources[wire->source].address;
    char text[200];
    for (int i = 0; i < MOST_PAUSES; i++) {
        const struct pause *pause = &orders_of(sim)->pauses[i];
        usec_t heard = pause->heard[member->index];
        if (heard == 0 || wire->mail_since <= heard || !match_fits(&pause->match, truth, provider, source) ||
            (pause->until != 0 && member_clock(member, wire->mail_since) >= pause->until))
            continue;
        sim_fail(sim, "pause: %s starts m%u.%u %lld us after it has heard that %s is paused", member->name,
            truth->message->number, truth->index, (long long)(wire->mail_since - heard),
            describe(&pause->match, text));
    }
}

/* ---- acts ---- */

/* What is held here and has no session cannot start any more; the node's own memory says which that is, since the
 * ledger does not know what is about to be moved. */
static void doom(struct member *member, const struct hold_match *match)
{
    struct sim *sim = member->sim;
    size_t at = 0;
    uint32_t index = 0;
    if (match->provider != NULL) /* what DNS has said by now is the node's affair */
        return;
    for (struct truth *truth; (truth = ledger_next(sim->ledger, &at, &index)) != NULL;) {
        const struct held *held = custody_find(node_custody(member->node), &truth->message->id);
        for (uint32_t i = 0; held != NULL && i < held->count; i++) {
            const struct delivery *delivery = held->deliveries[i];
            if (delivery->index == truth->index && delivery->state == CUSTODY_HELD && delivery->committed &&
                !node_gave(delivery) && match_fits(match, truth, NULL, NULL)) {
                truth->doomed_by = member;
                truth->doomed_life = member->life;
                truth->doomed_at = sim->now;
            }
        }
    }
}

void orders_act(struct sim *sim)
{
    static const char *const verbs[] = {"retry", "bounce", "delete"};
    struct hold_match match;
    char texts[HOLD_NAMES][TEXT], names[200], ask[260];
    uint64_t verb = sim_draw(sim, 3);
    draw_match(sim, &match, texts, false);
    snprintf(ask, sizeof ask, "%s?%s&reason=seed", verbs[verb], describe(&match, names));
    trace_line(sim, "operator", "orders", "%s", ask);
    for (int i = 0; i < sim->nodes; i++) {
        struct member *member = &sim->members[i];
        if (!member->up || sim->now < member->frozen_until || member->stopping)
            continue;
        struct bus_msg *msg = bus_msg_new(BUS_ASK, "operator", member->name);
        bus_msg_set_text(msg, ask, strlen(ask));
        if (verb != 0 && !node_waits(member->node)) /* for its mirror: then it hears nothing of it */
            doom(member, &match);
        node_bus(member->node, msg, member_now(member));
        bus_msg_free(&msg);
        member_settle_tick(member);
    }
}

/* An act works on what is here: what has been handed on meanwhile lives on, and so does what a process that died had
 * not come to. */
static void check_acts(struct sim *sim, const struct wire *wire, struct truth *truth)
{
    const struct member *member = truth->doomed_by;
    if (member == NULL)
        return;
    if (member->life != truth->doomed_life || wire->member != member ||
        wire->mail_since <= truth->doomed_at || truth_on(truth, member->disk)->state == CUSTODY_LEAVING)
        truth->doomed_by = NULL;
    else
        sim_fail(sim, "act: %s starts m%u.%u %lld us after an operator ended it", member->name,
            truth->message->number, truth->index, (long long)(wire->mail_since - truth->doomed_at));
}

/* ---- schedules ---- */

void orders_node_learns(struct member *member, const struct view *view)
{
    struct sim *sim = member->sim;
    struct orders *orders = orders_of(sim);
    uint32_t nodes = 0, before = 0, share;
    for (size_t i = 0; i < view->node_count; i++) {
        bool self = strcmp(view->nodes[i].id, member->name) == 0;
        nodes += self || !view->nodes[i].down;
        before += !view->nodes[i].down && strcmp(view->nodes[i].id, member->name) < 0;
    }
    share = nodes == 0 ? SIM_RELEASE_COUNT
                       : SIM_RELEASE_COUNT / nodes + (before < SIM_RELEASE_COUNT % nodes ? 1 : 0);
    bool recently = sim->now - orders->shares[member->index].changed < USEC_MIN;
    uint32_t former = orders->shares[member->index].now, lately = orders->shares[member->index].lately;
    orders->shares[member->index].lately = recently && lately > former ? lately : former;
    orders->shares[member->index].now = share;
    orders->shares[member->index].changed = sim->now;
}

static uint32_t share_of(const struct member *member)
{
    struct orders *orders = orders_of(member->sim);
    uint32_t now = orders->shares[member->index].now, lately = orders->shares[member->index].lately;
    bool recently = member->sim->now - orders->shares[member->index].changed < USEC_MIN;
    return recently && lately > now ? lately : now;
}

static void check_schedules(struct sim *sim, const struct wire *wire, const struct truth *truth)
{
    const struct member *member = wire->member;
    const struct mail *mail = truth->message->mail;
    usec_t start = member_clock(member, wire->mail_since);
    if (sim->profile != SIM_PROFILE_SCHEDULES)
        return;
    if (strcmp(mail->tenant, "zen") == 0 && start / USEC_MIN % SIM_QUARTER >= SIM_QUARTER_OPEN)
        sim_fail(sim, "window: %s starts m%u.%u in minute %lld of the hour by its clock", member->name,
            truth->message->number, truth->index, (long long)(start / USEC_MIN % 60));
    if (strcmp(mail->campaign, "k1") != 0)
        return;
    usec_t interval = start / (SIM_RELEASE_SECONDS * USEC_SEC);
    struct released *released = &orders_of(sim)->released[member->index][interval % INTERVALS];
    if (released->interval != interval || released->life != wire->life)
        *released = (struct released){.interval = interval, .life = wire->life};
    if (++released->count > share_of(member))
        sim_fail(sim, "release: %s starts m%u.%u, number %u in one interval; its share is %u", member->name,
            truth->message->number, truth->index, released->count, share_of(member));
}

void orders_attempt(struct sim *sim, const struct wire *wire, struct truth *truth)
{
    if (!wire->node_open)
        return;
    check_pauses(sim, wire, truth);
    check_acts(sim, wire, truth);
    check_schedules(sim, wire, truth);
}
