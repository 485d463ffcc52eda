/* The links between processes on virtual time: credit, queues, silence, over a channel that keeps order but
 * may lose, delay and break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/random.h"
#include "cluster/bus_link.h"

enum { MAX_ENDS = 4 };

struct frame {
    struct list link;
    usec_t at;
    size_t to;
    struct bus_envelope envelope;
    struct buffer bytes;
    struct blob *body;
};

/* A process: its link, what waits in its inbox, what its listener heard. */
struct end {
    struct world *world;
    size_t number;
    char member[BUS_NAME_SIZE];
    uint64_t process;
    struct bus_link *link;
    struct bus_msg *inbox[70000];
    size_t inbox_count, taken;
    uint64_t backlog, backlog_most, last_ref;
    int silent, back, left;
    bool reads, well;
    bool cut[MAX_ENDS]; /* the door to this end takes nothing */
    uint64_t bare;      /* frames without a message */
};

struct world {
    usec_t now;
    struct random random;
    uint64_t loss; /* of 1000 frames */
    struct list frames;
    struct end *ends[MAX_ENDS];
    size_t count;
    uint64_t window, total; /* total: 0 = as it is */
};

static bool port_send(void *context, const char *member, const struct bus_envelope *envelope,
    const struct buffer *payload, struct blob *body)
{
    struct end *end = context;
    size_t to = (size_t)(member[0] - 'a');
    if (end->cut[to])
        return false;
    if (envelope->type == 0)
        end->bare++;
    if (random_below(&end->world->random, 1000) < end->world->loss)
        return true;
    struct frame *frame = xcalloc(1, sizeof *frame);
    frame->at = end->world->now + 5 * USEC_MS;
    frame->to = to;
    bus_envelope_encode(envelope, payload == NULL ? NULL : buffer_bytes(payload),
        payload == NULL ? 0 : buffer_len(payload), &frame->bytes);
    frame->body = body == NULL ? NULL : blob_hold(body);
    list_push_back(&end->world->frames, &frame->link);
    return true;
}

static uint64_t cost(const struct bus_msg *msg)
{
    return BUS_MSG_OVERHEAD + (msg->body == NULL ? 0 : msg->body->len) + msg->text_len;
}

static void port_deliver(void *context, struct bus_msg *msg)
{
    struct end *end = context;
    assert_true(end->inbox_count < 70000);
    end->inbox[end->inbox_count++] = msg;
    end->backlog += cost(msg);
    if (end->backlog > end->backlog_most)
        end->backlog_most = end->backlog;
}

static void port_silent(void *context, const char *member, bool silent)
{
    struct end *end = context;
    (void)member;
    *(silent ? &end->silent : &end->back) += 1;
}

static void port_leaves(void *context, const char *member)
{
    struct end *end = context;
    (void)member;
    end->left++;
}

static void end_open(struct world *world, size_t number, uint64_t process)
{
    struct end *end = world->ends[number];
    struct bus_link_ports ports = {.context = end,
        .send = port_send,
        .deliver = port_deliver,
        .silent = port_silent,
        .leaves = port_leaves};
    snprintf(end->member, sizeof end->member, "%c", (char)('a' + number));
    struct bus_link_settings settings = {.cluster = "test",
        .member = end->member,
        .process = process,
        .window = world->window,
        .total = world->total};
    end->world = world;
    end->number = number;
    end->process = process;
    end->well = true;
    end->link = bus_link_new(&settings, &ports, world->now);
}

static void acquaint(struct world *world)
{
    struct bus_link_peer peers[MAX_ENDS] = {0};
    for (size_t i = 0; i < world->count; i++) {
        memcpy(peers[i].member, world->ends[i]->member, sizeof peers[i].member);
        peers[i].process = world->ends[i]->process;
    }
    for (size_t i = 0; i < world->count; i++)
        bus_link_set_peers(world->ends[i]->link, peers, world->count, world->now);
}

static struct world *world_new(size_t count, uint64_t window, uint64_t seed)
{
    struct world *world = xcalloc(1, sizeof *world);
    world->now = 1000 * USEC_SEC;
    world->random.state = seed;
    world->window = window;
    list_init(&world->frames);
    for (; world->count < count; world->count++) {
        world->ends[world->count] = xcalloc(1, sizeof(struct end));
        world->ends[world->count]->reads = true;
        end_open(world, world->count, world->count + 1);
    }
    acquaint(world);
    return world;
}

