/* A text that many bodies have is written once a segment, is never taken for another, and goes with its segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/spool_disk.h"
#include "node/spool_frame.h"
#include "node/spool_texts.h"
#include "spool_help.h"

#define TEXT 10000
#define FIRST "0000000000000001.seg"

/* One text of TEXT bytes in all bodies; segments as large as usual. */
static int setup(void **state)
{
    if (help_setup_texts(state) != 0)
        return -1;
    struct help *help = *state;
    help->texts = 1;
    help->max_body = TEXT;
    help->segment_size = 0;
    return 0;
}

static size_t text_len(const struct help *help)
{
    struct blob *body = help_body(help, 1);
    size_t len = body->len - mail_head_len(body->bytes, body->len);
    blob_drop(&body);
    return len;
}

static void assert_intact(struct help *help, uint64_t first, uint64_t last)
{
    assert_int_equal(help->wrong + help->damages, 0);
    for (uint64_t seq = first; seq <= last; seq++)
        if (help_is_base(seq) && !help_intact(help, seq))
            fail_msg("frame %d: %s", (int)seq, help->why);
}

/* Twice in all: only what was met before is kept to be compared with. */
static void one_text_is_written_once(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 3000);
    assert_true(help_wait(help, 3000));
    struct spool_figures figures = spool_figures(help->spool);
    assert_int_equal(figures.shared, 1998);
    assert_int_equal(figures.saved, 1998 * text_len(help));
    assert_true(figures.bytes < 2 * text_len(help) + (uint64_t)3000 * 250);
    assert_intact(help, 1, 3000);
    help_close(help);
    help_must_open(help);
    assert_int_equal(help->count, 3000);
    assert_intact(help, 1, 3000);
    /* What was seen before the start is not known any more. */
    help_append_upto(help, 3001, 3300);
    assert_true(help_wait(help, 3300));
    assert_int_equal(spool_figures(help->spool).shared, 198);
    assert_intact(help, 1, 3300);
}

static void short_texts_stay_where_they_are(void **state)
{
    struct help *help = *state;
    help->max_body = 300;
    help_must_open(help);
    help_append_upto(help, 1, 300);
    assert_true(help_wait(help, 300));
    assert_int_equal(spool_figures(help->spool).shared, 0);
    assert_intact(help, 1, 300);
}

static void each_segment_has_its_own(void **state)
{
    struct help *help = *state;
    char path[512];
    help->segment_size = 40000;
    help_must_open(help);
    help_append_upto(help, 1, 3000);
    assert_true(help_wait(help, 3000));
    struct spool_figures figures = spool_figures(help->spool);
    assert_true(figures.segments > 5);
    assert_int_equal(figures.shared, 2000 - figures.segments);
    help_close(help);
    help_path(help, FIRST, path);
    assert_int_equal(unlink(path), 0);
    help_must_open(help);
    assert_intact(help, help->first, 3000);
}

/* Whose frame the text is part of does not matter: the segment stays while another needs it. */
static void a_text_outlives_its_frame(void **state)
{
    struct help *help = *state;
    help->segment_size = 40000;
    help_must_open(help);
    help_append_upto(help, 1, 2000);
    assert_true(help_wait(help, 2000));
    for (uint64_t seq = 1; seq < 50; seq++)
        spool_release(help->spool, seq);
    help_append_upto(help, 2001, 2002);
    assert_true(help_wait(help, 2002));
    assert_intact(help, 50, 2002);
}

/* All that was asked for is read, though of the oldest segments only the headers were. */
static void what_was_not_read_at_the_start_is_whole(void **state)
{
    static uint64_t living[500];
    struct help *help = *state;
    help->segment_size = 40000;
    help->asks = true;
    help_must_open(help);
    help_append_upto(help, 1, 2000);
    help_close(help);
    help->living = living;
    for (uint64_t seq = 2; seq < 1800 && help->living_count < 500; seq += 3)
        living[help->living_count++] = seq;
    help->from = 1800;
    help_must_open(help);
    assert_int_equal(help->first, 1800);
    assert_intact(help, 1800, 2000);
    for (size_t i = 0; i < help->living_count; i++)
        assert_true(help_intact(help, living[i]));
}

static void bases_are_unreadable(struct help *help, uint64_t first, uint64_t last, const char *why)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        if (!help_is_base(seq))
            continue;
        assert_false(help_intact(help, seq));
        assert_non_null(strstr(help->why, FIRST " at offset "));
        assert_non_null(strstr(help->why, why));
    }
}

