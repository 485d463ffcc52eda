/* A copy and its register: when it takes the spool over, when it may go. Guards 2, 3, 7 and 15 of the spool
 * protocol. */
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
    say_open(1, P, 1, 0);
    FRAMES(1, 1, 1, SEQ(1, 1), SEQ(1, 2));
    mirror_synced(scene.mirror, SEQ(1, 2));
    return 0;
}

static int end(void **state)
{
    (void)state;
    scene_end();
    return 0;
}

static void state_is(enum mirror_state state)
{
    assert_string_equal(mirror_state_name(mirror_state(scene.mirror)), mirror_state_name(state));
}

static void down(void)
{
    assert_string_equal(mirror_primary(scene.mirror), "p");
    mirror_verdict(scene.mirror, "p", true, scene.now);
}

static void later(usec_t by)
{
    scene.now += by;
    mirror_tick(scene.mirror, scene.now);
}

/* Serves what it asks, until it serves the spool. */
static void goes_through(void)
{
    fake_serve_all(&scene.client);
    assert_int_equal(scene.served, 1);
    state_is(MIRROR_SERVES);
    struct spool_register reg;
    scene_get(&reg);
    assert_string_equal(reg.disk, "disk-m");
    assert_string_equal(reg.node, "m");
    assert_true(spool_register_same(&reg, &scene.served_reg));
}

static void test_takes_over(void **state)
{
    (void)state;
    down();
    state_is(MIRROR_SEALING);
    assert_int_equal(fake_waiting(&scene.client), 0); /* guard 7: not before the note is on the disk */
    scene_noted();
    assert_true(scene.note.sealed == 1);
    state_is(MIRROR_SWAPPING);
    assert_int_equal(scene.served, 0);
    goes_through();
    assert_true(scene.served_reg.epoch == 2 && scene.served_reg.process == M);
    assert_string_equal(scene.served_reg.old, "disk-p");
    assert_string_equal(scene.served_reg.mirror, "");
    assert_true(scene.served_told == SEQ(1, 1));
    later(USEC_SEC);
    mirror_verdict(scene.mirror, "p", true, scene.now);
    scene_tell();
    assert_int_equal(scene.served, 1);
    assert_true(mirror_deadline(scene.mirror) == USEC_NEVER);
}

/* Guard 7: from the decision on nothing more is taken, and nothing is acknowledged. */
static void test_sealed_takes_nothing(void **state)
{
    (void)state;
    down();
    FRAMES(1, 1, 3, SEQ(1, 3));
    assert_int_equal(scene.answer.state, COPY_SEALED);
    LOG(SEQ(1, 1), SEQ(1, 2));
    scene_noted();
    FRAMES(1, 1, 3, SEQ(1, 3));
    assert_int_equal(scene.answer.state, COPY_SEALED);
    scene_restart(M + 1, 2); /* before the swap */
    say_ask(1);
    assert_int_equal(scene.answer.state, COPY_SEALED);
    say_open(1, P, 2, SEQ(1, 2));
    FRAMES(1, 2, 1, SEQ(1, 3));
    LOG(SEQ(1, 1), SEQ(1, 2));
}

/* Guard 3: who is primary takes nothing from anybody, whatever the epoch. */
static void test_primary_takes_nothing(void **state)
{
    (void)state;
    down();
    scene_noted();
    goes_through();
    FRAMES(2, 1, 3, SEQ(2, 1));
    assert_int_equal(scene.answer.state, COPY_SEALED);
    say_ask(3);
    assert_int_equal(scene.answer.state, COPY_SEALED);
    LOG(SEQ(1, 1), SEQ(1, 2));
    scene_put(3, "disk-q", "", "", P); /* whatever the register says later */
    scene_tell();
    say_ask(3);
    assert_int_equal(scene.answer.state, COPY_SEALED);
}

/* Guard 7: a crash between seal and swap; the verdict is not there any more. */
static void test_goes_on_after_a_crash(void **state)
{
    (void)state;
    down();
    scene_noted();
    scene_restart(M + 1, 2);
    state_is(MIRROR_FOLLOWS);
    scene_tell();
    state_is(MIRROR_SWAPPING);
    goes_through();
    assert_true(scene.served_reg.process == M + 1);
}

static void test_verdict_taken_back(void **state)
{
    (void)state;
    down();
    mirror_verdict(scene.mirror, "p", false, scene.now);
    scene_noted();
    goes_through();
}

