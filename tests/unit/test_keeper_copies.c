/* Copies of a spool on a real disk, written by the real core of their primary: they are there after a kill at any
 * moment, go when nobody needs them, and are given up when they can't be trusted. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "keeper_copies_help.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STORMS 3
#else
#define STORMS 6
#endif

static int set_up(void **state)
{
    *state = copy_world(1);
    return 0;
}

static int tear_down(void **state)
{
    copy_world_free(*state);
    return 0;
}

static void start(struct copy_world *w)
{
    p_start(w);
    m_start(w);
    until_paired(w);
}

static void a_copy_is_begun_and_follows(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    char path[256];
    start(w);
    m_path(w, "p.0", path);
    for (int i = 0; i < 10; i++) {
        p_append(w, 50);
        p_end_some(w, 30);
        until_paired(w);
    }
    struct keeper_copies_figures figures = keeper_copies_figures(w->copies);
    assert_int_equal(figures.count, 1);
    assert_int_equal(figures.ill, 0);
    assert_true(figures.bytes > 100000 && figures.living > 200);
    read_register(w, &reg);
    assert_string_equal(reg.mirror_node, "m");
    assert_int_equal(w->claimed, w->frames[w->count - 1].seq);
    m_stop(w);
    assert_int_equal(check_disk(w, path), w->count);
}

/* A start reads what is there; only what is missing is sent. */
static void a_copy_goes_on_after_a_restart(void **state)
{
    struct copy_world *w = *state;
    char path[256];
    start(w);
    p_append(w, 400);
    until_paired(w);
    m_stop(w);
    p_append(w, 5);
    p_sync(w);
    uint64_t before = w->copied_bytes;
    m_start(w);
    until_paired(w);
    assert_true(w->copied_bytes - before < 30000);
    m_stop(w);
    m_path(w, "p.0", path);
    assert_int_equal(check_disk(w, path), w->count);
}

/* What died while the copy was away is not kept for ever; what lives stays, wherever it stands. */
static void the_dead_go(void **state)
{
    struct copy_world *w = *state;
    char path[256];
    m_path(w, "p.0", path);
    start(w);
    p_append(w, 500);
    until_paired(w);
    uint64_t all = keeper_copies_figures(w->copies).bytes;
    m_stop(w);
    p_end_all_but(w, 10);
    p_append(w, 50);
    p_sync(w);
    for (int i = 0; i < 200 && (p_figures(w).paired || !w->frames[0].released); i++)
        turns(w, USEC_SEC / 20); /* it is severed, and what is done goes without it */
    assert_true(w->frames[0].released);
    m_start(w);
    until_paired(w);
    turns(w, USEC_SEC / 5);
    assert_int_equal(keeper_copies_figures(w->copies).living, 51);
    m_stop(w);
    check_disk(w, path);
    m_start(w);
    p_end_all_but(w, SIZE_MAX);
    until_paired(w);
    turns(w, USEC_SEC / 5);
    assert_int_equal(keeper_copies_figures(w->copies).living, 0);
    assert_true(keeper_copies_figures(w->copies).bytes < all / 2);
}

static bool asks(struct copy_world *w, const char *from, const char *spool, uint64_t process)
{
    struct bus_msg *msg = bus_msg_new(BUS_COPY, from, "m");
    struct copy_header header = {.verb = COPY_ASK, .epoch = 1, .process = process};
    struct buffer out = {0};
    size_t len;
    snprintf(msg->spool, sizeof msg->spool, "%s", spool);
    copy_header_add(&header, &out);
    char *bytes = buffer_steal(&out, &len);
    msg->body = blob_take(bytes, len);
    assert_true(keeper_copies_message(w->copies, msg, clock_now()));
    bus_msg_free(&msg);
    return keeper_copies_figures(w->copies).count > 0;
}

static void no_stranger_begins_one(void **state)
{
    struct copy_world *w = *state;
    m_start(w);
    copy_view(w, false);
    assert_false(asks(w, "p", "p.1", w->p_process));
    assert_false(asks(w, "q", "p.0", w->p_process));
    assert_false(asks(w, "m", "m.0", w->m_process));
    assert_false(asks(w, "p", "p.0", w->p_process + 1));
    assert_false(asks(w, "p", "../p.0", w->p_process));
    struct bus_msg *other = bus_msg_new(BUS_INJECT, "p", "m");
    assert_false(keeper_copies_message(w->copies, other, clock_now()));
    bus_msg_free(&other);
    assert_false(is_there(w->dir));
    assert_true(asks(w, "p", "p.0", w->p_process));
}

