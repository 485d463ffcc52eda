/* The end of a message leaves when the attempt is in the log, in the epoch of today; and not a moment before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/node_state.h"
#include "tests/unit/desk_help.h"
#include "tests/unit/node_help.h"

enum { PROCESS = 77 };

static struct desk desk;

static void commit(void)
{
    node_committed(desk.node, desk.newest, desk.now);
}

static uint64_t attempts(void)
{
    return custody_figures(node_custody(desk.node)).attempts;
}

/* Mail to so many recipients is ready, its connection not yet there; from now on the disk waits for the test. */
static void wait_for_a_connection(unsigned recipients)
{
    desk_open(&desk, "");
    node_log_attempts(desk.node, PROCESS, desk.now);
    desk.keep_connecting = true;
    desk_inject_until(&desk, "acme", "c", "a.test", 1, 0, desk.now + USEC_DAY, recipients);
    desk_settle(&desk);
    desk.keep_frames = true;
    assert_int_equal(attempts(), 0);
}

/* All of the message but its end is sent. */
static void send_up_to_the_end(unsigned recipients)
{
    wait_for_a_connection(recipients);
    desk.keep_connecting = false;
    desk_settle(&desk);
    assert_int_equal(attempts(), recipients);
    assert_true(desk.lines[0].in_data && !desk.lines[0].first_line);
    assert_int_equal(desk.taken, 0);
}

static void let_go(void)
{
    desk.keep_frames = false;
    desk_settle(&desk);
}

static void the_end_waits_for_the_log(void **state)
{
    (void)state;
    send_up_to_the_end(2);
    uint64_t logged = desk.newest;
    desk_run(&desk, 10 * USEC_SEC);
    assert_int_equal(desk.taken, 0);
    assert_int_equal(desk.newest, logged); /* in one frame, once */
    let_go();
    assert_int_equal(desk.taken, 1);
    assert_int_equal(desk.delivered, 2);
    assert_int_equal(attempts(), 0);
    desk_close(&desk);
}

static void with_one_copy_nothing_waits(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.keep_connecting = true;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_settle(&desk);
    uint64_t logged = desk.newest;
    desk.keep_frames = true;
    desk.answer_after = USEC_SEC;
    desk.keep_connecting = false;
    desk_settle(&desk);
    assert_int_equal(desk.taken, 1);
    assert_int_equal(desk.newest, logged);
    desk_close(&desk);
}

/* It is logged when the batch is put together: what takes time then costs no waiting. */
static void what_is_read_and_signed_meanwhile_does_not_wait(void **state)
{
    (void)state;
    desk_open(&desk, "");
    node_log_attempts(desk.node, PROCESS, desk.now);
    desk.message = "From: a@keys.test\r\nSubject: x\r\n\r\nx\r\n";
    desk.keep_unsigned = true;
    desk_inject(&desk, "keyed", "c", "a.test", 1);
    desk_settle(&desk);
    assert_int_equal(desk.jobs, 1);
    assert_int_equal(attempts(), 1);
    desk.keep_frames = true;
    desk.answer_after = USEC_SEC;
    desk_sign(&desk);
    desk_settle(&desk);
    assert_int_equal(desk.taken, 1);
    desk_close(&desk);
}

static void a_new_epoch_voids_what_is_not_committed(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    uint64_t logged = desk.newest;
    custody_begin_epoch(node_custody(desk.node), 2);
    node_tick(desk.node, desk.now);
    assert_true(desk.newest > logged);
    node_committed(desk.node, logged, desk.now);
    desk_settle(&desk);
    assert_int_equal(desk.taken, 0);
    let_go();
    assert_int_equal(desk.taken, 1);
    assert_int_equal(desk.delivered, 1);
    desk_close(&desk);
}

/* The end may leave, and waits for the network, when the epoch begins. */
static void a_new_epoch_takes_a_permission_back(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    commit();
    assert_true(desk.lines[0].output);
    custody_begin_epoch(node_custody(desk.node), 2);
    node_tick(desk.node, desk.now);
    desk_settle(&desk);
    assert_int_equal(desk.taken, 0);
    let_go();
    assert_int_equal(desk.taken, 1);
    desk_close(&desk);
}

