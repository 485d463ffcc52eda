/* Two copies in a storm: the primary's end of a spool against the mirror's, over a bus that loses, doubles and
 * reorders, disks that forget what was not synced, a store whose answers get lost or whose changes come late, nodes
 * that crash at any step, verdicts true and false, learners, severs, take-overs, hand-overs.
 *
 * After each step: what copies_committed() ever said is on the disks that the register names, would be there after a
 * crash of them, and each epoch has one primary. When the storm is over: somebody serves, and has a mirror.
 *
 *   test_copies_storm [--seeds 1..20000] [--mutant-expected]
 *
 * A message of the model is a base frame; it may be restated (a new base frame) or done (a fact), and is released when
 * that is committed. What a disk must have of one: a base frame of it, or the fact. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "copies_storm.h"

/* ---- ports of both ---- */

static void on_send(void *context, struct bus_msg *msg)
{
    struct storm *s = ((struct node *)context)->storm;
    if (s->wire_count == WIRE) {
        size_t at = random_below(&s->random, WIRE);
        bus_msg_free(&s->wire[at]);
        s->wire[at] = msg;
    } else
        s->wire[s->wire_count++] = msg;
}

static void on_result(void *arg, uint64_t ref, const struct kv_result *result)
{
    struct client *client = arg;
    struct node *node = client->node;
    if (!node->up || node->process != client->process)
        return;
    if (node->copies != NULL)
        copies_result(node->copies, ref, result, node->storm->now);
    else if (node->mirror != NULL)
        mirror_result(node->mirror, ref, result, node->storm->now);
}

static void on_notice(void *context, const char *what)
{
    (void)context;
    (void)what;
}

static void begins_epoch(struct node *node, uint64_t epoch)
{
    struct storm *s = node->storm;
    if (epoch < EPOCHS && s->owner[epoch] != 0 && s->owner[epoch] != node->process)
        fail(s, "epoch %lu has two primaries", epoch);
    if (epoch < EPOCHS)
        s->owner[epoch] = node->process;
    node->number = 0;
}

static void on_epoch(void *context, uint64_t epoch, uint64_t incarnation)
{
    (void)incarnation;
    begins_epoch(context, epoch);
}

static void on_read(void *context, uint64_t after, size_t bytes)
{
    struct node *node = context;
    (void)bytes;
    node->reading = true;
    node->read_after = after;
}

static bool on_whole(void *context, uint64_t after)
{
    (void)context, (void)after;
    return true;
}

static size_t on_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    const struct node *node = context;
    const struct storm *s = node->storm;
    size_t count = 0;
    for (size_t i = 0; i < node->disk.count && count < max; i++) {
        const struct frame *frame = &s->frames[node->disk.order[i]];
        if (frame->base && !node->disk.kept[node->disk.order[i]].dead && frame->seq > after)
            seqs_r[count++] = frame->seq;
    }
    return count;
}

static void on_deposed(void *context, uint64_t epoch, const char *heir)
{
    (void)epoch;
    (void)heir;
    ((struct node *)context)->wants_start = true;
}

static void on_append(void *context, const struct copy_frame *frame)
{
    struct node *node = context;
    disk_append(node->storm, &node->disk, frame->seq);
}

static void on_release(void *context, uint64_t seq)
{
    struct node *node = context;
    disk_release(node->storm, &node->disk, seq);
}

static void on_lives(void *context, uint64_t after, uint64_t upto, const uint64_t *seqs, size_t count)
{
    struct node *node = context;
    struct storm *s = node->storm;
    for (size_t i = 0; i < node->disk.count; i++) {
        const struct frame *frame = &s->frames[node->disk.order[i]];
        bool lives = !frame->base || frame->seq <= after || frame->seq > upto;
        for (size_t j = 0; j < count && !lives; j++)
            lives = seqs[j] == frame->seq;
        if (!lives)
            disk_release(s, &node->disk, frame->seq);
    }
}