static void frame_free(struct frame *frame)
{
    buffer_free(&frame->bytes);
    blob_drop(&frame->body);
    free(frame);
}

static void end_empty(struct end *end)
{
    for (size_t i = 0; i < end->inbox_count; i++)
        bus_msg_free(&end->inbox[i]);
    end->taken += end->inbox_count;
    end->inbox_count = 0;
    end->backlog = 0;
}

static void world_free(struct world *world)
{
    for (struct list *link; (link = list_pop(&world->frames)) != NULL;)
        frame_free(list_item(link, struct frame, link));
    for (size_t i = 0; i < world->count; i++) {
        end_empty(world->ends[i]);
        bus_link_free(&world->ends[i]->link);
        free(world->ends[i]);
    }
    free(world);
}

static void arrive(struct world *world, struct frame *frame)
{
    struct end *end = world->ends[frame->to];
    struct bus_envelope envelope;
    struct error error;
    assert_int_equal(
        bus_envelope_decode(buffer_bytes(&frame->bytes), buffer_len(&frame->bytes), &envelope, &error), 0);
    bus_link_take(end->link, &envelope, frame->body == NULL ? NULL : frame->body->bytes,
        frame->body == NULL ? 0 : frame->body->len, world->now, &error);
    bus_envelope_clear(&envelope);
    frame_free(frame);
}

/* One millisecond: what is due arrives, those that read do so, every link turns its wheel. */
static void step(struct world *world)
{
    world->now += USEC_MS;
    while (!list_empty(&world->frames)) {
        struct frame *frame = list_item(world->frames.next, struct frame, link);
        if (frame->at > world->now) /* NOLINT(clang-analyzer-unix.Malloc): what is in a list is not freed */
            break;
        list_remove(&frame->link);
        arrive(world, frame);
    }
    for (size_t i = 0; i < world->count; i++) {
        struct end *end = world->ends[i];
        if (end->reads)
            end_empty(end);
        bus_link_tick(end->link, end->well, world->now);
        bus_link_flush(end->link, end->backlog, world->now);
    }
}

static void run(struct world *world, usec_t time)
{
    for (usec_t end = world->now + time; world->now < end;)
        step(world);
}

static bool post(struct end *end, const char *to, enum bus_type type, size_t len)
{
    struct error error;
    struct bus_msg *msg = bus_msg_new(type, end->member, to);
    msg->ref = ++end->last_ref;
    if (type == BUS_INJECT) {
        msg->mail = mail_new();
        msg->mail->body_len = len;
        mail_add_recipient(msg->mail, "r@receiver.example");
        msg->body = blob_take(xcalloc(len + 1, 1), len);
    }
    return bus_link_post(end->link, msg, end->world->now, &error);
}

static void test_all_arrives_in_order(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    b->reads = false;
    for (int i = 0; i < 20; i++)
        assert_true(post(a, "b", BUS_INJECT, 1000));
    run(world, 20 * USEC_MS);
    assert_int_equal(b->inbox_count, 20);
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(b->inbox[i]->ref, i + 1);
    world_free(world);
}

static void test_answers_before_bodies(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    a->cut[1] = true;
    b->reads = false;
    for (int i = 0; i < 5; i++)
        post(a, "b", BUS_INJECT, 1000);
    post(a, "b", BUS_ANSWER, 0);
    run(world, 10 * USEC_MS);
    assert_int_equal(b->inbox_count, 0);
    a->cut[1] = false;
    bus_link_writable(a->link, "b");
    run(world, 20 * USEC_MS);
    assert_int_equal(b->inbox_count, 6);
    assert_int_equal(b->inbox[0]->type, BUS_ANSWER);
    world_free(world);
}

/* Messages larger than the window go one by one, without waiting for heartbeats, among smaller ones too. */
static void test_larger_than_the_window(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    for (int i = 0; i < 10; i++) {
        post(a, "b", BUS_INJECT, 3 << 20);
        post(a, "b", BUS_INJECT, 300 << 10);
        post(a, "b", BUS_ANSWER, 0);
    }
    run(world, 500 * USEC_MS);
    assert_int_equal(b->taken, 30);
    world_free(world);
}

