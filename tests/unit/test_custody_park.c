/* Messages at rest: parked in a table beside the log, and brought back by whoever asks for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "custody_help.h"

struct desk {
    struct park_memory *table;
    struct bench a;
};

static void open_desk(struct desk *desk)
{
    struct park_start start;
    struct error error;
    desk->table = park_memory_new();
    bench_open_table(&desk->a, "a", desk->table);
    assert_int_equal(park_open(desk->a.park, "disk", "a", 0, desk->a.custody, &start, &error), 0);
    free(start.living);
    custody_recovered(desk->a.custody, desk->a.now);
}

static void close_desk(struct desk *desk)
{
    bench_close(&desk->a);
    park_memory_free(&desk->table);
}

static int verdict(struct bench *bench)
{
    struct bus_msg *msg = bench_take(bench, BUS_INJECT_ANSWER);
    int verdict = msg == NULL ? 0 : (int)msg->verdict;
    bus_msg_free(&msg);
    return verdict;
}

static void inject(struct bench *bench, unsigned number, uint32_t recipients)
{
    bench_inject(bench, number, 1, recipients, true);
    bench_commit(bench);
    assert_int_equal(verdict(bench), BUS_TAKEN);
}

static void retry(struct bench *bench, unsigned number, uint32_t index)
{
    struct delivery *delivery = bench_delivery(bench, number, index);
    delivery->attempts++;
    custody_retry(bench->custody, delivery, bench->now + USEC_HOUR, "{}", bench->now);
}

static void end(struct bench *bench, unsigned number, uint32_t index)
{
    custody_done(
        bench->custody, bench_delivery(bench, number, index), RESULT_DELIVERED, 250, "{}", bench->now);
}

static struct held *find(struct bench *bench, unsigned number)
{
    struct mail_id id = bench_id(number);
    return custody_find(bench->custody, &id);
}

static struct held *fetch(struct bench *bench, unsigned number)
{
    struct mail_id id = bench_id(number);
    struct held *held;
    assert_true(custody_fetch(bench->custody, &id, &held));
    return held;
}

/* A process that starts from what the old one left: the table, and all of the log. */
static void restart(struct desk *desk)
{
    struct bench old = desk->a; /* only to be looked at and closed */
    bench_restart_table(&desk->a, &old, old.committed, desk->table);
    bench_close(&old);
}

/* ---- parking ---- */

static void test_what_is_parked_is_not_resident_and_comes_back_whole(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 3);
    end(a, 1, 0);
    retry(a, 1, 2);
    bench_commit(a);
    struct delivery was = *bench_delivery(a, 1, 2);
    struct held held = *find(a, 1);
    bench_park(a, 1);
    struct mail_id id = bench_id(1);
    assert_false(bench_is_resident(a, 1));
    assert_int_equal(a->forgotten, 1);
    assert_true(custody_knows(a->custody, &id));
    struct custody_figures figures = custody_figures(a->custody);
    assert_int_equal(figures.messages, 1);
    assert_int_equal(figures.held, 2);
    assert_int_equal(figures.final, 1);

    const struct held *back = fetch(a, 1);
    assert_int_equal(a->unparked, 1);
    assert_int_equal(back->count, 3);
    assert_int_equal(back->open, 2);
    assert_int_equal(back->base_seq, held.base_seq);
    assert_int_equal(back->disk_seq, held.disk_seq);
    assert_int_equal(back->last_seq, held.last_seq);
    const struct delivery *delivery = bench_delivery(a, 1, 2);
    assert_int_equal(delivery->attempts, was.attempts);
    assert_true(delivery->due == was.due);
    assert_int_equal(delivery->made_seq, was.made_seq);
    assert_true(delivery->settled && delivery->committed);
    assert_int_equal(bench_delivery(a, 1, 0)->state, CUSTODY_DONE);
    figures = custody_figures(a->custody);
    assert_int_equal(figures.messages, 1);
    assert_int_equal(figures.held, 2);
    assert_int_equal(figures.final, 1);
    close_desk(&desk);
}

