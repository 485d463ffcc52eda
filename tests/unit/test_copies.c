/* The primary's end of a spool on two disks, before copies that do as they are told: what counts as committed,
 * and what is made of the register. Each guard of the protocol that it holds has a test here that fails without it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "copies_help.h"

static const struct spool_register alone = {
    .epoch = 4, .node = "n1", .incarnation = 2, .disk = "a", .old = "x", .process = 7};
static const struct spool_register paired = {.epoch = 4,
    .node = "n1",
    .incarnation = 2,
    .disk = "a",
    .mirror = "b",
    .mirror_node = "n2",
    .process = 7};

static struct copies_world *begin(const struct spool_register *reg)
{
    struct copies_world *w = copies_world(reg, 2);
    deliver(w);
    return w;
}

/* Guard 5: on our disk and on the mirror's. */
static void test_both_disks(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    append(w, AT(4, 1));
    assert_false(is_committed(w, AT(4, 1))); /* the mirror's word alone */
    copies_synced(w->copies, AT(4, 1), w->now);
    assert_true(is_committed(w, AT(4, 1)));
    w->peers[0].unsynced = true;
    append_synced(w, AT(4, 2));
    assert_int_equal(w->peers[0].last_seq, AT(4, 2)); /* it has it, but not on its disk */
    assert_false(is_committed(w, AT(4, 2)));
    w->peers[0].durable = AT(4, 2);
    say(w, &w->peers[0]);
    assert_true(is_committed(w, AT(4, 2)));
    assert_null(copies_shut(w->copies));
    copies_world_free(w);
}

static void test_alone(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    append(w, AT(4, 1));
    assert_false(is_committed(w, AT(4, 1)));
    copies_synced(w->copies, AT(4, 1), w->now);
    assert_true(is_committed(w, AT(4, 1)));
    assert_non_null(strstr(copies_shut(w->copies), "no second copy"));
    copies_world_free(w);
    w = copies_world(&alone, 1);
    assert_null(copies_shut(w->copies));
    copies_world_free(w);
}

/* Guard 3: what was acknowledged in an epoch says nothing in the next. */
static void test_new_epoch(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    struct spool_register next = paired;
    append(w, AT(4, 1)); /* acknowledged, not on our disk yet */
    w->peers[0].stays = true;
    next.epoch = 5;
    put_register(w, &next);
    assert_int_equal(w->epoch, 5);
    pass(w, COPIES_AGAIN);
    copies_synced(w->copies, AT(4, 1), w->now);
    assert_false(is_committed(w, AT(4, 1)));
    append_synced(w, AT(5, 1)); /* it takes it, and says so in the old epoch */
    assert_int_equal(w->peers[0].durable, AT(5, 1));
    assert_false(is_committed(w, AT(4, 1)));
    w->peers[0].stays = false;
    pass(w, 2 * COPIES_AGAIN);
    assert_true(is_committed(w, AT(5, 1)));
    copies_world_free(w);
}

/* Guard 2: a wiped copy is another disk, whatever it says. */
static void test_other_disk(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    copies_world_free(w);
    w = copies_world(&paired, 2);
    strcpy(w->peers[0].disk, "b2");
    append_synced(w, AT(4, 1));
    pass(w, USEC_SEC);
    assert_false(is_committed(w, AT(4, 1)));
    assert_int_equal(w->peers[0].stream, 0);
    serve(w, FATE_DONE);
    assert_string_equal(stands(w).mirror, "");
    assert_string_equal(stands(w).old, "b");
    assert_true(is_committed(w, AT(4, 1)));
    copies_want(w->copies, "n2", 20, w->now); /* and as what it is it may learn */
    pass(w, USEC_SEC);
    serve(w, FATE_DONE);
    assert_string_equal(stands(w).mirror, "b2");
    copies_world_free(w);
}

/* Guard 6: a learner is proposed when it has all, not before. */
static void test_learner_complete(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    append_synced(w, AT(4, 1));
    w->peers[0].unsynced = true;
    copies_want(w->copies, "n2", 20, w->now);
    pass(w, USEC_SEC);
    assert_int_equal(w->peers[0].last_seq, AT(4, 1));
    assert_int_equal(fake_waiting(&w->client), 0);
    w->peers[0].durable = AT(4, 1);
    say(w, &w->peers[0]);
    assert_int_equal(fake_waiting(&w->client), 1);
    serve(w, FATE_DONE);
    assert_string_equal(stands(w).mirror, "b");
    assert_string_equal(stands(w).mirror_node, "n2");
    assert_int_equal(stands(w).epoch, 5);
    assert_null(copies_shut(w->copies));
    copies_world_free(w);
}

