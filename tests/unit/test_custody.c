/* Custody is held by exactly one spool, and nothing is said before it is on the disk (PROTOCOL guards 8, 13,
 * 14). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/custody_state.h"
#include "custody_help.h"

/* The verdict of the oldest answer to an INJECT, or 0 if there is none. */
static int inject_answer(struct bench *bench)
{
    struct bus_msg *msg = bench_take(bench, BUS_INJECT_ANSWER);
    int verdict = msg == NULL ? 0 : (int)msg->verdict;
    bus_msg_free(&msg);
    return verdict;
}

static void inject_durably(struct bench *bench, unsigned number, uint32_t recipients)
{
    bench_inject(bench, number, 1, recipients, true);
    bench_commit(bench);
    assert_int_equal(inject_answer(bench), BUS_TAKEN);
}

static void move_all(struct bench *bench, unsigned number, const char *to)
{
    struct mail_id id = bench_id(number);
    struct held *held = custody_find(bench->custody, &id);
    custody_move(bench->custody, held->deliveries, held->count, to, bench->now);
}

static void assert_stands(const struct bench *bench, unsigned number, uint32_t index, int state, uint32_t hop)
{
    const struct delivery *delivery = bench_delivery(bench, number, index);
    assert_non_null(delivery);
    assert_int_equal(delivery->state, state);
    assert_int_equal(delivery->hop, hop);
}

/* ---- INJECT ---- */

static void test_answer_follows_the_disk(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    bench_inject(&a, 1, 1, 3, true);
    assert_int_equal(inject_answer(&a), 0);
    assert_int_equal(a.gained, 0);
    bench_commit(&a);
    assert_int_equal(inject_answer(&a), BUS_TAKEN);
    assert_int_equal(a.gained, 3);
    assert_int_equal(a.frame_count, 1);
    bench_close(&a);
}

static void test_inject_again(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    bench_inject(&a, 1, 1, 1, true);
    bench_inject(&a, 1, 1, 1, true);
    assert_int_equal(a.sent_count, 0); /* the first is not durable yet */
    bench_commit(&a);
    assert_int_equal(inject_answer(&a), BUS_TAKEN);
    bench_inject(&a, 1, 1, 1, true);
    assert_int_equal(inject_answer(&a), BUS_REPEATED);
    bench_inject(&a, 1, 2, 1, true);
    assert_int_equal(inject_answer(&a), BUS_CONFLICT);
    bench_inject(&a, 1, 1, 1, false); /* known is known, room or not */
    assert_int_equal(inject_answer(&a), BUS_REPEATED);
    assert_int_equal(a.frame_count, 1);
    assert_int_equal(a.gained, 1);
    bench_close(&a);
}

static void test_inject_for_another_process(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    custody_set_incarnation(a.custody, 8);
    bench_inject(&a, 1, 1, 1, true);
    bench_commit(&a);
    assert_int_equal(a.sent_count, 0);
    assert_int_equal(a.frame_count, 0);
    bench_close(&a);
}

static void test_refusal_is_for_good(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    bench_inject(&a, 1, 1, 1, false);
    assert_int_equal(inject_answer(&a), BUS_FULL);
    bench_inject(&a, 1, 1, 1, true);
    assert_int_equal(inject_answer(&a), BUS_REFUSED);
    bench_inject(&a, 2, 1, 1, true);
    bench_commit(&a);
    assert_int_equal(inject_answer(&a), BUS_TAKEN);
    bench_close(&a);
}

static void test_old_inject_is_refused(void **state)
{
    (void)state;
    struct bench a;
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", "a");
    bench_open(&a, "a");
    strcpy(msg->spool, "a");
    msg->mail = mail_new();
    mail_add_recipient(msg->mail, "u@d.test");
    msg->mail->created = a.now - CUSTODY_KEEP - 1;
    msg->body = blob_copy("x", 1);
    custody_message(a.custody, msg, NULL, a.now);
    assert_int_equal(inject_answer(&a), BUS_REFUSED);
    bus_msg_free(&msg);
    bench_close(&a);
}