/* While something is parked it is asked once whether it knows the message; while nothing is, not even that. */
static void check_first_attempts(bool parked)
{
    struct desk desk;
    open_desk(&desk);
    inject(&desk.a, 99, 1);
    if (parked)
        bench_park(&desk.a, 99);
    struct park_memory_figures before = park_memory_figures(desk.table);
    for (unsigned i = 0; i < 20; i++) {
        inject(&desk.a, i, 2);
        end(&desk.a, i, 0);
        end(&desk.a, i, 1);
        bench_commit(&desk.a);
        assert_false(bench_is_resident(&desk.a, i));
        park_commit(desk.a.park);
    }
    struct park_memory_figures after = park_memory_figures(desk.table);
    assert_int_equal(after.gets, before.gets + (parked ? 20 : 0));
    assert_int_equal(after.puts, before.puts);
    assert_int_equal(after.removes, before.removes);
    assert_int_equal(after.scans, before.scans);
    assert_int_equal(after.commits, before.commits);
    close_desk(&desk);
}

static void test_the_first_attempt_never_changes_the_table(void **state)
{
    (void)state;
    check_first_attempts(false);
    check_first_attempts(true);
}

/* ---- rule 1: only what is durable, and still ---- */

static void test_only_what_is_at_rest_may_be_parked(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    bench_inject(a, 1, 1, 2, true);
    assert_false(custody_at_rest(a->custody, find(a, 1))); /* not on the disk */
    bench_commit(a);
    assert_true(custody_at_rest(a->custody, find(a, 1)));
    retry(a, 1, 0);
    assert_false(custody_at_rest(a->custody, find(a, 1)));
    bench_commit(a);
    assert_true(custody_at_rest(a->custody, find(a, 1)));
    find(a, 1)->pins = 1;
    assert_false(custody_at_rest(a->custody, find(a, 1)));
    find(a, 1)->pins = 0;
    blob_drop(&find(a, 1)->body);
    custody_restate(a->custody, 1, true, a->now);
    assert_non_null(a->wanted);
    assert_false(custody_at_rest(a->custody, find(a, 1))); /* its body is read */
    bench_read(a);
    assert_false(custody_at_rest(a->custody, find(a, 1))); /* its restatement is not durable */
    bench_commit(a);
    assert_true(custody_at_rest(a->custody, find(a, 1)));
    struct delivery *leaving = bench_delivery(a, 1, 0);
    custody_move(a->custody, &leaving, 1, "b", a->now);
    bench_commit(a);
    assert_false(custody_at_rest(a->custody, find(a, 1)));
    end(a, 1, 1);
    bench_commit(a);
    assert_false(custody_at_rest(a->custody, find(a, 1)));
    close_desk(&desk);
}

static void test_what_came_by_move_waits_until_it_is_settled(void **state)
{
    (void)state;
    struct desk desk;
    struct bench b;
    open_desk(&desk);
    bench_open(&b, "b");
    inject(&b, 1, 1);
    struct delivery *moves = bench_delivery(&b, 1, 0);
    custody_move(b.custody, &moves, 1, "a", b.now);
    bench_commit(&b);
    assert_true(bench_pass(&b, &desk.a, BUS_MOVE, true));
    bench_commit(&desk.a);
    assert_false(custody_at_rest(desk.a.custody, find(&desk.a, 1)));
    assert_true(bench_pass(&desk.a, &b, BUS_MOVE_ANSWER, true));
    bench_commit(&b);
    assert_true(bench_pass(&b, &desk.a, BUS_SETTLED, true));
    assert_true(custody_at_rest(desk.a.custody, find(&desk.a, 1)));
    bench_park(&desk.a, 1);
    bench_close(&b);
    close_desk(&desk);
}

/* ---- rule 2: a row stays until the end; rule 3: from where the log is needed ---- */

