/* What is being sent is in the log before its end may leave, for as long as somebody may be sending it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "custody_help.h"
#include "proto/copy_wire.h"

enum { PROCESS = 77, DIGEST = 1 };

static struct bench bench, fresh;
static struct delivery *batch[8];

/* Message 1 to so many, durable; attempts are logged. */
static void held_by(uint32_t recipients)
{
    bench_open(&bench, "a");
    custody_log_attempts(bench.custody, PROCESS);
    bench_inject(&bench, 1, DIGEST, recipients, true);
    bench_commit(&bench);
    for (uint32_t i = 0; i < recipients; i++)
        batch[i] = bench_delivery(&bench, 1, i);
}

static uint64_t attempt(uint32_t count)
{
    return custody_attempt(bench.custody, batch, count, bench.now);
}

static uint64_t open_attempts(const struct bench *of)
{
    return custody_figures(of->custody).attempts;
}

/* The same with a table. */
static struct park_memory *with_table(void)
{
    struct park_memory *table = park_memory_new();
    struct park_start start;
    struct error error;
    bench_open_table(&bench, "a", table);
    assert_int_equal(park_open(bench.park, "disk", "a", 0, bench.custody, &start, &error), 0);
    free(start.living);
    custody_recovered(bench.custody, bench.now);
    custody_log_attempts(bench.custody, PROCESS);
    bench_inject(&bench, 1, DIGEST, 1, true);
    bench_commit(&bench);
    batch[0] = bench_delivery(&bench, 1, 0);
    return table;
}

/* What a process that reads the whole log finds: whose attempt at recipient 0 is open. */
static uint64_t read_back(void)
{
    bench_restart(&fresh, &bench, bench.last_seq);
    const struct delivery *delivery = bench_delivery(&fresh, 1, 0);
    uint64_t process = delivery == NULL ? 0 : delivery->attempt;
    assert_int_equal(open_attempts(&fresh) > 0, process != 0);
    assert_true(delivery == NULL || delivery->intent_seq == 0);
    bench_close(&fresh);
    return process;
}

static struct spool_record last_record(void)
{
    const struct bench_frame *frame = &bench.frames[bench.frame_count - 1];
    struct spool_record record;
    struct error error;
    assert_int_equal(
        record_decode(buffer_bytes(&frame->bytes), buffer_len(&frame->bytes), &record, &error), 0);
    return record;
}

static void with_one_copy_nothing_is_logged(void **state)
{
    (void)state;
    bench_open(&bench, "a");
    bench_inject(&bench, 1, DIGEST, 1, true);
    bench_commit(&bench);
    batch[0] = bench_delivery(&bench, 1, 0);
    size_t frames = bench.frame_count;
    assert_int_equal(attempt(1), 0);
    assert_true(custody_may_end(bench.custody, 0));
    custody_attempt_over(bench.custody, batch, 1, bench.now);
    assert_int_equal(bench.frame_count, frames);
    assert_int_equal(open_attempts(&bench), 0);
    bench_close(&bench);
}

static void a_batch_is_one_frame_and_waits_for_the_disks(void **state)
{
    (void)state;
    held_by(3);
    size_t frames = bench.frame_count;
    uint64_t seq = attempt(3);
    assert_int_equal(bench.frame_count, frames + 1);
    assert_int_equal(seq, bench.last_seq);
    struct spool_record record = last_record();
    assert_int_equal(record.kind, RECORD_ATTEMPT);
    assert_int_equal(record.item_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(record.items[i].attempt, PROCESS);
        assert_int_equal(record.items[i].state, CUSTODY_HELD);
        assert_int_equal(batch[i]->attempt, PROCESS);
        assert_int_equal(batch[i]->intent_seq, seq);
    }
    record_clear(&record);
    assert_int_equal(open_attempts(&bench), 3);
    assert_false(custody_may_end(bench.custody, seq));
    bench_commit(&bench);
    assert_true(custody_may_end(bench.custody, seq));
    bench_close(&bench);
}

/* Begun before anything was logged: it has to be, first. */
static void what_began_before_is_not_permitted(void **state)
{
    (void)state;
    bench_open(&bench, "a");
    assert_true(custody_may_end(bench.custody, 0));
    custody_log_attempts(bench.custody, PROCESS);
    assert_false(custody_may_end(bench.custody, 0));
    bench_close(&bench);
}

