/* A log that is read only from some frame on, since its owner remembers what stood before; and what is kept for
 * that. Real files. */
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

static int setup(void **state)
{
    if (help_setup(state) != 0)
        return -1;
    struct help *help = *state;
    help->asks = true;
    return 0;
}

static void write_upto(struct help *help, uint64_t last)
{
    help_must_open(help);
    help_append_upto(help, 1, last);
    assert_true(help_wait(help, last));
    help_close(help);
}

/* Base frames of `from` and later: two thirds of them. */
static uint64_t bases(uint64_t from, uint64_t last)
{
    uint64_t count = 0;
    for (uint64_t seq = from; seq <= last; seq++)
        count += help_is_base(seq);
    return count;
}

static void only_what_is_asked_for_is_handed_over(void **state)
{
    static const uint64_t living[] = {2, 3 * 7 + 1, 149};
    struct help *help = *state;
    write_upto(help, 300);
    assert_int_equal(help->log_end, 0);
    help->from = 200;
    help->living = living;
    help->living_count = 3;
    help_must_open(help);
    assert_int_equal(help->log_end, 300);
    assert_int_equal(help->first, 200);
    assert_int_equal(help->last, 300);
    assert_int_equal(help->count, 101);
    assert_int_equal(help->damages + help->wrong, 0);
    uint64_t named = 0;
    for (size_t i = 0; i < 3; i++) {
        named += help_is_base(living[i]);
        assert_int_equal(help_intact(help, living[i]), help_is_base(living[i]));
    }
    assert_true(named > 0);
    assert_int_equal(spool_figures(help->spool).live, bases(200, 300) + named);
    for (uint64_t seq = 200; seq <= 300; seq++)
        if (help_is_base(seq))
            assert_true(help_intact(help, seq));
    assert_int_equal(spool_last_seq(help->spool), 300);
    help_append_upto(help, 301, 310);
    assert_true(help_wait(help, 310));
}

static void old_segments_without_life_go_at_once(void **state)
{
    struct help *help = *state;
    write_upto(help, 300);
    int before = help_files(help, ".seg");
    assert_true(before > 3);
    help->from = 301;
    help_must_open(help);
    help_append(help, 301);
    assert_true(help_wait(help, 301));
    help_close(help);
    assert_int_equal(help_files(help, ".seg"), 1);
}

static void nothing_goes_that_the_next_start_would_read(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 300);
    assert_true(help_wait(help, 300));
    int before = help_files(help, ".seg");
    for (uint64_t seq = 1; seq <= 300; seq++)
        if (help_is_base(seq))
            spool_release(help->spool, seq);
    help_append(help, 301);
    assert_true(help_wait(help, 301));
    assert_true(help_files(help, ".seg") >= before);
    spool_keep_from(help->spool, 150);
    spool_keep_from(help->spool, 100); /* less than before: nothing */
    help_append(help, 302);
    help_close(help);
    int after = help_files(help, ".seg");
    assert_true(after > 1 && after < before);
    help->from = 150;
    help_must_open(help);
    assert_int_equal(help->first, 150);
    assert_int_equal(help->count, 153);
    spool_keep_from(help->spool, 303);
    for (uint64_t seq = 150; seq <= 302; seq++)
        if (help_is_base(seq))
            spool_release(help->spool, seq);
    help_append(help, 303);
    help_close(help);
    assert_int_equal(help_files(help, ".seg"), 1);
}

/* Restating what lies in front of a segment that stays gives no room, and makes more of the log. */
static void nothing_is_restated_for_a_segment_that_stays(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 1000);
    assert_true(help_wait(help, 1000));
    for (uint64_t seq = 1; seq <= 1000; seq++)
        if (help_is_base(seq) && seq % 10 != 1)
            spool_release(help->spool, seq);
    assert_true(spool_figures(help->spool).segments > 10);
    assert_int_equal(spool_untidy(help->spool), 0);
    spool_keep_from(help->spool, 500);
    uint64_t named = spool_untidy(help->spool);
    assert_true(named >= 1 && named < 500);
    for (uint64_t seq = named; seq < 500; seq++)
        if (help_is_base(seq))
            spool_release(help->spool, seq);
    assert_int_equal(spool_untidy(help->spool), 0);
    spool_keep_from(help->spool, 1001);
    assert_true(spool_untidy(help->spool) >= 500);
}

static void all_of_it_may_be_asked_for(void **state)
{
    struct help *help = *state;
    write_upto(help, 100);
    help->from = 0;
    help_must_open(help);
    assert_int_equal(help->count, 100);
    assert_int_equal(spool_figures(help->spool).live, bases(1, 100));
}

/* The last frame is cut off: it is not the log's end. */
static void the_end_is_told_as_it_will_be_read(void **state)
{
    struct help *help = *state;
    char path[512], name[64];
    write_upto(help, 40);
    int segments = help_files(help, ".seg");
    snprintf(name, sizeof name, "%016x.seg", (unsigned)segments);
    help_path(help, name, path);
    help->asks = true;
    help_must_open(help);
    assert_int_equal(help->log_end, 40);
    help_crash(help);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate(path, size - 8), 0);
    help_must_open(help);
    assert_int_equal(help->log_end, 39);
    assert_int_equal(help->last, 39);
    assert_int_equal(help->damages, 0);
}

static void damage_in_an_old_segment_is_told_and_spares_the_others(void **state)
{
    static uint64_t living[300];
    struct help *help = *state;
    write_upto(help, 300);
    help->living = living;
    for (uint64_t seq = 1; seq < 290; seq++)
        if (help_is_base(seq))
            living[help->living_count++] = seq;
    help->from = 290;
    help_flip(help, "0000000000000001.seg", 64, 0xff); /* the first frame's header */
    help_must_open(help);
    assert_true(help->damages > 0);
    assert_string_equal(help->damaged_file, "0000000000000001.seg");
    assert_int_equal(help->first, 290);
    assert_int_equal(help->last, 300);
    uint64_t whole = 0;
    for (size_t i = 0; i < help->living_count; i++)
        whole += help_intact(help, living[i]);
    assert_true(whole + 1 >= help->living_count);
}

/* Its body is not looked at before somebody wants it. */
static void a_damaged_body_of_old_is_found_when_it_is_read(void **state)
{
    static const uint64_t living[] = {1};
    struct help *help = *state;
    write_upto(help, 300);
    help->living = living;
    help->living_count = 1;
    help->from = 290;
    help_flip(help, "0000000000000001.seg", 64 + 56 + 200, 0xff);
    help_must_open(help);
    assert_int_equal(help->damages, 0);
    assert_int_equal(help->first, 290);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_is_asked_for_is_handed_over, setup, help_teardown),
        cmocka_unit_test_setup_teardown(old_segments_without_life_go_at_once, setup, help_teardown),
        cmocka_unit_test_setup_teardown(nothing_goes_that_the_next_start_would_read, setup, help_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_restated_for_a_segment_that_stays, setup, help_teardown),
        cmocka_unit_test_setup_teardown(all_of_it_may_be_asked_for, setup, help_teardown),
        cmocka_unit_test_setup_teardown(the_end_is_told_as_it_will_be_read, setup, help_teardown),
        cmocka_unit_test_setup_teardown(
            damage_in_an_old_segment_is_told_and_spares_the_others, setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_body_of_old_is_found_when_it_is_read, setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