static void on_note(void *context, const struct mirror_note *note)
{
    struct node *node = context;
    node->disk.noting = *note;
    node->disk.is_noting = true;
}

static void on_serve(
    void *context, const struct spool_register *reg, const struct mirror_note *note, uint64_t told)
{
    struct node *node = context;
    (void)note;
    (void)told;
    node->serves = true;
    node->served = *reg;
}

static void on_useless(void *context)
{
    ((struct node *)context)->useless = true;
}

/* ---- a node ---- */

static void new_disk(struct node *node)
{
    struct storm *s = node->storm;
    node->disk = (struct disk){.count = 0};
    snprintf(node->disk.id, sizeof node->disk.id, "d%lu", ++s->disks % 10000);
}

static void stop(struct node *node)
{
    copies_free(&node->copies);
    mirror_free(&node->mirror);
    node->up = node->serves = node->wants_start = node->useless = node->reading = false;
}

static struct store_port port_of(struct node *node)
{
    return fake_port(&node->client->fake);
}

static void be_primary(struct node *node, const struct spool_register *reg)
{
    struct storm *s = node->storm;
    struct copies_settings settings = {node->name, "s", KEY, node->disk.id, node->process, 2};
    struct copies_ports ports = {
        node, on_send, port_of(node), on_epoch, on_read, on_whole, on_living, on_deposed, on_notice};
    mirror_free(&node->mirror);
    disk_sync(&node->disk, node->disk.count);
    disk_cut(s, &node->disk);
    begins_epoch(node, reg->epoch);
    node->copies = copies_new(&settings, reg, fake_get(s->store, KEY)->revision, &ports, s->now);
    for (size_t i = 0; i < node->disk.count; i++) {
        uint64_t seq = s->frames[node->disk.order[i]].seq;
        if (i + 1 == node->disk.count ||
            copy_epoch_of(s->frames[node->disk.order[i + 1]].seq) != copy_epoch_of(seq))
            copies_past(node->copies, copy_epoch_of(seq), seq);
    }
}

static void be_copy(struct node *node)
{
    struct storm *s = node->storm;
    struct mirror_settings settings = {node->name, "s", KEY, node->disk.id, node->process};
    struct mirror_ports ports = {node, on_append, on_release, on_lives, on_note, on_send, port_of(node),
        on_serve, on_useless, on_notice, NULL};
    node->mirror = mirror_new(&settings, &node->disk.note, last_seq(s, &node->disk), &ports, s->now);
}

/* A start: the disk that the register names resumes, any other one has a copy. */
static void start(struct node *node)
{
    struct storm *s = node->storm;
    struct spool_register reg, next;
    struct error error;
    if (s->client_count == CLIENTS)
        return;
    node->up = true;
    node->process = ++s->processes;
    node->client = &s->clients[s->client_count++];
    *node->client = (struct client){.node = node, .process = node->process};
    node->client->fake = (struct fake_client){s->store, on_result, node->client, NULL};
    if (read_register(s, &reg) && spool_register_next(&reg, node->name, node->disk.id, node->process, &next,
                                      &error) == SPOOL_REGISTER_SWAP) {
        struct buffer text = {0};
        spool_register_write(&next, &text);
        fake_put(s->store, KEY, buffer_text(&text), 0);
        buffer_free(&text);
        be_primary(node, &next);
    } else
        be_copy(node);
}

static void crash(struct node *node)
{
    if (!node->up)
        return;
    seen.crashes++;
    disk_crash(node->storm, &node->disk);
    stop(node);
}

static bool is_replaced(struct node *node, const struct frame *frame, uint64_t committed)
{
    for (size_t i = 0; i < node->disk.count; i++) {
        const struct frame *other = &node->storm->frames[node->disk.order[i]];
        if (other->message == frame->message && other->seq > frame->seq && other->seq <= committed)
            return true;
    }
    return false;
}

