/* Frames read back in the order of the log, for a copy of it: all that are there, once, also while more is written, with
 * shared texts and with damage. Real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool_help.h"

static bool is_right(const struct help *help, const struct copy_frame *frame)
{
    struct buffer record = {0};
    help_record(frame->seq, &record);
    bool right = frame->base == help_is_base(frame->seq) && frame->len == buffer_len(&record) &&
                 memcmp(frame->record, buffer_bytes(&record), frame->len) == 0;
    buffer_free(&record);
    struct blob *body = frame->base ? help_body(help, frame->seq) : NULL;
    if (body == NULL || body->len == 0)
        right = right && frame->body == NULL;
    else
        right = right && frame->body != NULL && frame->body->len == body->len &&
                memcmp(frame->body->bytes, body->bytes, body->len) == 0;
    blob_drop(&body);
    return right;
}

/* Reads all behind `after`, so many bytes at a time, each frame right and behind the one before. Returns the last. */
static uint64_t read_all(struct help *help, uint64_t after, size_t bytes, uint64_t *count_r)
{
    bool end = false;
    *count_r = 0;
    for (int turn = 0; !end && turn < 10000; turn++) {
        struct spool_frames frames;
        spool_frames_from(help->spool, after, bytes, &frames);
        assert_true(frames.count > 0 || frames.end);
        for (size_t i = 0; i < frames.count; i++) {
            if (frames.frames[i].seq <= after || !is_right(help, &frames.frames[i]))
                fail_msg("frame %d behind %d", (int)frames.frames[i].seq, (int)after);
            after = frames.frames[i].seq;
        }
        *count_r += frames.count;
        end = frames.end;
        spool_frames_clear(&frames);
    }
    assert_true(end);
    return after;
}

static void write_upto(struct help *help, uint64_t last)
{
    help_must_open(help);
    help_append_upto(help, 1, last);
    assert_true(help_wait(help, last));
}

static void all_comes_in_order(void **state)
{
    struct help *help = *state;
    uint64_t count;
    write_upto(help, 300);
    assert_true(help_files(help, ".seg") > 3);
    static const size_t portions[] = {1, 3000, 100000, 1 << 30};
    for (size_t i = 0; i < sizeof portions / sizeof portions[0]; i++) {
        assert_int_equal(read_all(help, 0, portions[i], &count), 300);
        assert_int_equal(count, 300);
    }
    assert_int_equal(read_all(help, 150, 3000, &count), 300);
    assert_int_equal(count, 150);
    assert_int_equal(read_all(help, 300, 3000, &count), 300);
    assert_int_equal(count, 0);
    help_append_upto(help, 301, 320);
    assert_true(help_wait(help, 320));
    assert_int_equal(read_all(help, 300, 3000, &count), 320);
    assert_int_equal(count, 20);
    help_close(help);
    help_must_open(help);
    assert_int_equal(read_all(help, 10, 5000, &count), 320);
    assert_int_equal(count, 310);
}

static void what_was_released_is_there_while_its_segment_is(void **state)
{
    struct help *help = *state;
    uint64_t count, living[400];
    write_upto(help, 200);
    assert_int_equal(spool_living(help->spool, 0, living, 400), 134);
    for (uint64_t seq = 1; seq <= 200; seq++)
        if (help_is_base(seq) && seq % 5 != 0)
            spool_release(help->spool, seq);
    size_t lives = spool_living(help->spool, 0, living, 400);
    for (size_t i = 0; i < lives; i++)
        assert_true(living[i] % 5 == 0 && help_is_base(living[i]) && (i == 0 || living[i] > living[i - 1]));
    assert_int_equal(lives, spool_figures(help->spool).live);
    assert_int_equal(spool_living(help->spool, 0, living, 3), 3);
    uint64_t third = living[2];
    size_t rest = spool_living(help->spool, third, living, 400);
    assert_int_equal(rest, lives - 3);
    assert_true(living[0] > third);
    assert_int_equal(spool_living(help->spool, 200, living, 400), 0);
    for (uint64_t seq = 1; seq <= 100; seq++)
        spool_release(help->spool, seq);
    help_append_upto(help, 201, 210);
    assert_true(help_wait(help, 210));
    help_close(help);
    help_must_open(help);
    read_all(help, 0, 2000, &count); /* of what is left nothing is left out */
    assert_in_range(count, 50, 200);
    uint64_t gone = 210 - count;
    assert_false(spool_is_whole(help->spool, gone - 1));
    assert_true(spool_is_whole(help->spool, gone + 6)); /* a start knows it by the first base frame */
    for (uint64_t seq = 101; seq <= 208; seq++)
        spool_release(help->spool, seq);
    uint64_t last = 210;
    for (int turn = 0; turn < 100 && spool_is_whole(help->spool, gone + 6); turn++) {
        help_append_upto(help, last + 1, last + 20); /* segments go when more is written */
        last += 20;
        assert_true(help_wait(help, last));
    }
    assert_false(spool_is_whole(help->spool, gone + 6));
    assert_true(spool_is_whole(help->spool, last));
}

/* A frame whose body is damaged comes without it; one whose record is, not at all; the others do. */
static void damage_is_passed_over(void **state)
{
    struct help *help = *state;
    write_upto(help, 60);
    uint64_t whole = 0, bodiless = 0;
    for (uint64_t at = 5000; at < 60000; at += 9001)
        help_flip(help, "0000000000000001.seg", at, 0x10);
    struct spool_frames frames;
    spool_frames_from(help->spool, 0, 1 << 30, &frames);
    assert_true(frames.end);
    for (size_t i = 0; i < frames.count; i++)
        if (is_right(help, &frames.frames[i]))
            whole++;
        else if (frames.frames[i].body == NULL && frames.frames[i].base)
            bodiless++;
    assert_true(bodiless > 0 && whole >= 48);
    assert_int_equal(whole + bodiless, frames.count);
    spool_frames_clear(&frames);
}

struct other {
    struct help *help;
    uint64_t last;
};

static void *reads(void *context)
{
    struct other *other = context;
    uint64_t count;
    for (int turn = 0; other->last < 3000 && turn < 30000; turn++) {
        other->last = read_all(other->help, other->last, 20000, &count);
        usleep(1000);
    }
    return NULL;
}

static void it_is_read_while_it_is_written(void **state)
{
    struct help *help = *state;
    struct other other = {.help = help};
    pthread_t thread;
    help_must_open(help);
    assert_int_equal(pthread_create(&thread, NULL, reads, &other), 0);
    for (uint64_t seq = 1; seq <= 3000; seq++) {
        help_append(help, seq);
        if (seq % 100 == 0)
            assert_true(help_wait(help, seq - 50));
    }
    assert_true(help_wait(help, 3000));
    pthread_join(thread, NULL);
    assert_int_equal(other.last, 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_comes_in_order, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(all_comes_in_order, help_setup_texts, help_teardown),
        cmocka_unit_test_setup_teardown(
            what_was_released_is_there_while_its_segment_is, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(damage_is_passed_over, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(it_is_read_while_it_is_written, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(it_is_read_while_it_is_written, help_setup_texts, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
