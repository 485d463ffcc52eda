/* What a spool does with bytes it did not write so: another version, damage, the unfinished end of a write.
 */
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
#include "node/spool_disk.h"
#include "node/spool_scan.h"
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

static void an_unknown_version_is_refused(void **state)
{
    struct help *help = *state;
    struct error error = {{0}};
    help_must_open(help);
    help_append_upto(help, 1, 200);
    help_close(help);
    help_flip(help, "0000000000000002.seg", 8, 1);
    help_flip(help, "0000000000000002.seg", 12, 1);
    assert_int_equal(help_open(help, &error), -1);
    assert_non_null(strstr(error.text, "version 3"));
    assert_non_null(strstr(error.text, "0000000000000002.seg"));
    assert_int_equal(help->count, 0);
}

static void segments_without_their_disk_are_refused(void **state)
{
    struct help *help = *state;
    struct error error = {{0}};
    char path[512];
    help_must_open(help);
    help_append_upto(help, 1, 2);
    help_close(help);
    help_path(help, "disk", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(help_open(help, &error), -1);
    assert_non_null(strstr(error.text, "no file `disk`"));
}

/* Where the frames of a segment stand. */
struct layout {
    struct frame frames[256];
    uint64_t offsets[256];
    size_t count;
    FILE *file;
};

static int layout_read(void *context, uint64_t offset, void *out, size_t len)
{
    struct layout *layout = context;
    return fseek(layout->file, (long)offset, SEEK_SET) == 0 && fread(out, 1, len, layout->file) == len ? 0
                                                                                                       : -1;
}

static void layout_frame(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    struct layout *layout = context;
    (void)record;
    layout->frames[layout->count] = *frame;
    layout->offsets[layout->count++] = offset;
}

static void layout_damage(void *context, uint64_t offset, uint64_t len, const char *why)
{
    (void)context;
    fail_msg("damage at %d of %d bytes: %s", (int)offset, (int)len, why);
}

static void layout_of(const struct help *help, uint64_t number, struct layout *layout)
{
    char path[512], name[32];
    struct spool_disk disk;
    struct error error;
    assert_int_equal(spool_disk_open(&disk, help->dir, &error), 0);
    snprintf(name, sizeof name, "%016x.seg", (unsigned)number);
    help_path(help, name, path);
    *layout = (struct layout){.file = fopen(path, "rb")};
    assert_non_null(layout->file);
    fseek(layout->file, 0, SEEK_END);
    struct scan_settings settings = {.keys = frame_keys(disk.key, number), .bodies = true};
    struct scan_source source = {layout, layout_read, (uint64_t)ftell(layout->file)};
    struct scan_listener listener = {layout, layout_frame, layout_damage};
    spool_scan(&settings, &source, &listener);
    fclose(layout->file);
    spool_disk_close(&disk);
    assert_true(layout->count > 10 && layout->count < 256);
}

/* One bit of frame `i` is flipped in the oldest segment, the spool is opened and must know. */
static void flip_and_open(struct help *help, const struct layout *layout, size_t i, uint64_t within)
{
    const struct frame *frame = &layout->frames[i];
    uint64_t offset = layout->offsets[i], body = frame_body_at(frame);
    help_flip(help, "0000000000000001.seg", offset + within, 0x10);
    help_must_open(help);
    assert_int_equal(help->wrong, 0);
    if (within < body) {
        assert_int_equal(help->damages, 1);
        assert_string_equal(help->damaged_file, "0000000000000001.seg");
        assert_int_equal(help->damaged_offset, offset);
        assert_int_equal(help->count, 199);
        assert_false(help->there[frame->seq]);
    } else {
        /* A body is checked when it is read. */
        assert_int_equal(help->damages, 0);
        assert_int_equal(help->count, 200);
        char where[64];
        snprintf(where, sizeof where, "0000000000000001.seg at offset %llu", (unsigned long long)offset);
        assert_false(help_intact(help, frame->seq));
        assert_non_null(strstr(help->why, where));
    }
    for (uint64_t seq = 1; seq <= 200; seq++)
        if (seq != frame->seq && help_is_base(seq))
            assert_true(help_intact(help, seq));
    help_close(help);
    help_flip(help, "0000000000000001.seg", offset + within, 0x10);
}

static void a_flipped_bit_costs_one_frame_and_is_told(void **state)
{
    struct help *help = *state;
    struct layout layout;
    struct random random = {11};
    help_must_open(help);
    help_append_upto(help, 1, 200);
    help_close(help);
    layout_of(help, 1, &layout);
    for (int round = 0; round < 60; round++) {
        size_t i = (size_t)random_below(&random, layout.count);
        uint64_t body = frame_body_at(&layout.frames[i]);
        uint64_t len = round % 3 == 0   ? FRAME_HEADER
                       : round % 3 == 1 ? body
                                        : body + layout.frames[i].body_len;
        flip_and_open(help, &layout, i, random_below(&random, len));
    }
    help_must_open(help);
    assert_all(help, 1, 200);
}

static void a_damaged_body_in_the_newest_segment_is_told(void **state)
{
    struct help *help = *state;
    struct layout layout;
    help->segment_size = 0;
    help_must_open(help);
    help_append_upto(help, 1, 100);
    help_close(help);
    layout_of(help, 1, &layout);
    help_flip(help, "0000000000000001.seg", layout.offsets[49] + frame_body_at(&layout.frames[49]), 1);
    help_must_open(help);
    assert_int_equal(help->damages, 1);
    assert_int_equal(help->damaged_offset, layout.offsets[49]);
    assert_int_equal(help->count, 100); /* its record still says whom it was from */
    assert_false(help_intact(help, 50));
    assert_true(help_intact(help, 49) && help_intact(help, 52));
    /* Nothing is written behind damage. */
    help_append_upto(help, 101, 110);
    assert_true(help_wait(help, 110));
    assert_int_equal(help_files(help, ".seg"), 2);
}

/* Who can send mail can write frames into a body, but not seal them. */
static void a_forged_frame_in_a_body_is_not_taken(void **state)
{
    struct help *help = *state;
    struct layout layout;
    uint8_t forged[4096] = {0}, record[8] = {1, 2, 3};
    for (size_t at = 0; at + 128 <= sizeof forged; at += 128) {
        struct frame frame = {
            .version = SEGMENT_VERSION, .seq = 1000 + at, .base = true, .record_len = sizeof record};
        struct frame_keys keys = frame_keys(at, 1);
        frame_seal(&frame, &keys, record, NULL, forged + at);
        memcpy(forged + at + FRAME_HEADER, record, sizeof record);
    }
    struct blob *body = blob_copy(forged, sizeof forged);
    help_must_open(help);
    help_append_upto(help, 1, 20);
    buffer_add(&help->record, "12345678", 8);
    spool_append(help->spool, 22, &help->record, body, true);
    help_append_upto(help, 23, 30);
    blob_drop(&body);
    help_close(help);
    layout_of(help, 1, &layout);
    help_flip(help, "0000000000000001.seg", layout.offsets[20] + 8, 1);
    help_must_open(help);
    assert_int_equal(help->wrong, 0);
    assert_int_equal(help->damages, 1);
    assert_int_equal(help->damaged_offset, layout.offsets[20]);
    assert_int_equal(help->count, 28);
    assert_int_equal(help->last, 30);
}

static void a_lost_head_costs_no_frame(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 200);
    help_close(help);
    help_flip(help, "0000000000000002.seg", 0, 0xff);
    help_must_open(help);
    assert_int_equal(help->damages, 1);
    assert_string_equal(help->damaged_file, "0000000000000002.seg");
    assert_int_equal(help->damaged_offset, 0);
    assert_int_equal(help->count, 200);
}

