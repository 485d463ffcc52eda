/* heirs - see heirs.h */
#include "tests/sim/heirs.h"

#include <string.h>

#include "base/alloc.h"
#include "cluster/member_record.h"
#include "node/node.h"
#include "tests/sim/control.h"
#include "tests/sim/ledger.h"
#include "tests/sim/store_link.h"

static void heir_release(void *context, uint64_t seq)
{
    disk_release_any(((struct copy *)context)->disk, seq);
}

static void heir_send(void *context, struct bus_msg *msg)
{
    bus_model_send(((struct copy *)context)->member, msg);
}

static void heir_tells(void *context, const char *what)
{
    trace_member(((struct copy *)context)->member, "notice", "%s", what);
}

static void heir_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    struct copy *copy = context;
    struct frame frame = {.seq = seq, .base = base};
    frame.record = buffer_steal(record, &frame.len);
    if (body != NULL)
        frame.body = blob_hold(body);
    ledger_appended(copy->member->sim->ledger, copy->disk, &frame);
    disk_append(copy->disk, &frame);
}

static void heir_read_body(void *context, uint64_t seq)
{
    disk_read_body(((struct copy *)context)->disk, seq);
}

static void heir_event(void *context, const char *json, size_t len)
{
    struct copy *copy = context;
    ledger_event(copy->member->sim->ledger, copy->disk, 0, json, len);
}

static void heir_request(void *context, uint64_t ref, const struct kv_request *request)
{
    struct copy *copy = context;
    control_wake(copy->member->sim);
    link_request(copy->member, CORE_HEIR + copy->disk->number, ref, request);
}

static void heir_retired(void *context)
{
    ((struct copy *)context)->retired = true;
}

static void make_heir(struct copy *copy)
{
    const struct member *member = copy->member;
    char key[MEMBER_PATH_SIZE];
    copies_key(copies_spool(copy), key);
    struct heir_settings settings = {.member = member->name,
        .home = member->spool->name,
        .spool = copies_spool(copy)->name,
        .key = key,
        .disk = copy->disk->id,
        .process = member->process,
        .reg = &copy->reg,
        .note = &copy->note,
        .told = copy->told,
        .swapped = copy->swapped,
        .at_hand = sim_chance(member->sim, 500) ? 1 + sim_draw(member->sim, 40) : 0};
    struct heir_ports ports = {.context = copy,
        .append = heir_append,
        .release = heir_release,
        .read_body = heir_read_body,
        .send = heir_send,
        .event = heir_event,
        .store = {.context = copy, .request = heir_request},
        .retired = heir_retired,
        .notice = heir_tells};
    copy->heir = heir_new(&settings, &ports);
}

/* Null: there is none. */
static const struct frame *frame_before(const struct disk *disk, uint64_t seq)
{
    size_t low = 0, high = disk->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (disk->frames[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &disk->frames[low - 1];
}

/* Meanwhile segments may go. True: that was all. What is told here was told by the dead node, or should have been. */
static bool read_portion(struct copy *copy, size_t frames)
{
    const struct frame *frame = NULL;
    copy->disk->reading = true;
    for (;
         frames > 0 && heir_has_room(copy->heir) && (frame = frame_before(copy->disk, copy->unread)) != NULL;
         frames--) {
        struct error error = {""};
        copy->unread = frame->seq;
        if (heir_replay(copy->heir, frame->seq, frame->record, frame->len, frame->base, &error) != 0)
            sim_fail(copy->member->sim, "replay: the heir %s does not understand frame %llu of %s: %s",
                copy->member->name, (unsigned long long)copy->unread, copies_spool(copy)->name, error.text);
    }
    copy->disk->reading = false;
    return frame_before(copy->disk, copy->unread) == NULL;
}

static void read_on(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    struct copy *copy = copies_find(member, (int)event->number);
    if (copy == NULL || copy->heir == NULL)
        return;
    bool all = read_portion(copy, 1 + sim_draw(sim, 64));
    copy->disk->reading = true;
    bool over = all && heir_recovered(copy->heir, member_now(member));
    copy->disk->reading = false;
    if (over)
        return;
    struct sim_event *next = sim_after(sim, sim_between(sim, 50, 20 * USEC_MS), read_on, member);
    next->life = member->life;
    next->number = event->number;
}

void heirs_end(struct copy *copy)
{
    heir_free(&copy->heir);
}

static void open_heir(struct sim *sim, struct sim_event *event);

static void open_later(struct copy *copy, usec_t delay)
{
    struct sim_event *event = sim_after(copy->member->sim, delay, open_heir, copy->member);
    event->life = copy->member->life;
    event->number = (uint64_t)copy->disk->number;
}

/* What it tells and asks stands on the disk: first all that the copy took is synced. */
static void open_heir(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    struct copy *copy = copies_find(member, (int)event->number);
    if (copy == NULL || copy->heir != NULL || copy->mirror == NULL)
        return;
    if (copy->disk->synced < copy->disk->count) {
        open_later(copy, 10 * USEC_MS);
        return;
    }
    make_heir(copy);
    sim->counts->heirs++;
    heir_log_ends(copy->heir, disk_last(copy->disk), copy->disk->count, member_now(member));
    copy->unread = disk_last(copy->disk) + 1;
    if (control_view(member) != NULL)
        heir_set_view(copy->heir, control_view(member), member_now(member));
    read_on(sim, event);
}

/* The log is opened beside the loop. */
void heirs_open(struct copy *copy)
{
    copy->opening = true;
    open_later(copy, sim_between(copy->member->sim, USEC_MS, USEC_SEC));
}