/* However many are refused while nothing else happens: bounded, and none of them is ever taken. */
static void test_refusals_are_bounded(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    a.keeps_no_frames = true;
    for (unsigned i = 0; i < CUSTODY_MAX_REFUSED + 5000; i++) {
        a.now += 100;
        bench_inject(&a, i, 1, 1, false);
        bench_drop_sent(&a);
    }
    assert_true(map_count(&a.custody->refused) <= CUSTODY_MAX_REFUSED);
    usec_t after = a.now;
    a.now = 1800000000 * USEC_SEC + 100; /* as the first was */
    bench_inject(&a, 0, 1, 1, true);
    assert_int_equal(inject_answer(&a), BUS_REFUSED);
    a.now = after + 1;
    inject_durably(&a, 1000000, 1);
    a.now += CUSTODY_KEEP + 1;
    custody_tick(a.custody, a.now);
    assert_int_equal(map_count(&a.custody->refused), 0);
    bench_close(&a);
}

/* ---- MOVE ---- */

static void test_move(void **state)
{
    (void)state;
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 2);
    move_all(&a, 1, "b");
    assert_int_equal(a.left, 2);
    assert_int_equal(a.sent_count, 0); /* INTENT first */
    bench_commit(&a);
    assert_true(bench_pass(&a, &b, BUS_MOVE, true));
    assert_int_equal(b.sent_count, 0); /* b's log first */
    bench_commit(&b);
    assert_int_equal(b.gained, 2);
    assert_stands(&b, 1, 0, CUSTODY_HELD, 1);
    assert_true(bench_pass(&b, &a, BUS_MOVE_ANSWER, true));
    assert_stands(&a, 1, 1, CUSTODY_MOVED, 1);
    assert_null(bench_take(&a, BUS_SETTLED)); /* a's log first */
    bench_commit(&a);
    assert_false(bench_delivery(&b, 1, 0)->settled);
    assert_true(bench_pass(&a, &b, BUS_SETTLED, true));
    assert_true(bench_delivery(&b, 1, 0)->settled && bench_delivery(&b, 1, 1)->settled);
    assert_int_equal(b.movable, 2);
    bench_inject(&a, 1, 1, 2, true); /* MOVED answers an INJECT too */
    assert_int_equal(inject_answer(&a), BUS_REPEATED);
    bench_close(&a);
    bench_close(&b);
}

static void test_move_is_asked_again(void **state)
{
    (void)state;
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    for (int i = 0; i < 20; i++) { /* all lost */
        bench_drop_sent(&a);
        a.now = custody_deadline(a.custody);
        custody_tick(a.custody, a.now);
        assert_int_equal(a.sent_count, 1);
    }
    b.now = a.now;
    bench_pass(&a, &b, BUS_MOVE, true);
    bench_commit(&b);
    bench_drop_sent(&b); /* the answer is lost */
    a.now = custody_deadline(a.custody);
    custody_tick(a.custody, a.now);
    b.now = a.now;
    assert_true(bench_pass(&a, &b, BUS_MOVE, true));
    assert_int_equal(b.frame_count, 1); /* known: answered from the record */
    assert_true(bench_pass(&b, &a, BUS_MOVE_ANSWER, true));
    assert_stands(&a, 1, 0, CUSTODY_MOVED, 1);
    bench_close(&a);
    bench_close(&b);
}