static void test_attempts_first(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    copies_all_attempts_logged(w->copies, false, w->now);
    copies_want(w->copies, "n2", 20, w->now);
    pass(w, USEC_SEC);
    assert_int_equal(fake_waiting(&w->client), 0);
    copies_all_attempts_logged(w->copies, true, w->now);
    assert_int_equal(fake_waiting(&w->client), 1);
    copies_world_free(w);
}

/* Guard 5: from proposing a learner until it is known what became of that, its word counts. */
static void test_learner_counts(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    append_synced(w, AT(4, 1));
    copies_want(w->copies, "n2", 20, w->now);
    pass(w, USEC_SEC);
    assert_int_equal(fake_waiting(&w->client), 1);
    w->peers[0].unsynced = true;
    append_synced(w, AT(4, 2));
    assert_false(is_committed(w, AT(4, 2)));
    fake_serve(&w->client, FATE_LATE_LATER); /* nobody knows; it is on its way */
    pass(w, USEC_SEC / 2);
    fake_serve(&w->client, FATE_DONE); /* read: as it was */
    assert_false(is_committed(w, AT(4, 2)));
    fake_happen_late(&w->client);
    assert_string_equal(stands(w).mirror, "b"); /* and there it is */
    serve(w, FATE_DONE);
    pass(w, USEC_SEC);
    serve(w, FATE_DONE);
    assert_int_equal(w->epoch, 5);
    assert_false(is_committed(w, AT(4, 2)));
    w->peers[0].durable = AT(4, 2);
    pass(w, USEC_SEC);
    assert_true(is_committed(w, AT(4, 2)));
    copies_world_free(w);
}

/* The learner goes while nobody knows whether it was taken in: the revision is moved, then nothing of it can come. */
static void test_learner_gone(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    copies_want(w->copies, "n2", 20, w->now);
    pass(w, USEC_SEC);
    w->peers[0].deaf = true;
    append_synced(w, AT(4, 1));
    fake_serve(&w->client, FATE_LATE_LATER);
    copies_want(w->copies, NULL, 0, w->now); /* that changes nothing */
    for (int i = 0; i < 20 && !is_committed(w, AT(4, 1)); i++) {
        pass(w, USEC_SEC / 2);
        fake_serve(&w->client, FATE_DONE);
    }
    assert_true(is_committed(w, AT(4, 1)));
    assert_true(stands(w).epoch > 4);
    fake_happen_late(&w->client);
    assert_string_equal(stands(w).mirror, "");
    copies_world_free(w);
}

/* A refused request did not happen: the learner counts no longer than it is proposed. */
static void test_refused(void **state)
{
    (void)state;
    struct copies_world *w = begin(&alone);
    copies_want(w->copies, "n2", 20, w->now);
    pass(w, USEC_SEC);
    fake_serve(&w->client, FATE_REFUSED);
    assert_non_null(strstr(w->said, "permission denied"));
    w->peers[0].deaf = true;
    append_synced(w, AT(4, 1));
    assert_false(is_committed(w, AT(4, 1))); /* it is still wanted */
    pass(w, COPIES_PATIENCE);
    assert_true(is_committed(w, AT(4, 1)));
    copies_world_free(w);
}

/* Guard 1: somebody else's swap was first. */
static void test_compare(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    struct buffer text = {0};
    struct spool_register taken;
    struct error error;
    w->peers[0].deaf = true;
    append_synced(w, AT(4, 1));
    pass(w, COPIES_PATIENCE);
    assert_int_equal(fake_waiting(&w->client), 1);
    assert_int_equal(spool_register_take_over(&paired, "b", "n2", 20, &taken, &error), 0);
    spool_register_write(&taken, &text);
    fake_put(w->store, SPOOL_KEY, buffer_text(&text), 0);
    buffer_free(&text);
    serve(w, FATE_DONE);
    pass(w, USEC_SEC);
    serve(w, FATE_DONE);
    assert_string_equal(stands(w).disk, "b");
    assert_int_equal(w->deposed, 1);
    assert_string_equal(w->heir, "n2");
    assert_false(is_committed(w, AT(4, 1)));
    assert_true(copies_deadline(w->copies) == USEC_NEVER);
    assert_non_null(strstr(copies_shut(w->copies), "another node"));
    copies_world_free(w);
}

/* Another process of the same node, with the same disk. */
static void test_same_disk(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    struct spool_register next = paired;
    next.epoch++;
    next.process = 8;
    put_register(w, &next);
    assert_int_equal(w->deposed, 1);
    put_register(w, &next);
    copies_tick(w->copies, w->now);
    assert_int_equal(w->deposed, 1);
    copies_world_free(w);
}

struct shared_row {
    uint64_t have, cut_after;
};

