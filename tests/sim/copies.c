/* copies - see copies.h */
#include "tests/sim/copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/member_record.h"
#include "node/node.h"
#include "tests/sim/control.h"
#include "tests/sim/coverage.h"
#include "tests/sim/heirs.h"
#include "tests/sim/ledger.h"
#include "tests/sim/store_link.h"

#define STALLED (500 * USEC_MS)

enum { COPIES_MOST = 64, READ_MOST = 64 };

void copies_key(const struct spool *spool, char key[MEMBER_PATH_SIZE])
{
    member_path(key, SIM_CLUSTER, "spool", spool->name);
}

const struct spool *copies_spool(const struct copy *copy)
{
    return copy->member->sim->spools[copy->disk->spool];
}

/* ---- the note ---- */

/* What it cuts off is void from now on. */
static void note_lasts(struct copy *copy)
{
    copy->note = copy->noting;
    copy->is_noting = false;
    for (size_t i = 0; i < copy->note.cut_count; i++)
        disk_void(copy->disk, copy->note.cuts[i].after, copy->note.cuts[i].upto);
}

struct copy *copies_find(const struct member *member, int disk)
{
    for (size_t i = 0; i < member->copy_count; i++)
        if (member->copies[i]->disk->number == disk)
            return member->copies[i];
    return NULL;
}

static void noted(struct sim *sim, struct sim_event *event)
{
    struct copy *copy = copies_find(event->member, (int)event->number);
    (void)sim;
    if (copy == NULL || copy->mirror == NULL || !copy->is_noting)
        return;
    note_lasts(copy);
    mirror_noted(copy->mirror, member_now(event->member));
}

static void port_note(void *context, const struct mirror_note *note)
{
    struct copy *copy = context;
    struct sim *sim = copy->member->sim;
    bool slow = sim->now < copy->disk->slow_until;
    copy->noting = *note;
    copy->is_noting = true;
    trace_member(copy->member, "note", "%s: newest %llu, sealed %llu, %zu cuts", note->spool,
        (unsigned long long)note->newest, (unsigned long long)note->sealed, note->cut_count);
    usec_t takes = slow ? sim_between(sim, 100 * USEC_MS, 4 * USEC_SEC) : sim_between(sim, 100, 8 * USEC_MS);
    struct sim_event *event = sim_aside(sim, takes, noted, copy->member);
    event->life = copy->member->life;
    event->number = (uint64_t)copy->disk->number;
}

/* ---- the other ports of a copy ---- */

static void port_append(void *context, const struct copy_frame *from)
{
    struct copy *copy = context;
    struct frame frame = {.seq = from->seq, .base = from->base, .len = from->len};
    frame.record = xmemdup(from->record, from->len);
    if (from->body != NULL)
        frame.body = blob_hold(from->body);
    ledger_appended(copy->member->sim->ledger, copy->disk, &frame);
    disk_append(copy->disk, &frame);
}

static void port_release(void *context, uint64_t seq)
{
    disk_release_any(((struct copy *)context)->disk, seq);
}

static bool is_in(const uint64_t *seqs, size_t count, uint64_t seq)
{
    for (size_t i = 0; i < count; i++)
        if (seqs[i] == seq)
            return true;
    return false;
}

static void port_lives(void *context, uint64_t after, uint64_t upto, const uint64_t *seqs, size_t count)
{
    struct disk *disk = ((struct copy *)context)->disk;
    for (size_t i = disk->count; i-- > 0;) {
        uint64_t seq = i < disk->count ? disk->frames[i].seq : 0; /* a segment may just have gone */
        if (seq > after && seq <= upto && disk->frames[i].base && !is_in(seqs, count, seq))
            disk_release_any(disk, seq);
    }
}

static void port_send(void *context, struct bus_msg *msg)
{
    bus_model_send(((struct copy *)context)->member, msg);
}

static void port_request(void *context, uint64_t ref, const struct kv_request *request)
{
    struct copy *copy = context;
    control_wake(copy->member->sim);
    link_request(copy->member, CORE_COPY + copy->disk->number, ref, request);
}

static void port_serve(
    void *context, const struct spool_register *reg, const struct mirror_note *note, uint64_t told)
{
    struct copy *copy = context;
    (void)note;
    copy->reg = *reg;
    copy->told = told;
    copy->swapped = member_now(copy->member);
    copy->serves = true;
    trace_member(copy->member, "HEIR", "of %s in epoch %llu", copies_spool(copy)->name,
        (unsigned long long)reg->epoch);
}

static void port_useless(void *context)
{
    ((struct copy *)context)->useless = true;
}