static void test_refused_move(void **state)
{
    (void)state;
    struct bench a, b, again;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    struct bus_msg *first = bench_take(&a, BUS_MOVE), *late = bus_msg_copy(first);
    custody_message(b.custody, first, "no room", b.now);
    assert_int_equal(b.sent_count, 0); /* a refusal is logged before it is said */
    bench_commit(&b);
    assert_stands(&b, 1, 0, CUSTODY_REFUSED, 1);
    assert_true(bench_pass(&b, &a, BUS_MOVE_ANSWER, true));
    assert_int_equal(a.returned, 1);
    assert_string_equal(a.refused_by, "b");
    assert_stands(&a, 1, 0, CUSTODY_HELD, 1); /* that hop is used up */
    bench_commit(&a);

    /* A copy of the refused MOVE is refused for ever, with room too. */
    custody_message(b.custody, late, NULL, b.now);
    struct bus_msg *answer = bench_take(&b, BUS_MOVE_ANSWER);
    assert_int_equal(answer->items[0].verdict, BUS_REFUSED);
    bus_msg_free(&answer);

    /* A fresh process asks nobody whether it is settled: it came by INJECT. */
    bench_restart(&again, &a, a.last_seq);
    assert_true(bench_delivery(&again, 1, 0)->settled);
    assert_true(custody_deadline(again.custody) == USEC_NEVER);
    bench_close(&again);

    move_all(&a, 1, "b");
    bench_commit(&a);
    assert_true(bench_pass(&a, &b, BUS_MOVE, true));
    bench_commit(&b);
    assert_stands(&b, 1, 0, CUSTODY_HELD, 2);
    bus_msg_free(&first);
    bus_msg_free(&late);
    bench_close(&a);
    bench_close(&b);
}

/* The counterexample that needs no fault: a's delivery comes back from b before a heard that b has it. */
static void test_comes_back_before_its_answer(void **state)
{
    (void)state;
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    bench_pass(&a, &b, BUS_MOVE, true);
    bench_commit(&b);
    struct bus_msg *late = bench_take(&b, BUS_MOVE_ANSWER);
    bench_delivery(&b, 1, 0)->settled = true; /* as if its word had come by another way */
    move_all(&b, 1, "a");
    bench_commit(&b);
    assert_true(bench_pass(&b, &a, BUS_MOVE, true));
    bench_commit(&a);
    assert_stands(&a, 1, 0, CUSTODY_HELD, 2);
    custody_message(a.custody, late, NULL, a.now); /* of hop 1: over */
    bench_commit(&a);
    assert_stands(&a, 1, 0, CUSTODY_HELD, 2);
    assert_true(bench_pass(&a, &b, BUS_MOVE_ANSWER, true));
    assert_stands(&b, 1, 0, CUSTODY_MOVED, 2);
    bus_msg_free(&late);
    bench_close(&a);
    bench_close(&b);
}

static void test_answers_that_do_not_count(void **state)
{
    (void)state;
    static const struct {
        const char *spool;
        uint32_t hop;
    } wrong[] = {{"c", 1}, {"b", 0}, {"b", 2}};
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    bench_pass(&a, &b, BUS_MOVE, true);
    bench_commit(&b);
    struct bus_msg *answer = bench_take(&b, BUS_MOVE_ANSWER);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct bus_msg *forged = bus_msg_copy(answer);
        snprintf(forged->spool, sizeof forged->spool, "%s", wrong[i].spool);
        forged->items[0].hop = wrong[i].hop;
        custody_message(a.custody, forged, NULL, a.now);
        assert_stands(&a, 1, 0, CUSTODY_LEAVING, 0);
        bus_msg_free(&forged);
    }
    bus_msg_free(&answer);
    bench_close(&a);
    bench_close(&b);
}

static void test_done_never_moves_again(void **state)
{
    (void)state;
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    struct bus_msg *move = bench_take(&a, BUS_MOVE);
    custody_message(b.custody, move, NULL, b.now);
    bench_commit(&b);
    custody_done(b.custody, bench_delivery(&b, 1, 0), RESULT_DELIVERED, 250, "{}", b.now);
    bench_commit(&b);
    bench_drop_sent(&b);
    for (uint32_t hop = 1; hop < 4; hop++) {
        move->items[0].hop = hop;
        custody_message(b.custody, move, NULL, b.now);
        struct bus_msg *answer = bench_take(&b, BUS_MOVE_ANSWER);
        assert_int_equal(answer->items[0].verdict, BUS_TAKEN);
        assert_stands(&b, 1, 0, CUSTODY_DONE, 1);
        bus_msg_free(&answer);
    }
    bus_msg_free(&move);
    bench_close(&a);
    bench_close(&b);
}