/* ... and are not kept back for ever by small ones that fit. */
static void test_large_one_does_not_starve(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    post(a, "b", BUS_ASK, 0);
    run(world, 100 * USEC_MS);
    for (int i = 0; i < 64; i++)
        post(a, "b", BUS_ASK, 0);
    post(a, "b", BUS_INJECT, 3 << 20);
    uint64_t posted = 66;
    for (int i = 0; i < 2000; i++, posted++) {
        post(a, "b", BUS_ASK, 0);
        step(world);
        if (bus_link_figures(b->link).bytes_received > 3 << 20)
            break;
    }
    assert_true(bus_link_figures(b->link).bytes_received > 3 << 20);
    run(world, USEC_SEC);
    assert_int_equal(b->taken, posted + 1);
    world_free(world);
}

static void test_receiver_that_does_not_read(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    uint64_t posted = 0;
    b->reads = false;
    while (post(a, "b", BUS_INJECT, 100 << 10))
        posted++;
    assert_int_equal(bus_link_figures(a->link).dropped_full, 1);
    assert_true(bus_link_figures(a->link).queued_bytes <= BUS_LINK_QUEUE);
    run(world, 10 * USEC_SEC);
    assert_true(b->backlog_most <= (3 << 20) / 2);
    assert_true(b->bare < 100); /* nobody asks and tells without end */
    assert_true(a->bare < 100);
    b->reads = true;
    run(world, 10 * USEC_SEC);
    assert_int_equal(b->taken, posted);
    assert_int_equal(bus_link_figures(a->link).queued_bytes, 0);
    world_free(world);
}

/* What came is in order, and nothing twice. */
static void read_inbox(struct end *end, uint64_t last[MAX_ENDS])
{
    for (size_t i = 0; i < end->inbox_count; i++) {
        size_t sender = (size_t)(end->inbox[i]->from[0] - 'a');
        assert_true(end->inbox[i]->ref > last[sender]);
        last[sender] = end->inbox[i]->ref;
    }
    end_empty(end);
}

/* Somebody says something to somebody (how many: 0 or 1), perhaps too large for the window. */
static uint64_t say_something(struct world *world, bool large)
{
    struct end *from = world->ends[random_below(&world->random, world->count)];
    const struct end *to = world->ends[random_below(&world->random, world->count)];
    return to != from &&
           post(from, to->member, BUS_INJECT, random_below(&world->random, large ? 2 << 20 : 20000));
}

static void shut_or_open(struct world *world)
{
    struct end *end = world->ends[random_below(&world->random, world->count)];
    size_t other = random_below(&world->random, world->count);
    end->cut[other] = !end->cut[other];
    if (!end->cut[other])
        bus_link_writable(end->link, world->ends[other]->member);
}

static void open_all(struct world *world)
{
    world->loss = 0;
    for (size_t i = 0; i < world->count; i++)
        for (size_t j = 0; j < world->count; j++) {
            world->ends[i]->cut[j] = false;
            bus_link_writable(world->ends[i]->link, world->ends[j]->member);
        }
}

/* The same seed always takes the same path. Whatever is lost is counted, and when the loss ends the whole window is
 * there again: as much arrives at once as ever. */
static void lossy_run(uint64_t seed)
{
    struct world *world = world_new(3, 1 << 20, seed);
    uint64_t last[MAX_ENDS][MAX_ENDS] = {{0}}, sent = 0, told = 0;
    run(world, 10 * USEC_MS); /* everybody has seen everybody's stream: from here on each loss is noticed */
    world->loss = random_below(&world->random, 300);
    for (size_t i = 0; i < world->count; i++)
        world->ends[i]->reads = false;
    for (int turn = 0; turn < 4000; turn++) {
        sent += say_something(world, turn % 100 == 0);
        if (random_below(&world->random, 200) == 0)
            shut_or_open(world);
        step(world);
        for (size_t i = 0; i < world->count; i++) {
            assert_true(world->ends[i]->backlog <= 4u << 20);
            if (random_below(&world->random, 3) == 0)
                read_inbox(world->ends[i], last[i]);
        }
    }
    open_all(world);
    for (int turn = 0; turn < 3000; turn++, step(world)) /* a heartbeat, and what was queued */
        for (size_t i = 0; i < world->count; i++)
            read_inbox(world->ends[i], last[i]);
    for (size_t i = 0; i < world->count; i++) {
        struct bus_link_figures figures = bus_link_figures(world->ends[i]->link);
        assert_int_equal(figures.queued_bytes, 0);
        told += figures.received + figures.lost;
    }
    assert_int_equal(told, sent);
    for (int i = 0; i < 20; i++)
        post(world->ends[0], "b", BUS_INJECT, 10000);
    run(world, 20 * USEC_MS);
    assert_int_equal(world->ends[1]->inbox_count, 20);
    world_free(world);
}

