/* Which turns of members a node tells as events, and the two events of its handing over. */
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
#include "tests/unit/node_help.h"

#define T0 (1767225600 * USEC_SEC) /* 2026-01-01 */

enum { MESSAGES = 60, ROOM = 16384 };

static const char config[] =
    "pools: { main: {} }\n"
    "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
    "tenants: [{ id: t, pools: [main], domains: ['*'] }]\n";

struct desk {
    struct settings *settings;
    struct node *node;
    uint64_t newest;
    usec_t now;
    char told[ROOM]; /* `node` events, a line each */
    struct bus_msg *moves[MESSAGES * 2];
    size_t move_count;
    uint64_t reads[MESSAGES];
    size_t read_count;
};

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    (void)bytes, (void)body, (void)base;
    ((struct desk *)context)->newest = seq;
}

static void on_event(void *context, uint64_t seq, const char *json, size_t len)
{
    struct desk *desk = context;
    if (strstr(json, "\"event\":\"node\"") == NULL)
        return;
    assert_int_equal(seq, 0);
    assert_int_equal(strlen(json), len);
    size_t used = strlen(desk->told);
    snprintf(desk->told + used, sizeof desk->told - used, "%s\n", json);
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct desk *desk = context;
    if (msg->type == BUS_MOVE)
        desk->moves[desk->move_count++] = msg;
    else
        bus_msg_free(&msg);
}

static void on_read(void *context, uint64_t seq)
{
    struct desk *desk = context;
    desk->reads[desk->read_count++] = seq;
}

static void open_desk(struct desk *desk)
{
    *desk = (struct desk){.now = T0 + USEC_HOUR};
    desk->settings = node_help_settings(config);
    struct node_ports ports = node_help_ports(desk);
    ports.append = on_append;
    ports.event = on_event;
    ports.send = on_send;
    ports.read_body = on_read;
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    node_recovered(desk->node, desk->now);
}

static void close_desk(struct desk *desk)
{
    node_free(&desk->node);
    settings_free(&desk->settings);
    for (size_t i = 0; i < desk->move_count; i++)
        bus_msg_free(&desk->moves[i]);
}

