/* A node with a deep queue takes another view a little at a time, and in the end everything is where the
 * newest view says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/placement.h"
#include "node/node.h"
#include "tests/unit/node_help.h"

enum { MESSAGES = 3000, RECIPIENTS = 3, AT_ONCE = 128 + RECIPIENTS };

static const char config[] =
    "pools: { main: {} }\n"
    "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
    "tenants: [{ id: t, pools: [main], domains: ['*'] }]\n";

struct desk {
    struct settings *settings;
    struct node *node;
    uint64_t newest;
    size_t leaving; /* deliveries that an INTENT was written for */
    usec_t now;
};

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    (void)body, (void)base;
    struct desk *desk = context;
    struct spool_record record;
    assert_int_equal(record_decode(buffer_bytes(bytes), buffer_len(bytes), &record, NULL), 0);
    if (record.kind == RECORD_INTENT)
        desk->leaving += record.item_count;
    record_clear(&record);
    desk->newest = seq;
}

static void inject(struct desk *desk, unsigned number)
{
    struct bus_msg *msg = node_help_mail(number, desk->now);
    if (number % 2 == 0)
        msg->mail->send_at = desk->now + USEC_HOUR;
    mail_set(&msg->mail->tenant, "t");
    for (unsigned i = 0; i < RECIPIENTS; i++) {
        char address[40];
        snprintf(address, sizeof address, "a@d%u.test", (number + i * 17) % 500);
        mail_add_recipient(msg->mail, address);
    }
    node_help_inject(desk->node, &msg, blob_copy("x", 1), desk->now);
}

static void open_desk(struct desk *desk)
{
    *desk = (struct desk){.now = 1000 * USEC_SEC};
    desk->settings = node_help_settings(config);
    struct node_ports ports = node_help_ports(desk);
    ports.append = on_append;
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    node_recovered(desk->node, desk->now);
    struct view *view = node_help_view(1, 1, 1);
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(desk, i);
    node_committed(desk->node, desk->newest, desk->now);
    while (node_deadline(desk->node) <= desk->now)
        node_tick(desk->node, desk->now);
    assert_int_equal(desk->leaving, 0);
}

static void close_desk(struct desk *desk)
{
    node_free(&desk->node);
    settings_free(&desk->settings);
}

/* How many of those held belong to somebody else. */
static size_t misplaced(const struct desk *desk, const struct view *view)
{
    size_t count = 0;
    struct map_entry *at = NULL;
    for (struct held *held; (held = custody_next(node_custody(desk->node), &at)) != NULL;)
        for (uint32_t i = 0; i < held->count; i++) {
            const char *domain = mail_domain(held->mail->recipients[held->deliveries[i]->index]);
            if (held->deliveries[i]->state == CUSTODY_HELD &&
                strcmp(place_owner(view, "main", NULL, domain, NULL)->id, "n1") != 0)
                count++;
        }
    return count;
}

/* Ticks until the node asks for no more at once; how often it did. */
static unsigned walk(struct desk *desk, unsigned most)
{
    unsigned ticks = 0;
    for (; ticks < most && node_deadline(desk->node) <= desk->now; ticks++) {
        size_t before = desk->leaving;
        node_tick(desk->node, desk->now);
        assert_true(desk->leaving - before <= AT_ONCE);
    }
    return ticks;
}

static void test_a_little_at_a_time(void **state)
{
    (void)state;
    struct desk desk;
    struct view *view = node_help_view(2, 1, 4);
    open_desk(&desk);
    size_t away = misplaced(&desk, view);
    assert_true(away > MESSAGES * RECIPIENTS / 2);
    node_set_view(desk.node, view, desk.now);
    assert_true(desk.leaving > 0 && desk.leaving <= AT_ONCE);
    unsigned ticks = walk(&desk, 1000);
    assert_in_range(ticks, MESSAGES * RECIPIENTS / AT_ONCE - 1, MESSAGES * RECIPIENTS / 128 + 1);
    assert_int_equal(desk.leaving, away);
    assert_int_equal(misplaced(&desk, view), 0);
    view_drop(&view);
    close_desk(&desk);
}

/* Views that come before the walk has ended. */
static void test_the_newest_counts(void **state)
{
    (void)state;
    struct desk desk;
    struct view *second = node_help_view(2, 1, 2), *third = node_help_view(3, 1, 5),
                *first = node_help_view(1, 1, 9);
    open_desk(&desk);
    size_t away = misplaced(&desk, third); /* the second's too: each view only takes from n1 */
    node_set_view(desk.node, second, desk.now);
    assert_int_equal(walk(&desk, 5), 5);
    node_set_view(desk.node, third, desk.now);
    node_set_view(desk.node, first, desk.now); /* old: nothing happens */
    walk(&desk, 3);
    node_set_settings(desk.node, desk.settings, desk.now);
    unsigned ticks = walk(&desk, 1000);
    assert_true(ticks < 1000);
    assert_int_equal(misplaced(&desk, third), 0);
    assert_int_equal(desk.leaving, away);
    assert_int_equal(walk(&desk, 1000), 0);
    view_drop(&first);
    view_drop(&second);
    view_drop(&third);
    close_desk(&desk);
}