static void test_lossy_channels(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        lossy_run(seed);
}

static void test_silence(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    run(world, 10 * USEC_SEC);
    assert_int_equal(a->silent, 0);
    b->well = false; /* it goes on saying things, but not that it is well */
    for (int i = 0; i < 30; i++) {
        post(b, "a", BUS_ASK, 0);
        run(world, 100 * USEC_MS);
    }
    assert_int_equal(a->silent, 0);
    run(world, 2 * USEC_SEC);
    assert_int_equal(a->silent, 1);
    assert_int_equal(a->taken, 30);
    b->well = true;
    run(world, 1100 * USEC_MS);
    assert_int_equal(a->back, 1);
    assert_int_equal(b->silent, 0);
    world_free(world);
}

/* Who was silent and leaves the table is forgotten: if it comes back, nobody will have called it silent. */
static void test_silent_and_gone(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0];
    run(world, 2 * USEC_SEC);
    world->ends[1]->cut[0] = true;
    run(world, 5 * USEC_SEC);
    assert_int_equal(a->silent, 1);
    assert_int_equal(a->back, 0);
    bus_link_set_peers(a->link, NULL, 0, world->now);
    assert_int_equal(a->back, 1);
    world->ends[1]->cut[0] = false;
    acquaint(world);
    run(world, 5 * USEC_SEC);
    assert_int_equal(a->silent, 1);
    assert_int_equal(a->back, 1);
    world_free(world);
}

/* Who stops says so, once, and goes on answering; another process in its place begins anew. */
static void test_leaving(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    run(world, 2 * USEC_SEC);
    bus_link_leave(b->link);
    run(world, 50 * USEC_MS);
    assert_int_equal(a->left, 1);
    post(a, "b", BUS_INJECT, 100);
    post(b, "a", BUS_INJECT_ANSWER, 0);
    run(world, 5 * USEC_SEC);
    assert_int_equal(b->taken, 1);
    assert_int_equal(a->taken, 1);
    assert_int_equal(a->left, 1);
    assert_int_equal(a->silent, 0); /* it is so already */
    assert_int_equal(a->back, 0);
    bus_link_free(&b->link);
    end_empty(b);
    end_open(world, 1, 77);
    acquaint(world);
    assert_int_equal(a->back, 1);
    run(world, 5 * USEC_SEC);
    assert_int_equal(a->left, 1);
    world_free(world);
}

/* When this process was held up itself, nobody else was silent. */
static void test_held_up(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    run(world, 2 * USEC_SEC);
    world->now += 30 * USEC_SEC;
    run(world, 10 * USEC_SEC);
    assert_int_equal(world->ends[0]->silent, 0);
    world->ends[1]->cut[0] = true;
    run(world, 5 * USEC_SEC);
    assert_int_equal(world->ends[0]->silent, 1);
    world_free(world);
}

/* Another process of the same name: what waited for the old one goes, streams begin anew, and until the table
 * says so the new one does not count as the old one living. */
static void test_another_process(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    for (int i = 0; i < 50; i++)
        post(a, "b", BUS_INJECT, 100 << 10);
    run(world, 5 * USEC_MS);
    bus_link_free(&b->link);
    end_empty(b);
    end_open(world, 1, 77);
    struct bus_link_peer only = {.member = "a", .process = a->process};
    bus_link_set_peers(b->link, &only, 1, world->now);
    post(b, "a", BUS_ASK, 0);
    run(world, 5 * USEC_SEC);
    assert_int_equal(a->taken, 1);  /* it is heard, */
    assert_int_equal(a->silent, 1); /* but it is not the old one */
    acquaint(world);
    assert_int_equal(a->back, 1);
    b->taken = 0;
    for (int i = 0; i < 50; i++)
        post(a, "b", BUS_INJECT, 100 << 10);
    run(world, USEC_SEC);
    assert_int_equal(b->taken, 50);
    world_free(world);
}

