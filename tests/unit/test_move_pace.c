/* How fast mail is handed on where cluster.move_rate says so; what waits for that is sent from where it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/node.h"
#include "proto/wire.h"
#include "tests/unit/node_help.h"

#define T0 (1767225600 * USEC_SEC) /* 2026-01-01 */
#define RATE 65536

enum { MESSAGES = 120, SIZE = 4000, FRAMES = 1024 };

static const char config[] =
    "cluster: { move_rate: 64KiB }\n"
    "pools: { main: {} }\n"
    "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
    "tenants: [{ id: t, pools: [main], domains: ['*'] }]\n";
static const char unlimited[] =
    "pools: { main: {} }\n"
    "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
    "tenants: [{ id: t, pools: [main], domains: ['*'] }]\n";

struct desk {
    struct settings *settings;
    struct node *node;
    uint64_t newest, moves, briefs, bytes;
    usec_t now;
    struct bus_msg *asked[MESSAGES * 3];
    size_t asked_count;
    struct blob *bodies[FRAMES]; /* by frame */
    uint64_t reads[MESSAGES * 3];
    size_t read_count;
    size_t size;
    bool silent; /* moves are not answered */
};

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    struct desk *desk = context;
    (void)bytes, (void)base;
    desk->newest = seq;
    if (body != NULL && seq < FRAMES)
        desk->bodies[seq] = blob_hold(body);
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct desk *desk = context;
    if (!bus_is_move(msg)) {
        bus_msg_free(&msg);
        return;
    }
    desk->moves++;
    desk->briefs += msg->type == BUS_MOVE_BRIEF;
    desk->bytes += msg->body->len + 512;
    desk->asked[desk->asked_count++] = msg;
}

static void on_read(void *context, uint64_t seq)
{
    struct desk *desk = context;
    desk->reads[desk->read_count++] = seq;
}

static void open_desk(struct desk *desk, const char *text)
{
    *desk = (struct desk){.now = T0 + USEC_HOUR, .size = SIZE};
    desk->settings = node_help_settings(text);
    struct node_ports ports = node_help_ports(desk);
    ports.append = on_append;
    ports.send = on_send;
    ports.read_body = on_read;
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    node_recovered(desk->node, desk->now);
}

static void close_desk(struct desk *desk)
{
    node_free(&desk->node);
    settings_free(&desk->settings);
    for (size_t i = 0; i < desk->asked_count; i++)
        bus_msg_free(&desk->asked[i]);
    for (size_t i = 0; i < FRAMES; i++)
        blob_drop(&desk->bodies[i]);
}

static void learn(struct desk *desk, uint64_t epoch, unsigned nodes, bool draining, uint32_t wire)
{
    struct view *view = node_help_view(epoch, 1, nodes);
    view->nodes[0].draining = draining;
    view->wire = wire;
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
}

/* All the same text, behind a header of its own, or each another. */
static void inject(struct desk *desk, unsigned number, bool mailing)
{
    char address[40], *bytes = xcalloc(1, desk->size + 1);
    struct bus_msg *msg = node_help_mail(number, desk->now);
    mail_set(&msg->mail->tenant, "t");
    snprintf(address, sizeof address, "a@d%u.test", number);
    mail_add_recipient(msg->mail, address);
    memset(bytes, 'x', desk->size);
    int head = snprintf(bytes, desk->size, "Subject: %03u\r\n\r\n%u", number, mailing ? 0 : number);
    bytes[head] = 'x';
    node_help_inject(desk->node, &msg, blob_take(bytes, desk->size), desk->now);
}

static void read_bodies(struct desk *desk)
{
    for (size_t i = 0; i < desk->read_count; i++)
        node_body(desk->node, desk->reads[i], desk->bodies[desk->reads[i]], desk->now);
    desk->read_count = 0;
}

static void answer_moves(struct desk *desk)
{
    for (size_t i = 0; i < desk->asked_count && !desk->silent; i++) {
        struct bus_msg *said = bus_msg_answer(desk->asked[i], BUS_MOVE_ANSWER);
        said->items = xmemdup(desk->asked[i]->items, desk->asked[i]->item_count * sizeof *said->items);
        said->item_count = desk->asked[i]->item_count;
        for (size_t j = 0; j < said->item_count; j++)
            said->items[j].verdict = BUS_TAKEN;
        bus_msg_free(&desk->asked[i]);
        node_bus(desk->node, said, desk->now);
        bus_msg_free(&said);
    }
    if (!desk->silent)
        desk->asked_count = 0;
}