static void an_epoch_voids_the_permission_and_not_the_record(void **state)
{
    (void)state;
    held_by(1);
    uint64_t seq = attempt(1);
    bench_commit(&bench);
    assert_true(custody_may_end(bench.custody, seq));
    custody_begin_epoch(bench.custody, 4);
    assert_false(custody_attempt_counts(bench.custody, seq));
    assert_false(custody_may_end(bench.custody, seq));
    assert_int_equal(batch[0]->attempt, PROCESS);
    assert_int_equal(read_back(), PROCESS);
    uint64_t again = attempt(1);
    assert_int_equal(again >> COPY_EPOCH_SHIFT, 4);
    assert_int_equal(open_attempts(&bench), 1);
    assert_true(custody_attempt_counts(bench.custody, again));
    assert_false(custody_may_end(bench.custody, again));
    bench_commit(&bench);
    assert_true(custody_may_end(bench.custody, again));
    assert_false(custody_may_end(bench.custody, seq));
    bench_close(&bench);
}

/* Committed in the epoch before, though nobody had asked yet. */
static void an_epoch_that_begins_before_the_commit_voids_it_too(void **state)
{
    (void)state;
    held_by(1);
    uint64_t seq = attempt(1);
    custody_begin_epoch(bench.custody, 2);
    bench_commit(&bench);
    assert_false(custody_may_end(bench.custody, seq));
    bench_close(&bench);
}

static void an_outcome_ends_it(void **state)
{
    (void)state;
    held_by(2);
    attempt(2);
    assert_int_equal(read_back(), PROCESS);
    custody_retry(bench.custody, batch[0], bench.now + USEC_MIN, "{}", bench.now);
    assert_int_equal(open_attempts(&bench), 1);
    assert_int_equal(batch[0]->attempt, 0);
    assert_int_equal(batch[1]->attempt, PROCESS);
    bench_commit(&bench);
    bench_restart(&fresh, &bench, bench.last_seq);
    assert_int_equal(bench_delivery(&fresh, 1, 0)->attempt, 0);
    assert_int_equal(bench_delivery(&fresh, 1, 1)->attempt, PROCESS);
    bench_close(&fresh);
    custody_done(bench.custody, batch[1], RESULT_DELIVERED, 250, "{}", bench.now);
    assert_int_equal(open_attempts(&bench), 0);
    attempt(1);
    custody_done(bench.custody, batch[0], RESULT_DELIVERED, 250, "{}", bench.now);
    bench_commit(&bench);
    assert_int_equal(read_back(), 0);
    bench_close(&bench);
}

static void what_came_to_nothing_is_open_no_more(void **state)
{
    (void)state;
    held_by(3);
    attempt(2);
    size_t frames = bench.frame_count;
    custody_attempt_over(bench.custody, batch, 3, bench.now);
    assert_int_equal(bench.frame_count, frames + 1);
    struct spool_record record = last_record();
    assert_int_equal(record.item_count, 2);
    assert_int_equal(record.items[0].attempt, 0);
    record_clear(&record);
    assert_int_equal(open_attempts(&bench), 0);
    assert_int_equal(read_back(), 0);
    custody_attempt_over(bench.custody, batch, 3, bench.now);
    assert_int_equal(bench.frame_count, frames + 1);
    bench_close(&bench);
}

static void a_move_ends_it(void **state)
{
    (void)state;
    held_by(1);
    attempt(1);
    custody_move(bench.custody, batch, 1, "b", bench.now);
    assert_int_equal(open_attempts(&bench), 0);
    bench_commit(&bench);
    assert_int_equal(read_back(), 0);
    bench_close(&bench);
}

/* Tidying the log says the whole message anew, while it is being sent: counterexample 5 of PROTOCOL. */
static void a_restatement_keeps_it(void **state)
{
    (void)state;
    held_by(2);
    attempt(1);
    bench_commit(&bench);
    uint64_t seq = bench.last_seq;
    custody_restate(bench.custody, bench.frames[0].seq, true, bench.now);
    if (bench.wanted != NULL)
        bench_read(&bench);
    bench_commit(&bench);
    assert_true(bench.last_seq > seq && bench.frames[0].released);
    assert_int_equal(read_back(), PROCESS);
    assert_true(custody_may_end(bench.custody, seq)); /* nor does it ask for another permission */
    bench_close(&bench);
}

