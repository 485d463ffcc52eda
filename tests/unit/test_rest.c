/* A node parks what waits long, and has it back in time, for whoever asks, and for a new view. */
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
#include "tests/park_memory.h"

enum { MESSAGES = 400, RECIPIENTS = 2 };

static const char config[] =
    "pools: { main: {} }\n"
    "node: { id: n1, sources: [{ address: 127.0.0.1, helo: m.test, pools: [main] }] }\n"
    "tenants: [{ id: t, pools: [main], domains: ['*'] }]\n";

struct desk {
    struct settings *settings;
    struct node *node;
    struct park_memory *table;
    uint64_t newest, kept_from;
    uint64_t room, least, most_in_memory; /* deliveries */
    size_t leaving, done, checkpoints, answered, failures;
    usec_t now;
    char answer[2000];
};

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    (void)body, (void)base;
    struct desk *desk = context;
    struct spool_record record;
    assert_int_equal(record_decode(buffer_bytes(bytes), buffer_len(bytes), &record, NULL), 0);
    for (uint32_t i = 0; i < record.item_count; i++) {
        desk->leaving += record.items[i].state == CUSTODY_LEAVING;
        desk->done += record.items[i].state == CUSTODY_DONE;
    }
    record_clear(&record);
    desk->newest = seq;
}

static void on_release(void *context, uint64_t seq)
{
    (void)context, (void)seq;
}

static void on_read_body(void *context, uint64_t seq)
{
    (void)context, (void)seq;
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct desk *desk = context;
    if (msg->type == BUS_ANSWER && msg->text != NULL)
        snprintf(desk->answer, sizeof desk->answer, "%s", msg->text);
    bus_msg_free(&msg);
}

static void on_resolve(void *context, const char *domain)
{
    (void)context, (void)domain;
}

static void on_event(void *context, uint64_t seq, const char *json, size_t len)
{
    (void)context, (void)seq, (void)json, (void)len;
}

static void on_checkpoint(void *context)
{
    ((struct desk *)context)->checkpoints++;
}

static void on_keep_from(void *context, uint64_t seq)
{
    ((struct desk *)context)->kept_from = seq;
}

static void on_failed(void *context, const char *why)
{
    assert_true(why[0] != '\0');
    ((struct desk *)context)->failures++;
}

static void set_view(struct desk *desk, uint64_t epoch, unsigned nodes)
{
    static const char *const pool = "main";
    struct view *view = view_new(epoch);
    for (unsigned i = 1; i <= nodes; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "m.test", &pool, 1);
    }
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
}

static void inject(struct desk *desk, unsigned number, usec_t send_in, usec_t max_age)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", "n1");
    msg->to_incarnation = 1;
    strcpy(msg->spool, "n1.0");
    msg->mail = mail_new();
    memcpy(msg->mail->id.bytes, &number, sizeof number);
    msg->id = msg->mail->id;
    msg->mail->created = desk->now;
    msg->mail->expires = desk->now + max_age;
    msg->mail->send_at = send_in == 0 ? 0 : desk->now + send_in;
    mail_set(&msg->mail->pool, "main");
    mail_set(&msg->mail->tenant, "t");
    for (unsigned i = 0; i < RECIPIENTS; i++) {
        char address[40];
        snprintf(address, sizeof address, "a@d%u.test", (number + i * 17) % 100);
        mail_add_recipient(msg->mail, address);
    }
    msg->body = blob_copy("x", 1);
    msg->mail->body_len = 1;
    node_bus(desk->node, msg, desk->now);
    bus_msg_free(&msg);
}

static uint64_t in_memory(const struct desk *desk)
{
    const struct custody *custody = node_custody(desk->node);
    return custody_figures(custody).held - custody_parked_held(custody);
}

