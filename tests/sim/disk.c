/* disk - the modelled log of one spool in one machine
 *
 * Frames are durable from the end of the sync that began after them. A crash loses the rest, but for a random
 * prefix of it (what the kernel had already written). Segments go as in node/spool.h: the oldest one whose
 * base frames are all released is deleted at once, and for good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/node.h"
#include "tests/sim/copies.h"
#include "tests/sim/ledger.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"

static void frame_clear(struct frame *frame)
{
    free(frame->record);
    free(frame->items);
    blob_drop(&frame->body);
}

static void tell_committed(struct sim *sim, struct sim_event *event)
{
    bool home = event->member->disk->number == (int)event->other;
    trace_member(event->member, "durable", "up to frame %llu%s%s", (unsigned long long)event->number,
        home ? "" : " of ", home ? "" : sim->spools[sim->disks[event->other]->spool]->name);
    if (event->member->disk->number == (int)event->other)
        node_committed(event->member->node, event->number, member_now(event->member));
    else
        copies_disk_synced(sim->disks[event->other], event->number);
}

static void start_sync(struct disk *disk);

/* Frames [from, upto) have become durable. */
static void make_durable(struct disk *disk, size_t from, size_t upto)
{
    for (size_t i = from; i < upto; i++) {
        disk->synced_seq = disk->frames[i].seq;
        if (!disk->frames[i].is_void)
            ledger_durable(disk->member->sim->ledger, disk, &disk->frames[i]);
    }
    disk->synced = upto;
}

/* The disk goes on while its node is frozen: so this event is nobody's, and looks itself whether it is too
 * late. */
static void synced(struct sim *sim, struct sim_event *event)
{
    struct disk *disk = sim->disks[event->other];
    struct member *member = disk->member;
    if (!member->up || member->life != event->number || disk->lost || disk->failed || disk->going == 0)
        return;
    make_durable(disk, disk->synced, disk->going);
    disk->going = 0;
    struct sim_event *told = sim_after(sim, sim_between(sim, 5, 200), tell_committed, member);
    told->aside = disk != member->disk;
    told->other = (uint64_t)disk->number;
    told->life = member->life;
    told->number = disk->synced_seq;
    if (disk->synced < disk->count)
        start_sync(disk);
}

static size_t bytes_after(const struct disk *disk, size_t from)
{
    size_t bytes = 0;
    for (size_t i = from; i < disk->count; i++)
        bytes += disk->frames[i].len + (disk->frames[i].body == NULL ? 0 : disk->frames[i].body->len);
    return bytes;
}

static void start_sync(struct disk *disk)
{
    struct member *member = disk->member;
    struct sim *sim = member->sim;
    bool slow = sim->now < disk->slow_until;
    usec_t takes = sim->scale != NULL && !slow ? scale_sync_takes(sim, bytes_after(disk, disk->synced))
                   : slow                      ? sim_between(sim, 100 * USEC_MS, 4 * USEC_SEC)
                                               : sim_between(sim, 100, 4 * USEC_MS);
    disk->going = disk->count;
    disk->busy_until = sim->now + takes;
    struct sim_event *event = sim_after(sim, takes, synced, NULL);
    event->aside = disk != member->disk;
    event->other = (uint64_t)disk->number;
    event->number = member->life;
}

void disk_append(struct disk *disk, struct frame *frame)
{
    const struct member *member = disk->member;
    if (disk->count > 0 && frame->seq <= disk->frames[disk->count - 1].seq)
        sim_fail(member->sim, "disk: %s appends frame %llu after frame %llu", member->name,
            (unsigned long long)frame->seq, (unsigned long long)disk->frames[disk->count - 1].seq);
    if (disk->count == disk->size) {
        disk->size = disk->size == 0 ? 64 : 2 * disk->size;
        disk->frames = xrealloc(disk->frames, disk->size * sizeof *disk->frames);
    }
    disk->frames[disk->count++] = *frame;
    if (disk->going == 0 && !disk->failed)
        start_sync(disk);
}

void disk_fails(struct disk *disk)
{
    disk->failed = true;
    trace_member(disk->member, "DISK FAILS", "with %zu frames that are not synced, of %s",
        disk->count - disk->synced, disk->member->sim->spools[disk->spool]->name);
}