/* As custody does: a base frame goes when what stands in its place is committed. */
static void release_some(struct node *node, uint64_t committed)
{
    struct storm *s = node->storm;
    for (size_t i = 0; i < node->disk.count; i++) {
        const struct frame *frame = &s->frames[node->disk.order[i]];
        if (!frame->base || node->disk.kept[node->disk.order[i]].dead || !is_replaced(node, frame, committed))
            continue;
        disk_release(s, &node->disk, frame->seq);
        copies_release(node->copies, frame->seq);
    }
}

/* What the cores asked their owner for. */
static void see(struct node *node)
{
    struct storm *s = node->storm;
    if (node->serves) {
        node->serves = false;
        seen.take_overs++;
        be_primary(node, &node->served);
    } else if (node->wants_start || node->useless) {
        bool fresh = node->useless;
        disk_sync(&node->disk, node->disk.count);
        stop(node);
        if (fresh)
            new_disk(node);
        start(node);
    }
    if (node->copies == NULL)
        return;
    uint64_t committed = copies_committed(node->copies);
    for (size_t i = 0; i < node->disk.count; i++) {
        struct frame *frame = &s->frames[node->disk.order[i]];
        if (frame->seq <= committed && !frame->committed) {
            frame->committed = true;
            seen.committed++;
        }
    }
    if (!copies_deposed(node->copies))
        release_some(node, committed);
}

/* ---- what the primary does ---- */

static void append(struct node *node, bool base, bool done, uint32_t message)
{
    struct storm *s = node->storm;
    if (s->frame_count == FRAMES)
        return;
    uint64_t seq = copies_epoch(node->copies) << COPY_EPOCH_SHIFT | ++node->number;
    s->frames[s->frame_count++] = (struct frame){.seq = seq, .base = base, .done = done, .message = message};
    disk_append(s, &node->disk, seq);
    struct copy_frame frame = {seq, base, "r", 1, NULL};
    copies_append(node->copies, &frame);
}

/* A base frame that lives: the n-th of them. */
static const struct frame *living(struct node *node, size_t skip)
{
    for (size_t i = 0; i < node->disk.count; i++) {
        const struct frame *frame = &node->storm->frames[node->disk.order[i]];
        if (frame->base && !node->disk.kept[node->disk.order[i]].dead && skip-- == 0)
            return frame;
    }
    return NULL;
}

static void work(struct node *node)
{
    struct storm *s = node->storm;
    const struct frame *old = chance(s, 50) ? living(node, random_below(&s->random, 4)) : NULL;
    if (copies_deposed(node->copies) || s->frame_count == FRAMES || (old == NULL && s->messages == MESSAGES))
        return;
    if (old == NULL) {
        append(node, true, false, s->messages++);
        return;
    }
    bool done = chance(s, 50);
    append(node, !done, done, old->message);
}

static void sync_some(struct node *node)
{
    struct storm *s = node->storm;
    struct disk *disk = &node->disk;
    if (disk->is_noting && chance(s, 60)) {
        disk->note = disk->noting;
        disk->is_noting = false;
        if (node->mirror != NULL)
            mirror_noted(node->mirror, s->now);
    }
    if (disk->synced == disk->count)
        return;
    disk_sync(disk, disk->synced + 1 + random_below(&s->random, disk->count - disk->synced));
    uint64_t seq = s->frames[disk->order[disk->synced - 1]].seq;
    if (node->copies != NULL && !copies_deposed(node->copies))
        copies_synced(node->copies, seq, s->now);
    else if (node->mirror != NULL)
        mirror_synced(node->mirror, seq);
}