static void a_former_process_leaves_a_doubt(void **state)
{
    (void)state;
    held_by(1);
    attempt(1);
    bench_commit(&bench);
    bench_restart(&fresh, &bench, bench.last_seq);
    struct delivery *delivery = bench_delivery(&fresh, 1, 0);
    usec_t due = delivery->due;
    assert_int_equal(delivery->attempt, PROCESS);
    assert_int_equal(fresh.gained, 1);
    custody_doubt(fresh.custody, delivery, "{\"event\":\"doubt\"}", fresh.now);
    assert_int_equal(open_attempts(&fresh), 0);
    assert_int_equal(fresh.told, 0);
    bench_commit(&fresh);
    assert_int_equal(fresh.told, 1);
    assert_int_equal(delivery->due, due);
    bench_close(&bench);
    bench_restart(&bench, &fresh, fresh.last_seq);
    assert_int_equal(open_attempts(&bench), 0);
    bench_close(&fresh);
    bench_close(&bench);
}

/* "accepted" is told by the frame that made a delivery what it is: no attempt is. */
static void an_attempt_makes_nothing_new(void **state)
{
    (void)state;
    held_by(1);
    uint64_t made = batch[0]->made_seq;
    attempt(1);
    bench_commit(&bench);
    assert_int_equal(batch[0]->made_seq, made);
    bench_restart(&fresh, &bench, bench.last_seq);
    assert_int_equal(bench_delivery(&fresh, 1, 0)->made_seq, made);
    bench_close(&fresh);
    bench_close(&bench);
}

static void a_row_never_has_one(void **state)
{
    (void)state;
    struct park_memory *table = with_table();
    struct mail_id id = bench_id(1);
    const struct held *held = custody_find(bench.custody, &id);
    assert_true(custody_at_rest(bench.custody, held));
    attempt(1);
    bench_commit(&bench);
    assert_false(custody_at_rest(bench.custody, held));
    custody_write_rows(bench.custody, UINT64_MAX, 8);
    struct buffer row = {0};
    park_commit(bench.park);
    assert_int_equal(park_row_get(bench.park, &id, &row), 0);
    assert_true(custody_replay_from(bench.custody) <= batch[0]->intent_seq);
    custody_attempt_over(bench.custody, batch, 1, bench.now);
    assert_false(custody_at_rest(bench.custody, held));
    bench_commit(&bench);
    assert_true(custody_at_rest(bench.custody, held));
    bench_park(&bench, 1);
    bench_close(&bench);
    buffer_free(&row);
    park_memory_free(&table);
}

/* It was parked; somebody takes it out of the table and sends it, and dies. */
static void an_attempt_at_what_was_parked_is_read_from_the_log(void **state)
{
    (void)state;
    struct park_memory *table = with_table();
    struct held *held;
    bench_park(&bench, 1);
    struct mail_id id = bench_id(1);
    assert_true(custody_fetch(bench.custody, &id, &held) && bench_is_resident(&bench, 1));
    batch[0] = bench_delivery(&bench, 1, 0);
    attempt(1);
    bench_commit(&bench);
    assert_true(park_commit(bench.park));
    bench_restart_table(&fresh, &bench, bench.last_seq, table);
    assert_true(bench_is_resident(&fresh, 1));
    assert_int_equal(bench_delivery(&fresh, 1, 0)->attempt, PROCESS);
    bench_close(&fresh);
    bench_close(&bench);
    park_memory_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_one_copy_nothing_is_logged),
        cmocka_unit_test(a_batch_is_one_frame_and_waits_for_the_disks),
        cmocka_unit_test(what_began_before_is_not_permitted),
        cmocka_unit_test(an_epoch_voids_the_permission_and_not_the_record),
        cmocka_unit_test(an_epoch_that_begins_before_the_commit_voids_it_too),
        cmocka_unit_test(an_outcome_ends_it),
        cmocka_unit_test(what_came_to_nothing_is_open_no_more),
        cmocka_unit_test(a_move_ends_it),
        cmocka_unit_test(a_restatement_keeps_it),
        cmocka_unit_test(a_former_process_leaves_a_doubt),
        cmocka_unit_test(an_attempt_makes_nothing_new),
        cmocka_unit_test(a_row_never_has_one),
        cmocka_unit_test(an_attempt_at_what_was_parked_is_read_from_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