static void test_what_happens_after_unparking_is_in_the_log(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 2); /* 1 */
    inject(a, 2, 1); /* 2 */
    assert_int_equal(custody_replay_from(a->custody), 1);
    bench_park(a, 1);
    assert_int_equal(custody_replay_from(a->custody), 2);
    bench_park(a, 2);
    assert_int_equal(custody_replay_from(a->custody), 3);
    fetch(a, 1);
    assert_int_equal(custody_replay_from(a->custody), 3); /* the row still knows all */
    retry(a, 1, 0);                                       /* 3 */
    assert_int_equal(custody_replay_from(a->custody), 3);
    bench_commit(a);
    assert_int_equal(custody_replay_from(a->custody), 3);
    park_from(a->park, custody_replay_from(a->custody));
    park_commit(a->park);
    end(a, 1, 1); /* 4 */
    bench_commit(a);
    usec_t due = bench_delivery(a, 1, 0)->due;
    restart(&desk);
    assert_int_equal(custody_figures(a->custody).messages, 2);
    assert_true(bench_is_resident(a, 1)); /* the log knows more of it */
    assert_false(bench_is_resident(a, 2));
    assert_int_equal(bench_delivery(a, 1, 0)->attempts, 1);
    assert_true(bench_delivery(a, 1, 0)->due == due);
    assert_int_equal(bench_delivery(a, 1, 1)->state, CUSTODY_DONE);
    assert_int_equal(a->gained, 1);
    assert_non_null(fetch(a, 2));
    close_desk(&desk);
}

static void test_r_waits_for_the_disk_and_for_ended_ids(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    assert_int_equal(custody_replay_from(a->custody), 1);
    inject(a, 1, 1); /* 1 */
    end(a, 1, 0);    /* 2: stands for its id */
    bench_commit(a);
    inject(a, 2, 1); /* 3 */
    bench_park(a, 2);
    assert_int_equal(custody_replay_from(a->custody), 2);
    custody_restate(a->custody, 2, true, a->now);         /* 4 */
    assert_int_equal(custody_replay_from(a->custody), 2); /* the old frame, until the new one is durable */
    bench_commit(a);
    assert_int_equal(custody_replay_from(a->custody), 4);
    custody_tick(a->custody, a->now + CUSTODY_KEEP + 1);
    assert_int_equal(custody_replay_from(a->custody), 5);
    fetch(a, 2);
    retry(a, 2, 0); /* 5 */
    assert_int_equal(custody_replay_from(a->custody), 5);
    close_desk(&desk);
}

static void test_a_restated_message_needs_nothing_before(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 1);                              /* 1 */
    custody_restate(a->custody, 1, true, a->now); /* 2 */
    assert_int_equal(custody_replay_from(a->custody), 1);
    bench_commit(a);
    assert_int_equal(custody_replay_from(a->custody), 2);
    close_desk(&desk);
}

static void test_rows_go_with_their_messages(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    uint64_t keys = park_memory_figures(desk.table).keys;
    inject(a, 1, 1);
    bench_park(a, 1);
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 4);
    fetch(a, 1);
    retry(a, 1, 0);
    bench_commit(a);
    custody_restate(a->custody, 1, true, a->now);
    bench_read(a);
    bench_commit(a);
    bench_park(a, 1); /* with another base frame and another date */
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 4);
    fetch(a, 1);
    park_commit(a->park);
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 4); /* the row stays */
    end(a, 1, 0);
    park_commit(a->park);
    assert_int_equal(park_memory_figures(desk.table).keys, keys + 4); /* not durable */
    bench_commit(a);
    park_commit(a->park);
    assert_int_equal(park_memory_figures(desk.table).keys, keys);
    close_desk(&desk);
}

static void test_parking_again_what_has_not_changed_writes_nothing(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk);
    inject(&desk.a, 1, 1);
    bench_park(&desk.a, 1);
    struct park_memory_figures before = park_memory_figures(desk.table);
    fetch(&desk.a, 1);
    bench_park(&desk.a, 1);
    assert_int_equal(park_memory_figures(desk.table).puts, before.puts);
    close_desk(&desk);
}

