/* Frames read from the log's end: all that are there, once, whatever the portions, also while more is written and segments
 * go, with stretches without a base frame, with damage. Real files. */
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

/* What was read so far. */
struct reading {
    struct spool_back back;
    uint64_t lowest, count,
        most;             /* all are below this frame (0: none was read); how many; in one portion at most */
    uint64_t at, portion; /* the last frame of this portion, and how many */
    bool is_odd;          /* the frames are not those of spool_help */
    int damages;
    char damaged[64];
};

static void on_frame(void *context, uint64_t seq, const void *record, size_t len, bool base)
{
    struct reading *reading = context;
    struct buffer right = {0};
    reading->portion++;
    assert_true(seq > reading->at && (reading->lowest == 0 || seq < reading->lowest));
    reading->at = seq;
    if (reading->is_odd)
        return;
    help_record(seq, &right);
    assert_true(base == help_is_base(seq) && len == buffer_len(&right));
    assert_memory_equal(record, buffer_bytes(&right), len);
    buffer_free(&right);
}

static void on_damaged(void *context, const char *file, uint64_t offset, const char *why)
{
    struct reading *reading = context;
    (void)offset, (void)why;
    reading->damages++;
    snprintf(reading->damaged, sizeof reading->damaged, "%s", file);
}

static int read_portion(struct help *help, struct reading *reading, uint64_t bytes, size_t bases)
{
    struct error error;
    struct spool_portion portion = {
        .bytes = bytes, .bases = bases, .context = reading, .frame = on_frame, .damaged = on_damaged};
    reading->at = reading->portion = 0;
    int more = spool_read_back(help->spool, &reading->back, &portion, &error);
    reading->count += reading->portion;
    reading->most = reading->portion > reading->most ? reading->portion : reading->most;
    if (reading->portion > 0)
        reading->lowest = reading->back.below;
    return more;
}

static void read_all(struct help *help, struct reading *reading, uint64_t bytes, size_t bases)
{
    int more = 1;
    for (int turn = 0; more > 0 && turn < 100000; turn++)
        more = read_portion(help, reading, bytes, bases);
    assert_int_equal(more, 0);
    assert_int_equal(reading->back.living, 0);
}

static void write_upto(struct help *help, uint64_t last)
{
    help_must_open(help);
    help_append_upto(help, 1, last);
    assert_true(help_wait(help, last));
}

static void all_comes_whatever_the_portions(void **state)
{
    struct help *help = *state;
    static const uint64_t bytes[] = {1, 3000, 30000, 1 << 30};
    static const size_t bases[] = {1, 7, 100000};
    write_upto(help, 300);
    assert_true(help_files(help, ".seg") > 3);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) {
            struct reading reading = {0};
            read_all(help, &reading, bytes[i], bases[j]);
            assert_true(reading.count == 300 && reading.lowest == 1 && reading.damages == 0);
            assert_true(bases[j] > 100 || reading.most <= 3 * bases[j]);
        }
    help_close(help);
    help_must_open(help);
    struct reading reading = {0};
    read_all(help, &reading, 5000, 10);
    assert_int_equal(reading.count, 300);
}

static void an_empty_log_has_no_end(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    help_must_open(help);
    read_all(help, &reading, 5000, 10);
    assert_int_equal(reading.count, 0);
}

/* How many live before what was read: never more than do, and less and less. */
static void it_says_what_is_left(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    write_upto(help, 300);
    uint64_t living = spool_figures(help->spool).live, before = living + 1;
    while (read_portion(help, &reading, 4000, 10) > 0) {
        assert_true(reading.back.living < before);
        before = reading.back.living;
    }
    assert_int_equal(before, 0);
}

static void what_is_written_meanwhile_is_not_read(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    write_upto(help, 200);
    assert_int_equal(read_portion(help, &reading, 3000, 5), 1);
    assert_true(reading.lowest > 150);
    help_append_upto(help, 201, 400);
    assert_true(help_wait(help, 400));
    read_all(help, &reading, 3000, 5);
    assert_true(reading.count == 200 && reading.lowest == 1);
}

static void segments_may_go_meanwhile(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    write_upto(help, 300);
    int files = help_files(help, ".seg");
    assert_int_equal(read_portion(help, &reading, 3000, 5), 1);
    for (uint64_t seq = 1; seq <= 200; seq++)
        spool_release(help->spool, seq);
    help_append_upto(help, 301, 302);
    assert_true(help_wait(help, 302));
    for (int turn = 0; turn < 1000 && help_files(help, ".seg") >= files; turn++)
        usleep(1000);
    read_all(help, &reading, 3000, 5);
    assert_true(reading.lowest > 1 && reading.lowest <= 200 && reading.count == 301 - reading.lowest);
    assert_int_equal(reading.damages, 0);
}