/* The end has left: no permission is asked for, and the log goes on saying that it may have. */
static void a_new_epoch_leaves_what_has_ended_in_the_log(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    desk.answer_after = USEC_SEC;
    let_go();
    assert_int_equal(desk.taken, 1);
    uint64_t logged = desk.newest;
    custody_begin_epoch(node_custody(desk.node), 2);
    desk_run(&desk, USEC_SEC / 2);
    assert_int_equal(attempts(), 1);
    assert_int_equal(desk.newest, logged);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(attempts(), 0);
    desk_close(&desk);
}

static void what_was_logged_long_ago_is_logged_anew(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    desk_run(&desk, CUSTODY_QUARANTINE / 2);
    uint64_t logged = desk.newest;
    commit();
    desk_settle(&desk);
    assert_int_equal(desk.taken, 0);
    assert_int_equal(desk.newest, logged + 1);
    let_go();
    assert_int_equal(desk.taken, 1);
    desk_close(&desk);
}

/* Permitted, but the receiver takes nothing of it for so long. */
static void a_permission_grows_old(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    commit();
    uint64_t logged = desk.newest;
    desk.now += CUSTODY_QUARANTINE / 2;
    node_tick(desk.node, desk.now);
    assert_int_equal(desk.newest, logged + 1);
    desk_settle(&desk);
    assert_int_equal(desk.taken, 0);
    let_go();
    assert_int_equal(desk.taken, 1);
    desk_close(&desk);
}

/* Nobody confirms it: the attempt has failed, as any other, and the connection is given up. */
static void the_log_stalls(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    desk_run(&desk, 3 * USEC_MIN);
    assert_int_equal(desk_connections(&desk), 0);
    assert_int_equal(desk.deferred, 0);
    let_go();
    assert_int_equal(desk.deferred, 1);
    assert_non_null(strstr(desk.last_event, "held back here"));
    assert_int_equal(attempts(), 0);
    desk_run(&desk, 11 * USEC_MIN);
    assert_int_equal(desk.taken, 1);
    assert_int_equal(desk.delivered, 1);
    desk_close(&desk);
}

static void what_is_withdrawn_is_open_no_more(void **state)
{
    (void)state;
    desk_open(&desk, "");
    node_log_attempts(desk.node, PROCESS, desk.now);
    desk.message = "From: a@keys.test\r\nSubject: x\r\n\r\nx\r\n";
    desk.keep_unsigned = true;
    desk_inject(&desk, "keyed", "c", "a.test", 1);
    desk_settle(&desk);
    assert_int_equal(attempts(), 1);
    desk_hold(&desk, &(struct hold_match){.tenant = "keyed"}, 0);
    assert_int_equal(attempts(), 0);
    desk.keep_unsigned = false;
    desk_settle(&desk);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(attempts(), 0);
    desk_close(&desk);
}

/* One of the two is to be sent again at once, in a transaction of its own. */
static void one_of_a_batch_is_sent_later(void **state)
{
    (void)state;
    static const char replies[] = "250 ok\r\n250 ok\r\n452 4.5.3 one at a time\r\n354 go\r\n";
    struct iovec segments[8];
    wait_for_a_connection(2);
    desk.lines[0].connect = false;
    desk.lines[0].open = true;
    node_connected(desk.node, 1, desk.now);
    node_received(desk.node, 1, "220 mx\r\n", 8, desk.now);
    for (int i = 0; i < 2; i++) {
        for (size_t count; (count = node_output(desk.node, 1, segments, 8)) > 0;) {
            size_t bytes = 0;
            for (size_t j = 0; j < count; j++)
                bytes += segments[j].iov_len;
            node_sent(desk.node, 1, bytes, desk.now);
        }
        if (i == 0)
            node_received(desk.node, 1, "250-mx\r\n250 PIPELINING\r\n", 24, desk.now);
    }
    desk.lines[0].output = false;
    desk.lines[0].in_data = desk.lines[0].first_line = true;
    assert_int_equal(attempts(), 2);
    node_received(desk.node, 1, replies, strlen(replies), desk.now);
    desk.keep_connecting = false;
    desk_settle(&desk);
    assert_int_equal(desk.taken, 0);
    desk.keep_frames = false;
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.taken, 2);
    assert_int_equal(desk.delivered, 2);
    assert_int_equal(attempts(), 0);
    desk_close(&desk);
}