/* No room: none is begun; one that there is says that it is full, and the primary goes on alone. */
static void a_full_disk(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    start(w);
    p_append(w, 20);
    until_paired(w);
    m_stop(w);
    w->reserve = (uint64_t)1 << 60;
    m_start(w);
    for (int i = 0; i < 200 && p_figures(w).paired; i++)
        turns(w, USEC_SEC / 20);
    read_register(w, &reg);
    assert_string_equal(reg.mirror, "");
    assert_int_not_equal(reg.old[0], 0);
    assert_int_equal(keeper_copies_figures(w->copies).ill, 1);
    assert_int_equal(keeper_copies_figures(w->copies).count, 1);
    m_stop(w);
    w->reserve = 1 << 20;
    m_start(w);
    until_paired(w);
}

static void nothing_is_begun_on_a_full_disk(void **state)
{
    struct copy_world *w = *state;
    w->reserve = (uint64_t)1 << 60;
    p_start(w);
    m_start(w);
    turns(w, USEC_SEC / 2);
    assert_int_equal(keeper_copies_figures(w->copies).count, 0);
    assert_false(is_there(w->dir));
}

static void until_another_mirror(struct copy_world *w, const struct spool_register *before)
{
    struct spool_register reg;
    for (int i = 0; i < 500; i++) {
        read_register(w, &reg);
        if (reg.mirror[0] != '\0' && strcmp(reg.mirror, before->mirror) != 0)
            return;
        turns(w, USEC_SEC / 50);
    }
    fail_msg("the mirror is still %s", reg.mirror);
}

/* A copy that has lost its memory is set aside, and another one begun on what is another disk. */
static void a_torn_note(void **state)
{
    struct copy_world *w = *state;
    struct spool_register before;
    char path[256], note[300], aside[300];
    start(w);
    p_append(w, 100);
    until_paired(w);
    read_register(w, &before);
    m_stop(w);
    m_path(w, "p.0", path);
    snprintf(note, sizeof note, "%s/note", path);
    assert_int_equal(truncate(note, 20), 0);
    m_start(w);
    until_another_mirror(w, &before);
    until_paired(w);
    snprintf(aside, sizeof aside, "%s~1/disk", path);
    assert_true(is_there(aside));
    assert_int_equal(keeper_copies_figures(w->copies).count, 1);
    m_stop(w);
    assert_int_equal(check_disk(w, path), w->count);
    m_start(w); /* what was set aside is nobody's */
    until_paired(w);
    assert_int_equal(keeper_copies_figures(w->copies).count, 1);
}

/* A damaged one is kept as long as the register names it: most of the mail is in it. */
static void a_damaged_copy_is_made_anew(void **state)
{
    struct copy_world *w = *state;
    struct spool_register before;
    char path[256], segment[300], aside[300];
    start(w);
    p_append(w, 200);
    until_paired(w);
    read_register(w, &before);
    m_stop(w);
    m_path(w, "p.0", path);
    snprintf(segment, sizeof segment, "%s/0000000000000001.seg", path);
    flip(segment, 64);
    m_start(w);
    until_another_mirror(w, &before);
    until_paired(w);
    snprintf(aside, sizeof aside, "%s~1/0000000000000001.seg", path);
    assert_true(is_there(aside));
    m_stop(w);
    assert_int_equal(check_disk(w, path), w->count);
}

static void a_directory_that_is_taken_away(void **state)
{
    struct copy_world *w = *state;
    struct spool_register before;
    char path[256], elsewhere[300];
    start(w);
    p_append(w, 100);
    until_paired(w);
    read_register(w, &before);
    m_path(w, "p.0", path);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", w->root);
    assert_int_equal(rename(path, elsewhere), 0);
    p_append(w, 10);
    until_another_mirror(w, &before);
    p_append(w, 10);
    until_paired(w);
    m_stop(w);
    check_disk(w, path);
}

static void put_register(struct copy_world *w, const struct spool_register *reg)
{
    struct buffer text = {0};
    struct error error;
    spool_register_write(reg, &text);
    struct kv_change change = {.key = COPY_KEY, .value = buffer_bytes(&text), .len = buffer_len(&text)};
    assert_int_equal(kv_transact(&w->kv, NULL, 0, &change, 1, &error), KV_DONE);
    buffer_free(&text);
}