/* The target may forget only when its source's side is durable; it asks until it hears so. */
static void test_settles(void **state)
{
    (void)state;
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    bench_pass(&a, &b, BUS_MOVE, true);
    bench_commit(&b);
    custody_done(b.custody, bench_delivery(&b, 1, 0), RESULT_DELIVERED, 250, "{}", b.now);
    bench_commit(&b);
    for (int i = 0; i < 1000; i++) { /* a never hears */
        b.now = custody_deadline(b.custody);
        custody_tick(b.custody, b.now);
        bench_drop_sent(&b);
    }
    assert_non_null(bench_delivery(&b, 1, 0));
    assert_true(b.now < a.now + 3000 * USEC_SEC);
    a.now = b.now;
    custody_tick(a.custody, a.now);
    custody_tick(b.custody, b.now += 2 * USEC_SEC);
    assert_true(bench_pass(&b, &a, BUS_SETTLED_ASK, true));
    assert_null(bench_take(&a, BUS_SETTLED)); /* still leaving */
    assert_true(bench_pass(&a, &b, BUS_MOVE, true));
    assert_true(bench_pass(&b, &a, BUS_MOVE_ANSWER, true));
    bench_commit(&a);
    assert_true(bench_pass(&a, &b, BUS_SETTLED, true));
    custody_tick(b.custody, b.now + CUSTODY_KEEP - 1);
    assert_non_null(bench_delivery(&b, 1, 0));
    custody_tick(b.custody, b.now + CUSTODY_KEEP + 4 * USEC_SEC);
    assert_null(bench_delivery(&b, 1, 0));
    bench_close(&a);
    bench_close(&b);
}

/* A MOVE that was under way for long is not answered: both sides could have forgotten it. */
static void test_late_move(void **state)
{
    (void)state;
    struct bench a, b;
    bench_open(&a, "a");
    bench_open(&b, "b");
    inject_durably(&a, 1, 1);
    move_all(&a, 1, "b");
    bench_commit(&a);
    b.now += CUSTODY_KEEP;
    bench_pass(&a, &b, BUS_MOVE, true);
    bench_commit(&b);
    assert_int_equal(b.sent_count, 0);
    assert_int_equal(custody_figures(b.custody).late_moves, 1);
    bench_close(&a);
    bench_close(&b);
}

/* Bytes under way to a spool are limited, and nothing leaks where they never get there. */
static void test_moves_wait_for_credit(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    for (unsigned i = 0; i < 10; i++) {
        inject_durably(&a, i, 1);
        bench_delivery(&a, i, 0)->held->mail->body_len = MOVE_CREDIT / 4;
    }
    for (unsigned i = 0; i < 10; i++)
        move_all(&a, i, "b");
    bench_commit(&a);
    assert_int_equal(a.sent_count, 4);
    bench_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer_follows_the_disk),
        cmocka_unit_test(test_inject_again),
        cmocka_unit_test(test_inject_for_another_process),
        cmocka_unit_test(test_refusal_is_for_good),
        cmocka_unit_test(test_old_inject_is_refused),
        cmocka_unit_test(test_refusals_are_bounded),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_move_is_asked_again),
        cmocka_unit_test(test_refused_move),
        cmocka_unit_test(test_comes_back_before_its_answer),
        cmocka_unit_test(test_answers_that_do_not_count),
        cmocka_unit_test(test_done_never_moves_again),
        cmocka_unit_test(test_settles),
        cmocka_unit_test(test_late_move),
        cmocka_unit_test(test_moves_wait_for_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