/* A second copy is wished for while messages are on their way: one that has not ended yet waits from now on, one that
 * has is at least known to be under way. */
static void logging_begins_in_the_middle(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.answer_after = USEC_MIN;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_settle(&desk);
    assert_int_equal(desk.taken, 1);
    desk.message = "From: a@keys.test\r\nSubject: x\r\n\r\nx\r\n";
    desk.keep_unsigned = true;
    desk_inject(&desk, "keyed", "c", "b.test", 2);
    desk_settle(&desk);
    assert_int_equal(desk.jobs, 1);
    desk.keep_frames = true;
    node_log_attempts(desk.node, PROCESS, desk.now);
    assert_int_equal(attempts(), 2);
    desk.keep_unsigned = false;
    desk_settle(&desk);
    assert_int_equal(desk.taken, 1);
    let_go();
    assert_int_equal(desk.taken, 2);
    desk_run(&desk, 2 * USEC_MIN);
    assert_int_equal(desk.delivered, 2);
    assert_int_equal(attempts(), 0);
    desk_close(&desk);
}

/* The cluster falls back to a version that knows no attempts. */
static void logging_ends_in_the_middle(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    uint64_t logged = desk.newest;
    node_log_attempts(desk.node, 0, desk.now);
    desk.answer_after = USEC_SEC;
    desk_settle(&desk);
    assert_int_equal(desk.newest, logged);
    assert_int_equal(desk.taken, 1);
    assert_int_equal(attempts(), 0);
    desk_close(&desk);
}

/* Another node is the primary: what may end, and has not begun to, never will. */
static void who_is_deposed_ends_nothing(void **state)
{
    (void)state;
    send_up_to_the_end(1);
    commit();
    node_quiesce(desk.node, desk.now);
    attempts_void(desk.node, desk.now);
    desk_run(&desk, 5 * USEC_MIN);
    assert_int_equal(desk.taken, 0);
    assert_int_equal(desk_connections(&desk), 0);
    let_go();
    assert_int_equal(desk.deferred, 1);
    desk_run(&desk, 11 * USEC_MIN);
    assert_int_equal(desk.taken, 0);
    desk_close(&desk);
}

/* ---- after a restart ---- */

static unsigned doubts_told;

static void on_event(void *context, uint64_t seq, const char *json, size_t len)
{
    (void)context, (void)len;
    doubts_told += seq > 2 && strstr(json, "\"event\":\"doubt\"") != NULL && strstr(json, "a@a.test") != NULL;
}

static uint64_t newest;

static void on_append(void *context, uint64_t seq, struct buffer *bytes, struct blob *body, bool base)
{
    (void)context, (void)bytes, (void)body, (void)base;
    newest = seq;
}

static void replay(struct node *node, uint64_t seq, struct spool_record *record)
{
    struct buffer bytes = {0};
    struct error error;
    record_encode(record, &bytes);
    assert_int_equal(
        node_replay(node, seq, buffer_bytes(&bytes), buffer_len(&bytes), record->mail != NULL, &error), 0);
    buffer_free(&bytes);
}

static void attempts_of_the_former_process_are_in_doubt(void **state)
{
    (void)state;
    struct settings *settings = node_help_settings("node: { id: n1 }\n");
    struct node_ports ports = node_help_ports(NULL);
    ports.event = on_event;
    ports.append = on_append;
    struct node *node = node_new("n1", "n1.0", 1, settings, &ports, 1);
    struct bus_msg *msg = node_help_mail(1, USEC_DAY);
    mail_add_recipient(msg->mail, "a@a.test");
    mail_add_recipient(msg->mail, "b@a.test");
    struct record_item items[] = {{.index = 0, .state = CUSTODY_HELD}, {.index = 1, .state = CUSTODY_HELD}};
    struct spool_record hold = {
        .kind = RECORD_HOLD, .id = msg->id, .mail = msg->mail, .items = items, .item_count = 2};
    replay(node, 1, &hold);
    items[0].attempt = PROCESS;
    struct spool_record attempt = {.kind = RECORD_ATTEMPT, .id = msg->id, .items = items, .item_count = 1};
    replay(node, 2, &attempt);
    node_log_attempts(node, PROCESS + 1, USEC_DAY);
    node_recovered(node, USEC_DAY);
    assert_int_equal(node_figures(node).doubts, 1);
    assert_int_equal(custody_figures(node_custody(node)).attempts, 0);
    assert_int_equal(newest, 3);
    assert_int_equal(doubts_told, 0);
    node_committed(node, newest, USEC_DAY);
    assert_int_equal(doubts_told, 1);
    node_free(&node);
    settings_free(&settings);
    bus_msg_free(&msg);
}