static void what_is_useless_goes(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    char path[256], strange[300];
    start(w);
    p_append(w, 100);
    until_paired(w);
    m_path(w, "p.0", path);
    read_register(w, &reg);
    reg.retired = true;
    reg.epoch++;
    reg.mirror[0] = reg.old[0] = '\0';
    p_crash(w);
    put_register(w, &reg);
    for (int i = 0; i < 500 && keeper_copies_figures(w->copies).count > 0; i++)
        turns(w, USEC_SEC / 50);
    assert_int_equal(keeper_copies_figures(w->copies).count, 0);
    assert_false(is_there(path));
    assert_int_equal(count_dirs(w), 0);
    m_stop(w);
    /* A crash on the way: the rest goes at the next start, but for what is not ours. */
    snprintf(strange, sizeof strange, "%s~useless", path);
    assert_int_equal(mkdir(strange, 0700), 0);
    snprintf(strange, sizeof strange, "%s~useless/note", path);
    fclose(fopen(strange, "we"));
    m_start(w);
    assert_int_equal(count_dirs(w), 0);
}

/* The text of the file `disk`. */
static bool spool_disk_of(const char *file, char text_r[DISK_ID_SIZE + 64])
{
    FILE *in = fopen(file, "re");
    size_t len = in == NULL ? 0 : fread(text_r, 1, DISK_ID_SIZE + 63, in);
    text_r[len] = '\0';
    if (in != NULL)
        fclose(in);
    return len > 0;
}

/* A node with the copy was away, and the primary has tidied away what it lacks; there is no other node. */
static void outdate(struct copy_world *w, char disk_r[DISK_ID_SIZE])
{
    struct spool_register reg;
    start(w);
    p_append(w, 100);
    until_paired(w);
    read_register(w, &reg);
    memcpy(disk_r, reg.mirror, DISK_ID_SIZE);
    m_stop(w);
    p_append(w, 50);
    p_sync(w);
    for (int i = 0; i < 500 && reg.mirror[0] != '\0'; i++) {
        turns(w, USEC_SEC / 50);
        read_register(w, &reg);
    }
    assert_string_equal(reg.old, disk_r);
    w->gone = w->frames[w->count - 1].seq;
}

static void until_there(struct copy_world *w, const char *path)
{
    for (int i = 0; i < 500 && !is_there(path); i++)
        turns(w, USEC_SEC / 50);
    assert_true(is_there(path));
}

static void an_outdated_copy_makes_room(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    char disk[DISK_ID_SIZE], path[256], old[256];
    outdate(w, disk);
    m_start(w);
    until_paired(w);
    read_register(w, &reg);
    assert_string_not_equal(reg.mirror, disk);
    m_path(w, "p.0", path);
    m_path(w, "p.0~old", old);
    assert_true(is_there(old) && count_dirs(w) == 2); /* until it was unnamed for a minute */
    m_stop(w);
    check_disk(w, path);
    m_start(w);
    until_paired(w);
    assert_int_equal(keeper_copies_figures(w->copies).count, 2);
    read_register(w, &reg);
    reg.retired = true;
    reg.epoch++;
    p_crash(w);
    put_register(w, &reg);
    for (int i = 0; i < 500 && keeper_copies_figures(w->copies).count > 0; i++)
        turns(w, USEC_SEC / 50);
    assert_int_equal(count_dirs(w), 0);
}

/* The primary is lost before the other copy is complete: what made room is the last resort, whatever stands beside it. A
 * learner that was not complete, and is outdated itself, does not push it out. */
static void what_made_room_is_the_last_resort(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    char disk[DISK_ID_SIZE], fresh[300], old[256], learner[DISK_ID_SIZE + 64];
    outdate(w, disk);
    copies_all_attempts_logged(w->core, false, clock_now()); /* so that no learner is taken in */
    m_start(w);
    m_path(w, "p.0~old", old);
    m_path(w, "p.0/disk", fresh);
    until_there(w, old);
    until_there(w, fresh);
    turns(w, USEC_SEC / 2);
    assert_true(spool_disk_of(fresh, learner));
    m_stop(w);
    p_append(w, 50);
    p_sync(w);
    turns(w, USEC_SEC / 20);
    w->gone = w->frames[w->count - 1].seq;
    m_start(w);
    for (int i = 0; i < 500; i++) {
        char now[DISK_ID_SIZE + 64];
        turns(w, USEC_SEC / 50);
        if (spool_disk_of(fresh, now) && strcmp(now, learner) != 0)
            break;
        assert_true(i < 499);
    }
    assert_true(is_there(old) && count_dirs(w) == 2);
    p_crash(w);
    read_register(w, &reg);
    assert_string_equal(reg.old, disk);
    struct spool_register next;
    struct error error;
    assert_int_equal(spool_register_revive(&reg, disk, "m", "root at host", &next, &error), 0);
    put_register(w, &next);
    until_served(w);
    assert_string_equal(w->taken_dir, old);
    assert_string_equal(w->taken.reg.disk, disk);
    assert_int_equal(w->taken.reg.revived, next.epoch);
    keeper_copies_retired(w->copies, "p.0");
    for (int i = 0; i < 500 && is_there(old); i++)
        turns(w, USEC_SEC / 50);
    assert_false(is_there(old));
}