static void a_missing_segment_is_told(void **state)
{
    struct help *help = *state;
    char path[512];
    help_must_open(help);
    help_append_upto(help, 1, 200);
    help_close(help);
    help_path(help, "0000000000000002.seg", path);
    assert_int_equal(unlink(path), 0);
    help_must_open(help);
    assert_int_equal(help->damages, 1);
    assert_string_equal(help->damaged_file, "0000000000000002.seg");
    assert_int_equal(help->last, 200);
}

static void what_a_crash_left_half_written_is_cut_off(void **state)
{
    struct help *help = *state;
    struct random random = {5};
    char path[512];
    help->segment_size = 0;
    uint64_t seq = 0, lost = 0;
    help_path(help, "0000000000000001.seg", path);
    for (int round = 0; round < 40; round++) {
        help_must_open(help);
        assert_int_equal(help->damages + help->wrong, 0);
        assert_int_equal(help->count, help->last);
        assert_true(help->last <= seq && help->last + lost >= seq);
        for (uint64_t i = 1; i <= help->last; i++)
            assert_true(!help_is_base(i) || help_intact(help, i));
        uint64_t from = help->last + 1;
        seq = from + 10;
        help_append_upto(help, from, seq);
        uint64_t end = spool_figures(help->spool).bytes;
        help_crash(help);
        uint64_t cut = random_below(&random, 4000);
        lost = cut == 0 ? 0 : 11;
        assert_int_equal(truncate(path, (off_t)(end - cut)), 0);
        /* Sometimes blocks came to the file that hold nothing, or something old. */
        if (round % 2 == 1)
            assert_int_equal(truncate(path, (off_t)(end + 5000)), 0);
        if (round % 4 == 3)
            help_flip(help, "0000000000000001.seg", end + 100, 0x77);
    }
}

static void a_file_that_was_hardly_made_is_no_damage(void **state)
{
    struct help *help = *state;
    char path[512];
    help_must_open(help);
    help_append_upto(help, 1, 10);
    help_close(help);
    for (int len = 0; len <= 64; len += 32) {
        help_path(help, "0000000000000002.seg", path);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fclose(file);
        assert_int_equal(truncate(path, len), 0);
        help_must_open(help);
        assert_all(help, 1, 10);
        assert_int_equal(help_files(help, ".seg"), 1);
        help_close(help);
    }
}

#define spool_test(function) cmocka_unit_test_setup_teardown(function, help_setup, help_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        spool_test(an_unknown_version_is_refused),
        spool_test(segments_without_their_disk_are_refused),
        spool_test(a_flipped_bit_costs_one_frame_and_is_told),
        spool_test(a_damaged_body_in_the_newest_segment_is_told),
        spool_test(a_forged_frame_in_a_body_is_not_taken),
        spool_test(a_lost_head_costs_no_frame),
        spool_test(a_missing_segment_is_told),
        spool_test(what_a_crash_left_half_written_is_cut_off),
        spool_test(a_file_that_was_hardly_made_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
