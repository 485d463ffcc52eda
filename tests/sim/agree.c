/* agree - see agree.h */
#include "tests/sim/agree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "cluster/join.h"
#include "cluster/member_record.h"
#include "cluster/view_store.h"
#include "tests/sim/control.h"
#include "tests/sim/copies.h"
#include "tests/sim/ledger.h"
#include "tests/sim/scale.h"
#include "tests/sim/store_link.h"
#include "tests/sim/turned.h"

enum { DOWNS = 64 };
#define DOWN_WINDOW (10 * USEC_SEC)
#define HEAD_LAGS (20 * USEC_SEC)

struct agree {
    uint64_t *hashes; /* of view/current, by epoch */
    size_t epochs;
    uint64_t place_epoch;
    usec_t head_since, live_since[SIM_MEMBERS]; /* store_now(): these keys were made */
    struct {
        usec_t when;
        uint64_t head;
    } downs[DOWNS]; /* a ring: nodes declared down lately, and by which head */
    uint64_t down_count;
};

void agree_start(struct sim *sim)
{
    sim->agree = xcalloc(1, sizeof *sim->agree);
}

void agree_free(struct sim *sim)
{
    if (sim->agree != NULL)
        free(sim->agree->hashes);
    free(sim->agree);
    sim->agree = NULL;
}

/* The rest of the key behind "/todoku/sim/<what>", or null. */
static const char *part(const char *key, const char *what)
{
    static const char before[] = "/todoku/" SIM_CLUSTER "/";
    size_t len = strlen(what);
    if (strncmp(key, before, sizeof before - 1) != 0 || strncmp(key + sizeof before - 1, what, len) != 0)
        return NULL;
    return key + sizeof before - 1 + len;
}

static const char *client_name(struct sim *sim, uint64_t client)
{
    const struct member *member = link_member(sim, client);
    return client == 0 ? "store" : member == NULL ? "admin" : member->name;
}

/* ---- the view ---- */

static bool same_place(const struct view_node *a, const struct view_node *b)
{
    return strcmp(a->id, b->id) == 0 && a->weight == b->weight && a->draining == b->draining &&
           a->down == b->down;
}

static bool same_placement(const struct view *a, const struct view *b)
{
    bool same = a->node_count == b->node_count;
    for (size_t i = 0; same && i < a->node_count; i++)
        same = same_place(&a->nodes[i], &b->nodes[i]);
    return same;
}

static void note_hash(struct sim *sim, uint64_t epoch, uint64_t hash)
{
    struct agree *agree = sim->agree;
    if (epoch >= agree->epochs) {
        size_t count = 2 * epoch + 64;
        agree->hashes = xrealloc(agree->hashes, count * sizeof *agree->hashes);
        memset(agree->hashes + agree->epochs, 0, (count - agree->epochs) * sizeof *agree->hashes);
        agree->epochs = count;
    }
    if (agree->hashes[epoch] != 0 && agree->hashes[epoch] != hash)
        sim_fail(sim, "view: two different views of epoch %llu", (unsigned long long)epoch);
    agree->hashes[epoch] = hash;
}

/* Only one who was not there lately (as far as the head may lag behind), and not by a head that is new. */
static void check_cause(struct sim *sim, const struct member *member)
{
    const struct agree *agree = sim->agree;
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "live", member->name);
    if (store_get(link_store(sim), path) != NULL &&
        store_now(sim) - agree->live_since[member->index] > HEAD_LAGS)
        sim_fail(sim, "verdict: %s is declared down, but its live/ has stood for %lld s", member->name,
            (long long)((store_now(sim) - agree->live_since[member->index]) / USEC_SEC));
    if (store_now(sim) - agree->head_since < clock_at_least(JOIN_LEASE))
        sim_fail(sim, "verdict: %s is declared down by a head that was elected %lld ms ago", member->name,
            (long long)((store_now(sim) - agree->head_since) / USEC_MS));
}