/* One that was taken out and let in again: until it is in the view, its mail is nobody else's. */
static void test_not_by_a_view_without_me(void **state)
{
    (void)state;
    struct desk desk;
    struct view *second = node_help_view(2, 2, 4), *third = node_help_view(3, 1, 4);
    open_desk(&desk);
    node_set_view(desk.node, second, desk.now);
    walk(&desk, 1000);
    assert_int_equal(desk.leaving, 0);
    node_set_view(desk.node, third, desk.now);
    walk(&desk, 1000);
    assert_int_equal(misplaced(&desk, third), 0);
    assert_true(desk.leaving > 0);
    view_drop(&second);
    view_drop(&third);
    close_desk(&desk);
}

/* A node that comes back sees the view of its death first, then perhaps one of its former start. */
static void test_not_by_a_view_of_the_past(void **state)
{
    (void)state;
    struct desk desk;
    struct view *second = node_help_view(2, 1, 4), *third = node_help_view(3, 1, 4),
                *fourth = node_help_view(4, 1, 4);
    open_desk(&desk);
    second->nodes[0].down = true;
    third->nodes[0].incarnation = 7;
    node_set_view(desk.node, second, desk.now);
    walk(&desk, 1000);
    assert_int_equal(desk.leaving, 0);
    node_set_view(desk.node, third, desk.now);
    walk(&desk, 1000);
    assert_int_equal(desk.leaving, 0);
    node_set_view(desk.node, fourth, desk.now);
    walk(&desk, 1000);
    assert_int_equal(misplaced(&desk, fourth), 0);
    assert_true(desk.leaving > 0);
    view_drop(&second);
    view_drop(&third);
    view_drop(&fourth);
    close_desk(&desk);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All 500 domains. */
static void split_all(struct view *view)
{
    char names[500][16];
    for (unsigned i = 0; i < 500; i++)
        snprintf(names[i], sizeof names[i], "d%u.test", i);
    qsort(names, 500, sizeof names[0], by_text);
    for (unsigned i = 0; i < 500; i++)
        view_add_hot(view, names[i], i % 2 == 0 ? 0 : 16);
}

static bool tells_load_of(const struct desk *desk, const char *domain)
{
    struct buffer out = {0};
    assert_int_equal(node_answer(desk->node, "load", "", desk->now + USEC_MIN, &out), 200);
    assert_non_null(strstr(buffer_text(&out), "\"node\":\"n1\""));
    bool tells = strstr(buffer_text(&out), domain) != NULL;
    buffer_free(&out);
    return tells;
}

/* What is split stays where it can be sent, and goes when it can't be any more; what comes of it from then on is told. */
static void test_split_mail_stays(void **state)
{
    (void)state;
    struct desk desk;
    struct view *second = node_help_view(2, 1, 4), *third = node_help_view(3, 1, 4);
    open_desk(&desk);
    split_all(second);
    split_all(third);
    third->nodes[0].draining = true;
    node_set_view(desk.node, second, desk.now);
    walk(&desk, 1000);
    assert_int_equal(desk.leaving, 0);
    assert_false(tells_load_of(&desk, " d7.test "));
    inject(&desk, MESSAGES + 7);
    node_committed(desk.node, desk.newest, desk.now);
    walk(&desk, 1000);
    assert_true(tells_load_of(&desk, " d7.test "));
    node_set_view(desk.node, third, desk.now);
    walk(&desk, 1000);
    assert_int_equal(desk.leaving, (MESSAGES + 1) * RECIPIENTS);
    view_drop(&second);
    view_drop(&third);
    close_desk(&desk);
}

/* Mail that belongs to a node that nothing is heard of is not moved there: it would wait for that node's return. */
static void test_not_to_a_silent_node(void **state)
{
    (void)state;
    struct desk desk;
    struct view *second = node_help_view(2, 1, 2), *third = node_help_view(3, 1, 2),
                *fourth = node_help_view(4, 1, 2);
    open_desk(&desk);
    second->nodes[1].down = true;
    node_set_view(desk.node, second, desk.now);
    node_set_silent(desk.node, "n2", true);
    node_set_silent(desk.node, "n9", true); /* nobody knows it */
    node_set_view(desk.node, third, desk.now);
    walk(&desk, 1000);
    assert_int_equal(desk.leaving, 0);
    assert_true(misplaced(&desk, third) > 0);
    node_set_silent(desk.node, "n2", false);
    node_set_view(desk.node, fourth, desk.now);
    walk(&desk, 1000);
    assert_int_equal(misplaced(&desk, fourth), 0);
    view_drop(&second);
    view_drop(&third);
    view_drop(&fourth);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_little_at_a_time),
        cmocka_unit_test(test_the_newest_counts),
        cmocka_unit_test(test_not_by_a_view_without_me),
        cmocka_unit_test(test_not_by_a_view_of_the_past),
        cmocka_unit_test(test_split_mail_stays),
        cmocka_unit_test(test_not_to_a_silent_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
