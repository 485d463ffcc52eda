/* What a spool took is there again, what nobody needs goes. Real files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "spool_help.h"

/* Frames first..last are all there, no others, nothing is damaged. */
static void assert_all(struct help *help, uint64_t first, uint64_t last)
{
    assert_int_equal(help->wrong, 0);
    assert_int_equal(help->damages, 0);
    assert_int_equal(help->first, first);
    assert_int_equal(help->last, last);
    assert_int_equal(help->count, last - first + 1);
    for (uint64_t seq = first; seq <= last; seq++)
        if (help_is_base(seq) && !help_intact(help, seq))
            fail_msg("frame %d: %s", (int)seq, help->why);
}

static void what_was_taken_is_there_again(void **state)
{
    struct help *help = *state;
    char id[33];
    help_must_open(help);
    assert_int_equal(spool_last_seq(help->spool), 0);
    snprintf(id, sizeof id, "%s", spool_disk_id(help->spool));
    assert_int_equal(strlen(id), 32);
    help_append_upto(help, 1, 300);
    assert_true(help_wait(help, 300));
    assert_true(help_files(help, ".seg") > 3);
    struct spool_figures figures = spool_figures(help->spool);
    assert_int_equal(figures.frames, 300);
    assert_int_equal(figures.live, 200);
    assert_int_equal(figures.segments, help_files(help, ".seg"));
    help_close(help);
    help_must_open(help);
    assert_string_equal(spool_disk_id(help->spool), id);
    assert_int_equal(spool_last_seq(help->spool), 300);
    assert_true(
        help->progress_all > (help->texts > 0 ? 20000 : 200000) && help->progress_done == help->progress_all);
    assert_int_equal(spool_figures(help->spool).live, 200);
    assert_int_equal(spool_figures(help->spool).bytes, figures.bytes);
    assert_all(help, 1, 300);
    help_append_upto(help, 301, 400);
    help_close(help); /* writes what was appended */
    help_must_open(help);
    assert_all(help, 1, 400);
}

static void a_body_is_read_while_more_is_written(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    for (uint64_t seq = 1; seq <= 600; seq++) {
        help_append(help, seq);
        if (seq % 50 == 49) {
            assert_true(help_wait(help, seq - 20));
            assert_true(help_intact(help, help_is_base(seq - 20) ? seq - 20 : seq - 21));
        }
    }
}

static void an_unread_number_is_an_error(void **state)
{
    struct help *help = *state;
    struct blob *body;
    struct error error;
    help_must_open(help);
    help_append_upto(help, 1, 3);
    assert_true(help_wait(help, 3));
    assert_int_equal(spool_read(help->spool, 3, &body, &error), -1); /* no base record */
    assert_int_equal(spool_read(help->spool, 4, &body, &error), -1);
    spool_release(help->spool, 2);
    assert_int_equal(spool_read(help->spool, 2, &body, &error), -1);
    assert_null(body);
}

static void a_second_opener_is_refused(void **state)
{
    struct help *help = *state, other = *help;
    struct error error = {{0}};
    help_must_open(help);
    assert_int_equal(help_open(&other, &error), -1);
    assert_non_null(strstr(error.text, help->dir));
    assert_non_null(strstr(error.text, "another process"));
    help_append(help, 1);
    assert_true(help_wait(help, 1));
}

static bool files_become(const struct help *help, const char *suffix, int count)
{
    for (int i = 0; i < 500 && help_files(help, suffix) != count; i++)
        usleep(10000);
    return help_files(help, suffix) == count;
}

static void segments_nobody_needs_are_deleted(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 300);
    assert_true(help_wait(help, 300));
    int all = help_files(help, ".seg");
    for (uint64_t seq = 2; seq <= 300; seq++)
        spool_release(help->spool, seq);
    /* The oldest still holds frame 1: it keeps all behind it. */
    usleep(50000);
    assert_int_equal(help_files(help, ".seg"), all);
    spool_release(help->spool, 1);
    assert_true(files_become(help, ".seg", 1));
    assert_int_equal(spool_figures(help->spool).live, 0);
    assert_int_equal(spool_figures(help->spool).segments, 1);
    help_append_upto(help, 301, 310);
    help_close(help);
    help_must_open(help);
    assert_int_equal(help->damages, 0);
    assert_int_equal(help->last, 310);
}

static bool lives(const struct help *help, uint64_t seq)
{
    struct blob *body;
    bool there = spool_read(help->spool, seq, &body, NULL) == 0;
    blob_drop(&body);
    return there;
}

/* By ranges, over the segments' borders; a number that is not there, or does not live, does no harm. */
static void all_but_those_named_are_released(void **state)
{
    struct help *help = *state;
    static const uint64_t first[] = {1, 5, 40, 90}, second[] = {94, 203, 300, 500};
    help_must_open(help);
    help_append_upto(help, 1, 300);
    assert_true(help_wait(help, 300));
    spool_release(help->spool, 5);
    spool_release_others(help->spool, 0, 90, first, 3); /* without 90 */
    spool_release_others(help->spool, 90, 250, second, 4);
    for (uint64_t seq = 1; seq <= 300; seq++) {
        bool wanted = seq == 1 || seq == 40 || seq == 94 || seq == 203 || (seq > 250 && help_is_base(seq));
        if (help_is_base(seq) && lives(help, seq) != wanted)
            fail_msg("frame %d", (int)seq);
    }
    int all = help_files(help, ".seg");
    spool_release_others(help->spool, 0, 202, NULL, 0);
    for (int i = 0; i < 500 && help_files(help, ".seg") == all; i++) /* one or several go */
        usleep(10000);
    assert_true(help_files(help, ".seg") < all);
    assert_true(lives(help, 203));
    spool_release_others(help->spool, 0, 300, NULL, 0);
    assert_true(files_become(help, ".seg", 1));
    assert_int_equal(spool_figures(help->spool).live, 0);
}