static void test_note_not_written(void **state)
{
    (void)state;
    down();
    scene_restart(M + 1, 2);
    scene_tell();
    state_is(MIRROR_FOLLOWS);
    assert_int_equal(fake_waiting(&scene.client), 0);
}

/* Guard 7: the swap is lost to a restarted primary: epochs above the sealed one are followed, that one is not. */
static void test_swap_lost(void **state)
{
    (void)state;
    down();
    scene_noted();
    mirror_verdict(scene.mirror, "p", false, scene.now);
    scene_put(2, "disk-p", "disk-m", "", P);
    fake_serve_all(&scene.client);
    assert_int_equal(scene.served, 0);
    state_is(MIRROR_FOLLOWS);
    say_ask(1);
    assert_int_equal(scene.answer.state, COPY_SEALED);
    say_ask(2);
    say_open(2, P, 2, SEQ(1, 2));
    FRAMES(2, 2, 1, SEQ(2, 1));
    LOG(SEQ(1, 1), SEQ(1, 2), SEQ(2, 1));
    assert_int_equal(scene.answer.state, COPY_FOLLOWS);
    down();
    scene_noted();
    assert_true(scene.note.sealed == 2);
    goes_through();
    assert_true(scene.served_reg.epoch == 3);
}

/* Severed while it was sealing: it is `old` now, and takes nothing over. */
static void test_severed_first(void **state)
{
    (void)state;
    down();
    scene_put(2, "disk-p", "", "disk-m", P);
    scene_noted();
    fake_serve_all(&scene.client);
    assert_int_equal(scene.served, 0);
    state_is(MIRROR_FOLLOWS);
    struct spool_register reg;
    scene_get(&reg);
    assert_true(reg.epoch == 2);
}

static void test_no_answer(void **state)
{
    (void)state;
    static const enum fate fates[] = {FATE_UNANSWERED, FATE_LOST, FATE_REFUSED, FATE_LATE_LATER};
    down();
    scene_noted();
    for (int tries = 0; tries < 3; tries++) {
        fake_serve(&scene.client, fates[1 + tries]);
        assert_int_equal(fake_waiting(&scene.client), 0);
        assert_true(mirror_deadline(scene.mirror) == scene.now + MIRROR_AGAIN);
        later(MIRROR_AGAIN);
        assert_int_equal(fake_verb(&scene.client), KV_RANGE);
        fake_serve(&scene.client, FATE_DONE);
        state_is(MIRROR_SWAPPING);
    }
    assert_int_equal(scene.served, 0);
    fake_serve(&scene.client, fates[0]);
    fake_happen_late(&scene.client);
    assert_int_equal(scene.served, 0);
    later(MIRROR_AGAIN);
    goes_through();
    assert_true(scene.served_reg.epoch == 2);
}

/* Guard 2: a copy is its disk, not its node's name. */
static void test_another_disk_of_this_node(void **state)
{
    (void)state;
    scene_put(2, "disk-p", "disk-m2", "", P);
    scene_tell();
    down();
    state_is(MIRROR_FOLLOWS);
    assert_false(scene.is_noting);
    assert_int_equal(fake_waiting(&scene.client), 0);
}

static void test_another_node_is_down(void **state)
{
    (void)state;
    mirror_verdict(scene.mirror, "q", true, scene.now);
    assert_false(scene.is_noting);
    down();
    assert_true(scene.is_noting);
}

/* The stream knows of an epoch that the register, as it was read, does not: nothing is sealed on old news. */
static void test_old_news(void **state)
{
    (void)state;
    FRAMES(2, 1, 3, SEQ(2, 1));
    scene_noted();
    down();
    assert_false(scene.is_noting);
    scene_put(2, "disk-p", "", "disk-m", P);
    later(MIRROR_AGAIN);
    fake_serve_all(&scene.client);
    assert_false(scene.is_noting);
    scene_put(3, "disk-p", "disk-m", "", P);
    scene_tell();
    assert_true(scene.is_noting && scene.noting.sealed == 3);
}

/* Another store in the place of the one that was: its revisions begin anew, and its register may be of long ago. What
 * is asked of the former one is not believed. */