static void read_some(struct node *node)
{
    struct storm *s = node->storm;
    struct copy_frame frames[FRAMES];
    size_t count = 0, at = 0, most = 1 + random_below(&s->random, 8);
    if (!node->reading || node->copies == NULL)
        return;
    for (; at < node->disk.synced && count < most; at++) {
        size_t i = node->disk.order[at];
        if (s->frames[i].seq > node->read_after && !(s->frames[i].base && node->disk.kept[i].dead))
            frames[count++] = (struct copy_frame){s->frames[i].seq, s->frames[i].base, "r", 1, NULL};
    }
    node->reading = false;
    copies_read(node->copies, frames, count, at == node->disk.synced, s->now);
}

/* ---- the world ---- */

static void hand(struct storm *s, const struct bus_msg *msg)
{
    struct node *node = &s->nodes[msg->to[1] - '0'];
    if (!node->up)
        return;
    if (msg->type == BUS_COPIED && node->copies != NULL)
        copies_message(node->copies, msg, s->now);
    else if (msg->type == BUS_COPY && node->mirror != NULL)
        mirror_message(node->mirror, msg, s->now);
}

static void deliver(struct storm *s, unsigned lost, unsigned doubled)
{
    if (s->wire_count == 0)
        return;
    size_t at = lost == 0 ? 0 : random_below(&s->random, s->wire_count);
    struct bus_msg *msg = s->wire[at];
    if (chance(s, doubled))
        msg = bus_msg_copy(msg);
    else {
        memmove(&s->wire[at], &s->wire[at + 1], (--s->wire_count - at) * sizeof *s->wire);
    }
    if (!chance(s, lost))
        hand(s, msg);
    bus_msg_free(&msg);
}

static void tell_register(struct storm *s, struct node *node)
{
    const struct fake_key *key = fake_get(s->store, KEY);
    struct kv_pair pair = {KEY, key->value, key->len, key->revision, key->created, 0, false};
    struct kv_news news = {.type = KV_LIST, .pairs = &pair, .pair_count = 1, .revision = s->store->revision};
    if (node->copies != NULL)
        copies_register_news(node->copies, &news, s->now);
    else if (node->mirror != NULL)
        mirror_register_news(node->mirror, &news, s->now);
}

static void pass(struct storm *s, usec_t how_long)
{
    s->now += how_long;
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &s->nodes[i];
        if (node->copies != NULL && copies_deadline(node->copies) <= s->now)
            copies_tick(node->copies, s->now);
        else if (node->mirror != NULL && mirror_deadline(node->mirror) <= s->now)
            mirror_tick(node->mirror, s->now);
    }
}

static void verdict(struct storm *s, const char *who, bool down)
{
    for (size_t i = 0; i < NODES; i++)
        if (s->nodes[i].mirror != NULL)
            mirror_verdict(s->nodes[i].mirror, who, down, s->now);
}

static struct node *any(struct storm *s)
{
    return &s->nodes[random_below(&s->random, NODES)];
}

static void want(struct storm *s, struct node *node, const struct node *other)
{
    if (node->copies != NULL && node != other)
        copies_want(node->copies, other->name, other->process, s->now);
}

static void hurt(struct storm *s)
{
    struct node *node = any(s);
    struct spool_register reg;
    switch (random_below(&s->random, 11)) {
    case 0:
    case 1:
        crash(node);
        break;
    case 2:
        if (!node->up)
            start(node);
        break;
    case 3:
    case 8:
    case 9:
    case 10:
        if (read_register(s, &reg))
            verdict(s, reg.node, chance(s, 75));
        break;
    case 4:
        if (node->copies != NULL)
            copies_silent(node->copies, any(s)->name, chance(s, 40), s->now);
        break;
    case 5:
        if (node->copies != NULL && chance(s, 20))
            copies_hand_over(node->copies, s->now);
        break;
    case 6: /* a disk is lost, once, while another one has everything */
        if (!s->disk_lost && chance(s, 10) && read_register(s, &reg) && reg.mirror[0] != '\0') {
            s->disk_lost = true;
            stop(node);
            new_disk(node);
        }
        break;
    default:
        if (s->client_count > 0)
            fake_happen_late(&s->clients[random_below(&s->random, s->client_count)].fake);
        break;
    }
}