static void a_dead_nodes_spool_is_taken_over(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    char path[256];
    w->takes_over = true;
    start(w);
    p_append(w, 200);
    p_end_some(w, 60);
    until_paired(w);
    copy_view(w, true);
    until_served(w);
    read_register(w, &reg);
    m_path(w, "p.0", path);
    assert_string_equal(reg.node, "m");
    assert_int_equal(reg.process, w->m_process);
    assert_string_equal(w->taken_spool, "p.0");
    assert_string_equal(w->taken_dir, path);
    assert_int_equal(w->taken.reg.epoch, reg.epoch);
    assert_int_equal(w->taken_note.sealed + 1, reg.epoch);
    turns(w, USEC_SEC / 5);
    assert_int_equal(w->deposed, 1);
    check_disk(w, path); /* it is closed */
    /* Killed as a heir: it goes on as one. */
    m_stop(w);
    w->served = 0;
    m_start(w);
    until_served(w);
    read_register(w, &reg);
    assert_int_equal(reg.process, w->m_process);
    keeper_copies_retired(w->copies, "p.0");
    for (int i = 0; i < 500 && keeper_copies_figures(w->copies).count > 0; i++)
        turns(w, USEC_SEC / 50);
    assert_int_equal(keeper_copies_figures(w->copies).count, 0);
    assert_int_equal(count_dirs(w), 0);
}

static void no_verdict_counts_before_it_may(void **state)
{
    struct copy_world *w = *state;
    struct spool_register reg;
    start(w);
    copy_view(w, true);
    turns(w, USEC_SEC / 2);
    read_register(w, &reg);
    assert_string_equal(reg.node, "p");
    assert_int_equal(w->served, 0);
}

/* ---- kills at any moment ---- */

static void storm_step(struct copy_world *w, char path[256])
{
    uint64_t what = random_below(&w->random, 100);
    if (what < 40) {
        p_append(w, (size_t)random_below(&w->random, 20));
    } else if (what < 60) {
        p_end_some(w, (size_t)random_below(&w->random, 20));
    } else if (what < 80) {
        p_sync(w);
    } else if (what < 83) {
        m_kill(w);
        struct spool_register reg;
        read_register(w, &reg);
        if (reg.mirror[0] != '\0')
            check_disk(w, path);
        m_start(w);
    } else if (what < 86) {
        p_crash(w);
        p_start(w);
    }
    for (uint64_t i = random_below(&w->random, 20); i-- > 0;)
        turn(w);
}

static void nothing_is_lost_by_kills(void **state)
{
    (void)state;
    const char *wanted = getenv("STORM_SEED");
    uint64_t first = wanted == NULL ? 1 : strtoull(wanted, NULL, 10);
    for (uint64_t seed = first; seed < first + (wanted == NULL ? STORMS : 1); seed++) {
        struct copy_world *w = copy_world(seed);
        char path[256];
        m_path(w, "p.0", path);
        w->loss = seed % 2 == 0 ? 10 : 0;
        start(w);
        for (int i = 0; i < 150; i++)
            storm_step(w, path);
        w->loss = 0;
        until_paired(w);
        m_stop(w);
        check_disk(w, path);
        copy_world_free(w);
    }
}

#define world_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        world_test(a_copy_is_begun_and_follows),
        world_test(a_copy_goes_on_after_a_restart),
        world_test(the_dead_go),
        world_test(no_stranger_begins_one),
        world_test(a_full_disk),
        world_test(nothing_is_begun_on_a_full_disk),
        world_test(a_torn_note),
        world_test(a_damaged_copy_is_made_anew),
        world_test(a_directory_that_is_taken_away),
        world_test(what_is_useless_goes),
        world_test(an_outdated_copy_makes_room),
        world_test(what_made_room_is_the_last_resort),
        world_test(a_dead_nodes_spool_is_taken_over),
        world_test(no_verdict_counts_before_it_may),
        cmocka_unit_test(nothing_is_lost_by_kills),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
