/* The copy's end of the stream: what is taken, what is cut, what is said. Guards 3 and 4 of the spool protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mirror_help.h"

static int begin(void **state)
{
    (void)state;
    scene_begin();
    say_ask(1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end();
    return 0;
}

static void test_follows(void **state)
{
    (void)state;
    assert_int_equal(scene.answer.state, COPY_FOLLOWS);
    assert_string_equal(scene.answer.disk, "disk-m");
    assert_true(scene.answer.copy_process == M && scene.answer.last_seq == 0 && scene.answer.stream == 0);
    say_open(1, P, 1, 0);
    assert_true(scene.answer.stream == 1 && scene.answer.process == P && scene.answer.epoch == 1);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    assert_true(scene.answer.taken == 2 && scene.answer.durable == 0);
    assert_true(scene.answer.last_seq == SEQ(1, 2));
    mirror_synced(scene.mirror, SEQ(1, 1));
    assert_true(scene.answer.durable == SEQ(1, 1) && scene.answer_ref == 0);
    mirror_synced(scene.mirror, SEQ(1, 2));
    assert_true(scene.answer.durable == SEQ(1, 2));
    size_t answers = scene.answers;
    mirror_synced(scene.mirror, SEQ(1, 2));
    assert_int_equal(scene.answers, answers);
    LOG(SEQ(1, 1), SEQ(1, 2));
}

/* Lost, doubled and overtaken messages: entries are taken in order, once. */
static void test_gaps_and_doubles(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 3, SEQ(1, 3));
    assert_true(scene.answer.taken == 0 && scene.count == 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    FRAMES(1, 1, 2, SEQ(1, 2), SEQ(1, 3), SEQ(1, 4));
    assert_int_equal(scene.answer.taken, 4);
    LOG(SEQ(1, 1), SEQ(1, 2), SEQ(1, 3), SEQ(1, 4));
    say_open(1, P, 1, 0); /* doubled */
    assert_int_equal(scene.answer.taken, 4);
}

static void test_releases_and_living(void **state)
{
    (void)state;
    uint64_t two = SEQ(1, 2);
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2), SEQ(1, 3));
    say_entry(1, 1, 4, &(struct copy_entry){.kind = COPY_RELEASE, .frame.seq = SEQ(1, 1)});
    assert_true(!is_live(SEQ(1, 1)) && is_live(SEQ(1, 2)));
    say_open(1, P, 2, SEQ(1, 3));
    say_entry(
        1, 2, 1, &(struct copy_entry){.kind = COPY_LIVING, .upto = two, .living = &two, .living_count = 1});
    assert_true(is_live(SEQ(1, 2)) && is_live(SEQ(1, 3)));
    say_entry(
        1, 2, 2, &(struct copy_entry){.kind = COPY_LIVING, .after = two, .upto = SEQ(1, 3), .last = true});
    assert_true(is_live(SEQ(1, 2)) && !is_live(SEQ(1, 3)));
    assert_int_equal(scene.answer.taken, 2);
}

/* What no sane primary says ends the stream, and takes nothing. */
static void broken(uint64_t first, const struct copy_entry *entry)
{
    size_t count = scene.count;
    unsigned notices = scene.notices;
    say_entry(1, 1, first, entry);
    assert_int_equal(scene.answer.state, COPY_NOT_NOW);
    assert_int_equal(scene.answer.stream, 0);
    assert_int_equal(scene.count, count);
    assert_int_equal(scene.notices, notices + 1);
}

static void test_broken_entries(void **state)
{
    (void)state;
    static const struct copy_entry bad[] = {
        {.kind = COPY_FRAME, .frame = {.seq = SEQ(1, 2), .record = "r", .len = 1}},
        {.kind = COPY_FRAME, .frame = {.seq = SEQ(2, 1), .record = "r", .len = 1}},
        {.kind = COPY_RELEASE, .frame.seq = SEQ(1, 3)},
        {.kind = COPY_LIVING, .after = 1, .upto = 2},
        {.kind = COPY_LIVING, .upto = SEQ(1, 3)},
        {.kind = COPY_LIVING, .upto = 1, .last = true},
    };
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scene_restart(M + 1 + i, 2);
        say_ask(1);
        say_open(1, P, 1, SEQ(1, 2));
        broken(1, &bad[i]);
    }
}

