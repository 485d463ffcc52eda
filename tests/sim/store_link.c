/* store_link - see store_link.h */
#include "tests/sim/store_link_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/agree.h"
#include "tests/sim/control.h"
#include "tests/sim/scale.h"

/* A request may arrive after its sender has given up. */
#define LATEST (8 * USEC_SEC)

/* A request on its way, and the answer. One block each. */
struct ask {
    uint64_t client, life, ref;
    int member, core;
    usec_t sent;
    bool answer_lost, given_up; /* given up: its end was told, but it is under way still */
    struct kv_request request;
};
struct answer {
    uint64_t ref;
    int core;
    usec_t sent;
    bool sure; /* made up by the member's own end: no way can lose it */
    struct kv_result result;
};

struct store *link_store(struct sim *sim)
{
    return sim->link->store;
}

uint64_t link_client(const struct member *member)
{
    return member->life * SIM_MEMBERS + (uint64_t)member->index + 1;
}

struct member *link_member(struct sim *sim, uint64_t client)
{
    return client == 0 || client == UINT64_MAX ? NULL : &sim->members[(client - 1) % SIM_MEMBERS];
}

bool link_runs(struct sim *sim, uint64_t client)
{
    const struct member *member = link_member(sim, client);
    return member != NULL && member->running && link_client(member) == client;
}

bool link_up(const struct member *member)
{
    const struct store_link *link = member->sim->link;
    return store_now(member->sim) >= link->away_until &&
           store_now(member->sim) >= link->cut_until[member->index];
}

usec_t link_delay(struct sim *sim)
{
    if (sim->scale != NULL)
        return scale_store_takes(sim, false);
    if (sim->phase == PHASE_LOAD && store_now(sim) < sim->link->bad_until && sim_chance(sim, 300))
        return sim_between(sim, 100 * USEC_MS, LATEST);
    if (sim->phase == PHASE_LOAD && sim_chance(sim, 20))
        return sim_between(sim, 5 * USEC_MS, 700 * USEC_MS);
    return sim_between(sim, 200, 5 * USEC_MS);
}

static bool draw_loss(struct sim *sim)
{
    bool bad = store_now(sim) < sim->link->bad_until;
    return sim->phase == PHASE_LOAD && sim_chance(sim, bad ? 150 : sim->weather.store_loss);
}

/* ---- leases ---- */

static void sweep_settle(struct sim *sim);

static void sweep(struct sim *sim, struct sim_event *event)
{
    if (event != sim->link->sweep)
        return;
    sim->link->sweep = NULL;
    if (sim->asleep)
        return;
    if (!sim->link->leases_stand)
        store_expire(sim->link->store, store_now(sim));
    watches_pump(sim);
    sweep_settle(sim);
}

static void sweep_settle(struct sim *sim)
{
    struct store_link *link = sim->link;
    usec_t due = store_deadline(link->store);
    if (due == USEC_NEVER || link->leases_stand || sim->asleep)
        return;
    usec_t wait = due > store_now(sim) ? due - store_now(sim) : 0;
    if (link->sweep == NULL)
        link->sweep = sim_aside(sim, wait, sweep, NULL);
    else if (link->sweep->at.key > sim->now + wait)
        heap_put(&sim->heap, &link->sweep->at, sim->now + wait);
}

void link_wakes(struct sim *sim)
{
    sweep_settle(sim);
}

/* ---- requests ---- */

static struct ask *ask_copy(const struct kv_request *request)
{
    size_t compares_size = request->compare_count * sizeof(struct kv_compare);
    size_t changes_size = request->change_count * sizeof(struct kv_change);
    size_t need = sizeof(struct ask) + compares_size + changes_size +
                  (request->key == NULL ? 0 : strlen(request->key) + 1);
    for (size_t i = 0; i < request->compare_count; i++)
        need += strlen(request->compares[i].key) + 1;
    for (size_t i = 0; i < request->change_count; i++)
        need += strlen(request->changes[i].key) + 1 + request->changes[i].len;
    struct ask *ask = xmalloc(need);
    struct kv_compare *compares = (struct kv_compare *)(ask + 1);
    struct kv_change *changes = (struct kv_change *)(void *)((char *)compares + compares_size);
    char *text = (char *)changes + changes_size;
    ask->request = *request;
    ask->request.compares = compares;
    ask->request.changes = changes;
    if (request->key != NULL) {
        ask->request.key = text;
        text = stpcpy(text, request->key) + 1;
    }
    for (size_t i = 0; i < request->compare_count; i++) {
        compares[i] = request->compares[i];
        compares[i].key = text;
        text = stpcpy(text, request->compares[i].key) + 1;
    }
    for (size_t i = 0; i < request->change_count; i++) {
        changes[i] = request->changes[i];
        changes[i].key = text;
        text = stpcpy(text, request->changes[i].key) + 1;
        if (request->changes[i].value == NULL)
            continue;
        changes[i].value = text;
        memcpy(text, request->changes[i].value, request->changes[i].len);
        text += request->changes[i].len;
    }
    return ask;
}