static void test_another_store(void **state)
{
    (void)state;
    down();
    scene_noted();
    state_is(MIRROR_SWAPPING);
    scene.store.history = 7; /* the answer is of that one */
    scene.store.revision = 1;
    scene_put(1, "disk-p", "disk-m", "", P);
    fake_serve(&scene.client, FATE_DONE);
    assert_int_equal(scene.served, 0);
    scene_tell();
    goes_through();
    assert_int_equal(scene.served, 1);
    assert_true(scene.served_reg.epoch == 2);
}

static void test_handed_over(void **state)
{
    (void)state;
    scene_put(2, "disk-m", "", "disk-p", M);
    scene_tell();
    state_is(MIRROR_SEALING); /* none of this copy's swaps came before: its epoch is sealed first */
    assert_int_equal(scene.served, 0);
    FRAMES(1, 1, 3, SEQ(1, 3));
    assert_int_equal(scene.answer.state, COPY_SEALED);
    say_ask(5);
    assert_int_equal(scene.answer.state, COPY_SEALED);
    scene_noted();
    goes_through();
    assert_true(scene.served_reg.epoch == 2);
}

/* Handed over while an OPEN waits for its note: that stream does not begin. */
static void test_handed_over_while_opening(void **state)
{
    (void)state;
    struct copy_header header = {.verb = COPY_OPEN,
        .epoch = 2,
        .process = P + 1,
        .stream = 1,
        .copy_process = M,
        .have = SEQ(1, 2),
        .cut_after = SEQ(1, 2)};
    say(&header, NULL, 0);
    scene_put(3, "disk-m", "", "disk-p", M);
    scene_tell();
    size_t answers = scene.answers;
    scene_noted();
    assert_int_equal(scene.answers, answers);
    scene_noted();
    goes_through();
}

/* A heir that starts again: a new process is a new epoch. */
static void test_heir_starts_again(void **state)
{
    (void)state;
    down();
    scene_noted();
    goes_through();
    scene.served = 0;
    scene_restart(M + 1, 2);
    scene_tell();
    scene_noted();
    goes_through();
    assert_true(scene.served_reg.epoch == 3 && scene.served_reg.process == M + 1);
    assert_string_equal(scene.served_reg.old, "disk-p");
}

/* What is deleted for ever is decided by the register as it is now. */
static void goes_when_read(void)
{
    assert_int_equal(scene.uselessed, 0);
    assert_int_equal(fake_verb(&scene.client), KV_RANGE);
    fake_serve(&scene.client, FATE_DONE);
    assert_int_equal(scene.uselessed, 1);
}

/* Guard 15: kept while nobody else has a second copy, whatever time passes. */
static void test_old_is_kept(void **state)
{
    (void)state;
    scene_put(2, "disk-p", "", "disk-m", P);
    scene_tell();
    later(100 * MIRROR_PATIENCE);
    assert_true(scene.uselessed == 0 && fake_waiting(&scene.client) == 0); /* nor is it thought of */
    scene_put(3, "disk-p", "", "disk-x", P);                               /* another one was severed since */
    scene_tell();
    later(100 * MIRROR_PATIENCE);
    assert_true(scene.uselessed == 0 && fake_waiting(&scene.client) == 0); /* nor is it thought of */
    scene_put(4, "disk-p", "disk-x", "disk-m", P);
    scene_tell();
    later(100 * MIRROR_PATIENCE);
    assert_true(scene.uselessed == 0 && fake_waiting(&scene.client) == 0); /* nor is it thought of */
    scene_put(5, "disk-p", "disk-x", "", P);
    scene_tell();
    goes_when_read();
    state_is(MIRROR_USELESS);
    later(MIRROR_PATIENCE);
    size_t answers = scene.answers;
    say_ask(5);
    assert_true(scene.uselessed == 1 && scene.answers == answers);
}

/* A word that came late, about another copy, or of one that the register names by now, is no reason to go. */
static void test_makes_room(void **state)
{
    (void)state;
    say_anew(1, "disk-m"); /* it is the mirror */
    assert_int_equal(scene.outdated, 0);
    say_anew(2, "disk-m"); /* and the primary knows more than we do */
    assert_int_equal(scene.outdated, 0);
    scene_put(2, "disk-p", "", "disk-m", P);
    scene_tell();
    say_anew(2, "disk-x");
    assert_int_equal(scene.outdated, 0);
    say_anew(3, "disk-m");
    assert_int_equal(scene.outdated, 0);
    say_anew(2, "disk-m");
    assert_int_equal(scene.outdated, 1);
    say_anew(2, "disk-m"); /* its owner could not do it yet */
    assert_int_equal(scene.outdated, 2);
    scene_put(4, "disk-p", "disk-m", "", P);
    scene_tell();
    say_anew(2, "disk-m");
    assert_int_equal(scene.outdated, 2);
    scene_put(5, "disk-m", "", "disk-p", 0);
    scene_tell();
    say_anew(5, "disk-m");
    assert_int_equal(scene.outdated, 2);
}