/* Time goes on; the disk and the table are fast. */
static void pass(struct desk *desk, usec_t time)
{
    usec_t until = desk->now + time;
    for (; desk->answered < desk->checkpoints; desk->answered++)
        node_checkpointed(desk->node, true, "", desk->now);
    for (unsigned steps = 0; steps < 100000; steps++) {
        usec_t next = node_deadline(desk->node);
        if (next > until)
            break;
        desk->now = next > desk->now ? next : desk->now;
        node_tick(desk->node, desk->now);
        node_committed(desk->node, desk->newest, desk->now);
        for (; desk->answered < desk->checkpoints; desk->answered++)
            node_checkpointed(desk->node, true, "", desk->now);
        uint64_t count = in_memory(desk);
        desk->most_in_memory = count > desk->most_in_memory ? count : desk->most_in_memory;
    }
    assert_true(node_deadline(desk->node) > until);
    desk->now = until;
}

static void start_node(struct desk *desk)
{
    struct park_start start;
    struct error error = {""};
    struct node_ports ports = {.context = desk,
        .append = on_append,
        .release = on_release,
        .read_body = on_read_body,
        .send = on_send,
        .resolve = on_resolve,
        .event = on_event,
        .checkpoint = on_checkpoint,
        .keep_from = on_keep_from,
        .table_failed = on_failed};
    desk->node = node_new("n1", "n1.0", 1, desk->settings, &ports, 1);
    struct node_table table = {.table = park_memory_table(desk->table),
        .disk = "disk",
        .log_end = desk->newest,
        .room = desk->room,
        .least = desk->least == 0 ? 100000 : desk->least};
    if (node_open_table(desk->node, &table, &start, &error) != 0)
        fail_msg("%s", error.text);
    free(start.living);
    set_view(desk, 1, 1); /* the log is not read yet: nothing is written down */
    assert_int_equal(desk->checkpoints, desk->answered);
    node_log_ends(desk->node, desk->newest);
    node_recovered(desk->node, desk->now);
}

static void open_desk_of(struct desk *desk, uint64_t room, uint64_t least)
{
    struct fault *faults = NULL;
    size_t fault_count = 0;
    *desk = (struct desk){.room = room, .least = least, .now = 1000 * USEC_SEC, .table = park_memory_new()};
    desk->settings = settings_parse(config, sizeof config - 1, "test", &faults, &fault_count);
    if (desk->settings == NULL)
        fail_msg("%s", faults[0].text);
    start_node(desk);
}

static void open_desk(struct desk *desk)
{
    open_desk_of(desk, 0, 0);
}

static void close_desk(struct desk *desk)
{
    node_free(&desk->node);
    settings_free(&desk->settings);
    park_memory_free(&desk->table);
}

static uint64_t parked(const struct desk *desk)
{
    return custody_parked(node_custody(desk->node));
}

static void inject_late(struct desk *desk)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(desk, i, USEC_HOUR, USEC_DAY);
    node_committed(desk->node, desk->newest, desk->now);
    pass(desk, USEC_SEC);
}

static void test_what_waits_long_is_parked_and_comes_back_in_time(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject_late(&desk);
    assert_int_equal(parked(&desk), MESSAGES);
    assert_int_equal(custody_figures(node_custody(desk.node)).held, MESSAGES * RECIPIENTS);
    assert_int_equal(node_figures(desk.node).waiting, MESSAGES * RECIPIENTS);
    pass(&desk, USEC_HOUR - 32 * USEC_SEC);
    assert_int_equal(parked(&desk), MESSAGES);
    pass(&desk, 2 * USEC_SEC); /* half a minute before */
    assert_int_equal(parked(&desk), 0);
    assert_int_equal(node_figures(desk.node).ready, 0);
    pass(&desk, 31 * USEC_SEC);
    assert_int_equal(node_figures(desk.node).ready, MESSAGES * RECIPIENTS);
    close_desk(&desk);
}