/* Portions begin where base frames stand; where none do, where a look finds a frame. */
static void stretches_without_base_frames_come_in_parts(void **state)
{
    struct help *help = *state;
    struct reading reading = {.is_odd = true};
    struct buffer record = {0};
    help->segment_size = 1 << 20;
    help_must_open(help);
    for (uint64_t seq = 1; seq <= 4000; seq++) {
        buffer_add(&record, "a record that says little, but says it at some length, as many do", 65);
        spool_append(help->spool, seq, &record, NULL, seq == 10 || seq == 3990);
    }
    buffer_free(&record);
    assert_true(help_wait(help, 4000));
    read_all(help, &reading, 8000, 100);
    assert_true(reading.count == 4000 && reading.lowest == 1);
    assert_true(reading.most < 300);
}

/* What is not damaged comes, and the file is told, once a damage. */
static void damage_is_told_and_passed_over(void **state)
{
    struct help *help = *state;
    write_upto(help, 60);
    for (uint64_t at = 5000; at < 60000; at += 9001)
        help_flip(help, "0000000000000001.seg", at, 0x10);
    struct reading reading = {0}, again = {0};
    read_all(help, &reading, 1 << 30, 100000);
    assert_true(reading.count >= 40);
    for (size_t bases = 1; bases < 4; bases++) {
        again = (struct reading){0};
        read_all(help, &again, 1 << 30, bases);
        assert_true(again.count == reading.count && again.damages >= reading.damages);
    }
}

static void a_header_is_damaged(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    write_upto(help, 40);
    help_flip(help, "0000000000000001.seg", 64 + 8, 0x10); /* the first frame's number */
    read_all(help, &reading, 3000, 3);
    assert_true(reading.count == 39 && reading.lowest == 2 && reading.damages == 1);
    assert_string_equal(reading.damaged, "0000000000000001.seg");
}

static void a_segment_is_missing(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    char path[512];
    write_upto(help, 300);
    help_path(help, "0000000000000002.seg", path);
    assert_int_equal(unlink(path), 0);
    read_all(help, &reading, 3000, 5);
    assert_true(reading.damages == 1 && reading.count < 300 && reading.count > 100);
    assert_int_equal(reading.lowest, 1);
    assert_string_equal(reading.damaged, "0000000000000002.seg");
}

/* That is not as if nothing stood there. */
static void a_segment_cannot_be_opened(void **state)
{
    struct help *help = *state;
    struct reading reading = {0};
    char path[512];
    int more = 1;
    write_upto(help, 300);
    help_path(help, "0000000000000002.seg", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("0000000000000002.seg", path), 0);
    while (more > 0)
        more = read_portion(help, &reading, 3000, 5);
    assert_int_equal(more, -1);
    assert_true(reading.lowest > 1 && reading.damages == 0);
}

/* ---- who listens ---- */

static void on_committed(void *context, uint64_t seq)
{
    *(_Atomic uint64_t *)context = seq;
}

static void somebody_else_listens(void **state)
{
    struct help *help = *state;
    _Atomic uint64_t heard = 0;
    struct spool_listener listener = {.context = (void *)&heard, .committed = on_committed};
    write_upto(help, 10);
    assert_int_equal(spool_committed(help->spool), 10);
    spool_listen(help->spool, &listener);
    help_append_upto(help, 11, 20);
    for (int turn = 0; turn < 10000 && heard < 20; turn++)
        usleep(1000);
    assert_true(heard == 20 && help->committed == 10 && spool_committed(help->spool) == 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, help_setup, help_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_comes_whatever_the_portions),
        cmocka_unit_test_setup_teardown(all_comes_whatever_the_portions, help_setup_texts, help_teardown),
        TEST(an_empty_log_has_no_end),
        TEST(it_says_what_is_left),
        TEST(what_is_written_meanwhile_is_not_read),
        TEST(segments_may_go_meanwhile),
        TEST(stretches_without_base_frames_come_in_parts),
        TEST(damage_is_told_and_passed_over),
        TEST(a_header_is_damaged),
        TEST(a_segment_is_missing),
        TEST(a_segment_cannot_be_opened),
        TEST(somebody_else_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