/* Guard 4: where the two logs part. Ours: epoch 2 ended at 9, 4 at 7, 5 at 3. */
static void test_cut(void **state)
{
    (void)state;
    static const struct shared_row rows[] = {
        {AT(5, 3), AT(5, 3)},
        {AT(5, 2), AT(5, 2)},
        {AT(5, 8), AT(5, 3)}, /* a tail that we lost */
        {AT(4, 9), AT(4, 7)},
        {AT(4, 6), AT(4, 6)},
        {AT(3, 5), AT(2, 9)}, /* an epoch in which we had no frame */
        {AT(2, 9), AT(2, 9)},
        {AT(2, 1), AT(2, 1)},
        {AT(1, 4), 0}, /* before all that we know */
        {0, 0},
    };
    struct spool_register now = paired;
    now.epoch = 6;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct copies_world *w = copies_world(&now, 2);
        copies_past(w->copies, 2, AT(2, 9));
        copies_past(w->copies, 4, AT(4, 7));
        copies_past(w->copies, 5, AT(5, 3));
        w->peers[0].last_seq = rows[i].have;
        deliver(w);
        assert_int_equal(w->peers[0].opened.have, rows[i].have);
        assert_int_equal(w->peers[0].opened.cut_after, rows[i].cut_after);
        copies_world_free(w);
    }
}

/* What the copy lacks is not in our log any more: it would, taken over, send again what ended in there. */
static void test_tidied_away(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct copies_world *w = copies_world(&paired, 2);
        copies_past(w->copies, 3, AT(3, 9));
        w->peers[0].last_seq = AT(3, 5);
        w->gone = AT(3, 5 + (uint64_t)gone);
        deliver(w);
        pass(w, 0);
        assert_int_equal(w->reads, gone == 0);
        for (int i = 0; i < 10; i++) {
            pass(w, USEC_SEC);
            serve(w, FATE_DONE);
        }
        assert_int_equal(stands(w).mirror[0] == '\0', gone);
        copies_world_free(w);
    }
}

/* Where nobody else is wanted in its place, that copy makes room for another one; where somebody is, it is left alone. */
static void test_outdated(void **state)
{
    (void)state;
    for (int others = 0; others < 2; others++) {
        struct copies_world *w = copies_world(&alone, 2);
        copies_past(w->copies, 3, AT(3, 9));
        w->peers[0].last_seq = AT(3, 5);
        w->gone = AT(3, 6);
        copies_want(w->copies, "n2", 8, w->now);
        pass(w, USEC_MS);
        assert_string_equal(copies_failed(w->copies), "n2");
        assert_int_equal(w->peers[0].anew, 0);
        if (others)
            copies_want(w->copies, "n3", 9, w->now);
        pass(w, USEC_SEC);
        assert_int_equal(w->peers[0].anew > 0, !others);
        if (!others) { /* it has begun another one */
            strcpy(w->peers[0].disk, "B");
            w->peers[0].last_seq = 0;
        }
        for (int i = 0; i < 10; i++) {
            pass(w, USEC_SEC);
            serve(w, FATE_DONE);
        }
        assert_string_equal(stands(w).mirror, others ? "c" : "B");
        copies_world_free(w);
    }
}

/* A start: what is in our log is acted upon when the mirror has it too. */
static void test_recovered(void **state)
{
    (void)state;
    struct copies_world *w = copies_world(&paired, 2);
    w->slow = true;
    copies_past(w->copies, 3, AT(3, 2));
    w->peers[0].last_seq = AT(3, 1);
    deliver(w);
    pass(w, 0);
    assert_int_equal(w->reads, 1);
    assert_int_equal(w->read_after, AT(3, 1));
    assert_int_equal(copies_committed(w->copies), AT(3, 1)); /* what both have */
    struct copy_frame frame = {AT(3, 2), true, "record", 6, NULL};
    copies_read(w->copies, &frame, 1, true, w->now);
    deliver(w);
    assert_int_equal(copies_committed(w->copies), AT(3, 2));
    copies_world_free(w);
    w = copies_world(&alone, 2);
    copies_past(w->copies, 3, AT(3, 2));
    pass(w, 0);
    assert_int_equal(copies_committed(w->copies), AT(3, 2));
    copies_world_free(w);
}

static void test_severed(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        struct copies_world *w = begin(&paired);
        w->peers[0].state = how == 0 ? COPY_FULL : how == 1 ? COPY_FAILED : COPY_FOLLOWS;
        w->peers[0].mute = how >= 2;
        append_synced(w, AT(4, 1));
        if (how == 2)
            copies_silent(w->copies, "n2", true, w->now);
        if (how == 3) {
            pass(w, COPIES_PATIENCE - 1);
            assert_int_equal(fake_waiting(&w->client), 0);
            pass(w, 1);
        }
        assert_int_equal(fake_waiting(&w->client), 1);
        fake_serve(&w->client, FATE_UNANSWERED);
        if (how >= 2)
            assert_false(is_committed(w, AT(4, 1))); /* it may not have happened */
        pass(w, USEC_SEC / 2);
        serve(w, FATE_DONE);
        assert_string_equal(stands(w).old, "b");
        assert_true(is_committed(w, AT(4, 1)));
        assert_int_equal(w->epoch, 5);
        assert_int_equal(w->deposed, 0);
        copies_world_free(w);
    }
}