/* However much is due, or at its age, at one moment: what there is room for is in memory. */
static void test_what_is_due_at_once_comes_bit_by_bit(void **state)
{
    (void)state;
    enum { MANY = 3000, ROOM = 1000 };
    for (int aged = 0; aged < 2; aged++) {
        struct desk desk;
        open_desk_of(&desk, ROOM, 50);
        for (unsigned i = 0; i < MANY; i++) {
            inject(&desk, i, aged ? 2 * USEC_HOUR : USEC_HOUR, aged ? USEC_HOUR : USEC_DAY);
            if (i % 100 != 99)
                continue;
            node_committed(desk.node, desk.newest, desk.now);
            pass(&desk, 10 * USEC_MS);
        }
        pass(&desk, 5 * USEC_SEC);
        assert_int_equal(parked(&desk), MANY);
        desk.most_in_memory = 0;
        pass(&desk, USEC_HOUR + 30 * USEC_SEC);
        assert_in_range(desk.most_in_memory, 1, ROOM + ROOM / 2);
        if (aged)
            assert_int_equal(custody_figures(node_custody(desk.node)).held, 0);
        else
            assert_in_range(node_figures(desk.node).ready, 25, ROOM / 2);
        close_desk(&desk);
    }
}

static void test_what_is_ready_or_due_soon_stays_and_the_table_rests(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    struct park_memory_figures before = park_memory_figures(desk.table);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, i, i % 2 == 0 ? 0 : 50 * USEC_SEC, USEC_DAY);
    node_committed(desk.node, desk.newest, desk.now);
    pass(&desk, USEC_SEC);
    struct park_memory_figures after = park_memory_figures(desk.table);
    assert_int_equal(parked(&desk), 0);
    assert_int_equal(after.gets, before.gets);
    assert_int_equal(after.puts, before.puts);
    close_desk(&desk);
}

static void test_max_age_holds_at_rest(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject(&desk, 1, 2 * USEC_HOUR, USEC_HOUR);
    node_committed(desk.node, desk.newest, desk.now);
    pass(&desk, USEC_SEC);
    assert_int_equal(parked(&desk), 1);
    pass(&desk, USEC_HOUR - 2 * USEC_SEC);
    assert_int_equal(desk.done, 0);
    pass(&desk, 2 * USEC_SEC);
    assert_true(desk.done >= RECIPIENTS);
    assert_int_equal(custody_figures(node_custody(desk.node)).held, 0);
    close_desk(&desk);
}

static size_t others(unsigned nodes)
{
    static const char *const pool = "main";
    struct view *view = view_new(9);
    size_t count = 0;
    for (unsigned i = 1; i <= nodes; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "m.test", &pool, 1);
    }
    for (unsigned i = 0; i < MESSAGES * RECIPIENTS; i++) {
        char domain[40];
        snprintf(domain, sizeof domain, "d%u.test", (i / RECIPIENTS + i % RECIPIENTS * 17) % 100);
        count += strcmp(place_owner(view, "main", NULL, domain)->id, "n1") != 0;
    }
    view_drop(&view);
    return count;
}

static void test_a_new_view_moves_what_is_parked(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject_late(&desk);
    set_view(&desk, 2, 3);
    assert_true(parked(&desk) > MESSAGES / 2); /* a little at a time */
    pass(&desk, USEC_SEC);
    set_view(&desk, 3, 3); /* and one that comes meanwhile */
    pass(&desk, 10 * USEC_SEC);
    assert_int_equal(desk.leaving, others(3));
    assert_int_equal(custody_figures(node_custody(desk.node)).leaving, others(3));
    assert_true(parked(&desk) > 0); /* what stays is parked again */
    close_desk(&desk);
}

/* Takes the answer to an act, once it is there. */
static void act(struct desk *desk, const char *text)
{
    struct bus_msg *msg = bus_msg_new(BUS_ASK, "c1", "n1");
    bus_msg_set_text(msg, text, strlen(text));
    desk->answer[0] = '\0';
    node_bus(desk->node, msg, desk->now);
    bus_msg_free(&msg);
    pass(desk, 2 * USEC_SEC);
}