static void a_damaged_segment_is_put_aside(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 200);
    help_close(help);
    help_flip(help, "0000000000000001.seg", 64, 1);
    help_must_open(help);
    assert_int_equal(help->damages, 1);
    for (uint64_t seq = 1; seq <= 200; seq++)
        spool_release(help->spool, seq);
    assert_true(files_become(help, ".seg", 1));
    assert_int_equal(help_files(help, ".seg.damaged"), 1);
    help_close(help);
    help_must_open(help);
    assert_int_equal(help->damages, 0);
}

static void numbers_never_start_anew(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 10);
    help_close(help);
    help_flip(help, "0000000000000001.seg", 64, 1);
    help_must_open(help);
    for (uint64_t seq = 1; seq <= 10; seq++)
        spool_release(help->spool, seq);
    help_append(help, 11);
    assert_true(help_wait(help, 11));
    assert_true(files_become(help, ".seg", 1));
    help_close(help);
    char path[512];
    help_path(help, "0000000000000002.seg", path);
    assert_int_equal(truncate(path, 64), 0); /* as if 11 had not reached the disk */
    help_must_open(help);
    assert_int_equal(help->count, 0);
    assert_int_equal(spool_last_seq(help->spool), 10);
}

/* Every tenth base frame lives on; what is named is appended anew under a number that has the same content
 * only in its first half of the range. */
static void restating_drains_the_old_segments(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 1000);
    assert_int_equal(spool_untidy(help->spool), 0);
    for (uint64_t seq = 1; seq <= 1000; seq++)
        if (seq % 10 != 1)
            spool_release(help->spool, seq);
    uint64_t live = spool_figures(help->spool).live, before = spool_figures(help->spool).segments;
    uint64_t next = 1001, named;
    while ((named = spool_untidy(help->spool)) != 0 && next < 3000) {
        assert_int_equal(spool_untidy(help->spool), named);
        assert_true(help_is_base(named));
        next += next % 3 == 0;
        help_append(help, next++);
        spool_release(help->spool, named);
        assert_int_equal(spool_figures(help->spool).live, live);
    }
    assert_int_equal(named, 0);
    assert_true(next > 1001 && next <= 1001 + live * 2);
    assert_true(spool_figures(help->spool).segments < before / 2);
    assert_true(help_wait(help, next - 1)); /* from here on files only go */
    assert_true(files_become(help, ".seg", (int)spool_figures(help->spool).segments));
    help_close(help);
    help_must_open(help);
    assert_int_equal(help->wrong + help->damages, 0);
}

struct reading {
    struct help *help;
    uint64_t upto;
    int bad;
};

static void *read_all(void *context)
{
    struct reading *reading = context;
    struct random random = {3};
    for (int i = 0; i < 2000; i++) {
        uint64_t seq = 1 + random_below(&random, reading->upto);
        struct blob *body = NULL, *expected;
        struct error error;
        if (!help_is_base(seq) || spool_read(reading->help->spool, seq, &body, &error) < 0)
            continue;
        expected = help_body(reading->help, seq);
        reading->bad += body->len != expected->len || memcmp(body->bytes, expected->bytes, body->len) != 0;
        blob_drop(&body);
        blob_drop(&expected);
    }
    return NULL;
}

static void others_read_while_the_owner_works(void **state)
{
    struct help *help = *state;
    struct reading reading = {help, 3000, 0};
    pthread_t thread;
    help_must_open(help);
    help_append_upto(help, 1, 300);
    assert_true(help_wait(help, 300));
    assert_int_equal(pthread_create(&thread, NULL, read_all, &reading), 0);
    for (uint64_t seq = 301; seq <= 3000; seq++) {
        help_append(help, seq);
        if (seq > 600)
            spool_release(help->spool, seq - 600);
    }
    pthread_join(thread, NULL);
    assert_int_equal(reading.bad, 0);
    assert_true(help_wait(help, 3000));
    assert_int_equal(spool_figures(help->spool).live, 400);
}

#define spool_test(function) cmocka_unit_test_setup_teardown(function, help_setup, help_teardown)

#define texts_test(function)                                                                                 \
    {                                                                                                        \
#function ", with few texts", function, help_setup_texts, help_teardown, NULL                        \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        spool_test(what_was_taken_is_there_again),
        spool_test(a_body_is_read_while_more_is_written),
        spool_test(an_unread_number_is_an_error),
        spool_test(a_second_opener_is_refused),
        spool_test(segments_nobody_needs_are_deleted),
        spool_test(all_but_those_named_are_released),
        spool_test(a_damaged_segment_is_put_aside),
        spool_test(numbers_never_start_anew),
        spool_test(restating_drains_the_old_segments),
        spool_test(others_read_while_the_owner_works),
        texts_test(what_was_taken_is_there_again),
        texts_test(a_body_is_read_while_more_is_written),
        texts_test(segments_nobody_needs_are_deleted),
        texts_test(a_damaged_segment_is_put_aside),
        texts_test(restating_drains_the_old_segments),
        texts_test(others_read_while_the_owner_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