/* ---- rule 4 and 6: any prefix of the commits, and the log ---- */

static void test_a_table_that_fell_back_is_caught_up_from_the_log(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 2); /* 1 */
    bench_park(a, 1);
    park_from(a->park, custody_replay_from(a->custody));
    park_commit(a->park);
    park_memory_flush_end(desk.table, park_memory_flush_begin(desk.table));
    fetch(a, 1);
    end(a, 1, 0); /* 2 */
    bench_commit(a);
    bench_park(a, 1); /* this row is lost */
    park_memory_crash(desk.table, 0);
    restart(&desk);
    assert_true(bench_is_resident(a, 1));
    assert_int_equal(bench_delivery(a, 1, 0)->state, CUSTODY_DONE);
    assert_int_equal(bench_delivery(a, 1, 1)->state, CUSTODY_HELD);
    close_desk(&desk);
}

static void test_frames_that_the_row_knows_are_passed_over(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 1);
    retry(a, 1, 0);
    bench_commit(a);
    custody_restate(a->custody, 1, true, a->now); /* 3 */
    bench_commit(a);
    bench_park(a, 1); /* there is no R: all of the log is read */
    restart(&desk);
    assert_false(bench_is_resident(a, 1));
    assert_true(a->frames[0].released);
    assert_false(a->frames[2].released);
    assert_int_equal(fetch(a, 1)->base_seq, 3);
    close_desk(&desk);
}

/* ---- what others ask ---- */

static void test_a_parked_message_answers_as_ever(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 1);
    bench_park(a, 1);
    bench_inject(a, 1, 1, 1, true);
    assert_int_equal(verdict(a), BUS_REPEATED);
    bench_park(a, 1);
    bench_inject(a, 1, 2, 1, true);
    assert_int_equal(verdict(a), BUS_CONFLICT);
    close_desk(&desk);
}

static void test_a_move_of_a_parked_message_is_known(void **state)
{
    (void)state;
    struct desk desk;
    struct bench b, *a = &desk.a;
    open_desk(&desk);
    bench_open(&b, "b");
    inject(&b, 1, 1);
    struct delivery *moves = bench_delivery(&b, 1, 0);
    custody_move(b.custody, &moves, 1, "a", b.now);
    bench_commit(&b);
    struct bus_msg *move = bench_take(&b, BUS_MOVE);
    custody_message(a->custody, move, NULL, a->now);
    bench_commit(a);
    bench_pass(a, &b, BUS_MOVE_ANSWER, true);
    bench_commit(&b);
    bench_pass(&b, a, BUS_SETTLED, true);
    bench_park(a, 1);
    custody_message(a->custody, move, NULL, a->now);
    struct bus_msg *answer = bench_take(a, BUS_MOVE_ANSWER);
    assert_non_null(answer);
    assert_int_equal(answer->items[0].verdict, BUS_TAKEN);
    bus_msg_free(&answer);
    bus_msg_free(&move);
    bench_close(&b);
    close_desk(&desk);
}

/* ---- rule 7: restating ---- */

static void test_a_parked_message_is_restated(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    for (unsigned i = 0; i < 4; i++)
        inject(a, i, 1);
    bench_park(a, 0);
    bench_park(a, 2);
    custody_restate(a->custody, 1, false, a->now); /* message 0, by its base frame */
    bench_read(a);
    bench_commit(a);
    assert_true(a->frames[0].released);
    assert_int_equal(find(a, 0)->base_seq, 5);
    bench_park(a, 0);
    restart(&desk);
    assert_int_equal(fetch(a, 0)->base_seq, 5);
    close_desk(&desk);
}

/* Of messages to many fewer come back at once. */
static void test_not_too_much_comes_back_to_be_restated(void **state)
{
    (void)state;
    enum { WIDE = 20, RECIPIENTS = 1000, DELIVERIES = 4096 };
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    for (unsigned i = 0; i < WIDE; i++) {
        inject(a, i, RECIPIENTS);
        bench_park(a, i);
    }
    custody_restate(a->custody, 1, false, a->now);
    assert_in_range(a->unparked, 1, DELIVERIES / RECIPIENTS + 1);
    close_desk(&desk);
}