/* A start does not gain what is on its way; yet it is held again when the other node refuses it. */
static struct node *refused_after_a_start(struct settings *settings)
{
    struct node_ports ports = node_help_ports(NULL);
    struct node *node = node_new("n1", "n1.0", 1, settings, &ports, 1);
    struct bus_msg *msg = node_help_mail(1, 0), *answer = bus_msg_new(BUS_MOVE_ANSWER, "n2", "n1");
    mail_add_recipient(msg->mail, "a@a.test");
    struct record_item item = {.state = CUSTODY_LEAVING, .peer = "n2.0", .due = 2 * USEC_DAY};
    struct spool_record leaving = {
        .kind = RECORD_HOLD, .id = msg->id, .mail = msg->mail, .items = &item, .item_count = 1};
    replay(node, 1, &leaving);
    node_recovered(node, USEC_SEC);
    snprintf(answer->spool, sizeof answer->spool, "n2.0");
    snprintf(answer->from_spool, sizeof answer->from_spool, "n1.0");
    answer->id = msg->id;
    answer->items = xcalloc(1, sizeof *answer->items);
    answer->items[0] = (struct bus_item){.hop = 1, .verdict = BUS_REFUSED};
    answer->item_count = 1;
    node_bus(node, answer, USEC_SEC);
    node_committed(node, 2, USEC_SEC);
    bus_msg_free(&msg);
    bus_msg_free(&answer);
    return node;
}

static void what_comes_back_after_a_start_has_an_age(void **state)
{
    (void)state;
    struct settings *settings = node_help_settings("node: { id: n1 }\n");
    struct node *node = refused_after_a_start(settings);
    node_tick(node, USEC_DAY - 1);
    assert_int_equal(node_figures(node).expired, 0);
    node_tick(node, USEC_DAY);
    assert_int_equal(node_figures(node).expired, 1);
    node_free(&node);
    settings_free(&settings);
}

static void what_comes_back_after_a_start_goes_by_the_next_view(void **state)
{
    (void)state;
    struct settings *settings = node_help_settings("node: { id: n1 }\n");
    struct node *node = refused_after_a_start(settings);
    struct view *view = node_help_view(1, 1, 2);
    view->nodes[0].draining = true;
    assert_int_equal(custody_figures(node_custody(node)).leaving, 0);
    node_set_view(node, view, USEC_MIN);
    for (usec_t now = USEC_MIN; now < 2 * USEC_MIN; now += USEC_SEC)
        node_tick(node, now);
    assert_int_equal(custody_figures(node_custody(node)).leaving, 1);
    view_drop(&view);
    node_free(&node);
    settings_free(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_waits_for_the_log),
        cmocka_unit_test(with_one_copy_nothing_waits),
        cmocka_unit_test(what_is_read_and_signed_meanwhile_does_not_wait),
        cmocka_unit_test(a_new_epoch_voids_what_is_not_committed),
        cmocka_unit_test(a_new_epoch_takes_a_permission_back),
        cmocka_unit_test(a_new_epoch_leaves_what_has_ended_in_the_log),
        cmocka_unit_test(what_was_logged_long_ago_is_logged_anew),
        cmocka_unit_test(a_permission_grows_old),
        cmocka_unit_test(the_log_stalls),
        cmocka_unit_test(what_is_withdrawn_is_open_no_more),
        cmocka_unit_test(one_of_a_batch_is_sent_later),
        cmocka_unit_test(logging_begins_in_the_middle),
        cmocka_unit_test(logging_ends_in_the_middle),
        cmocka_unit_test(who_is_deposed_ends_nothing),
        cmocka_unit_test(attempts_of_the_former_process_are_in_doubt),
        cmocka_unit_test(what_comes_back_after_a_start_has_an_age),
        cmocka_unit_test(what_comes_back_after_a_start_goes_by_the_next_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