static struct frame *find(const struct disk *disk, uint64_t seq)
{
    size_t low = 0, high = disk->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (disk->frames[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < disk->count && disk->frames[low].seq == seq ? &disk->frames[low] : NULL;
}

/* Deletes the oldest segments as long as nothing in them is alive. Segments are cut by frames ever appended.
 */
static void drop_segments(struct disk *disk)
{
    struct member *member = disk->member;
    for (;;) {
        size_t rest = disk->segment - disk->dropped % disk->segment;
        if (rest >= disk->synced)
            return; /* the newest one, or not durable yet */
        for (size_t i = 0; i < rest; i++)
            if ((disk->frames[i].base && !disk->frames[i].released) || disk->frames[i].seq >= disk->keep_from)
                return;
        trace_member(member, "disk", "the segment before frame %llu is deleted",
            (unsigned long long)disk->frames[rest].seq);
        member->sim->counts->segments++;
        disk->gone = disk->frames[rest - 1].seq;
        for (size_t i = 0; i < rest; i++)
            frame_clear(&disk->frames[i]);
        memmove(disk->frames, disk->frames + rest, (disk->count - rest) * sizeof *disk->frames);
        disk->count -= rest;
        disk->synced -= rest;
        disk->going = disk->going > 0 ? disk->going - rest : 0;
        disk->dropped += rest;
        if (disk->synced < disk->count || table_at_risk(member))
            faults_good_moment(member);
    }
}

static bool is_ghost(const struct disk *disk, uint64_t seq)
{
    for (size_t i = 0; i < disk->ghost_count; i++)
        if (disk->ghosts[i] == seq)
            return true;
    return false;
}

void disk_release(struct disk *disk, uint64_t seq)
{
    const struct member *member = disk->member;
    struct frame *frame = find(disk, seq);
    if (frame == NULL && (disk->reading || is_ghost(disk, seq)))
        return;
    if (frame == NULL || !frame->base) {
        sim_fail(member->sim, "disk: %s releases frame %llu, which is %s", member->name,
            (unsigned long long)seq, frame == NULL ? "not there" : "no base frame");
        return;
    }
    frame->released = true;
    drop_segments(disk);
}

void disk_release_any(struct disk *disk, uint64_t seq)
{
    struct frame *frame = find(disk, seq);
    if (frame == NULL || !frame->base || frame->released)
        return;
    frame->released = true;
    drop_segments(disk);
}

void disk_void(struct disk *disk, uint64_t after, uint64_t upto)
{
    for (size_t i = disk->count; i-- > 0;) {
        struct frame *frame = &disk->frames[i];
        if (frame->seq <= after || frame->seq > upto || frame->is_void)
            continue;
        if (i < disk->synced)
            ledger_void(disk->member->sim->ledger, disk, frame);
        frame->is_void = frame->released = true;
    }
}

void disk_lose(struct disk *disk)
{
    disk->lost = true;
    for (size_t i = 0; i < disk->count; i++)
        frame_clear(&disk->frames[i]);
    disk->count = disk->synced = disk->going = 0;
    if (!disk->member->sim->spools[disk->spool]->reg.retired)
        ledger_disk_lost(disk->member->sim->ledger, disk);
}

void disk_keep_from(struct disk *disk, uint64_t seq)
{
    disk->keep_from = seq;
    drop_segments(disk);
}

static void give_body(struct sim *sim, struct sim_event *event)
{
    trace_member(event->member, "body", "of frame %llu is %s", (unsigned long long)event->number,
        event->blob == NULL ? "unreadable" : "read");
    if (event->member->disk->number == (int)event->other)
        node_body(event->member->node, event->number, event->blob, member_now(event->member));
    else
        copies_body(sim->disks[event->other], event->number, event->blob);
}

void disk_read_body(struct disk *disk, uint64_t seq)
{
    struct member *member = disk->member;
    struct sim *sim = member->sim;
    struct frame *frame = find(disk, seq);
    struct sim_event *event = sim_after(sim, sim_between(sim, 50, 20 * USEC_MS), give_body, member);
    event->life = member->life;
    event->number = seq;
    event->other = (uint64_t)disk->number;
    if (frame == NULL || frame->body == NULL)
        sim_fail(sim, "disk: %s asks for the body of frame %llu, which has none", member->name,
            (unsigned long long)seq);
    else if (!(sim->phase == PHASE_LOAD && sim_chance(sim, sim->weather.body_unreadable)))
        event->blob = blob_hold(frame->body);
}

void disk_crash(struct disk *disk)
{
    struct member *member = disk->member;
    size_t unsynced = disk->count - disk->synced;
    size_t keep = disk->synced + (unsynced > 0 ? sim_draw(member->sim, unsynced + 1) : 0);
    if (unsynced > 0)
        trace_member(
            member, "disk", "%zu frames were not synced, %zu of them survive", unsynced, keep - disk->synced);
    for (size_t i = keep; i < disk->count; i++)
        frame_clear(&disk->frames[i]);
    disk->count = keep;
    disk->going = 0;
    disk->failed = false; /* whoever starts the process again has seen to it */
    make_durable(disk, disk->synced, keep);
    for (size_t i = 0; i < keep; i++)
        disk->frames[i].released = disk->frames[i].is_void; /* the new process says it again */
}

uint64_t disk_untidy(const struct disk *disk)
{
    for (size_t i = 0; i < disk->synced && i < disk->segment; i++)
        if (disk->frames[i].base && !disk->frames[i].released)
            return disk->frames[i].seq;
    return 0;
}

uint64_t disk_last(const struct disk *disk)
{
    return disk->count == 0 ? 0 : disk->frames[disk->count - 1].seq;
}

struct disk *disk_new(struct member *member, int spool)
{
    struct sim *sim = member->sim;
    struct disk *disk = xcalloc(1, sizeof *disk);
    disk->member = member;
    disk->number = (int)sim->disk_count;
    disk->spool = spool;
    snprintf(disk->id, sizeof disk->id, "%032d", disk->number + 1);
    sim->disks = xrealloc(sim->disks, (sim->disk_count + 1) * sizeof(struct disk *));
    sim->disks[sim->disk_count++] = disk;
    return disk;
}

struct disk *disk_find(const struct sim *sim, const char *id)
{
    unsigned long number = strtoul(id, NULL, 10);
    bool known = number > 0 && number <= sim->disk_count;
    return known && strcmp(sim->disks[number - 1]->id, id) == 0 ? sim->disks[number - 1] : NULL;
}

void disks_free(struct sim *sim)
{
    for (size_t i = 0; i < sim->disk_count; i++) {
        struct disk *disk = sim->disks[i];
        for (size_t j = 0; j < disk->count; j++)
            frame_clear(&disk->frames[j]);
        free(disk->frames);
        free(disk->ghosts);
        free(disk);
    }
    free(sim->disks);
    for (size_t i = 0; i < sim->spool_count; i++)
        free(sim->spools[i]);
    free(sim->spools);
    map_free(&sim->spool_names);
}