static void port_notice(void *context, const char *what)
{
    trace_member(((struct copy *)context)->member, "notice", "%s", what);
}

/* ---- life of a copy ---- */
static void open_copy(struct copy *copy)
{
    struct member *member = copy->member;
    char key[MEMBER_PATH_SIZE];
    copies_key(copies_spool(copy), key);
    struct mirror_settings settings = {.member = member->name,
        .spool = copies_spool(copy)->name,
        .key = key,
        .disk = copy->disk->id,
        .process = member->process};
    struct mirror_ports ports = {.context = copy,
        .append = port_append,
        .release = port_release,
        .living = port_lives,
        .note = port_note,
        .send = port_send,
        .store = {.context = copy, .request = port_request},
        .serve = port_serve,
        .useless = port_useless,
        .notice = port_notice};
    copy->disk->keep_from = UINT64_MAX;
    copy->verdict = (struct spool_verdict){0};
    copy->mirror = mirror_new(&settings, &copy->note, disk_last(copy->disk), &ports, member_now(member));
    control_wake(member->sim);
    link_watch(member, TOPIC_COPY + copy->disk->number, key);
}

static struct copy *add_copy(struct member *member, struct disk *disk)
{
    struct copy *copy = xcalloc(1, sizeof *copy);
    copy->member = member;
    copy->disk = disk;
    member->copies = xrealloc(member->copies, (member->copy_count + 1) * sizeof(struct copy *));
    member->copies[member->copy_count++] = copy;
    return copy;
}

static struct copy *new_copy(struct member *member, int spool)
{
    struct copy *copy = add_copy(member, disk_new(member, spool));
    copy->disk->segment = 4 + sim_draw(member->sim, 60);
    trace_member(
        member, "copy", "of %s begins on disk %d", member->sim->spools[spool]->name, copy->disk->number);
    open_copy(copy);
    return copy;
}

void copies_open(struct member *member)
{
    for (size_t i = 0; i < member->copy_count; i++)
        open_copy(member->copies[i]);
}

void copies_end(struct member *member)
{
    for (size_t i = 0; i < member->copy_count; i++) {
        struct copy *copy = member->copies[i];
        if (copy->mirror == NULL)
            continue;
        mirror_free(&copy->mirror);
        heirs_end(copy);
        copy->serves = copy->opening = copy->retired = false;
        disk_crash(copy->disk);
        if (copy->is_noting && sim_chance(member->sim, 500))
            note_lasts(copy);
        copy->is_noting = false;
    }
}

/* Its directory is deleted. */
static void drop_copy(struct member *member, size_t at)
{
    struct copy *copy = member->copies[at];
    trace_member(member, "copy", "of %s is deleted", copies_spool(copy)->name);
    link_unwatch(member, TOPIC_COPY + copy->disk->number);
    mirror_free(&copy->mirror);
    heirs_end(copy);
    disk_lose(copy->disk);
    member->copies[at] = member->copies[--member->copy_count];
    free(copy);
}

/* Its word that it is the primary may be on its way: from then on that disk is the one that counts. */
static bool is_swapping(const struct copy *copy)
{
    return copy->mirror != NULL && mirror_state(copy->mirror) == MIRROR_SWAPPING;
}

bool copies_damage_note(struct member *member)
{
    struct sim *sim = member->sim;
    size_t first = member->copy_count == 0 ? 0 : sim_draw(sim, member->copy_count);
    for (size_t i = 0; i < member->copy_count; i++) {
        size_t at = (first + i) % member->copy_count;
        const struct copy *copy = member->copies[at];
        const struct spool *spool = copies_spool(copy);
        if (spool->primary == NULL || spool->primary == copy->disk || spool->primary->lost ||
            is_swapping(copy))
            continue;
        trace_member(member, "NOTE", "of its copy of %s is damaged: it is set aside", spool->name);
        member_crash(member, true);
        drop_copy(member, at);
        return true;
    }
    return false;
}

void copies_free_all(struct member *member)
{
    for (size_t i = 0; i < member->copy_count; i++) {
        mirror_free(&member->copies[i]->mirror);
        heirs_end(member->copies[i]);
        free(member->copies[i]);
    }
    free(member->copies);
    member->copies = NULL;
    member->copy_count = 0;
}

/* ---- what comes in ---- */

static struct copy *copy_for(struct member *member, const struct bus_msg *msg)
{
    int spool = sim_spool_number(member->sim, msg->spool);
    for (size_t i = 0; i < member->copy_count; i++)
        if (member->copies[i]->disk->spool == spool)
            return member->copies[i];
    const struct view *view = control_view(member);
    const struct view_node *primary = view == NULL ? NULL : view_spool(view, msg->spool, NULL);
    if (spool < 0 || primary == NULL || strcmp(primary->id, msg->from) != 0 ||
        member->copy_count >= COPIES_MOST)
        return NULL;
    return new_copy(member, spool);
}

