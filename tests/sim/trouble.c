/* trouble - faults of disks, of what lies on them, and of the room there */
#include "node/node.h"
#include "tests/sim/copies.h"
#include "tests/sim/sim.h"

static void start_again(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    trace_member(event->member, "operator", "starts it again: a disk of it has failed");
    member_crash(event->member, true);
}

/* As node/spool.h: that disk is done with until another process opens it. What it says is not durable is so; the node
 * sends nothing more when it is its own (node/keeper_uv.c), a copy takes nothing more. */
static bool fail_disk(struct sim *sim, struct member *member)
{
    size_t which = sim_draw(sim, 2) == 0 ? 0 : sim_draw(sim, member->copy_count + 1);
    struct disk *disk = which == 0 ? member->disk : member->copies[which - 1]->disk;
    if (disk->failed || member->stopping)
        return false;
    disk_fails(disk);
    member_tell_room(member);
    if (disk == member->disk)
        node_quiesce(member->node, member_now(member));
    member_settle_tick(member);
    sim_after(sim, sim_between(sim, USEC_SEC, USEC_MIN), start_again, member)->life = member->life;
    return true;
}

static void room_again(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    member_tell_room(event->member);
}

static bool fill_copies(struct sim *sim, struct member *member)
{
    usec_t lasts = sim_between(sim, USEC_SEC, USEC_MIN);
    if (member->copy_count == 0)
        return false;
    member->copies_full_until = sim->now + lasts;
    trace_member(member, "COPIES FULL", "for %lld ms", (long long)lasts / 1000);
    member_tell_room(member);
    sim_after(sim, lasts, room_again, member)->life = member->life;
    return true;
}

bool trouble_strikes(struct sim *sim, enum fault_kind kind, struct member *member)
{
    switch (kind) {
    case FAULT_SYNC:
        return fail_disk(sim, member);
    case FAULT_NOTE:
        return copies_damage_note(member);
    case FAULT_COPY_FULL:
        return fill_copies(sim, member);
    case FAULT_CLOCK:
        clock_set(member);
        if (sim_chance(sim, 500))
            member_crash(member, true);
        return true;
    default:
        return false;
    }
}