/* Never more than max(1, 10 %) of the nodes within ten seconds, by one head. */
static void check_downs(struct sim *sim, const struct view *before, const struct view *after, uint64_t head)
{
    struct agree *agree = sim->agree;
    size_t nodes = before->node_count > after->node_count ? before->node_count : after->node_count;
    uint64_t limit = nodes / 10 > 1 ? nodes / 10 : 1;
    for (size_t i = 0; i < after->node_count; i++) {
        const struct view_node *was = view_node(before, after->nodes[i].id);
        if (!after->nodes[i].down || was == NULL || was->down)
            continue;
        trace_line(sim, "head", "verdict", "%s is down", after->nodes[i].id);
        check_cause(sim, sim_member(sim, after->nodes[i].id));
        sim->counts->verdicts++;
        uint64_t within = 1;
        for (uint64_t j = 1; j <= agree->down_count && j <= DOWNS; j++) {
            uint64_t at = (agree->down_count - j) % DOWNS;
            within += agree->downs[at].head == head &&
                      store_now(sim) - agree->downs[at].when < clock_at_least(DOWN_WINDOW);
        }
        if (within > limit)
            sim_fail(sim, "verdict: %llu nodes of %zu are declared down within %lld s",
                (unsigned long long)within, nodes, (long long)(DOWN_WINDOW / USEC_SEC));
        uint64_t next = agree->down_count++ % DOWNS;
        agree->downs[next].when = store_now(sim);
        agree->downs[next].head = head;
    }
}

static void check_writer(struct sim *sim, uint64_t client, const struct view *view)
{
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "leader", NULL);
    uint64_t head = store_creator(link_store(sim), path);
    if (head == 0 || head != client)
        sim_fail(sim, "leader: %s publishes epoch %llu, but the head is %s", client_name(sim, client),
            (unsigned long long)view->epoch, head == 0 ? "nobody" : client_name(sim, head));
}

static void on_view(
    struct sim *sim, uint64_t client, const struct kv_pair *before, const struct kv_pair *after)
{
    struct error error = {""};
    if (after->deleted) {
        sim_fail(sim, "view: %s deletes it", client_name(sim, client));
        return;
    }
    struct view *view = view_store_read(after->value, after->len, &error);
    if (view == NULL) {
        sim_fail(sim, "view: %s writes one that can't be read: %s", client_name(sim, client), error.text);
        return;
    }
    (void)before;
    trace_line(sim, client_name(sim, client), "publishes", "epoch %llu: %zu nodes, %zu coordinators",
        (unsigned long long)view->epoch, view->node_count, view->coordinator_count);
    check_writer(sim, client, view);
    if (sim->view != NULL && view->epoch <= sim->view->epoch)
        sim_fail(sim, "view: epoch %llu is written over epoch %llu", (unsigned long long)view->epoch,
            (unsigned long long)sim->view->epoch);
    note_hash(sim, view->epoch, agree_view_hash(after->value, after->len));
    if (sim->view == NULL || !same_placement(sim->view, view))
        sim->agree->place_epoch = view->epoch;
    turned_view(sim, sim->view, view);
    if (sim->view != NULL)
        check_downs(sim, sim->view, view, client);
    if (sim->view != NULL)
        view_drop(&sim->view);
    sim->view = view;
    sim->counts->views++;
    if (sim->scale != NULL)
        scale_published(sim, view->epoch, after->len);
}

uint64_t agree_view_hash(const void *bytes, size_t len)
{
    return hash64(1, bytes, len);
}

void agree_view_known(struct member *member, const struct view *view, uint64_t hash)
{
    struct sim *sim = member->sim;
    const struct agree *agree = sim->agree;
    if (view->epoch >= agree->epochs || agree->hashes[view->epoch] != hash)
        sim_fail(sim, "view: %s knows another view of epoch %llu than was published", member->name,
            (unsigned long long)view->epoch);
    if (view->epoch < member->newest_epoch)
        sim_fail(sim, "view: %s learns of epoch %llu after epoch %llu", member->name,
            (unsigned long long)view->epoch, (unsigned long long)member->newest_epoch);
    member->newest_epoch = view->epoch;
}

bool agree_has_register(const struct sim *sim, const struct member *member)
{
    (void)sim;
    return member->spool->reg.epoch > 0;
}

uint64_t agree_placement_epoch(const struct sim *sim)
{
    return sim->agree->place_epoch;
}

/* ---- the register of a spool ---- */

const char *agree_change_name(enum register_change change)
{
    static const char *const names[CHANGE_KINDS] = {
        "?", "first", "resume", "sever", "take in", "take over", "retire"};
    return names[change];
}

static bool same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The same disk goes on: started again, or with another mirror. */
static enum register_change same_disk(const struct spool_register *was, const struct spool_register *is)
{
    bool pair_stays = same(was->mirror, is->mirror) && same(was->old, is->old);
    if (is->process != was->process)
        return pair_stays && is->incarnation > was->incarnation ? CHANGE_RESUME : CHANGE_NONE;
    if (is->incarnation != was->incarnation)
        return CHANGE_NONE;
    if (is->mirror[0] == '\0')
        return same(is->old, was->mirror[0] != '\0' ? was->mirror : was->old) ? CHANGE_SEVER : CHANGE_NONE;
    return !same(was->mirror, is->mirror) && is->old[0] == '\0' ? CHANGE_TAKE_IN : CHANGE_NONE;
}