bool copies_bus(struct member *member, const struct bus_msg *msg)
{
    for (size_t i = 0; msg->type != BUS_COPY && i < member->copy_count; i++)
        if (member->copies[i]->heir != NULL && heir_is_for(member->copies[i]->heir, msg)) {
            heir_message(member->copies[i]->heir, msg, member_now(member));
            return true;
        }
    if (msg->type != BUS_COPY)
        return false;
    struct copy *copy = copy_for(member, msg);
    if (copy != NULL && copy->mirror != NULL)
        mirror_message(copy->mirror, msg, member_now(member));
    return true;
}

void copies_disk_synced(struct disk *disk, uint64_t seq)
{
    struct copy *copy = copies_find(disk->member, disk->number);
    if (copy != NULL && copy->heir != NULL)
        heir_committed(copy->heir, seq, member_now(disk->member));
    else if (copy != NULL && copy->mirror != NULL)
        mirror_synced(copy->mirror, seq);
}

void copies_body(struct disk *disk, uint64_t seq, struct blob *body)
{
    struct copy *copy = copies_find(disk->member, disk->number);
    if (copy != NULL && copy->heir != NULL)
        heir_body(copy->heir, seq, body, member_now(disk->member));
}

void copies_room(struct member *member)
{
    const struct sim *sim = member->sim;
    bool full = sim->now < member->full_until || sim->now < member->copies_full_until;
    for (size_t i = 0; i < member->copy_count; i++) {
        const struct copy *copy = member->copies[i];
        if (copy->mirror == NULL)
            continue;
        if (copy->disk->failed)
            mirror_trouble(copy->mirror, COPY_FAILED, "the disk of the copy failed");
        else
            mirror_trouble(copy->mirror, full ? COPY_FULL : COPY_FOLLOWS, full ? "the disk is full" : NULL);
    }
}

/* Guard 15: the last resort is kept as long as there is no other second copy. */
static void must_be_useless(const struct copy *copy)
{
    const struct spool_register *reg = &copies_spool(copy)->reg;
    const char *id = copy->disk->id;
    if (!reg->retired && (strcmp(reg->disk, id) == 0 || strcmp(reg->mirror, id) == 0 ||
                             (reg->mirror[0] == '\0' && strcmp(reg->old, id) == 0)))
        sim_fail(copy->member->sim, "P2: %s deletes its copy of %s, which the register still names",
            copy->member->name, copies_spool(copy)->name);
}

void copies_settle(struct member *member)
{
    if (member->disk->reading && !node_waits(member->node))
        member->disk->reading = false;
    node_send_copies(member->node, member_now(member));
    struct copies_figures figures = {0};
    if (node_waits(member->node) ||
        (node_copies_figures(member->node, member_now(member), &figures) && figures.lag > STALLED))
        member->stalled_at = member->sim->now;
    bool paired = member->sim->min_copies == 1 || figures.paired;
    for (size_t i = member->copy_count; i-- > 0;) {
        struct copy *copy = member->copies[i];
        if (copy->heir != NULL)
            heir_set_paired(copy->heir, paired);
        if (copy->useless)
            must_be_useless(copy);
        if (copy->useless || copy->retired)
            drop_copy(member, i);
        else if (copy->serves && !copy->opening)
            heirs_open(copy);
    }
    uint32_t states = coverage_states(member);
    if (coverage_is_short(states & ~member->pair_states))
        faults_short_moment(member);
    member->pair_states = states;
    if (member->deposed && !member->stopping)
        member_set_aside_soon(member);
}

/* As the node's door to its copies does: at each view, and again until it is dead. */
static void tell_verdict(struct copy *copy, usec_t now)
{
    const struct view *view = control_view(copy->member);
    const char *primary = copy->mirror == NULL ? "" : mirror_primary(copy->mirror);
    if (!copy->member->sim->takeover || view == NULL || primary[0] == '\0' ||
        view_node(view, primary) == NULL)
        return;
    mirror_verdict(copy->mirror, primary,
        spool_verdict_dead(&copy->verdict, view, copies_spool(copy)->name, primary,
            mirror_primary_process(copy->mirror), now),
        now);
}

/* When what the views say of a spool that nobody serves has lasted. */
static usec_t verdict_due(const struct copy *copy, usec_t now)
{
    usec_t due = copy->verdict.since + SPOOL_GIVEN_UP;
    return copy->mirror == NULL || copy->verdict.since == 0 || due <= now ? USEC_NEVER : due;
}

