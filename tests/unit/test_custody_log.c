/* What custody leaves in its log: ended messages, tidying, and a life read back after each of its steps. */
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
#include "proto/copy_wire.h"

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

/* `a` has message 1 from the log of `old`: not its body, which it must read. The caller closes both. */
static void open_after_restart(struct bench *a, struct bench *old)
{
    bench_open(old, "a");
    inject_durably(old, 1, 1);
    bench_restart(a, old, old->last_seq);
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

/* A frame's number says its epoch, and none comes twice. */
static void test_frames_of_an_epoch(void **state)
{
    (void)state;
    struct bench a, b;
    const uint64_t shift = COPY_EPOCH_SHIFT;
    bench_open(&a, "a");
    inject_durably(&a, 1, 1);
    assert_int_equal(a.last_seq, 1);
    custody_begin_epoch(a.custody, 3);
    inject_durably(&a, 2, 1);
    assert_true(a.last_seq == ((uint64_t)3 << shift | 1));
    custody_begin_epoch(a.custody, 3);
    custody_begin_epoch(a.custody, 2);
    inject_durably(&a, 3, 1);
    assert_true(a.last_seq == ((uint64_t)3 << shift | 2));
    bench_restart(&b, &a, a.last_seq);
    custody_begin_epoch(b.custody, 4);
    custody_done(b.custody, bench_delivery(&b, 1, 0), RESULT_DELIVERED, 250, "{}", b.now);
    assert_true(b.last_seq == ((uint64_t)4 << shift | 1));
    bench_commit(&b);
    assert_int_equal(b.told, 1);
    bench_close(&b);
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
    open_after_restart(&a, &old);
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

/* Restates whatever is named next and reads what is asked for, all but message 1. Returns how often that was asked
 * for. */
static int restate_around(struct bench *bench)
{
    const struct held *bad = bench_delivery(bench, 1, 0)->held;
    int asked = 0;
    for (int turn = 0; turn < 50; turn++) {
        size_t oldest = 0;
        while (oldest < bench->frame_count && bench->frames[oldest].released)
            oldest++;
        custody_restate(bench->custody, bench->frames[oldest].seq, true, bench->now);
        bench_commit(bench);
        if (bench->wanted != NULL && bench->wanted == bad) {
            asked++;
            bench_fail_read(bench);
        } else if (bench->wanted != NULL) {
            bench_read(bench);
        }
    }
    return asked;
}

/* One whose body cannot be read is passed by, asked for a few times more, and then does without. */
static void test_restates_around_what_cannot_be_read(void **state)
{
    (void)state;
    struct bench old, a;
    open_after_restart(&a, &old);
    inject_durably(&a, 2, 1);
    inject_durably(&a, 3, 1);
    for (int misses = 1; misses < READS_MOST; misses++) {
        assert_int_equal(restate_around(&a), 1);
        assert_false(a.frames[0].released);
        /* What stood behind it was restated with it, and once more the first time; not in circles. */
        assert_int_equal(a.frame_count, 5 + 2 * (size_t)misses);
        assert_true(a.frames[1].released && a.frames[2].released);
        assert_int_equal(custody_deadline(a.custody), a.now + READ_AGAIN);
        a.now += READ_AGAIN;
        custody_tick(a.custody, a.now);
    }
    const struct held *held = bench_delivery(&a, 1, 0)->held;
    assert_false(held->lost);
    custody_restate(a.custody, 1, true, a.now);
    bench_fail_read(&a);
    assert_true(held->lost && !held->bodiless);
    bench_commit(&a);
    assert_true(a.frames[0].released);
    const struct bench_frame *last = &a.frames[a.frame_count - 1];
    assert_true(last->seq == held->disk_seq && last->base && !last->has_body);
    /* From now on without asking; and it ends like any other. */
    custody_restate(a.custody, last->seq, true, a.now);
    bench_commit(&a);
    assert_null(a.wanted);
    custody_done(a.custody, bench_delivery(&a, 1, 0), RESULT_BOUNCED, 430, "{}", a.now);
    bench_commit(&a);
    assert_null(bench_delivery(&a, 1, 0));
    bench_close(&a);
    bench_close(&old);
}

/* One that ends while it is set aside is not forgotten before its time is up, and then is. */
static void test_ends_while_it_is_set_aside(void **state)
{
    (void)state;
    struct bench old, a;
    open_after_restart(&a, &old);
    custody_restate(a.custody, 1, true, a.now);
    bench_fail_read(&a);
    custody_done(a.custody, bench_delivery(&a, 1, 0), RESULT_BOUNCED, 430, "{}", a.now);
    bench_commit(&a);
    assert_non_null(bench_delivery(&a, 1, 0));
    a.now += READ_AGAIN;
    custody_tick(a.custody, a.now);
    assert_null(bench_delivery(&a, 1, 0));
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

/* Very many come and go in turns. What is restated may be known for longer than it must, for it stands behind
 * younger ones then. */
static void many_ends_come_and_go(bool restates)
{
    enum { MANY = 3000, ROUND = 300 };
    struct bench a;
    bench_open(&a, "a");
    a.keeps_no_frames = true;
    for (unsigned i = 0; i < MANY; i++) {
        inject_durably(&a, i, 1);
        custody_done(a.custody, bench_delivery(&a, i, 0), RESULT_DELIVERED, 250, "{}", a.now);
        bench_commit(&a);
        if (i % ROUND != ROUND - 1)
            continue;
        a.now += CUSTODY_KEEP / 4;
        custody_tick(a.custody, a.now);
        if (restates)
            custody_restate(a.custody, tomb_oldest(a.custody), true, a.now);
        bench_commit(&a);
        unsigned rounds = (i + 1) / ROUND, gone = rounds > 3 ? (rounds - 3) * ROUND : 0;
        for (unsigned j = 0; j <= i; j++) {
            struct mail_id id = bench_id(j);
            bool known = custody_knows(a.custody, &id);
            if (j >= gone ? !known : known && !restates)
                fail_msg("after %u: %u is %s", i, j, known ? "still there" : "gone");
        }
    }
    custody_tick(a.custody, a.now + CUSTODY_KEEP + 1);
    assert_true(tomb_oldest(a.custody) == UINT64_MAX);
    assert_true(custody_deadline(a.custody) == USEC_NEVER);
    bench_close(&a);
}

static void test_many_ends_come_and_go(void **state)
{
    (void)state;
    many_ends_come_and_go(false);
    many_ends_come_and_go(true);
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
            snprintf(snapshot->delivery[i].peer, sizeof snapshot->delivery[i].peer, "%s", d->peer);
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
        cmocka_unit_test(test_ended_messages_are_known_for_a_while),
        cmocka_unit_test(test_frames_of_an_epoch),
        cmocka_unit_test(test_restates_in_one_go),
        cmocka_unit_test(test_restates_one_where_room_is_short),
        cmocka_unit_test(test_restates_from_the_disk),
        cmocka_unit_test(test_restates_around_what_cannot_be_read),
        cmocka_unit_test(test_ends_while_it_is_set_aside),
        cmocka_unit_test(test_restates_ended_messages),
        cmocka_unit_test(test_restates_ended_out_of_order),
        cmocka_unit_test(test_many_ends_come_and_go),
        cmocka_unit_test(test_replay_of_every_prefix),
        cmocka_unit_test(test_log_ends_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