static const char *outcome_name(enum kv_outcome outcome)
{
    static const char *const names[] = {"done", "LOST", "UNKNOWN", "REFUSED"};
    return names[outcome];
}

static void answer_arrives(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    struct answer *answer = (struct answer *)(void *)event->bytes;
    if (!answer->sure && !link_up(member)) {
        answer->result = (struct kv_result){.outcome = KV_UNKNOWN, .why = "the store does not answer"};
    }
    if (answer->result.outcome != KV_DONE)
        trace_member(member, "store", "%s, request %d/%llu", outcome_name(answer->result.outcome),
            answer->core, (unsigned long long)answer->ref);
    (void)sim;
    sim->link->answered(member, answer->core, answer->ref, &answer->result);
}

/* Whatever becomes of the process: it is no longer under way. */
static void answer_over(struct sim *sim, struct sim_event *event)
{
    (void)event;
    sim->link->under_way--;
}

static void answer_later(
    struct sim *sim, const struct ask *ask, const struct kv_result *result, usec_t delay, bool sure)
{
    struct kv_pair *pairs;
    struct answer *answer = pairs_copy(sizeof *answer, result->pairs, result->pair_count, &pairs);
    *answer = (struct answer){
        .ref = ask->ref, .core = ask->core, .sent = ask->sent, .sure = sure, .result = *result};
    answer->result.pairs = pairs;
    struct sim_event *event = sim_aside(sim, delay, answer_arrives, &sim->members[ask->member]);
    event->life = ask->life;
    event->bytes = (char *)answer;
    sim_aside(sim, delay, answer_over, NULL);
}

/* Sometimes the broken connection says so at once, else patience ends it. */
static void unknown_later(struct sim *sim, const struct ask *ask)
{
    struct kv_result result = {.outcome = KV_UNKNOWN, .why = "no answer from the store in time"};
    usec_t left = ask->sent + KV_PATIENCE - sim->now;
    left = left < 0 ? 0 : left;
    answer_later(sim, ask, &result, sim_chance(sim, 400) ? sim_between(sim, 0, left) : left, true);
}

static void request_arrives(struct sim *sim, struct sim_event *event)
{
    const struct ask *ask = (const struct ask *)(const void *)event->bytes;
    struct member *member = &sim->members[ask->member];
    sim->link->under_way -= ask->given_up;
    if (!link_up(member)) {
        if (!ask->given_up)
            unknown_later(sim, ask);
        return;
    }
    struct kv_result result;
    if (!sim->link->leases_stand)
        store_expire(sim->link->store, store_now(sim));
    uint64_t revision = store_revision(sim->link->store);
    store_apply(sim->link->store, ask->client, &ask->request, store_now(sim), &result);
    if (sim->scale != NULL)
        scale_requested(sim, &ask->request, store_revision(sim->link->store) > revision);
    usec_t delay = link_delay(sim);
    if (ask->given_up)
        trace_line(sim, "store", "late", "a request that %s has given up", member->name);
    else if (ask->answer_lost || sim->now + delay > ask->sent + KV_PATIENCE)
        unknown_later(sim, ask);
    else
        answer_later(sim, ask, &result, delay, false);
    watches_pump(sim);
    sweep_settle(sim);
}

static void crash_now(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    member_crash(event->member, true);
}

/* Processes like to die while they ask for something that matters; what they asked then comes late. */
static bool dies_asking(struct member *member, const struct kv_request *request)
{
    struct sim *sim = member->sim;
    bool spool = request->change_count > 0 && strstr(request->changes[0].key, "/spool/") != NULL;
    if (request->verb != KV_TXN || sim->phase != PHASE_LOAD || (sim->faults_on & 1u << FAULT_CRASH) == 0 ||
        !sim_chance(sim, spool ? 100 : 5))
        return false;
    sim_aside(sim, 0, crash_now, member)->life = member->life;
    return true;
}

void link_request(struct member *member, int core, uint64_t ref, const struct kv_request *request)
{
    struct sim *sim = member->sim;
    struct ask *ask = ask_copy(request);
    ask->client = link_client(member);
    ask->life = member->life;
    ask->ref = ref;
    ask->member = member->index;
    ask->core = core;
    ask->sent = sim->now;
    ask->answer_lost = draw_loss(sim);
    ask->given_up = false;
    sim->link->under_way++;
    if (!link_up(member) || draw_loss(sim)) {
        unknown_later(sim, ask);
        free(ask);
        return;
    }
    usec_t delay = link_delay(sim);
    if (dies_asking(member, request))
        delay = sim_between(sim, 100 * USEC_MS, LATEST);
    if (delay > KV_PATIENCE) {
        unknown_later(sim, ask);
        ask->given_up = true;
        sim->link->under_way++;
    }
    sim_aside(sim, delay, request_arrives, NULL)->bytes = (char *)ask;
}