static size_t lines(const struct desk *desk)
{
    size_t count = 0;
    for (const char *at = desk->told; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return count;
}

static void assert_told(const struct desk *desk, const char *part)
{
    if (strstr(desk->told, part) == NULL)
        fail_msg("nobody told of %s:\n%s", part, desk->told);
}

static void learn(struct desk *desk, struct view *view)
{
    desk->told[0] = '\0';
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
}

/* n1, n2, n3 and c1; the n-th of them turned last in that epoch. */
static struct view *view_of(
    uint64_t epoch, const char *teller, uint64_t from, uint64_t t1, uint64_t t2, uint64_t t3, uint64_t c1)
{
    struct view *view = node_help_view(epoch, 1, 3);
    uint64_t turns[] = {t1, t2, t3};
    for (size_t i = 0; i < 3; i++)
        view->nodes[i].turn =
            (struct view_turn){turns[i], T0 + (usec_t)turns[i] * USEC_SEC, VIEW_REASON_JOINED};
    view_add_coordinator(view, "c1", 1, NULL)->turn =
        (struct view_turn){c1, T0 + (usec_t)c1 * USEC_SEC, VIEW_REASON_STARTED};
    snprintf(view->teller, sizeof view->teller, "%s", teller);
    view->tells_from = from;
    return view;
}

static void test_turns(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    learn(&desk, view_of(4, "n2", 4, 1, 2, 3, 4)); /* another one tells */
    assert_int_equal(lines(&desk), 0);
    struct view *view = view_of(6, "n1", 5, 1, 6, 3, 5);
    view->nodes[1].down = true;
    view->nodes[1].turn.reason = VIEW_REASON_LEASE;
    learn(&desk, view);
    assert_int_equal(lines(&desk), 2); /* in the order in which they happened */
    assert_true(strstr(desk.told, "\"member\":\"c1\"") < strstr(desk.told, "\"member\":\"n2\""));
    assert_told(&desk,
        "{\"time\":\"2026-01-01T01:00:00.000Z\",\"event\":\"node\",\"action\":\"down\",\"role\":\"node\","
        "\"member\":\"n2\",\"since\":\"2026-01-01T00:00:06.000Z\",\"epoch\":6,\"reason\":\"its lease is "
        "over:");
    assert_told(&desk,
        "\"action\":\"up\",\"role\":\"coordinator\",\"member\":\"c1\",\"since\":"
        "\"2026-01-01T00:00:05.000Z\",\"epoch\":5,\"reason\":\"it was started again\",\"node\":\"n1\"}");
    /* Views that it never saw had turns too; what was told is not told again. */
    view = view_of(9, "n1", 5, 8, 6, 9, 5);
    view->nodes[0].draining = true;
    view->nodes[0].turn.reason = VIEW_REASON_DRAIN;
    view->nodes[2].turn.reason = 1000; /* of a later version */
    learn(&desk, view);
    assert_int_equal(lines(&desk), 2);
    assert_told(&desk, "\"action\":\"draining\",\"role\":\"node\",\"member\":\"n1\"");
    assert_told(&desk, "\"epoch\":9,\"reason\":\"a reason that this version does not know\"");
    /* The turn of another one; then it takes over from that one, who died with the last things untold. */
    learn(&desk, view_of(11, "n3", 10, 8, 11, 9, 5));
    assert_int_equal(lines(&desk), 0);
    learn(&desk, view_of(12, "n1", 11, 8, 11, 12, 5));
    assert_int_equal(lines(&desk), 2);
    close_desk(&desk);
}

/* A process that starts tells only what it has to; of turns that are not known nothing. */
static void test_new_process(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    struct view *view = view_of(7, "n1", 0, 0, 0, 0, 0);
    view->nodes[0].incarnation = 7; /* its former process is the teller */
    learn(&desk, view);
    assert_int_equal(lines(&desk), 0);
    learn(&desk, view_of(8, "n1", 8, 8, 0, 3, 2));
    assert_int_equal(lines(&desk), 1);
    assert_told(&desk, "\"member\":\"n1\"");
    close_desk(&desk);
}

static void test_removed(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    learn(&desk, view_of(4, "n1", 4, 1, 2, 3, 1));
    struct view *view = node_help_view(5, 1, 2);
    strcpy(view->teller, "n1");
    view->tells_from = 4;
    learn(&desk, view);
    assert_int_equal(lines(&desk), 2);
    assert_told(&desk, "\"action\":\"removed\",\"role\":\"node\",\"member\":\"n3\",\"epoch\":5");
    assert_told(&desk, "\"action\":\"removed\",\"role\":\"coordinator\",\"member\":\"c1\",\"epoch\":5");
    close_desk(&desk);
}

/* ---- handing over ---- */

static void inject(struct desk *desk, unsigned number)
{
    char address[40];
    struct bus_msg *msg = node_help_mail(number, desk->now);
    msg->mail->send_at = number % 2 == 0 ? desk->now + USEC_HOUR : 0;
    mail_set(&msg->mail->tenant, "t");
    snprintf(address, sizeof address, "a@d%u.test", number);
    mail_add_recipient(msg->mail, address);
    node_help_inject(desk->node, &msg, blob_copy("x", 1), desk->now);
}

static void work(struct desk *desk)
{
    node_committed(desk->node, desk->newest, desk->now);
    for (int i = 0; i < 1000 && node_deadline(desk->node) <= desk->now; i++)
        node_tick(desk->node, desk->now);
    node_committed(desk->node, desk->newest, desk->now);
    struct blob *body = blob_copy("x", 1);
    for (size_t i = 0; i < desk->read_count; i++)
        node_body(desk->node, desk->reads[i], body, desk->now);
    desk->read_count = 0;
    blob_drop(&body);
}

static void answer(struct desk *desk, size_t move, enum bus_verdict verdict)
{
    const struct bus_msg *msg = desk->moves[move];
    struct bus_msg *said = bus_msg_answer(msg, BUS_MOVE_ANSWER);
    said->items = xmemdup(msg->items, msg->item_count * sizeof *msg->items);
    said->item_count = msg->item_count;
    for (size_t i = 0; i < said->item_count; i++)
        said->items[i].verdict = verdict;
    node_bus(desk->node, said, desk->now);
    bus_msg_free(&said);
}

static void test_handing_over(void **state)
{
    (void)state;
    struct desk desk;
    char wanted[200];
    open_desk(&desk);
    learn(&desk, node_help_view(1, 1, 1));
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, i);
    work(&desk);
    learn(&desk, node_help_view(2, 1, 1)); /* nothing has to go */
    work(&desk);
    assert_int_equal(lines(&desk), 0);
    learn(&desk, node_help_view(3, 1, 3));
    work(&desk);
    assert_int_equal(lines(&desk), 1);
    assert_told(&desk,
        "\"action\":\"handing_over\",\"role\":\"node\",\"member\":\"n1\",\"epoch\":3,"
        "\"reason\":\"the view places some of its mail elsewhere\",\"queued\":60,\"node\":\"n1\"}");
    size_t moves = desk.move_count;
    assert_in_range(moves, MESSAGES / 2, MESSAGES - 5);
    desk.now += USEC_SEC / 2;
    answer(&desk, 0, BUS_REFUSED);
    for (size_t i = 1; i + 1 < moves; i++)
        answer(&desk, i, BUS_TAKEN);
    assert_int_equal(lines(&desk), 1);
    answer(&desk, moves - 1, BUS_TAKEN);
    assert_int_equal(lines(&desk), 2);
    snprintf(wanted, sizeof wanted,
        "\"action\":\"handed_over\",\"role\":\"node\",\"member\":\"n1\",\"epoch\":3,\"moved\":%zu,"
        "\"refused\":1,"
        "\"queued\":%zu,\"took_ms\":500,\"node\":\"n1\"}",
        moves - 1, MESSAGES - (moves - 1));
    assert_told(&desk, wanted);
    work(&desk);
    desk.now += USEC_MIN; /* what was refused is offered again: no handing over of its own */
    work(&desk);
    assert_int_equal(lines(&desk), 2);
    close_desk(&desk);
}

/* By an operator's word; a view in the middle makes one longer, and does not end it. */
static void test_drained(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    learn(&desk, node_help_view(1, 1, 1));
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, i);
    work(&desk);
    for (uint64_t epoch = 2; epoch < 4; epoch++) {
        struct view *view = node_help_view(epoch, 1, 2);
        view->nodes[0].draining = true;
        node_set_view(desk.node, view, desk.now);
        view_drop(&view);
        work(&desk);
    }
    assert_int_equal(desk.move_count, MESSAGES);
    assert_int_equal(lines(&desk), 1);
    assert_told(&desk, "\"reason\":\"an operator drains it\",\"queued\":60");
    for (size_t i = 0; i < MESSAGES; i++)
        answer(&desk, i, BUS_TAKEN);
    assert_int_equal(lines(&desk), 2);
    assert_told(&desk, "\"epoch\":3,\"moved\":60,\"refused\":0,\"queued\":0,\"took_ms\":0");
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_new_process),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_handing_over),
        cmocka_unit_test(test_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