static void work(struct desk *desk)
{
    for (int round = 0; round < 3; round++) {
        node_committed(desk->node, desk->newest, desk->now);
        for (int i = 0; i < 1000 && node_deadline(desk->node) <= desk->now; i++)
            node_tick(desk->node, desk->now);
        node_committed(desk->node, desk->newest, desk->now);
        read_bodies(desk);
        answer_moves(desk);
    }
}

static void fill(struct desk *desk, const char *text, bool mailing)
{
    open_desk(desk, text);
    learn(desk, 1, 1, false, WIRE_BRIEF);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(desk, i, mailing);
    work(desk);
    assert_int_equal(node_figures(desk->node).ready, MESSAGES);
}

static bool is_empty(const struct desk *desk)
{
    struct custody_figures figures = custody_figures(node_custody(desk->node));
    return figures.held + figures.leaving == 0;
}

/* Never more than the rate allows, and nearly that; what is here may be sent all the time. */
static void test_a_drain_at_a_rate(void **state)
{
    (void)state;
    struct desk desk;
    fill(&desk, config, false);
    learn(&desk, 2, 2, true, WIRE_BRIEF);
    struct buffer said = {0};
    assert_int_equal(node_answer(desk.node, "drain", "", desk.now, &said), 200);
    assert_non_null(strstr(buffer_text(&said), "cluster.move_rate lets no more than 64KiB a second leave"));
    buffer_free(&said);
    usec_t start = desk.now;
    while (desk.moves < MESSAGES && desk.now < start + USEC_MIN) {
        work(&desk);
        double past = (double)(desk.now - start) / USEC_SEC;
        assert_true((double)desk.bytes <= RATE * (past + 0.2) + 2 * SIZE);
        assert_true((double)desk.bytes >= RATE * past - 2 * SIZE || desk.moves == MESSAGES);
        assert_int_equal(node_figures(desk.node).ready, MESSAGES - desk.moves);
        assert_true(desk.moves == MESSAGES ||
                    node_deadline(desk.node) > desk.now); /* and it is not busy with waiting */
        desk.now += 20 * USEC_MS;
    }
    assert_int_equal(desk.moves, MESSAGES);
    assert_int_equal(desk.briefs, 0);
    assert_true(desk.now - start > (usec_t)MESSAGES * SIZE * USEC_SEC / RATE - USEC_SEC);
    work(&desk);
    assert_true(is_empty(&desk));
    close_desk(&desk);
}

static void test_without_a_rate(void **state)
{
    (void)state;
    struct desk desk;
    fill(&desk, unlimited, false);
    learn(&desk, 2, 2, true, WIRE_BRIEF);
    work(&desk);
    assert_int_equal(desk.moves, MESSAGES);
    assert_true(is_empty(&desk));
    close_desk(&desk);
}

/* It is what crosses that counts. */
static void test_a_mailing_at_a_rate(void **state)
{
    (void)state;
    struct desk desk;
    fill(&desk, config, true);
    learn(&desk, 2, 2, true, WIRE_BRIEF);
    usec_t start = desk.now;
    for (; desk.moves < MESSAGES && desk.now < start + USEC_MIN; desk.now += 20 * USEC_MS)
        work(&desk);
    assert_int_equal(desk.moves, MESSAGES);
    assert_int_equal(desk.briefs, MESSAGES - 1);
    assert_true(desk.now - start < 2 * USEC_SEC);
    assert_true((double)desk.bytes < RATE * ((double)(desk.now - start) / USEC_SEC + 0.2) + 2 * SIZE);
    close_desk(&desk);
}

/* A reload is obeyed at once; so is a drain that is taken back. */
static void test_another_rate(void **state)
{
    (void)state;
    struct desk desk;
    fill(&desk, config, false);
    learn(&desk, 2, 2, true, WIRE_BRIEF);
    work(&desk);
    assert_in_range(desk.moves, 1, 10);
    learn(&desk, 3, 1, false, WIRE_BRIEF);
    uint64_t moves = desk.moves;
    desk.now += USEC_MIN;
    work(&desk);
    assert_int_equal(desk.moves, moves);
    learn(&desk, 4, 2, true, WIRE_BRIEF);
    work(&desk);
    assert_in_range(desk.moves, moves + 1, moves + 10);
    struct settings *former = desk.settings;
    desk.settings = node_help_settings(unlimited);
    node_set_settings(desk.node, desk.settings, desk.now);
    settings_free(&former);
    work(&desk);
    assert_int_equal(desk.moves, MESSAGES);
    close_desk(&desk);
}