/* ---- rule 8: the table fails ---- */

static void test_a_failing_table_loses_nothing(void **state)
{
    (void)state;
    struct desk desk;
    struct bench fresh, *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 1);
    inject(a, 2, 1);
    bench_park(a, 1);
    park_memory_fail(desk.table, true);
    /* Whether it is known cannot be told: no answer. */
    bench_inject(a, 1, 1, 1, true);
    assert_int_equal(verdict(a), 0);
    assert_false(park_works(a->park));
    custody_write_row(a->custody, find(a, 2), NULL);
    assert_false(park_commit(a->park));
    end(a, 2, 0);
    bench_commit(a);
    bench_inject(a, 3, 1, 1, true); /* nor of any other */
    assert_int_equal(verdict(a), 0);
    assert_int_equal(custody_figures(a->custody).held, 1);
    bench_restart(&fresh, a, a->committed);
    assert_int_equal(custody_figures(fresh.custody).held, 1);
    assert_non_null(find(&fresh, 1));
    bench_close(&fresh);
    close_desk(&desk);
}

/* ---- rule 9: rows of what stays ---- */

static void test_rows_of_resident_messages_let_r_advance(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    open_desk(&desk);
    inject(a, 1, 1);                /* 1 */
    bench_inject(a, 2, 1, 1, true); /* 2, not durable */
    custody_write_rows(a->custody, 2, 10);
    assert_int_equal(custody_replay_from(a->custody), 2);
    custody_write_rows(a->custody, 3, 10);
    assert_int_equal(custody_replay_from(a->custody), 2);
    assert_int_equal(find(a, 2)->row_base, 0);
    bench_commit(a);
    custody_write_rows(a->custody, 3, 10);
    assert_int_equal(custody_replay_from(a->custody), 3);
    assert_true(bench_is_resident(a, 1) && bench_is_resident(a, 2));
    park_from(a->park, 3);
    park_commit(a->park);
    restart(&desk);
    assert_int_equal(custody_figures(a->custody).held, 2);
    assert_false(bench_is_resident(a, 1));
    assert_non_null(fetch(a, 1));
    close_desk(&desk);
}

static void test_a_table_that_knows_more_than_the_log_is_refused(void **state)
{
    (void)state;
    struct desk desk;
    struct park_start start;
    struct error error;
    open_desk(&desk);
    inject(&desk.a, 1, 1);
    inject(&desk.a, 2, 1);
    bench_park(&desk.a, 2);
    struct bench fresh;
    bench_open_table(&fresh, "a", desk.table);
    assert_int_equal(park_open(fresh.park, "disk", "a", 1, fresh.custody, &start, &error), -1);
    assert_int_equal(park_open(fresh.park, "another", "a", 2, fresh.custody, &start, &error), -1);
    assert_int_equal(park_open(fresh.park, "disk", "b", 2, fresh.custody, &start, &error), -1);
    assert_int_equal(custody_figures(fresh.custody).messages, 0);
    park_from(desk.a.park, 9);
    park_commit(desk.a.park);
    assert_int_equal(park_open(fresh.park, "disk", "a", 2, fresh.custody, &start, &error), -1);
    park_from(desk.a.park, 3);
    park_commit(desk.a.park);
    assert_int_equal(park_open(fresh.park, "disk", "a", 2, fresh.custody, &start, &error), 0);
    free(start.living);
    bench_close(&fresh);
    close_desk(&desk);
}

/* ---- the agenda ---- */