/* Frame 2 holds the text that the others refer to. Behind it is what was committed: it is not taken for the end of a write. */
static void a_damaged_text_is_told_once_and_fails_all_who_share_it(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append(help, 1);
    uint64_t at = spool_figures(help->spool).bytes;
    help_append(help, 2);
    assert_true(help_wait(help, 2));
    help_append_upto(help, 3, 32);
    help_close(help);
    help_flip(help, FIRST, at + 56 + 500, 1);
    help_must_open(help);
    assert_int_equal(help->wrong, 0);
    assert_int_equal(help->damages, 1);
    assert_string_equal(help->damaged_file, FIRST);
    assert_int_equal(help->damaged_offset, at);
    assert_non_null(strstr(help->why, "the body's checksum is wrong"));
    assert_int_equal(help->count, 32); /* whom it was from is known of all */
    bases_are_unreadable(help, 2, 2, "the body's checksum is wrong");
    bases_are_unreadable(help, 4, 32, "the checksum of its text, which stands in an earlier frame, is wrong");
    /* It is not referred to any more. */
    help_append_upto(help, 34, 40);
    assert_true(help_wait(help, 40));
    help->damages = 0;
    assert_intact(help, 34, 40);
}

static void in_an_older_segment_it_is_found_when_it_is_read(void **state)
{
    struct help *help = *state;
    help->segment_size = 40000;
    help_must_open(help);
    help_append(help, 1);
    uint64_t at = spool_figures(help->spool).bytes;
    help_append_upto(help, 2, 500);
    help_close(help);
    help_flip(help, FIRST, at + 56 + 500, 1);
    help_must_open(help);
    assert_int_equal(help->damages + help->wrong, 0);
    assert_int_equal(help->count, 500);
    bases_are_unreadable(help, 4, 10, "the checksum of its text");
    assert_intact(help, 400, 500);
    /* When nothing in it is needed any more it is put aside, not deleted as others are. */
    int segments = help_files(help, ".seg");
    for (uint64_t seq = 1; seq < 500; seq++)
        spool_release(help->spool, seq);
    help_append(help, 502);
    assert_true(help_wait(help, 502));
    help_close(help);
    assert_int_equal(help_files(help, ".damaged"), 1);
    assert_true(help_files(help, ".seg") < segments);
}

/* A segment made by hand */

struct made {
    struct spool_disk disk;
    struct frame_keys keys;
    struct buffer bytes;
    uint64_t text_at;
};

static void make_begin(struct help *help, struct made *made, uint32_t version)
{
    struct error error;
    uint8_t out[SEGMENT_HEAD];
    help_must_open(help);
    help_close(help);
    *made = (struct made){.text_at = 0};
    assert_int_equal(spool_disk_open(&made->disk, help->dir, &error), 0);
    made->keys = frame_keys(made->disk.key, 1);
    struct segment_head head = {.version = version, .number = 1};
    memcpy(head.disk, made->disk.id, sizeof head.disk);
    segment_head_write(&head, out);
    buffer_add(&made->bytes, out, sizeof out);
}

/* Frame `seq` with the help's record and body; its own text, or that of the frame before which had one. */
static void make_frame(
    const struct help *help, struct made *made, uint64_t seq, uint32_t version, bool shared, bool text_synced)
{
    struct blob *body = help_body(help, seq);
    struct buffer record = {0};
    uint8_t out[FRAME_HEADER_MAX], zeros[FRAME_ALIGN] = {0};
    help_record(seq, &record);
    size_t head_len = mail_head_len(body->bytes, body->len), at = buffer_len(&made->bytes);
    struct frame frame = {.version = version,
        .base = true,
        .shared = shared,
        .text_synced = text_synced,
        .seq = seq,
        .record_len = (uint32_t)buffer_len(&record),
        .body_len = body->len,
        .head_len = version == 1 ? body->len : head_len,
        .text_at = made->text_at,
        .text_check = frame_part_check(made->keys.text, body->bytes + head_len, body->len - head_len)};
    frame_seal(&frame, &made->keys, buffer_bytes(&record), body->bytes, out);
    buffer_add(&made->bytes, out, frame_header_size(&frame));
    buffer_add(&made->bytes, buffer_bytes(&record), buffer_len(&record));
    buffer_add(&made->bytes, body->bytes, (size_t)frame_body_here(&frame));
    buffer_add(&made->bytes, zeros, (size_t)frame_size(&frame) - (buffer_len(&made->bytes) - at));
    if (!shared)
        made->text_at = at + frame_body_at(&frame) + head_len;
    buffer_free(&record);
    blob_drop(&body);
}