static enum register_change change_of(const struct spool_register *was, const struct spool_register *is)
{
    if (was->epoch == 0)
        return CHANGE_FIRST;
    if (is->retired)
        return same(was->disk, is->disk) && was->incarnation == is->incarnation && is->mirror[0] == '\0' &&
                       is->old[0] == '\0'
                   ? CHANGE_RETIRE
                   : CHANGE_NONE;
    if (same(was->disk, is->disk))
        return same_disk(was, is);
    bool heir = was->mirror[0] != '\0' && same(is->disk, was->mirror) && is->mirror[0] == '\0' &&
                same(is->old, was->disk) && is->incarnation > was->incarnation;
    return heir ? CHANGE_TAKE_OVER : CHANGE_NONE;
}

/* Guard 1: one history; and each change by him who has the disk that is primary then. */
static void check_register(struct sim *sim, const struct spool *spool, const struct spool_register *is,
    enum register_change change, const struct member *writer)
{
    const struct spool_register *was = &spool->reg;
    const struct disk *disk = disk_find(sim, is->disk);
    const struct member *owner = spool->home;
    if (change == CHANGE_NONE || (sim->copies == 1 && change > CHANGE_RESUME))
        sim_fail(sim, "register: %s goes from #%llu on %s, mirror %s, to #%llu on %s, mirror %s", spool->name,
            (unsigned long long)was->incarnation, was->disk, was->mirror, (unsigned long long)is->incarnation,
            is->disk, is->mirror);
    if (was->epoch > 0 && is->epoch != was->epoch + 1)
        sim_fail(sim, "register: %s goes from epoch %llu to %llu", spool->name,
            (unsigned long long)was->epoch, (unsigned long long)is->epoch);
    if (disk == NULL || disk->member != writer)
        sim_fail(sim, "register: %s gives %s to disk %s, which is not its own",
            writer == NULL ? "somebody" : writer->name, spool->name, is->disk);
    if (change == CHANGE_RESUME && owner->up && owner->served != 0 && disk == owner->disk)
        sim_fail(sim, "register: %s is taken from #%llu of %s, which lives and serves it", spool->name,
            (unsigned long long)owner->served, owner->name);
}

static void on_register(struct sim *sim, const char *name, uint64_t client, const struct kv_pair *after)
{
    struct error error = {""};
    struct spool *spool = sim_spool(sim, name);
    struct member *writer = link_member(sim, client);
    struct spool_register is;
    if (after->deleted || spool == NULL || spool_register_read(after->value, after->len, &is, &error) != 0) {
        sim_fail(sim, "register: %s spoils that of %s (%s)", client_name(sim, client), name, error.text);
        return;
    }
    enum register_change change = change_of(&spool->reg, &is);
    trace_line(sim, client_name(sim, client), "register", "%s: %s, epoch %llu, #%llu%s%s", name,
        agree_change_name(change), (unsigned long long)is.epoch, (unsigned long long)is.incarnation,
        is.mirror[0] == '\0' ? "" : ", mirror at ", is.mirror[0] == '\0' ? "" : is.mirror_node);
    check_register(sim, spool, &is, change, writer);
    sim->counts->changes[change]++;
    struct disk *former = spool->primary;
    spool->reg = is;
    spool->primary = disk_find(sim, is.disk);
    if (writer != NULL && writer->disk == spool->primary && is.process == writer->process) {
        writer->claimed = is;
        writer->claimed_revision = after->revision;
    }
    if (change == CHANGE_RETIRE)
        ledger_retired(sim->ledger, spool->primary);
    if (change == CHANGE_TAKE_OVER) {
        spool->was_taken = true;
        spool->taken_at = sim->now;
        ledger_primary_changed(sim->ledger, sim_spool_number(sim, name), former);
    }
}