static void test_counts_must_hold(void **state)
{
    (void)state;
    struct copy_entry entries[2] = {
        {.kind = COPY_FRAME, .frame = {.seq = SEQ(1, 1), .record = "r", .len = 1}},
        {.kind = COPY_FRAME, .frame = {.seq = SEQ(1, 2), .record = "r", .len = 1}}};
    struct copy_header header = {
        .verb = COPY_STREAM, .epoch = 1, .process = P, .stream = 1, .first = 1, .count = 1};
    say_open(1, P, 1, 0);
    say(&header, entries, 2);
    assert_int_equal(scene.answer.state, COPY_NOT_NOW);
    LOG(SEQ(1, 1));
    say_ask(1);
    say_open(1, P, 2, SEQ(1, 1));
    header.stream = 2;
    header.count = 2;
    say(&header, entries + 1, 1);
    assert_int_equal(scene.answer.state, COPY_NOT_NOW);
    LOG(SEQ(1, 1), SEQ(1, 2));
}

/* Guard 3: an older epoch is not taken, not by a process that has forgotten it either; a newer one only when it
 * is on the disk. */
static void test_epochs(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1));
    FRAMES(2, 1, 2, SEQ(2, 1));
    assert_true(scene.is_noting && scene.count == 1); /* not yet */
    assert_int_equal(scene.answer.epoch, 1);
    FRAMES(2, 1, 2, SEQ(2, 1));
    assert_int_equal(scene.count, 1);
    scene_noted();
    assert_true(scene.answer.epoch == 2 && scene.note.newest == 2);
    FRAMES(2, 1, 2, SEQ(2, 1));
    FRAMES(1, 1, 3, SEQ(1, 2)); /* frozen since epoch 1 */
    assert_true(scene.answer.state == COPY_NOT_NOW && scene.answer.taken == 2);
    LOG(SEQ(1, 1), SEQ(2, 1));
    scene_restart(M + 1, 1);
    say_ask(2);
    say_open(1, P, 3, SEQ(1, 1));
    assert_true(scene.answer.state == COPY_NOT_NOW && scene.answer.stream == 0);
    FRAMES(1, 3, 1, SEQ(1, 2));
    LOG(SEQ(1, 1));
}

/* A newer epoch that was not noted when the node ended: an older one may still come, and is the primary's affair;
 * but nothing of the newer one was taken. */
static void test_epoch_not_noted(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    FRAMES(2, 1, 1, SEQ(2, 1));
    scene_restart(M + 1, 0);
    assert_int_equal(scene.count, 0);
    say_ask(1);
    assert_true(scene.answer.newest == 1 && scene.answer.state == COPY_FOLLOWS);
}

/* Guard 4: the restarted primary's log wins. */
static void test_cut(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2), SEQ(1, 3));
    mirror_synced(scene.mirror, SEQ(1, 2));
    struct copy_header header = {.verb = COPY_OPEN,
        .epoch = 2,
        .process = P + 1,
        .stream = 1,
        .copy_process = M,
        .have = SEQ(1, 3),
        .cut_after = SEQ(1, 1)};
    say(&header, NULL, 0);
    assert_true(scene.is_noting && scene.answer.epoch == 1); /* nothing is promised before the cut is noted */
    scene_noted();
    assert_true(scene.answer.last_seq == SEQ(1, 1) && scene.answer.durable == SEQ(1, 1));
    assert_true(scene.answer.epoch == 2 && scene.answer.taken == 0);
    assert_int_equal(scene.note.cut_count, 1);
    assert_true(mirror_note_is_cut(&scene.note, SEQ(1, 2)) && mirror_note_is_cut(&scene.note, SEQ(1, 3)));
    assert_false(mirror_note_is_cut(&scene.note, SEQ(1, 1)) || mirror_note_is_cut(&scene.note, SEQ(2, 1)));
    assert_true(is_live(SEQ(1, 1)) && !is_live(SEQ(1, 2)));
    mirror_synced(scene.mirror, SEQ(1, 3)); /* of the void end */
    assert_true(scene.answer.durable == SEQ(1, 1));
    scene_restart(M + 1, 3);
    say_ask(2);
    assert_true(scene.answer.last_seq == SEQ(1, 1));
}