static void step(struct storm *s)
{
    static const enum fate fates[] = {
        FATE_DONE, FATE_DONE, FATE_DONE, FATE_UNANSWERED, FATE_LOST, FATE_LATE_LATER};
    struct node *node = any(s);
    unsigned dice = (unsigned)random_below(&s->random, 100);
    if (dice < 36)
        deliver(s, 8, 8);
    else if (dice < 52) {
        if (node->copies != NULL)
            work(node);
    } else if (dice < 66) {
        if (node->up)
            sync_some(node);
    } else if (dice < 72)
        fake_serve(
            &s->clients[random_below(&s->random, s->client_count)].fake, fates[random_below(&s->random, 6)]);
    else if (dice < 77)
        tell_register(s, node);
    else if (dice < 81)
        want(s, node, any(s));
    else if (dice < 84)
        read_some(node);
    else if (dice < 94)
        pass(s, (usec_t)random_below(&s->random, chance(s, 10) ? 4 * USEC_SEC : USEC_SEC / 4));
    else
        hurt(s);
}

/* ---- what must hold ---- */

static void check_disk(struct storm *s, const char *id, const char *role)
{
    const struct disk *disk = disk_of(s, id);
    bool has[MESSAGES] = {false};
    if (disk == NULL)
        return; /* it is lost */
    for (size_t i = 0; i < disk->count; i++)
        if (disk_lasts(s, disk, disk->order[i]))
            has[s->frames[disk->order[i]].message] = true;
    for (size_t i = 0; i < s->frame_count; i++) {
        const struct frame *frame = &s->frames[i];
        if (!frame->committed)
            continue;
        if (frame->base ? !has[frame->message] : !disk_lasts(s, disk, i))
            fail(s, "%s %lx of message %u was committed, and is not on disk %s, the %s's",
                frame->base ? "frame" : "fact", frame->seq, frame->message, id, role);
    }
}

static void check(struct storm *s)
{
    struct spool_register reg;
    if (!read_register(s, &reg))
        fail(s, "the register is gone");
    check_disk(s, reg.disk, "primary");
    if (reg.mirror[0] != '\0')
        check_disk(s, reg.mirror, "mirror");
}

static void settle(struct storm *s)
{
    for (size_t i = 0; i < NODES; i++)
        see(&s->nodes[i]);
    check(s);
}

/* The storm is over: everything is up and answers. */
static void calm(struct storm *s)
{
    struct spool_register reg;
    for (size_t i = 0; i < s->client_count; i++)
        fake_happen_late(&s->clients[i].fake);
    for (size_t i = 0; i < NODES; i++)
        if (!s->nodes[i].up)
            start(&s->nodes[i]);
    for (int round = 0; round < 400; round++) {
        read_register(s, &reg);
        bool served = false;
        for (size_t i = 0; i < NODES; i++) {
            struct node *node = &s->nodes[i];
            tell_register(s, node);
            want(s, node, &s->nodes[(i + 1) % NODES]);
            for (size_t j = 0; j < NODES && node->copies != NULL; j++)
                copies_silent(node->copies, s->nodes[j].name, false, s->now);
            while (fake_serve(&node->client->fake, FATE_DONE))
                ;
            read_some(node);
            sync_some(node);
            settle(s);
            served = served || (node->copies != NULL && !copies_deposed(node->copies) &&
                                   strcmp(reg.disk, node->disk.id) == 0);
            if (served && node->copies != NULL && round > 8 && copies_figures(node->copies, s->now).paired &&
                copies_committed(node->copies) >= last_seq(s, &node->disk)) {
                seen.paired++;
                return;
            }
        }
        verdict(s, reg.node, !served);
        for (int i = 0; i < WIRE && s->wire_count > 0; i++)
            deliver(s, 0, 0);
        settle(s);
        pass(s, USEC_SEC / 10);
        settle(s);
    }
    if (disk_of(s, reg.disk) ==
        NULL) /* its take-over came late, it was lost meanwhile: `old` is the last resort */
        return;
    fail(s, "when all is calm, nobody serves with a mirror: epoch %lu, node %s, mirror \"%s\"", reg.epoch,
        reg.node, reg.mirror);
}