/* A learner is in no register: it is kept while its primary speaks. */
static void test_learner_is_kept(void **state)
{
    (void)state;
    scene_put(2, "disk-p", "disk-x", "", P);
    scene_tell();
    for (int i = 0; i < 5; i++) {
        later(MIRROR_PATIENCE - 1);
        assert_int_equal(scene.uselessed, 0);
        say_ask(2);
        assert_true(mirror_deadline(scene.mirror) == scene.now + MIRROR_PATIENCE);
    }
    later(MIRROR_PATIENCE);
    goes_when_read();
}

/* Its watch stands still while it is taken in: it asks before it goes, and again for as long as nobody answers. */
static void test_old_news_delete_nothing(void **state)
{
    (void)state;
    scene_put(2, "disk-p", "disk-x", "", P);
    scene_tell();
    scene_put(3, "disk-p", "disk-m", "", P);
    later(MIRROR_PATIENCE);
    for (int tries = 0; tries < 3; tries++) {
        assert_int_equal(scene.uselessed, 0);
        assert_int_equal(fake_verb(&scene.client), KV_RANGE);
        fake_serve(&scene.client, FATE_LOST);
        later(MIRROR_AGAIN);
    }
    fake_serve(&scene.client, FATE_DONE);
    later(100 * MIRROR_PATIENCE);
    assert_int_equal(scene.uselessed, 0);
    assert_int_equal(fake_waiting(&scene.client), 0);
}

/* A register that is gone: retired, or a store that lost it. Nothing goes, nothing is taken over. */
static void test_register_gone(void **state)
{
    (void)state;
    fake_put(&scene.store, KEY, NULL, 0);
    struct kv_pair gone = {.key = KEY, .revision = scene.store.revision, .deleted = true};
    struct kv_news news = {
        .type = KV_CHANGES, .pairs = &gone, .pair_count = 1, .revision = scene.store.revision};
    unsigned notices = scene.notices;
    mirror_register_news(scene.mirror, &news, scene.now);
    mirror_verdict(scene.mirror, "p", true, scene.now);
    later(100 * MIRROR_PATIENCE);
    assert_true(scene.uselessed == 0 && scene.served == 0 && !scene.is_noting);
    assert_int_equal(scene.notices, notices + 1);
    assert_string_equal(mirror_primary(scene.mirror), "");
}

/* Nobody needs a copy of a spool that is retired: also the one that is its primary, or was. */
static void test_retired(void **state)
{
    (void)state;
    struct spool_register reg, next;
    struct error error;
    struct buffer text = {0};
    scene_get(&reg);
    assert_int_equal(spool_register_retire(&reg, reg.disk, reg.process, &next, &error), 0);
    spool_register_write(&next, &text);
    fake_put(&scene.store, KEY, buffer_text(&text), 0);
    buffer_free(&text);
    scene_tell();
    mirror_verdict(scene.mirror, "p", true, scene.now);
    state_is(MIRROR_USELESS);
    assert_true(scene.uselessed == 1 && scene.served == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_takes_over),
        TEST(test_sealed_takes_nothing),
        TEST(test_primary_takes_nothing),
        TEST(test_goes_on_after_a_crash),
        TEST(test_verdict_taken_back),
        TEST(test_note_not_written),
        TEST(test_swap_lost),
        TEST(test_severed_first),
        TEST(test_no_answer),
        TEST(test_another_disk_of_this_node),
        TEST(test_another_node_is_down),
        TEST(test_old_news),
        TEST(test_another_store),
        TEST(test_handed_over),
        TEST(test_handed_over_while_opening),
        TEST(test_heir_starts_again),
        TEST(test_old_is_kept),
        TEST(test_makes_room),
        TEST(test_learner_is_kept),
        TEST(test_old_news_delete_nothing),
        TEST(test_register_gone),
        TEST(test_retired),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