static void test_bounds(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0];
    struct error error;
    a->cut[1] = true;
    uint64_t posted = 0;
    while (post(a, "b", BUS_ASK, 0))
        posted++;
    assert_true(posted <= BUS_LINK_QUEUE / BUS_MSG_OVERHEAD);
    assert_false(post(a, "z", BUS_ASK, 0));
    assert_int_equal(bus_link_figures(a->link).dropped_unknown, 1);
    /* Strangers: so many, and of numbers that no peer has, none. */
    struct bus_envelope envelope = {.process = 1, .stream = 1, .well = true};
    for (int i = 0; i < BUS_LINK_STRANGERS; i++) {
        snprintf(envelope.from, sizeof envelope.from, "s%d", i);
        assert_int_equal(bus_link_take(a->link, &envelope, NULL, 0, world->now, &error), 0);
    }
    snprintf(envelope.from, sizeof envelope.from, "one more");
    assert_int_equal(bus_link_take(a->link, &envelope, NULL, 0, world->now, &error), -1);
    snprintf(envelope.from, sizeof envelope.from, "b");
    envelope.offset = UINT64_MAX;
    assert_int_equal(bus_link_take(a->link, &envelope, NULL, 0, world->now, &error), -1);
    run(world, 62 * USEC_SEC); /* they were quiet: there is room for others */
    snprintf(envelope.from, sizeof envelope.from, "one more");
    envelope.offset = 0;
    assert_int_equal(bus_link_take(a->link, &envelope, NULL, 0, world->now, &error), 0);
    world_free(world);
}

/* From a newer program: dropped and counted, while its sender is heard, its stream followed and its credit taken. */
static void test_unknown_type(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0], *b = world->ends[1];
    struct bus_envelope envelope = {.wire = 1,
        .process = b->process,
        .stream = 77,
        .sequence = 1,
        .offset = 5000,
        .type = (enum bus_type)200,
        .payload = "news",
        .payload_len = 4,
        .well = true};
    struct error error;
    b->well = false; /* nothing else of it is heard */
    snprintf(envelope.from, sizeof envelope.from, "b");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(bus_link_take(a->link, &envelope, NULL, 0, world->now, &error), -1);
        assert_non_null(strstr(error.text, "type 200"));
        run(world, USEC_SEC);
        envelope.sequence++;
        envelope.offset += 5000;
    }
    struct bus_link_figures figures = bus_link_figures(a->link);
    assert_int_equal(figures.dropped_newer, 10);
    assert_int_equal(figures.dropped_bad, 0);
    assert_int_equal(figures.lost, 0);
    assert_int_equal(a->silent, 0);
    assert_int_equal(a->inbox_count, 0);
    world_free(world);
}

/* Frames say the version that the cluster speaks. */
static void test_wire(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1 << 20, 1);
    struct end *a = world->ends[0];
    bus_link_set_wire(a->link, wire_ours.most);
    post(a, "b", BUS_ASK, 0);
    bus_link_flush(a->link, 0, world->now);
    struct frame *frame = list_item(world->frames.prev, struct frame, link);
    struct bus_envelope envelope;
    struct error error;
    assert_int_equal(
        bus_envelope_decode(buffer_bytes(&frame->bytes), buffer_len(&frame->bytes), &envelope, &error), 0);
    assert_int_equal(envelope.wire, wire_ours.most);
    bus_envelope_clear(&envelope);
    world_free(world);
}

/* What waits for all peers together has a bound of its own: one that is far from its own bound gets nothing more. */
static void test_all_queues_together(void **state)
{
    (void)state;
    struct world *world = world_new(3, 1 << 20, 1);
    struct end *a = world->ends[0];
    a->cut[1] = a->cut[2] = true;
    bus_link_free(&a->link);
    world->total = 1 << 20;
    end_open(world, 0, 1);
    acquaint(world);
    assert_true(post(a, "b", BUS_INJECT, 400 << 10));
    assert_true(post(a, "c", BUS_INJECT, 400 << 10));
    assert_false(post(a, "b", BUS_INJECT, 400 << 10));
    assert_false(post(a, "c", BUS_INJECT, 400 << 10));
    assert_int_equal(bus_link_figures(a->link).dropped_full, 2);
    assert_true(bus_link_figures(a->link).queued_bytes <= world->total);
    assert_true(post(a, "b", BUS_INJECT, 100 << 10));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_arrives_in_order),
        cmocka_unit_test(test_answers_before_bodies),
        cmocka_unit_test(test_larger_than_the_window),
        cmocka_unit_test(test_large_one_does_not_starve),
        cmocka_unit_test(test_receiver_that_does_not_read),
        cmocka_unit_test(test_lossy_channels),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_held_up),
        cmocka_unit_test(test_silent_and_gone),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_another_process),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_unknown_type),
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_all_queues_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
