/* A log read from its end says the same as one read from its beginning, whatever stands in it, and each message is known, once
 * and wholly, as soon as its newest base frame was met.
 *
 *     test_custody_back              the seeds of every run
 *     test_custody_back 7 1000       1,000 seeds from 7 on */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "heir_history.h"

/* Who reads the log. */
struct reader {
    struct custody *custody;
    uint64_t *released;
    size_t released_count;
    unsigned gained;
};

static uint64_t first_seed = 1, seeds = 300;

/* ---- a reader ---- */

static void on_append(
    void *context, uint64_t seq, const struct spool_record *record, struct blob *body, bool base)
{
    (void)context, (void)record, (void)body, (void)base;
    fail_msg("reading appends frame %llu", (unsigned long long)seq);
}

static void on_release(void *context, uint64_t seq)
{
    struct reader *reader = context;
    for (size_t i = 0; i < reader->released_count; i++)
        assert_true(reader->released[i] != seq);
    reader->released = xrealloc(reader->released, (reader->released_count + 1) * sizeof *reader->released);
    reader->released[reader->released_count++] = seq;
}

static void on_send(void *context, struct bus_msg *msg)
{
    (void)context;
    bus_msg_free(&msg);
}

static void on_gained(void *context, struct delivery *delivery)
{
    struct reader *reader = context;
    assert_true(delivery->state == CUSTODY_HELD && delivery->mood == 0);
    delivery->mood = 1;
    reader->gained++;
}

static void on_delivery(void *context, struct delivery *delivery)
{
    (void)context, (void)delivery;
}

static void on_held(void *context, struct held *held)
{
    (void)context, (void)held;
}

static void reader_open(struct reader *reader)
{
    struct custody_ports ports = {.context = reader,
        .append = on_append,
        .release = on_release,
        .send = on_send,
        .gained = on_gained,
        .left = on_delivery,
        .movable = on_delivery,
        .forgotten = on_held,
        .want_body = on_held};
    *reader = (struct reader){.custody = custody_new("h", "a", 9, &ports)};
}

static void reader_close(struct reader *reader)
{
    custody_free(&reader->custody);
    free(reader->released);
}

static uint64_t log_end(void)
{
    return estate.count == 0 ? 0 : estate.log[estate.count - 1].seq;
}

static void decode(const struct estate_frame *frame, struct spool_record *record)
{
    struct error error;
    assert_int_equal(
        record_decode(buffer_bytes(&frame->bytes), buffer_len(&frame->bytes), record, &error), RECORD_GOOD);
}

static void read_forward(struct reader *reader)
{
    struct spool_record record;
    struct error error;
    for (size_t i = 0; i < estate.count; i++) {
        decode(&estate.log[i], &record);
        assert_int_equal(
            custody_replay(reader->custody, estate.log[i].seq, &record, estate.log[i].base, &error), 0);
        record_clear(&record);
    }
    custody_log_ends(reader->custody, log_end());
    custody_recovered(reader->custody, estate.now);
}

/* Time passes meanwhile, and nothing may be forgotten. */
static void read_back(struct reader *reader)
{
    struct spool_record record;
    struct error error;
    struct held *known;
    custody_log_ends(reader->custody, log_end());
    custody_begin_epoch(reader->custody, COPY_EPOCH_MOST);
    custody_back_begin(reader->custody);
    for (size_t i = estate.count; i-- > 0;) {
        decode(&estate.log[i], &record);
        assert_int_equal(custody_back(reader->custody, estate.log[i].seq, &record, estate.log[i].base,
                             estate.now, &known, &error),
            0);
        if (known != NULL)
            assert_true(known == custody_find(reader->custody, &record.id));
        record_clear(&record);
        if (history_one_in(8))
            custody_tick(reader->custody, estate.now + 2 * CUSTODY_KEEP_KEYED);
    }
    while (!custody_back_end(reader->custody, 1, estate.now, &known))
        ;
}

/* ---- both ---- */

static struct delivery *find(const struct reader *reader, unsigned number, uint32_t index)
{
    struct mail_id id = bench_id(number);
    const struct held *held = custody_find(reader->custody, &id);
    for (uint32_t i = 0; held != NULL && i < held->count; i++)
        if (held->deliveries[i]->index == index)
            return held->deliveries[i];
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void compare_delivery(const struct delivery *a, const struct delivery *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a == NULL || b == NULL)
        return;
    assert_true(a->state == b->state && a->hop == b->hop && a->result == b->result && a->code == b->code);
    assert_true(a->due == b->due && a->attempts == b->attempts && a->attempt == b->attempt);
    assert_true(a->settled == b->settled && a->committed && b->committed && same_text(a->peer, b->peer));
    assert_true(a->made_seq == b->made_seq && a->mood == b->mood);
}