static double number_of(const struct buffer *row, const char *name)
{
    char wanted[60];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(buffer_text((struct buffer *)row), wanted);
    return at == NULL ? -1 : strtod(at + strlen(wanted), NULL);
}

static void ask_status(struct desk *desk, struct buffer *row)
{
    buffer_clear(row);
    assert_int_equal(node_answer(desk->node, "status", "", desk->now, row), 200);
}

/* Another node has joined: how much is to leave for it, how fast it does, and when that is over. */
static void test_progress_of_a_join(void **state)
{
    (void)state;
    struct desk desk;
    struct buffer row = {0};
    fill(&desk, config, false);
    ask_status(&desk, &row);
    assert_true(number_of(&row, "to_move") < 0);
    learn(&desk, 2, 2, false, WIRE_BRIEF);
    usec_t start = desk.now, ends = 0;
    for (; desk.now < start + 2 * USEC_SEC; desk.now += 20 * USEC_MS)
        work(&desk);
    ask_status(&desk, &row);
    double left = number_of(&row, "to_move");
    assert_in_range(number_of(&row, "moves_per_second"), 11, 18);
    ends = desk.now + (usec_t)number_of(&row, "moved_in_ms") * USEC_MS;
    uint64_t moves = desk.moves;
    while (number_of(&row, "to_move") >= 0 && desk.now < start + USEC_MIN) {
        desk.now += 20 * USEC_MS;
        work(&desk);
        ask_status(&desk, &row);
    }
    double really = (double)(desk.moves - moves);
    assert_true(desk.moves > MESSAGES / 3 && desk.moves < MESSAGES * 2 / 3);
    assert_true(left > really * 0.6 && left < really * 1.6);
    assert_true(desk.now > ends - 2 * USEC_SEC && desk.now < ends + 2 * USEC_SEC);
    assert_true(number_of(&row, "moves_per_second") < 0);
    buffer_free(&row);
    close_desk(&desk);
}

/* The same of spools that were taken over: how fast they are emptied. */
static void test_progress_of_a_takeover(void **state)
{
    (void)state;
    struct desk desk;
    struct buffer row = {0};
    open_desk(&desk, unlimited);
    learn(&desk, 1, 2, false, WIRE_BRIEF);
    struct node_kept kept = {.taken = 1, .taken_queued = 3000, .taken_moved = 70000};
    node_set_kept(desk.node, &kept);
    for (int i = 0; i < 4; i++) {
        desk.now += USEC_SEC / 2;
        node_tick(desk.node, desk.now);
        kept.taken_moved += 250;
        kept.taken_queued -= 250;
        node_set_kept(desk.node, &kept);
    }
    ask_status(&desk, &row);
    assert_in_range(number_of(&row, "taken_over_per_second"), 499, 501);
    assert_in_range(number_of(&row, "taken_over_empty_in_ms"), 3990, 4010);
    kept.taken_queued = 0;
    node_set_kept(desk.node, &kept);
    ask_status(&desk, &row);
    assert_true(number_of(&row, "taken_over_per_second") < 0);
    buffer_free(&row);
    close_desk(&desk);
}

/* Nobody answers: no more bytes of bodies are under way than the credit allows, and no body waits in memory. */
static void test_the_credit(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, unlimited);
    desk.size = 100000;
    desk.silent = true;
    learn(&desk, 1, 1, false, WIRE_BRIEF);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, i, false);
    work(&desk);
    learn(&desk, 2, 2, true, WIRE_BRIEF);
    work(&desk);
    assert_in_range(desk.bytes, (4 << 20) - desk.size, 4 << 20);
    assert_true(desk.moves < MESSAGES / 2);
    assert_int_equal(node_figures(desk.node).body_bytes, 0);
    desk.silent = false;
    for (int i = 0; i < 5; i++)
        work(&desk);
    assert_int_equal(desk.moves, MESSAGES);
    assert_true(is_empty(&desk));
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_drain_at_a_rate),
        cmocka_unit_test(test_without_a_rate),
        cmocka_unit_test(test_a_mailing_at_a_rate),
        cmocka_unit_test(test_another_rate),
        cmocka_unit_test(test_progress_of_a_join),
        cmocka_unit_test(test_progress_of_a_takeover),
        cmocka_unit_test(test_the_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
