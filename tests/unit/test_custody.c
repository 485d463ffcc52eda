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
    custody_message(a.custody, msg, true, a.now);
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
    custody_message(b.custody, first, false, b.now);
    assert_int_equal(b.sent_count, 0); /* a refusal is logged before it is said */
    bench_commit(&b);
    assert_stands(&b, 1, 0, CUSTODY_REFUSED, 1);
    assert_true(bench_pass(&b, &a, BUS_MOVE_ANSWER, true));
    assert_int_equal(a.returned, 1);
    assert_string_equal(a.refused_by, "b");
    assert_stands(&a, 1, 0, CUSTODY_HELD, 1); /* that hop is used up */
    bench_commit(&a);

    /* A copy of the refused MOVE is refused for ever, with room too. */
    custody_message(b.custody, late, true, b.now);
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
    custody_message(a.custody, late, true, a.now); /* of hop 1: over */
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
        strcpy(forged->spool, wrong[i].spool);
        forged->items[0].hop = wrong[i].hop;
        custody_message(a.custody, forged, true, a.now);
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
    custody_message(b.custody, move, true, b.now);
    bench_commit(&b);
    custody_done(b.custody, bench_delivery(&b, 1, 0), RESULT_DELIVERED, 250, "{}", b.now);
    bench_commit(&b);
    bench_drop_sent(&b);
    for (uint32_t hop = 1; hop < 4; hop++) {
        move->items[0].hop = hop;
        custody_message(b.custody, move, true, b.now);
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

/* ---- the end ---- */

static void test_ended_messages_are_known_for_a_while(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    inject_durably(&a, 1, 2);
    for (uint32_t i = 0; i < 2; i++)
        custody_done(a.custody, bench_delivery(&a, 1, i), RESULT_BOUNCED, 550, "{}", a.now);
    assert_int_equal(a.told, 0);
    bench_commit(&a);
    assert_int_equal(a.told, 2);
    struct mail_id id = bench_id(1);
    assert_true(custody_knows(a.custody, &id));
    assert_null(custody_find(a.custody, &id)); /* only its id is left */
    assert_true(a.frames[0].released);         /* the body may go */
    usec_t end = a.now;
    bench_inject(&a, 1, 1, 2, true);
    assert_int_equal(inject_answer(&a), BUS_REPEATED);
    custody_tick(a.custody, end + CUSTODY_KEEP - 1);
    assert_true(custody_knows(a.custody, &id));
    custody_tick(a.custody, end + CUSTODY_KEEP + 1);
    assert_false(custody_knows(a.custody, &id));
    for (size_t i = 0; i < a.frame_count; i++)
        assert_true(!a.frames[i].base || a.frames[i].released);
    assert_true(custody_deadline(a.custody) == USEC_NEVER);
    bench_close(&a);
}

/* ---- tidying ---- */

static void test_restates_in_one_go(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    for (unsigned i = 0; i < 5; i++)
        inject_durably(&a, i, 1);
    custody_restate(a.custody, 1, true, a.now);
    assert_int_equal(a.frame_count, 10);
    const struct held *held = bench_delivery(&a, 0, 0)->held;
    assert_int_equal(held->base_seq, 6);
    assert_int_equal(held->disk_seq, 1); /* where the body is, until the new frame is on the disk */
    custody_restate(a.custody, 1, true, a.now);
    assert_int_equal(a.frame_count, 10); /* under way */
    for (int i = 0; i < 5; i++)
        assert_false(a.frames[i].released);
    bench_commit(&a);
    assert_int_equal(held->disk_seq, 6);
    for (int i = 0; i < 10; i++)
        assert_int_equal(a.frames[i].released, i < 5);
    bench_close(&a);
}

/* On a disk that is nearly full, what is written must not use up the rest. */
static void test_restates_one_where_room_is_short(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    for (unsigned i = 0; i < 5; i++)
        inject_durably(&a, i, 1);
    custody_restate(a.custody, 1, false, a.now);
    custody_restate(a.custody, 1, false, a.now);
    assert_int_equal(a.frame_count, 6);
    bench_commit(&a);
    assert_true(a.frames[0].released);
    custody_restate(a.custody, 2, false, a.now);
    assert_int_equal(a.frame_count, 7);
    bench_close(&a);
}

static void test_restates_from_the_disk(void **state)
{
    (void)state;
    struct bench old, a;
    bench_open(&old, "a");
    inject_durably(&old, 1, 1);
    bench_restart(&a, &old, old.last_seq);
    custody_restate(a.custody, 1, true, a.now);
    assert_int_equal(a.frame_count, 1);
    bench_read(&a);
    assert_int_equal(a.frame_count, 2);
    assert_true(a.frames[1].base && a.frames[1].has_body);
    bench_commit(&a);
    assert_true(a.frames[0].released);
    bench_close(&a);
    bench_close(&old);
}

static void test_restates_ended_messages(void **state)
{
    (void)state;
    struct bench a, again;
    bench_open(&a, "a");
    for (unsigned i = 0; i < 3; i++) {
        inject_durably(&a, i, 1);
        custody_done(a.custody, bench_delivery(&a, i, 0), RESULT_DELIVERED, 250, "{}", a.now);
        bench_commit(&a);
    }
    custody_restate(a.custody, 2, true, a.now);
    assert_int_equal(a.frame_count, 9);
    assert_true(custody_deadline(a.custody) == USEC_NEVER); /* no spinning while that is under way */
    bench_commit(&a);
    for (int i = 0; i < 9; i++)
        assert_true(!a.frames[i].base || a.frames[i].released == (i < 6));
    bench_restart(&again, &a, a.last_seq);
    for (unsigned i = 0; i < 3; i++) {
        bench_inject(&again, i, 1, 1, true);
        assert_int_equal(inject_answer(&again), BUS_REPEATED);
    }
    bench_close(&again);
    bench_close(&a);
}

/* A session may hold on to a message past the end of later ones: the oldest frame is found all the same. */
static void test_restates_ended_out_of_order(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    for (unsigned i = 0; i < 3; i++)
        inject_durably(&a, i, 1);
    struct held *first = bench_delivery(&a, 0, 0)->held;
    first->pins = 1;
    for (unsigned i = 0; i < 3; i++) {
        custody_done(a.custody, bench_delivery(&a, i, 0), RESULT_DELIVERED, 250, "{}", a.now);
        bench_commit(&a);
    }
    first->pins = 0;
    custody_final_check(a.custody, first, a.now);
    assert_int_equal(a.frame_count, 6);
    custody_restate(a.custody, 4, true, a.now);
    assert_int_equal(a.frame_count, 9);
    bench_commit(&a);
    for (int i = 0; i < 9; i++)
        assert_int_equal(a.frames[i].released, i < 6);
    bench_close(&a);
}

/* ---- replay ---- */

enum { STEPS = 40 };

/* How message 1 of three recipients stood when frame `seq` was the last. */
struct snapshot {
    uint64_t seq;
    bool known;
    struct {
        uint8_t state, result;
        uint32_t hop, attempts, code;
        usec_t due;
        char peer[MEMBER_ID_SIZE];
    } delivery[3];
};

static void look(const struct bench *bench, struct snapshot *snapshot)
{
    struct mail_id id = bench_id(1);
    *snapshot = (struct snapshot){.seq = bench->last_seq, .known = custody_knows(bench->custody, &id)};
    for (uint32_t i = 0; i < 3; i++) {
        const struct delivery *d = bench_delivery(bench, 1, i);
        if (d == NULL)
            continue;
        snapshot->delivery[i].state = d->state;
        snapshot->delivery[i].result = d->result;
        snapshot->delivery[i].hop = d->hop;
        snapshot->delivery[i].attempts = d->attempts;
        snapshot->delivery[i].code = d->code;
        snapshot->delivery[i].due = d->due;
        if (d->peer != NULL)
            strcpy(snapshot->delivery[i].peer, d->peer);
    }
}

/* The life of a message that knows every kind of record; `steps` gets how it stood after each. */
static size_t live(struct bench *a, struct bench *b, struct snapshot steps[STEPS])
{
    size_t count = 0;
    bench_inject(a, 1, 1, 3, true);
    look(a, &steps[count++]);
    bench_commit(a);
    struct delivery *first = bench_delivery(a, 1, 0), *second = bench_delivery(a, 1, 1);
    first->attempts = 1;
    custody_retry(a->custody, first, a->now + USEC_HOUR, "{}", a->now);
    look(a, &steps[count++]);
    custody_move(a->custody, &second, 1, "b", a->now); /* refused */
    look(a, &steps[count++]);
    bench_commit(a);
    bench_pass(a, b, BUS_MOVE, false);
    bench_commit(b);
    bench_pass(b, a, BUS_MOVE_ANSWER, true);
    look(a, &steps[count++]);
    bench_commit(a);
    custody_move(a->custody, &second, 1, "b", a->now); /* taken */
    look(a, &steps[count++]);
    bench_commit(a);
    bench_pass(a, b, BUS_MOVE, true);
    bench_commit(b);
    bench_pass(b, a, BUS_MOVE_ANSWER, true);
    look(a, &steps[count++]);
    bench_commit(a);
    bench_pass(a, b, BUS_SETTLED, true);
    struct delivery *there = bench_delivery(b, 1, 1);
    custody_move(b->custody, &there, 1, "a", b->now); /* and comes back to one without room */
    bench_commit(b);
    bench_pass(b, a, BUS_MOVE, false);
    look(a, &steps[count++]);
    bench_commit(a);
    bench_drop_sent(a);
    custody_restate(a->custody, 1, true, a->now);
    look(a, &steps[count++]);
    bench_commit(a);
    first->attempts = 2;
    custody_done(a->custody, first, RESULT_DELIVERED, 250, "{}", a->now);
    look(a, &steps[count++]);
    struct delivery *third = bench_delivery(a, 1, 2);
    third->attempts = 1;
    custody_done(a->custody, third, RESULT_BOUNCED, 550, "{}", a->now);
    look(a, &steps[count++]);
    bench_commit(a);
    return count;
}

static void test_replay_of_every_prefix(void **state)
{
    (void)state;
    static struct bench a, b, fresh;
    static struct snapshot steps[STEPS];
    bench_open(&a, "a");
    bench_open(&b, "b");
    size_t count = live(&a, &b, steps);
    uint64_t kinds = 0;
    for (size_t i = 0; i < a.frame_count; i++) {
        struct spool_record record;
        struct error why;
        assert_int_equal(
            record_decode(buffer_bytes(&a.frames[i].bytes), buffer_len(&a.frames[i].bytes), &record, &why),
            0);
        kinds |= 1u << record.kind;
        record_clear(&record);
    }
    assert_int_equal(kinds, 1u << RECORD_HOLD | 1u << RECORD_INTENT | 1u << RECORD_MOVED |
                                1u << RECORD_REFUSED | 1u << RECORD_RETRY | 1u << RECORD_DONE);
    for (size_t i = 0; i < count; i++) {
        struct snapshot after;
        bench_restart(&fresh, &a, steps[i].seq);
        look(&fresh, &after);
        assert_memory_equal(&after, &steps[i], sizeof after);
        int held = 0, leaving = 0;
        for (int j = 0; j < 3; j++) {
            held += after.delivery[j].state == CUSTODY_HELD;
            leaving += after.delivery[j].state == CUSTODY_LEAVING;
        }
        assert_int_equal(fresh.gained, held);
        if (leaving > 0) { /* an open INTENT is simply asked again, with the same hop */
            bench_read(&fresh);
            struct bus_msg *move = bench_take(&fresh, BUS_MOVE);
            assert_non_null(move);
            assert_int_equal(move->items[0].hop, after.delivery[1].hop + 1);
            bus_msg_free(&move);
        }
        bench_close(&fresh);
    }
    bench_close(&a);
    bench_close(&b);
}

/* The last frame was not understood: its number is used up all the same. */
static void test_log_ends_later(void **state)
{
    (void)state;
    struct bench a;
    bench_open(&a, "a");
    custody_log_ends(a.custody, 41);
    a.committed = 41;
    custody_recovered(a.custody, a.now);
    inject_durably(&a, 1, 1);
    assert_int_equal(a.last_seq, 42);
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
        cmocka_unit_test(test_ended_messages_are_known_for_a_while),
        cmocka_unit_test(test_restates_in_one_go),
        cmocka_unit_test(test_restates_one_where_room_is_short),
        cmocka_unit_test(test_restates_from_the_disk),
        cmocka_unit_test(test_restates_ended_messages),
        cmocka_unit_test(test_restates_ended_out_of_order),
        cmocka_unit_test(test_replay_of_every_prefix),
        cmocka_unit_test(test_log_ends_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