/* ---- a run ---- */

static void begin(struct storm *s, uint64_t seed)
{
    struct spool_register reg = {.epoch = 1, .incarnation = 1, .process = 999999};
    struct buffer text = {0};
    s->random.state = s->seed = seed;
    s->now = 1000 * USEC_SEC;
    s->processes = 0;
    s->store = xcalloc(1, sizeof *s->store);
    for (size_t i = 0; i < NODES; i++) {
        s->nodes[i].storm = s;
        snprintf(s->nodes[i].name, sizeof s->nodes[i].name, "n%zu", i);
        new_disk(&s->nodes[i]);
    }
    snprintf(reg.node, sizeof reg.node, "n0");
    snprintf(reg.disk, sizeof reg.disk, "%s", s->nodes[0].disk.id);
    if (seed % 8 != 0) { /* most runs begin with a pair: both disks are empty */
        snprintf(reg.mirror, sizeof reg.mirror, "%s", s->nodes[1].disk.id);
        snprintf(reg.mirror_node, sizeof reg.mirror_node, "n1");
    }
    spool_register_write(&reg, &text);
    fake_put(s->store, KEY, buffer_text(&text), 0);
    buffer_free(&text);
    for (size_t i = 0; i < NODES; i++)
        start(&s->nodes[i]);
    for (size_t i = 0; i < NODES; i++)
        tell_register(s, &s->nodes[i]);
}

static void end(struct storm *s)
{
    for (size_t i = 0; i < NODES; i++)
        stop(&s->nodes[i]);
    for (size_t i = 0; i < s->wire_count; i++)
        bus_msg_free(&s->wire[i]);
    for (size_t i = 0; i < s->client_count; i++)
        fake_forget(&s->clients[i].fake);
    for (size_t i = 0; i < s->store->key_count; i++) {
        free(s->store->keys[i].key);
        free(s->store->keys[i].value);
    }
    for (size_t i = 0; i < s->store->log_count; i++) {
        free(s->store->log[i].key);
        free(s->store->log[i].value);
    }
    free(s->store); /* fake_free would write all of its megabytes */
}

static bool run(uint64_t seed, bool quiet)
{
    struct storm *s = xcalloc(1, sizeof *s);
    bool ok = setjmp(s->out) == 0;
    if (ok) {
        begin(s, seed);
        for (int i = 0; i < STEPS; i++) {
            step(s);
            settle(s);
        }
        if (seed % 4 == 0)
            calm(s);
    } else if (!quiet)
        fprintf(stderr, "seed %lu: %s\n", s->seed, s->why);
    end(s);
    free(s);
    return ok;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = RUNS;
    bool mutant = false;
    for (int i = 1; i < argc; i++) {
        mutant = mutant || strcmp(argv[i], "--mutant-expected") == 0;
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc) {
            char *end = NULL;
            first = last = strtoull(argv[++i], &end, 10);
            if (strncmp(end, "..", 2) == 0)
                last = strtoull(end + 2, NULL, 10);
        }
    }
    uint64_t bad = 0, seed = first;
    for (; seed <= last && bad < (mutant ? 1 : 5); seed++)
        bad += !run(seed, false);
    printf("%lu runs, %lu bad: %lu frames committed, %lu crashes, %lu take-overs, %lu void frames, %lu ended "
           "paired\n",
        seed - first, bad, seen.committed, seen.crashes, seen.take_overs, seen.cuts, seen.paired);
    return (bad > 0) == mutant ? 0 : 1;
}