static void compare_held(const struct held *a, const struct held *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a == NULL || b == NULL)
        return;
    assert_true(a->base_seq == b->base_seq && a->disk_seq == b->disk_seq && a->last_seq == b->last_seq);
    assert_true(a->open == b->open && a->count == b->count && a->bodiless == b->bodiless);
    assert_true(list_empty(&a->moves) == list_empty(&b->moves));
}

static int by_number(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;
    return first < second ? -1 : first > second;
}

static void compare(struct reader *a, struct reader *b)
{
    for (unsigned number = 0; number < HISTORY_MAILS; number++) {
        struct mail_id id = bench_id(number);
        compare_held(custody_find(a->custody, &id), custody_find(b->custody, &id));
        assert_int_equal(custody_knows(a->custody, &id), custody_knows(b->custody, &id));
        for (uint32_t i = 0; i < HISTORY_RECIPIENTS; i++)
            compare_delivery(find(a, number, i), find(b, number, i));
    }
    struct custody_figures one = custody_figures(a->custody), other = custody_figures(b->custody);
    assert_memory_equal(&one, &other, sizeof one);
    assert_int_equal(a->gained, b->gained);
    assert_true(custody_oldest_end(a->custody) == custody_oldest_end(b->custody));
    assert_int_equal(a->released_count, b->released_count);
    if (a->released_count == 0)
        return;
    qsort(a->released, a->released_count, sizeof *a->released, by_number);
    qsort(b->released, b->released_count, sizeof *b->released, by_number);
    assert_memory_equal(a->released, b->released, a->released_count * sizeof *a->released);
}

static void read_both_ways(void)
{
    struct reader forward, back;
    reader_open(&forward);
    reader_open(&back);
    read_forward(&forward);
    read_back(&back);
    compare(&forward, &back);
    reader_close(&forward);
    reader_close(&back);
}

/* The log of a node that died, then that of its heirs, which died, too. */
static void test_same(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        estate_begin();
        history_make(seed);
        read_both_ways();
        estate.window = 4;
        estate_inherit(0);
        for (unsigned heirs = 0; heirs < 2; heirs++) {
            estate_run((unsigned)random_below(&history.dice, 6), USEC_MS);
            estate_crash((size_t)random_below(&history.dice, 3));
            read_both_ways();
        }
        estate_end();
    }
}

/* ---- what no node writes, but damage leaves ---- */

static void drop_frame(size_t at)
{
    buffer_free(&estate.log[at].bytes);
    memmove(&estate.log[at], &estate.log[at + 1], (--estate.count - at) * sizeof *estate.log);
}

/* How it ended can't be read; that it did, can: its id was restated. */
static void test_ended_without_its_end(void **state)
{
    struct mail_id id = bench_id(0);
    struct reader readers[2];
    (void)state;
    estate_begin();
    estate_mail(0, "u@d0.test", 0);
    custody_done(estate.dead, estate_dead(0, 0), RESULT_DELIVERED, 250, "{}", estate.now);
    estate_dead_commits();
    custody_restate(estate.dead, estate_oldest(), true, estate.now);
    estate_dead_commits();
    assert_int_equal(estate.count, 3);
    drop_frame(1);
    for (int i = 0; i < 2; i++) {
        reader_open(&readers[i]);
        i == 0 ? read_forward(&readers[i]) : read_back(&readers[i]);
        assert_true(custody_knows(readers[i].custody, &id));
        assert_int_equal(readers[i].gained, 0);
        assert_int_equal(custody_figures(readers[i].custody).held, 0);
        reader_close(&readers[i]);
    }
    estate_end();
}

/* Of a message without a base frame nothing is known, as long as nothing else has its mail. */
static void test_no_base(void **state)
{
    (void)state;
    estate_begin();
    estate_mail(0, "u@d0.test,v@d1.test", 0);
    estate_mail(1, "u@d0.test", 0);
    custody_retry(estate.dead, estate_dead(0, 1), estate.now + 1, "{}", estate.now);
    estate_dead_commits();
    drop_frame(0);
    read_both_ways();
    estate_end();
}

/* A move that was refused has the mail in it. */
static void test_mail_without_base(void **state)
{
    (void)state;
    estate_begin();
    estate_mail(0, "u@d0.test", 0);
    struct delivery *delivery = estate_dead(0, 0);
    custody_move(estate.dead, &delivery, 1, "b", estate.now);
    estate_dead_commits();
    estate.b_shut = true;
    estate_deliver((size_t)estate_find(BUS_MOVE), false);
    estate_deliver((size_t)estate_find(BUS_MOVE_ANSWER), false);
    custody_retry(estate.dead, delivery, estate.now + 1, "{}", estate.now);
    estate_dead_commits();
    drop_frame(0);
    read_both_ways();
    estate_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_ended_without_its_end),
        cmocka_unit_test(test_no_base),
        cmocka_unit_test(test_mail_without_base),
    };
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