static void test_the_agenda_is_in_order_and_goes_on(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    struct mail_id ids[4];
    open_desk(&desk);
    for (unsigned i = 0; i < 6; i++) {
        struct mail_id id = bench_id(i);
        inject(a, i, 1);
        custody_retry(a->custody, bench_delivery(a, i, 0), a->now + (10 - i) * USEC_MIN, "{}", a->now);
        bench_commit(a);
        bench_park(a, i);
        park_expect(a->park, a->now + (10 - i) * USEC_MIN, &id);
    }
    assert_true(park_next(a->park) <= a->now + 5 * USEC_MIN);
    assert_int_equal(park_agenda(a->park, a->now + 5 * USEC_MIN - 1, ids, 4), 0);
    assert_true(park_next(a->park) == a->now + 5 * USEC_MIN);
    assert_int_equal(park_agenda(a->park, a->now + 8 * USEC_MIN, ids, 3), 3);
    struct mail_id first = bench_id(5), fourth = bench_id(2);
    assert_memory_equal(&ids[0], &first, sizeof first);
    assert_int_equal(park_agenda(a->park, a->now + 8 * USEC_MIN, ids, 3), 1);
    assert_memory_equal(&ids[0], &fourth, sizeof fourth);
    assert_int_equal(park_agenda(a->park, a->now + 8 * USEC_MIN, ids, 3), 0);
    assert_true(park_next(a->park) == a->now + 9 * USEC_MIN);
    assert_int_equal(park_agenda(a->park, a->now + 10 * USEC_MIN, ids, 4), 2);
    assert_true(park_next(a->park) == USEC_NEVER);
    close_desk(&desk);
}

/* A reply to all of a message, a window that opens: many have one date, and are parked one after the other. */
static void test_the_agenda_misses_none_of_one_date(void **state)
{
    (void)state;
    struct desk desk;
    struct bench *a = &desk.a;
    struct mail_id ids[8];
    open_desk(&desk);
    usec_t due = a->now + 10 * USEC_MIN;
    for (unsigned i = 8; i-- > 0;) {
        struct mail_id id = bench_id(i);
        inject(a, i, 1);
        custody_retry(a->custody, bench_delivery(a, i, 0), due, "{}", a->now);
        bench_commit(a);
        bench_park(a, i);
        park_expect(a->park, due, &id);
        assert_int_equal(park_agenda(a->park, due - 1, ids, 8), 0); /* leaves its mark at the first */
    }
    assert_int_equal(park_agenda(a->park, due, ids, 3), 3);
    assert_int_equal(park_agenda(a->park, due, ids + 3, 5), 5);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(&ids[i], &ids[j], sizeof ids[i]);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_parked_is_not_resident_and_comes_back_whole),
        cmocka_unit_test(test_the_first_attempt_never_changes_the_table),
        cmocka_unit_test(test_only_what_is_at_rest_may_be_parked),
        cmocka_unit_test(test_what_came_by_move_waits_until_it_is_settled),
        cmocka_unit_test(test_what_happens_after_unparking_is_in_the_log),
        cmocka_unit_test(test_r_waits_for_the_disk_and_for_ended_ids),
        cmocka_unit_test(test_a_restated_message_needs_nothing_before),
        cmocka_unit_test(test_rows_go_with_their_messages),
        cmocka_unit_test(test_parking_again_what_has_not_changed_writes_nothing),
        cmocka_unit_test(test_a_table_that_fell_back_is_caught_up_from_the_log),
        cmocka_unit_test(test_frames_that_the_row_knows_are_passed_over),
        cmocka_unit_test(test_a_parked_message_answers_as_ever),
        cmocka_unit_test(test_a_move_of_a_parked_message_is_known),
        cmocka_unit_test(test_a_parked_message_is_restated),
        cmocka_unit_test(test_not_too_much_comes_back_to_be_restated),
        cmocka_unit_test(test_a_failing_table_loses_nothing),
        cmocka_unit_test(test_rows_of_resident_messages_let_r_advance),
        cmocka_unit_test(test_a_table_that_knows_more_than_the_log_is_refused),
        cmocka_unit_test(test_the_agenda_is_in_order_and_goes_on),
        cmocka_unit_test(test_the_agenda_misses_none_of_one_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