/* Once silent it is nothing: no store, no sever, no commit. */
static void test_store_away(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    w->peers[0].deaf = true;
    append_synced(w, AT(4, 1));
    for (int i = 0; i < 40; i++) {
        pass(w, USEC_SEC / 2);
        fake_serve(&w->client, FATE_LOST);
        assert_false(is_committed(w, AT(4, 1)));
    }
    pass(w, 30 * USEC_SEC); /* it never answers */
    assert_false(is_committed(w, AT(4, 1)));
    w->peers[0].deaf = false;
    pass(w, USEC_SEC);
    assert_true(is_committed(w, AT(4, 1)));
    copies_world_free(w);
}

/* An operator has put another store in the place of the one that was; its revisions are lower. */
static void test_another_store(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    for (int i = 0; i < 20; i++)
        put_register(w, &paired);
    uint64_t former = w->store->revision;
    w->store->history = 7;
    w->store->revision = 1;
    put_register(w, &paired);
    assert_true(w->store->revision < former);
    w->peers[0].mute = true;
    append_synced(w, AT(4, 1));
    for (int i = 0; i < 10; i++) {
        pass(w, USEC_SEC);
        serve(w, FATE_DONE);
    }
    assert_true(stands(w).mirror[0] == '\0' && is_committed(w, AT(4, 1)));
    /* A backup: an epoch that is over. It goes on as it was, and looks again. */
    struct spool_register was = paired;
    was.epoch = stands(w).epoch - 2;
    w->store->history = 8;
    put_register(w, &was);
    for (int i = 0; i < 10; i++) {
        pass(w, USEC_SEC);
        serve(w, FATE_DONE);
    }
    assert_true(w->deposed == 0 && copies_epoch(w->copies) == was.epoch + 2);
    assert_non_null(strstr(w->said, "it waits for a newer one"));
    copies_world_free(w);
}

static void test_hand_over(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    copies_want(w->copies, "n2", 20, w->now);
    w->peers[0].unsynced = true;
    append_synced(w, AT(4, 1));
    copies_hand_over(w->copies, w->now);
    pass(w, USEC_SEC);
    assert_non_null(strstr(copies_shut(w->copies), "handed"));
    assert_int_equal(fake_waiting(&w->client), 0);
    w->peers[0].durable = AT(4, 1);
    pass(w, USEC_SEC);
    serve(w, FATE_DONE);
    struct spool_register reg = stands(w);
    assert_string_equal(reg.disk, "b");
    assert_string_equal(reg.node, "n2");
    assert_string_equal(reg.old, "a");
    assert_true(reg.process == 20 && reg.incarnation == 3 && reg.epoch == 5);
    assert_int_equal(w->deposed, 1);
    copies_world_free(w);
}

/* Another mirror is wanted: the old one stays until the new one has all. */
static void test_another_mirror(void **state)
{
    (void)state;
    struct copies_world *w = begin(&paired);
    append_synced(w, AT(4, 1));
    w->peers[1].unsynced = true;
    copies_want(w->copies, "n3", 30, w->now);
    pass(w, USEC_SEC);
    assert_null(copies_shut(w->copies));
    assert_int_equal(fake_waiting(&w->client), 0);
    w->peers[1].unsynced = false;
    w->peers[1].durable = AT(4, 1);
    pass(w, USEC_SEC);
    serve(w, FATE_DONE);
    assert_string_equal(stands(w).mirror, "c");
    assert_string_equal(stands(w).old, "");
    append_synced(w, AT(5, 1));
    pass(w, USEC_SEC);
    assert_true(is_committed(w, AT(5, 1)));
    copies_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_disks),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_new_epoch),
        cmocka_unit_test(test_other_disk),
        cmocka_unit_test(test_learner_complete),
        cmocka_unit_test(test_attempts_first),
        cmocka_unit_test(test_learner_counts),
        cmocka_unit_test(test_learner_gone),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_same_disk),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_tidied_away),
        cmocka_unit_test(test_outdated),
        cmocka_unit_test(test_recovered),
        cmocka_unit_test(test_severed),
        cmocka_unit_test(test_store_away),
        cmocka_unit_test(test_another_store),
        cmocka_unit_test(test_hand_over),
        cmocka_unit_test(test_another_mirror),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