/* A number that the copy ever had never comes again. */
static void test_number_twice(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    say_open(1, P, 2, SEQ(1, 1));
    say_entry(1, 2, 1,
        &(struct copy_entry){.kind = COPY_FRAME, .frame = {.seq = SEQ(1, 2), .record = "r", .len = 1}});
    assert_int_equal(scene.answer.state, COPY_NOT_NOW);
    LOG(SEQ(1, 1), SEQ(1, 2));
}

static void test_cuts_that_meet(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    say_open(1, P, 2, SEQ(1, 1));
    FRAMES(1, 2, 1, SEQ(1, 3));
    say_open(1, P, 3, SEQ(1, 1));
    assert_int_equal(scene.note.cut_count, 1);
    assert_true(scene.note.cuts[0].after == SEQ(1, 1) && scene.note.cuts[0].upto == SEQ(1, 3));
    for (unsigned i = 0; i < MIRROR_CUTS + 2; i++) {
        FRAMES(1, 3 + i, 1, SEQ(1, 10 + 2 * i), SEQ(1, 11 + 2 * i));
        say_open(1, P, 4 + i, SEQ(1, 10 + 2 * i));
    }
    assert_int_equal(scene.note.cut_count, MIRROR_CUTS);
    assert_int_equal(scene.answer.state, COPY_FAILED);
    assert_non_null(strstr(scene.answer.why, "take its directory away"));
}

/* An OPEN that is not for this process, or this end of the log, would cut what was acknowledged. */
static void test_late_opens(void **state)
{
    (void)state;
    struct copy_answer first = scene.answer;
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1));
    mirror_synced(scene.mirror, SEQ(1, 1));
    struct copy_answer second = scene.answer;
    scene.answer = first;
    say_open(1, P, 2, 0); /* from the answer before frame 1 */
    assert_true(scene.answer.state == COPY_NOT_NOW && scene.answer.stream == 1);
    scene_restart(M + 1, 1);
    scene.answer = second;
    say_open(1, P, 1, 0); /* doubled, to a process that has forgotten it */
    assert_true(scene.answer.state == COPY_NOT_NOW && scene.answer.last_seq == SEQ(1, 1));
    assert_int_equal(scene.note.cut_count, 0);
    say_open(1, P, 2, SEQ(1, 1));
    say_open(1, P, 1, SEQ(1, 1)); /* an older stream */
    assert_true(scene.answer.state == COPY_NOT_NOW && scene.answer.stream == 2);
    say_open(1, P + 1, 9, SEQ(1, 1)); /* another process of the same epoch */
    assert_true(scene.answer.state == COPY_NOT_NOW && scene.answer.stream == 2);
}

static void test_trouble(void **state)
{
    (void)state;
    say_open(1, P, 1, 0);
    mirror_trouble(scene.mirror, COPY_FULL, "90 MB are left");
    assert_int_equal(scene.answer.state, COPY_FULL);
    FRAMES(1, 1, 1, SEQ(1, 1));
    assert_int_equal(scene.count, 0);
    assert_string_equal(scene.answer.why, "90 MB are left");
    mirror_trouble(scene.mirror, COPY_FOLLOWS, NULL);
    assert_int_equal(scene.answer.state, COPY_FOLLOWS);
    FRAMES(1, 1, 1, SEQ(1, 1));
    LOG(SEQ(1, 1));
}

static void test_rubbish(void **state)
{
    (void)state;
    size_t answers = scene.answers;
    struct bus_msg *msg = bus_msg_new(BUS_COPY, "p", "m");
    mirror_message(scene.mirror, msg, scene.now);
    snprintf(msg->spool, sizeof msg->spool, "s");
    msg->body = blob_copy("rubbish", 7);
    mirror_message(scene.mirror, msg, scene.now);
    bus_msg_free(&msg);
    assert_int_equal(scene.answers, answers);
    assert_non_null(strstr(scene.notice, "can't read: 7 octets"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_follows),
        TEST(test_gaps_and_doubles),
        TEST(test_releases_and_living),
        TEST(test_broken_entries),
        TEST(test_counts_must_hold),
        TEST(test_epochs),
        TEST(test_epoch_not_noted),
        TEST(test_cut),
        TEST(test_number_twice),
        TEST(test_cuts_that_meet),
        TEST(test_late_opens),
        TEST(test_trouble),
        TEST(test_rubbish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