void agree_serves(struct member *member, uint64_t incarnation)
{
    struct sim *sim = member->sim;
    const struct spool_register *reg = &member->spool->reg;
    bool mine = strcmp(reg->disk, member->disk->id) == 0; /* a mirror may have taken it meanwhile */
    if ((mine || sim->copies == 1) && (!mine || reg->incarnation != incarnation))
        sim_fail(sim, "register: %s serves %s as #%llu, but the register says #%llu on %s", member->name,
            member->spool->name, (unsigned long long)incarnation, (unsigned long long)reg->incarnation,
            reg->disk);
    if (incarnation <= member->served_last)
        sim_fail(sim, "register: #%llu of %s serves after #%llu", (unsigned long long)incarnation,
            member->name, (unsigned long long)member->served_last);
    member->served = member->served_last = incarnation;
}

void agree_takes(struct member *member, const char *what)
{
    const struct spool_register *reg = &member->spool->reg;
    if (member->spool->primary != member->disk && sim_has_copies(member->sim))
        return; /* what it answers now was on both disks before: oracle_both */
    if (member->served == 0 || reg->incarnation != member->served)
        sim_fail(member->sim, "register: #%llu of %s takes %s, but the register says #%llu",
            (unsigned long long)member->served, member->name, what, (unsigned long long)reg->incarnation);
}

/* ---- members ---- */

bool agree_spec_there(struct sim *sim, const struct member *member)
{
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "spec", member->name);
    return store_get(link_store(sim), path) != NULL;
}

void agree_ended(struct member *member, const char *why)
{
    if (agree_spec_there(member->sim, member) && !member->spec_missed && !member->wrong_disk)
        sim_fail(member->sim, "join: %s is ended, although nobody took it out: %s", member->name, why);
}

struct member *agree_head(struct sim *sim)
{
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "leader", NULL);
    return link_member(sim, store_creator(link_store(sim), path));
}

static void on_leader(struct sim *sim, uint64_t client, const struct kv_pair *after)
{
    sim->counts->heads += !after->deleted;
    sim->agree->head_since = store_now(sim);
    trace_line(sim, client_name(sim, client), "head", "%s", after->deleted ? "there is none" : "is elected");
}

static const char *wrong_node(struct sim *sim, const struct member *member)
{
    const struct view_node *node = view_node(sim->view, member->name);
    if (node == NULL)
        return agree_spec_there(sim, member) ? "is not in it" : NULL;
    if (!agree_spec_there(sim, member))
        return "is in it still, though taken out of spec/";
    if (node->down)
        return "is down in it";
    if (node->incarnation != member->served || node->process != member->process)
        return "is in it as an earlier process";
    if (node->draining != member->draining || (!node->draining && node->weight != member->weight))
        return "has another weight in it";
    return NULL;
}

static const char *wrong_coordinator(struct sim *sim, const struct member *member)
{
    for (size_t i = 0; i < sim->view->coordinator_count; i++) {
        const struct view_coordinator *at = &sim->view->coordinators[i];
        if (strcmp(at->id, member->name) == 0)
            return at->down ? "is down in it" : at->process != member->process ? "is in it as before" : NULL;
    }
    return "is not in it";
}

const char *agree_wrong_view(struct sim *sim)
{
    static char text[160];
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "leader", NULL);
    if (sim->view == NULL)
        return "there is none";
    if (!link_runs(sim, store_creator(link_store(sim), path)))
        return "nobody who runs is head";
    for (int i = 0; i < sim->members_count; i++) {
        const struct member *member = &sim->members[i];
        const char *wrong = NULL;
        if (member->absent)
            continue;
        if (!member->up || member->stopping)
            wrong = "is not up";
        else
            wrong = i < sim->nodes ? wrong_node(sim, member) : wrong_coordinator(sim, member);
        if (wrong == NULL && member->view_epoch != sim->view->epoch)
            wrong = "does not know it";
        if (wrong != NULL) {
            snprintf(text, sizeof text, "%s %s", member->name, wrong);
            return text;
        }
    }
    return NULL;
}

void agree_changed(
    struct sim *sim, uint64_t client, const struct kv_pair *before, const struct kv_pair *after)
{
    const char *name = part(after->key, "live/");
    if (name != NULL && before->revision == 0 && sim_member(sim, name) != NULL)
        sim->agree->live_since[sim_member(sim, name)->index] = store_now(sim);
    if (part(after->key, "view/current") != NULL)
        on_view(sim, client, before, after);
    else if ((name = part(after->key, "spool/")) != NULL)
        on_register(sim, name, client, after);
    else if (part(after->key, "leader") != NULL)
        on_leader(sim, client, after);
    else
        trace_line(sim, client_name(sim, client), after->deleted ? "deletes" : "writes", "%s, revision %llu",
            after->key, (unsigned long long)after->revision);
}