void copies_time(struct member *member)
{
    usec_t now = member_now(member);
    for (size_t i = 0; i < member->copy_count; i++) {
        struct copy *copy = member->copies[i];
        if (copy->mirror != NULL && copy->verdict.since != 0)
            tell_verdict(copy, now);
        if (copy->mirror != NULL && mirror_deadline(copy->mirror) <= now)
            mirror_tick(copy->mirror, now);
        if (copy->heir != NULL && heir_deadline(copy->heir) <= now)
            heir_tick(copy->heir, now);
    }
}

usec_t copies_due(const struct member *member)
{
    usec_t due = USEC_NEVER;
    for (size_t i = 0; i < member->copy_count; i++) {
        const struct copy *copy = member->copies[i];
        if (copy->mirror != NULL && mirror_deadline(copy->mirror) < due)
            due = mirror_deadline(copy->mirror);
        if (verdict_due(copy, member_now(member)) < due)
            due = verdict_due(copy, member_now(member));
        if (copy->heir != NULL && heir_deadline(copy->heir) < due)
            due = heir_deadline(copy->heir);
    }
    return due;
}

/* ---- the store ---- */

static void home_request(void *context, uint64_t ref, const struct kv_request *request)
{
    struct member *member = context;
    control_wake(member->sim);
    link_request(member, CORE_NODE, ref, request);
}

void copies_answer(struct member *member, int core, uint64_t ref, const struct kv_result *result)
{
    if (core == CORE_NODE) {
        if (member->node != NULL)
            node_store_result(member->node, ref, result, member_now(member));
        return;
    }
    if (core >= CORE_HEIR) {
        struct copy *heirs = copies_find(member, core - CORE_HEIR);
        if (heirs != NULL && heirs->heir != NULL)
            heir_result(heirs->heir, ref, result, member_now(member));
        return;
    }
    struct copy *copy = copies_find(member, core - CORE_COPY);
    if (copy != NULL && copy->mirror != NULL)
        mirror_result(copy->mirror, ref, result, member_now(member));
}

/* The watch's prefix is a whole key, but other keys may begin with it. */
void copies_news(struct member *member, int topic, const struct kv_news *news)
{
    struct copy *copy = topic == TOPIC_NODE ? NULL : copies_find(member, topic - TOPIC_COPY);
    char key[MEMBER_PATH_SIZE];
    struct kv_pair own;
    struct kv_news of_key = *news;
    if (topic == TOPIC_NODE ? member->node == NULL : copy == NULL || copy->mirror == NULL)
        return;
    copies_key(copy == NULL ? member->spool : copies_spool(copy), key);
    of_key.pairs = &own;
    of_key.pair_count = 0;
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(news->pairs[i].key, key) == 0) {
            own = news->pairs[i]; /* the last one is the newest */
            of_key.pair_count = 1;
        }
    if (news->type == KV_CHANGES && of_key.pair_count == 0)
        return;
    if (copy == NULL)
        node_register_news(member->node, &of_key, member_now(member));
    else
        mirror_register_news(copy->mirror, &of_key, member_now(member));
    if (copy != NULL && copy->heir != NULL)
        heir_register_news(copy->heir, &of_key, member_now(member));
}

/* ---- verdicts, lost disks, other homes ---- */

void copies_view(struct member *member)
{
    usec_t now = member_now(member);
    for (size_t i = 0; member->sim->takeover && i < member->copy_count; i++) {
        struct copy *copy = member->copies[i];
        if (copy->heir != NULL)
            heir_set_view(copy->heir, control_view(member), now);
        tell_verdict(copy, now);
    }
}

struct disk *copies_disk(const struct member *member, const char *spool)
{
    for (size_t i = 0; i < member->copy_count; i++)
        if (strcmp(copies_spool(member->copies[i])->name, spool) == 0)
            return member->copies[i]->disk;
    return member->disk;
}

bool copies_serve(const struct member *member)
{
    for (size_t i = 0; i < member->copy_count; i++)
        if (member->sim->spools[member->copies[i]->disk->spool]->primary == member->copies[i]->disk)
            return true;
    return false;
}