void link_operator_put(struct sim *sim, const char *key, const void *value, size_t len)
{
    struct kv_change change = {.key = key, .value = value, .len = len};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
    struct kv_result result;
    store_apply(sim->link->store, UINT64_MAX, &request, store_now(sim), &result);
    if (result.outcome != KV_DONE)
        sim_fail(sim, "store: an operator cannot write %s", key);
    watches_pump(sim);
}

/* ---- faults ---- */

static void quorum_back(struct sim *sim, struct sim_event *event)
{
    (void)event;
    struct store_link *link = sim->link;
    if (!link->leases_stand || store_now(sim) < link->away_until)
        return;
    link->leases_stand = false;
    store_renew_leases(link->store, store_now(sim));
    trace_line(sim, "store", "is back", "with all leases renewed");
    sweep_settle(sim);
}

void link_away(struct sim *sim, usec_t time, bool leases_run)
{
    struct store_link *link = sim->link;
    usec_t until = store_now(sim) + time;
    link->away_until = until > link->away_until ? until : link->away_until;
    if (!leases_run) {
        link->leases_stand = true;
        sim_aside(sim, link->away_until - store_now(sim), quorum_back, NULL);
    } else if (link->leases_stand) {
        sim_aside(sim, link->away_until - store_now(sim), quorum_back, NULL);
    }
    trace_line(sim, "store", "AWAY", "for %lld ms%s", (long long)time / 1000,
        leases_run ? ", cut off from everybody" : ", without a quorum");
    watches_break(sim, NULL);
}

void link_new_leader(struct sim *sim)
{
    link_away(sim, sim_between(sim, 300 * USEC_MS, 2 * USEC_SEC), false);
}

void link_cut(struct member *member, usec_t time)
{
    struct store_link *link = member->sim->link;
    link->cut_until[member->index] = store_now(member->sim) + time;
    trace_member(member, "STORE CUT", "for %lld ms", (long long)time / 1000);
    watches_break(member->sim, member);
}

void link_revoke(struct sim *sim)
{
    struct store *store = sim->link->store;
    if (store_lease_count(store) == 0 || sim->link->leases_stand)
        return;
    uint64_t lease = store_nth_lease(store, sim_draw(sim, store_lease_count(store)));
    trace_line(sim, "store", "REVOKES", "lease %llu early", (unsigned long long)lease);
    struct kv_request request = {.verb = KV_LEASE_REVOKE, .lease = lease};
    struct kv_result result;
    store_apply(store, 0, &request, store_now(sim), &result);
    watches_pump(sim);
}

void link_compact(struct sim *sim)
{
    trace_line(sim, "store", "COMPACTS", "up to revision %llu",
        (unsigned long long)store_revision(sim->link->store));
    store_compact(sim->link->store);
    watches_break_some(sim);
}

void link_bad(struct sim *sim, usec_t time)
{
    sim->link->bad_until = store_now(sim) + time;
    trace_line(sim, "store", "BAD WAY", "for %lld ms", (long long)time / 1000);
}

void link_calm(struct sim *sim)
{
    struct store_link *link = sim->link;
    memset(link->cut_until, 0, sizeof link->cut_until);
    link->bad_until = 0;
    if (link->away_until > store_now(sim) + USEC_SEC) {
        link->away_until = store_now(sim) + USEC_SEC;
        if (link->leases_stand)
            sim_aside(sim, USEC_SEC, quorum_back, NULL);
    }
}

bool link_quiet(struct sim *sim)
{
    const struct store_link *link = sim->link;
    if (link->under_way > 0 || link->leases_stand || store_now(sim) < link->away_until ||
        store_now(sim) < link->bad_until)
        return false;
    for (int i = 0; i < sim->members_count; i++)
        if (store_now(sim) < link->cut_until[i])
            return false;
    return watches_quiet(sim);
}

static void changed(void *arg, uint64_t client, const struct kv_pair *before, const struct kv_pair *after)
{
    agree_changed(arg, client, before, after);
}

void link_start(struct sim *sim, link_answered *answered, link_told *told)
{
    sim->link = xcalloc(1, sizeof *sim->link);
    sim->link->store = store_new(changed, sim);
    sim->link->last_watch = &sim->link->watches;
    sim->link->answered = answered;
    sim->link->told = told;
}

void link_free(struct sim *sim)
{
    struct store_link *link = sim->link;
    if (link == NULL)
        return;
    watches_free(sim);
    store_free(&link->store);
    free(link);
    sim->link = NULL;
}