static void test_orders_reach_what_is_parked(void **state)
{
    (void)state;
    struct desk desk;
    char wanted[80];
    open_desk(&desk);
    inject_late(&desk);
    for (unsigned i = 0; i < 10; i++)
        inject(&desk, MESSAGES + i, 2 * USEC_MIN, USEC_DAY);
    node_committed(desk.node, desk.newest, desk.now);
    pass(&desk, 95 * USEC_SEC);
    assert_int_equal(parked(&desk), MESSAGES); /* ten have come back */
    act(&desk, "delete?domain=d1.test&reason=x");
    snprintf(wanted, sizeof wanted, "\"matched\":%d,", MESSAGES / 100 * RECIPIENTS + 1);
    assert_non_null(strstr(desk.answer, wanted));
    act(&desk, "delete?tenant=t&reason=x");
    assert_non_null(strstr(desk.answer, "\"running\":false"));
    assert_int_equal(custody_figures(node_custody(desk.node)).held, 0);
    assert_int_equal(parked(&desk), 0);
    close_desk(&desk);
}

static void test_checkpoints_say_what_may_go(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject_late(&desk);
    uint64_t last = desk.newest;
    pass(&desk, USEC_SEC);
    assert_true(desk.checkpoints >= 1);
    pass(&desk, 30 * USEC_SEC);
    assert_int_equal(desk.kept_from, last + 1);
    size_t checkpoints = desk.checkpoints;
    pass(&desk, 10 * USEC_MIN);
    assert_int_equal(desk.checkpoints, checkpoints); /* nothing happens, none is needed */
    close_desk(&desk);
}

static void test_a_start_goes_on_from_the_last_checkpoint(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject_late(&desk);
    pass(&desk, 30 * USEC_SEC);
    uint64_t from = desk.kept_from;
    assert_int_equal(from, desk.newest + 1);
    node_free(&desk.node);
    start_node(&desk);
    assert_int_equal(custody_figures(node_custody(desk.node)).held, MESSAGES * RECIPIENTS);
    pass(&desk, 30 * USEC_SEC);
    assert_int_equal(parked(&desk), MESSAGES);
    assert_int_equal(desk.kept_from, from);
    pass(&desk, USEC_HOUR);
    assert_int_equal(node_figures(desk.node).ready, MESSAGES * RECIPIENTS);
    close_desk(&desk);
}

static void test_a_checkpoint_that_fails_ends_parking(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject_late(&desk);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, MESSAGES + i, USEC_HOUR, USEC_DAY);
    park_memory_fail(desk.table, true);
    node_committed(desk.node, desk.newest, desk.now);
    pass(&desk, 5 * USEC_MIN);
    assert_int_equal(desk.failures, 1);
    assert_int_equal(parked(&desk), MESSAGES);
    assert_int_equal(custody_figures(node_custody(desk.node)).held, 2 * MESSAGES * RECIPIENTS);
    park_memory_fail(desk.table, false); /* it may be read again: those are not stuck */
    pass(&desk, USEC_HOUR);
    assert_int_equal(node_figures(desk.node).ready, 2 * MESSAGES * RECIPIENTS);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_long_is_parked_and_comes_back_in_time),
        cmocka_unit_test(test_what_is_due_at_once_comes_bit_by_bit),
        cmocka_unit_test(test_what_is_ready_or_due_soon_stays_and_the_table_rests),
        cmocka_unit_test(test_max_age_holds_at_rest),
        cmocka_unit_test(test_a_new_view_moves_what_is_parked),
        cmocka_unit_test(test_orders_reach_what_is_parked),
        cmocka_unit_test(test_checkpoints_say_what_may_go),
        cmocka_unit_test(test_a_start_goes_on_from_the_last_checkpoint),
        cmocka_unit_test(test_a_checkpoint_that_fails_ends_parking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