void copies_set_aside(struct member *member)
{
    struct sim *sim = member->sim;
    const struct spool *former = member->spool;
    if (member->disk->count > 0) {
        struct copy *copy = add_copy(member, member->disk);
        snprintf(copy->note.spool, sizeof copy->note.spool, "%s", former->name);
        copy->note.newest = former->reg.epoch;
        copy->note.told = member->told_seq;
    }
    char name[64];
    snprintf(name, sizeof name, "%s.%08x", member->name, (unsigned)sim->disk_count);
    member->spool = sim_spool_new(member, name);
    struct disk *disk = disk_new(member, sim_spool_number(sim, name));
    disk->segment = member->disk->segment;
    member->disk = disk;
    member->told_seq = member->served_last = 0;
    table_wipe(member);
    sim->counts->homes++;
    trace_member(member, "home", "%s was taken over; from now on %s", former->name, name);
}

static bool lives_elsewhere(const struct disk *disk, const struct member *member)
{
    return disk != NULL && disk->member != member && !disk->lost;
}

/* Its mirror is not about to be severed, by a word that may be on its way: that would be two losses at once. */
static bool keeps_up(const struct member *member)
{
    const struct sim *sim = member->sim;
    const struct disk *mirror = disk_find(sim, member->spool->reg.mirror);
    struct copies_figures figures;
    if (mirror == NULL || mirror->failed || member->node == NULL ||
        !node_copies_figures(member->node, member_now(member), &figures))
        return false;
    const struct member *there = mirror->member;
    return figures.paired && figures.lag < USEC_SEC && there->up && sim->now >= there->frozen_until &&
           sim->now >= there->full_until && sim->now >= there->copies_full_until;
}

bool copies_may_lose(const struct member *member)
{
    const struct sim *sim = member->sim;
    if (!keeps_up(member))
        return false;
    for (size_t i = 0; i < member->copy_count; i++)
        if (is_swapping(member->copies[i]))
            return false;
    for (size_t i = 0; i < sim->spool_count; i++) {
        const struct spool *spool = sim->spools[i];
        if (spool->reg.epoch > 0 && !spool->reg.retired && !lives_elsewhere(spool->primary, member) &&
            !lives_elsewhere(disk_find(sim, spool->reg.mirror), member))
            return false;
    }
    return true;
}

void copies_lose(struct member *member)
{
    struct sim *sim = member->sim;
    trace_member(member, "LOSES", "its disks");
    while (member->copy_count > 0)
        drop_copy(member, member->copy_count - 1);
    struct disk *former = member->disk;
    disk_lose(former);
    member->disk = disk_new(member, former->spool);
    member->disk->segment = former->segment;
    member->told_seq = 0;
    table_wipe(member);
    (void)sim;
}

/* ---- the home spool's end ---- */
void copies_open_home(struct member *member)
{
    char key[MEMBER_PATH_SIZE];
    copies_key(member->spool, key);
    struct node_copies copies = {.key = key,
        .disk = member->disk->id,
        .process = member->process,
        .reg = member->claimed,
        .revision = member->claimed_revision};
    node_open_copies(member->node, &copies, member_now(member));
    control_wake(member->sim);
    link_watch(member, TOPIC_NODE, key);
}

struct store_port copies_home_store(struct member *member)
{
    return (struct store_port){.context = member, .request = home_request};
}

static void log_read(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    const struct disk *disk = member->disk;
    struct copy_frame frames[READ_MOST];
    size_t count = 0, bytes = 0, at = 0;
    (void)sim;
    for (; at < disk->synced && count < READ_MOST && bytes < event->other; at++) {
        const struct frame *frame = &disk->frames[at];
        if (frame->seq <= event->number)
            continue;
        frames[count++] = (struct copy_frame){.seq = frame->seq,
            .base = frame->base,
            .record = frame->record,
            .len = frame->len,
            .body = frame->body};
        bytes += frame->len + (frame->body == NULL ? 0 : frame->body->len);
    }
    node_log_read(member->node, frames, count, at == disk->synced, member_now(member));
}

void copies_read_log(struct member *member, uint64_t after, size_t bytes)
{
    struct sim *sim = member->sim;
    /* Small portions, so that a small log takes several. */
    size_t portion = sim_chance(sim, 500) ? 1 + sim_draw(sim, 8192) : bytes;
    struct sim_event *event = sim_aside(sim, sim_between(sim, 50, 20 * USEC_MS), log_read, member);
    event->life = member->life;
    event->number = after;
    event->other = portion;
}

bool copies_whole(const struct member *member, uint64_t after)
{
    return after >= member->disk->gone;
}

size_t copies_living(const struct member *member, uint64_t after, uint64_t *seqs_r, size_t max)
{
    const struct disk *disk = member->disk;
    size_t count = 0;
    for (size_t i = 0; i < disk->count && count < max; i++)
        if (disk->frames[i].base && !disk->frames[i].released && disk->frames[i].seq > after)
            seqs_r[count++] = disk->frames[i].seq;
    return count;
}