static void make_end(const struct help *help, struct made *made)
{
    char path[512];
    help_path(help, FIRST, path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    size_t len = buffer_len(&made->bytes);
    assert_int_equal(fwrite(buffer_bytes(&made->bytes), 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    buffer_free(&made->bytes);
    spool_disk_close(&made->disk);
}

/* Of a group of frames the disk kept all but a part of the text. Nothing of it had been answered. */
static void a_text_that_a_crash_left_out_takes_its_frames_along(void **state)
{
    struct help *help = *state;
    for (int synced = 0; synced <= 1; synced++) {
        struct made made;
        make_begin(help, &made, SEGMENT_VERSION);
        make_frame(help, &made, 1, SEGMENT_VERSION, false, false);
        make_frame(help, &made, 2, SEGMENT_VERSION, true, synced == 1);
        make_frame(help, &made, 4, SEGMENT_VERSION, true, synced == 1);
        memset(buffer_bytes(&made.bytes) + made.text_at + 500, 0, 4096);
        make_end(help, &made);
        help_must_open(help);
        assert_int_equal(help->wrong, 0);
        assert_int_equal(help->damages, synced);
        assert_int_equal(help->count, synced == 1 ? 3 : 0);
        help_close(help);
    }
}

/* Such a group, but it is known that all of it was on the disk once; `torn`: with an unfinished write behind it. */
static void damage_before_a_clean_end(struct help *help, bool torn)
{
    struct made made;
    struct error error;
    make_begin(help, &made, SEGMENT_VERSION);
    make_frame(help, &made, 1, SEGMENT_VERSION, false, false);
    for (uint64_t seq = 2; seq <= 20; seq += 3)
        make_frame(help, &made, seq, SEGMENT_VERSION, true, false);
    uint64_t end = buffer_len(&made.bytes);
    assert_int_equal(spool_disk_say_whole(&made.disk, 1, end, &error), 0);
    buffer_bytes(&made.bytes)[made.text_at + 500] ^= 1;
    if (torn) {
        make_frame(help, &made, 22, SEGMENT_VERSION, false, false);
        memset(buffer_bytes(&made.bytes) + end + 100, 0, 400);
    }
    make_end(help, &made);
    help_must_open(help);
    assert_int_equal(help->wrong, 0);
    assert_int_equal(help->damages, 1);
    assert_int_equal(help->damaged_offset, 64);
    assert_int_equal(help->count, 8);
    assert_int_equal(help->last, 20);
    bases_are_unreadable(help, 1, 1, "the body's checksum is wrong");
    bases_are_unreadable(help, 20, 20, "the checksum of its text");
    help_append_upto(help, 22, 24);
    assert_true(help_wait(help, 24));
    assert_true(help_intact(help, 22));
    assert_int_equal(help_files(help, ".seg"), 2); /* nothing is added to the damaged one */
}

static void a_damaged_text_before_a_clean_end_is_told_once(void **state)
{
    damage_before_a_clean_end(*state, false);
}

static void what_is_behind_a_clean_end_is_cut_off(void **state)
{
    damage_before_a_clean_end(*state, true);
}

/* Frames 1 to 10, of which 2 has the text of those behind it, and a bit of that flipped; then what a crash would leave. */
static void flip_after_crash(struct help *help, bool text_synced)
{
    uint64_t at;
    help_must_open(help);
    pthread_mutex_lock(&help->lock); /* whoever tells of a commit waits for it */
    help_append(help, 1);
    for (int tries = 0; tries < 30000 && !help_intact(help, 1); tries++)
        usleep(1000);
    at = spool_figures(help->spool).bytes;
    if (text_synced) {
        pthread_mutex_unlock(&help->lock);
        help_append(help, 2);
        assert_true(help_wait(help, 2));
        pthread_mutex_lock(&help->lock);
    } else {
        help_append(help, 2);
    }
    help_append_upto(help, 3, 10);
    pthread_mutex_unlock(&help->lock);
    assert_true(help_wait(help, 10));
    help_crash(help);
    help_flip(help, FIRST, at + 56 + 500, 1);
    help_must_open(help);
}

/* Who refers to a text that was on the disk before is whole without it. */
static void a_text_that_was_on_the_disk_cuts_nobody_off(void **state)
{
    struct help *help = *state;
    flip_after_crash(help, true);
    assert_int_equal(help->damages, 1);
    assert_int_equal(help->last, 10);
}

/* Who came together with it may be what a crash has left of an unfinished write: the last one, behind all that is
 * whole, is none. */
static void a_text_that_was_not_on_the_disk_is_looked_at(void **state)
{
    struct help *help = *state;
    flip_after_crash(help, false);
    assert_int_equal(help->damages, 1);
    assert_int_equal(help->last, 9);
}

/* What is known of another segment's end says nothing of this one's. */
static void the_clean_end_is_that_of_its_segment(void **state)
{
    struct help *help = *state;
    struct spool_disk disk;
    struct error error;
    help_must_open(help);
    help_append_upto(help, 1, 1);
    help_close(help);
    assert_int_equal(spool_disk_open(&disk, help->dir, &error), 0);
    assert_true(spool_disk_whole(&disk, 1) > TEXT);
    assert_int_equal(spool_disk_whole(&disk, 2), 0);
    help_crash(help);
    assert_int_equal(spool_disk_whole(&disk, 1), 0);
    char path[512];
    help_path(help, "whole", path);
    FILE *file = fopen(path, "wb"); /* cut off amid its number */
    assert_non_null(file);
    fputs("todoku-whole 1\nsegment 0000000000000001\nbytes 1000", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(spool_disk_whole(&disk, 1), 0);
    spool_disk_close(&disk);
}

/* The spool says so itself when it is closed. */
static void a_closed_spool_knows_its_end(void **state)
{
    struct help *help = *state;
    help_must_open(help);
    help_append_upto(help, 1, 1);
    help_close(help);
    help_flip(help, FIRST, 64 + 56 + 500, 1);
    for (int start = 0; start < 2; start++) {
        help_must_open(help);
        assert_int_equal(help->damages, 1);
        assert_int_equal(help->count, 1);
        help_close(help);
    }
    help_flip(help, FIRST, 64 + 56 + 500, 1);
    help_must_open(help);
    assert_int_equal(help->damages, 0);
    assert_true(help_intact(help, 1));
}

static void what_refers_to_nowhere_is_damaged(void **state)
{
    struct help *help = *state;
    for (int i = 0; i < 3; i++) {
        struct made made;
        make_begin(help, &made, SEGMENT_VERSION);
        make_frame(help, &made, 1, SEGMENT_VERSION, false, false);
        made.text_at = i == 0 ? 8 : i == 1 ? buffer_len(&made.bytes) - 8 : UINT64_MAX - 100;
        make_frame(help, &made, 2, SEGMENT_VERSION, true, i == 0);
        make_frame(help, &made, 4, SEGMENT_VERSION, false, false);
        make_end(help, &made);
        help_must_open(help);
        assert_int_equal(help->wrong, 0);
        assert_int_equal(help->damages, i > 0);
        assert_int_equal(help->count, 3);
        bases_are_unreadable(help, 2, 2, "its text is said to stand where none can be");
        assert_true(help_intact(help, 1) && help_intact(help, 4));
        help_close(help);
    }
}

static void a_log_of_the_version_before_goes_on(void **state)
{
    struct help *help = *state;
    struct made made;
    make_begin(help, &made, 1);
    for (uint64_t seq = 1; seq <= 10; seq += 3)
        make_frame(help, &made, seq, 1, false, false);
    make_end(help, &made);
    help_must_open(help);
    assert_int_equal(help->count, 4);
    assert_intact(help, 1, 1);
    assert_intact(help, 10, 10);
    help_append_upto(help, 11, 20);
    assert_true(help_wait(help, 20));
    assert_int_equal(help_files(help, ".seg"), 2);
    help_close(help);
    help_must_open(help);
    assert_int_equal(help->last, 20);
    assert_intact(help, 10, 20);
    spool_release(help->spool, 1);
    help_close(help);
    /* And when it has gone by, its bodies are checked when they are read. */
    help_flip(help, FIRST, 64 + 56 + 500, 1);
    help_must_open(help);
    bases_are_unreadable(help, 1, 1, "the body's checksum is wrong");
}

/* The table of texts */

static struct blob *blob_of(char fill, size_t len)
{
    char *bytes = xmalloc(len + 1);
    memset(bytes, fill, len);
    bytes[len] = '\0';
    return blob_take(bytes, len);
}

/* Sees a text of `len` equal bytes; as the keeper would, it is then put into segment 1. True if it stood there. */
static bool see(struct spool_texts *texts, uint64_t check, char fill, size_t len)
{
    struct blob *body = blob_of(fill, len);
    struct spool_text *text = spool_texts_see(texts, check, body, len);
    bool there = text != NULL && text->segment == 1;
    if (text != NULL)
        text->segment = 1;
    blob_drop(&body);
    return there;
}

static void an_equal_checksum_is_not_trusted(void **state)
{
    struct spool_texts texts;
    (void)state;
    spool_texts_init(&texts);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(see(&texts, 7, 'a', 5000), i > 0);
        assert_false(see(&texts, 7, 'b', 5000));
        assert_int_equal(see(&texts, 7, 'a', 4000), i > 0);
    }
    spool_texts_free(&texts);
}

static void what_is_in_memory_no_more_is_written_again(void **state)
{
    struct spool_texts texts;
    (void)state;
    spool_texts_init(&texts);
    assert_false(see(&texts, 1, 'a', 2000));
    for (uint64_t i = 2; i < 1000; i++)
        assert_false(see(&texts, i, 'b', 2000)); /* 2 MB seen once */
    assert_true(texts.once_bytes <= TEXTS_ONCE);
    assert_false(see(&texts, 1, 'a', 2000));
    for (uint64_t i = 2000; i < 8000; i++)
        assert_false(see(&texts, i, 'b', 2000));
    assert_true(see(&texts, 1, 'a', 2000)); /* seen more often: it stays longer */
    for (uint64_t i = 10; i < 40; i++)
        for (int times = 0; times < 3; times++)
            see(&texts, i, 'c', (size_t)1 << 20);
    assert_true(texts.shared_bytes <= TEXTS_SHARED);
    assert_false(see(&texts, 1, 'a', 2000));
    assert_true(see(&texts, 1, 'a', 2000));
    /* One that is larger than all that may be held is held as long as it is the last. */
    see(&texts, 9000, 'd', TEXTS_SHARED + 10000);
    assert_true(see(&texts, 9000, 'd', TEXTS_SHARED + 10000));
    assert_true(see(&texts, 9000, 'd', TEXTS_SHARED + 10000));
    assert_false(see(&texts, 1, 'a', 2000));
    assert_true(texts.shared_bytes <= TEXTS_SHARED);
    spool_texts_free(&texts);
}

/* Texts of one group drive each other out, but only the one that is missed least. */
static void a_full_group_keeps_what_is_in_memory(void **state)
{
    struct spool_texts texts;
    (void)state;
    spool_texts_init(&texts);
    see(&texts, 5, 'a', 2000);
    assert_true(see(&texts, 5, 'a', 2000));
    for (uint64_t i = 1; i < 100000; i++)
        see(&texts, 5 + i * 8192, 'b', 2000);
    assert_true(see(&texts, 5, 'a', 2000));
    spool_texts_free(&texts);
}

static void the_text_is_what_follows_the_first_empty_line(void **state)
{
    (void)state;
    assert_int_equal(mail_head_len("A: b\r\n\r\ntext\r\n\r\nmore", 20), 8);
    assert_int_equal(mail_head_len("A: b\r\n\r\n", 8), 8);
    assert_int_equal(mail_head_len("A: b\r\ntext", 10), 0);
    assert_int_equal(mail_head_len("\r\n\r", 3), 0);
    assert_int_equal(mail_head_len("", 0), 0);
}

#define spool_test(function) cmocka_unit_test_setup_teardown(function, setup, help_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        spool_test(one_text_is_written_once),
        spool_test(short_texts_stay_where_they_are),
        spool_test(each_segment_has_its_own),
        spool_test(a_text_outlives_its_frame),
        spool_test(what_was_not_read_at_the_start_is_whole),
        spool_test(a_damaged_text_is_told_once_and_fails_all_who_share_it),
        spool_test(in_an_older_segment_it_is_found_when_it_is_read),
        spool_test(a_text_that_a_crash_left_out_takes_its_frames_along),
        spool_test(a_damaged_text_before_a_clean_end_is_told_once),
        spool_test(what_is_behind_a_clean_end_is_cut_off),
        spool_test(a_text_that_was_on_the_disk_cuts_nobody_off),
        spool_test(a_text_that_was_not_on_the_disk_is_looked_at),
        spool_test(the_clean_end_is_that_of_its_segment),
        spool_test(a_closed_spool_knows_its_end),
        spool_test(what_refers_to_nowhere_is_damaged),
        spool_test(a_log_of_the_version_before_goes_on),
        cmocka_unit_test(an_equal_checksum_is_not_trusted),
        cmocka_unit_test(what_is_in_memory_no_more_is_written_again),
        cmocka_unit_test(a_full_group_keeps_what_is_in_memory),
        cmocka_unit_test(the_text_is_what_follows_the_first_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
