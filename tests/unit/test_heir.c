/* A spool that was taken over: everything held moves exactly once, what is known is answered only when that is sound,
 * what is in doubt waits and is told, and the spool is retired in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heir_help.h"

static int begin(void **state)
{
    (void)state;
    estate_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    estate_end();
    return 0;
}

/* d0 .. d9 belong to both nodes. */
static void some_mail(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char to[64];
        snprintf(to, sizeof to, "u@d%u.test", i % 10);
        estate_mail(i, to, 0);
    }
}

static struct heir_figures figures(void)
{
    return heir_figures(estate.heir);
}

static void check_once(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (estate_holders(i, 0) != 1)
            fail_msg("mail %u is held by %u", i, estate_holders(i, 0));
}

static void test_everything_moves(void **state)
{
    (void)state;
    some_mail(40);
    estate_inherit(0);
    assert_int_equal(figures().held + figures().leaving, 40);
    estate_run(10, USEC_MS);
    check_once(40);
    assert_true(estate.h.gained > 0 && estate.b.gained > 0);
    struct heir_figures now = figures();
    assert_true(now.held == 0 && now.leaving == 0 && now.moved == 40 && now.state == HEIR_WAITS);
}

/* A message for two of one node goes there once. */
static void test_recipients_go_together(void **state)
{
    (void)state;
    estate_mail(1, "u@d0.test,v@d0.test,w@d0.test", 0);
    estate_inherit(0);
    estate_run(10, USEC_MS);
    assert_int_equal(estate.moves, 1);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(estate_holders(1, i), 1);
}

/* What is due first goes first: here one at a time. */
static void test_due_first(void **state)
{
    (void)state;
    usec_t start = estate.now;
    for (unsigned i = 0; i < 20; i++)
        estate_mail(i, "u@d0.test", start + (usec_t)((i * 7) % 20) * USEC_MIN);
    estate.window = 1;
    estate_inherit(0);
    estate_run(200, USEC_MS);
    assert_int_equal(estate.moves, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_true(estate.move_dues[i] == start + (usec_t)i * USEC_MIN);
}

static void test_window(void **state)
{
    (void)state;
    some_mail(100);
    estate.window = 3;
    estate_inherit(0);
    assert_true(figures().leaving <= 6);
    for (unsigned i = 0; i < 300; i++) {
        estate_run(1, USEC_MS);
        assert_true(figures().leaving <= 6);
    }
    check_once(100);
}

/* What goes to other nodes is paced, if that is wished; the home spool of this node gets its own at once. */
static void test_pace(void **state)
{
    (void)state;
    some_mail(60);
    estate.pace = (uint64_t)10 * (CUSTODY_MOVE_COST + 20); /* some ten a second */
    estate_inherit(0);
    estate_run(10, USEC_MS);
    int home = estate.h.gained;
    assert_true(home > 10 && estate.b.gained <= 3);
    for (int i = 0; i < 20; i++) {
        estate_run(1, 100 * USEC_MS);
        assert_true(estate.b.gained <= 4 + i && estate.b.gained + 3 >= i);
    }
    assert_int_equal(estate.h.gained, home);
    estate_run(100, 100 * USEC_MS);
    check_once(60);
    assert_int_equal(estate.h.gained, home);
}

/* Its home is the last resort; who has refused is asked again later by that one. */
static void test_refused(void **state)
{
    (void)state;
    some_mail(40);
    estate.b_shut = true;
    estate_inherit(0);
    estate_run(30, USEC_MS);
    for (unsigned i = 0; i < 40; i++)
        assert_true(estate_holds(&estate.h, i, 0));
    assert_int_equal(figures().state, HEIR_WAITS);
}

static void test_all_refuse(void **state)
{
    (void)state;
    some_mail(40);
    estate.h_shut = estate.b_shut = true;
    estate_inherit(0);
    estate_run(100, 100 * USEC_MS);
    assert_true(figures().held + figures().leaving == 40 && estate.moves < 40 * 10);
    estate.h_shut = estate.b_shut = false;
    estate_run(200, USEC_SEC);
    check_once(40);
}

static void test_silent(void **state)
{
    (void)state;
    some_mail(40);
    estate.window = 1;
    estate_inherit(0);
    heir_set_silent(estate.heir, "b", true, estate.now);
    estate_run(400, USEC_MS);
    check_once(40);
    unsigned at_b = 0;
    for (unsigned i = 0; i < 40; i++)
        at_b += estate_holds(&estate.b, i, 0);
    assert_true(at_b <= 1); /* the one that was on its way */
}

/* The owner changes while much waits for the former one. */
static void test_view_changes(void **state)
{
    static const char *const pools[] = {"main"};
    (void)state;
    some_mail(40);
    estate.window = 1;
    estate_inherit(0);
    struct view *view = view_new(2);
    view_add_source(view_add_node(view, "h", "h", 1, 100), "127.0.0.1", "h.test", pools, 1);
    heir_set_view(estate.heir, view, estate.now);
    view_drop(&view);
    while (estate_find(BUS_MOVE) >= 0)
        estate_drop((size_t)estate_find(BUS_MOVE));
    estate_run(200, USEC_MS);
    assert_true(figures().held == 0 && figures().leaving <= 1); /* what was on its way to b stays so */
}

/* ---- what others say meanwhile ---- */

static enum bus_verdict inject(unsigned number, unsigned digest)
{
    struct bus_msg *answer = estate_ask(estate_inject_of(number, digest));
    enum bus_verdict verdict = answer == NULL ? 0 : answer->verdict;
    bus_msg_free(&answer);
    return verdict;
}

/* PROTOCOL guard 8: a copy that is here alone is no reason for a 250. */
static void test_inject(void **state)
{
    (void)state;
    some_mail(2);
    estate_inherit(0);
    assert_int_equal(inject(0, 1), 0); /* still held here */
    assert_int_equal(inject(99, 1), BUS_FULL);
    assert_int_equal(inject(99, 1), BUS_REFUSED); /* for good */
    estate_run(10, USEC_MS);
    assert_int_equal(figures().held + figures().leaving, 0);
    assert_int_equal(inject(0, 1), 0); /* where it is now it may be alone */
    heir_set_paired(estate.heir, true);
    assert_int_equal(inject(0, 1), BUS_REPEATED);
    assert_int_equal(inject(0, 2), BUS_CONFLICT);
    heir_set_paired(estate.heir, false);
    assert_int_equal(inject(0, 1), 0);
    assert_true(figures().unanswered == 3 && figures().refused == 2);
}

/* ---- while it reads ---- */

/* What was read moves, the newest first; what was not may be there. */
static void test_moves_while_it_reads(void **state)
{
    (void)state;
    some_mail(40);
    estate.reads_later = true;
    estate_inherit(0);
    assert_true(figures().state == HEIR_READS && figures().unread == 40);
    estate_read_back(5);
    assert_int_equal(figures().held, 5);
    estate_run(1, USEC_MS); /* reads on */
    for (unsigned i = 0; i < 10; i++)
        estate_run_unread(1, USEC_MS);
    assert_int_equal(figures().state, HEIR_READS);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(estate_holders(i, 0), i >= 40 - 5 - 16);
    estate_run(10, USEC_MS);
    check_once(40);
    assert_true(figures().state == HEIR_WAITS && figures().unread == 0);
}

static void test_little_room(void **state)
{
    (void)state;
    some_mail(100);
    estate.reads_later = true;
    estate.at_hand = 10;
    estate_inherit(0);
    estate_read_back(100);
    assert_true(figures().held == 10 && figures().leaving == 0 && !heir_has_room(estate.heir));
    estate_run(100, USEC_MS);
    check_once(100);
}

/* He may wait for room, too, until we have taken what he has for us; and that may be in what we have not read. */
static void test_what_goes_to_another_heir_takes_no_room(void **state)
{
    (void)state;
    struct view *view = view_new(2);
    estate.at_hand = 1;
    estate.reads_later = true;
    estate_take_from_b();
    estate_inherit(0);
    estate_read_back(100);
    assert_true(figures().held + figures().leaving == 1 && !heir_has_room(estate.heir));
    view_add_node(view, "h", "h", 1, 100);
    view_add_node(view, "b", "b.2", 1, 100);
    view_add_taken(view, "b", "h", 2);
    heir_set_view(estate.heir, view, estate.now);
    assert_true(figures().held + figures().leaving == 1 && heir_has_room(estate.heir));
    view_drop(&view);
}

/* What is not known may stand in what was not read yet: it is neither refused nor called settled. */
static void test_unread_is_not_unknown(void **state)
{
    (void)state;
    some_mail(3);
    estate.reads_later = true;
    estate_inherit(0);
    heir_set_paired(estate.heir, true);
    estate_read_back(1);
    estate_run_unread(10, USEC_MS);
    assert_true(estate_holders(2, 0) == 1 && estate_holders(1, 0) == 0);
    assert_int_equal(inject(2, 1), BUS_REPEATED);
    assert_int_equal(inject(1, 1), 0);
    assert_int_equal(inject(99, 1), 0);
    assert_null(estate_ask(estate_move_of(99, 1)));
    struct bus_msg *ask = estate_move_of(1, 1);
    ask->type = BUS_SETTLED_ASK;
    assert_null(estate_ask(ask));
    estate_run_unread(1, USEC_HOUR * 48); /* nothing is forgotten, nor is it over */
    heir_tick(estate.heir, estate.now);
    assert_int_equal(figures().state, HEIR_READS);
    assert_int_equal(inject(2, 1), BUS_REPEATED);
    estate_run(10, USEC_MS);
    check_once(3);
    assert_int_equal(inject(99, 1), BUS_FULL);
}

/* An open attempt stands behind the message's frame, and before it in the reading. */
static void attempt(unsigned number);
static void test_doubt_while_it_reads(void **state)
{
    (void)state;
    some_mail(30);
    attempt(3);
    estate.reads_later = true;
    estate_inherit(0);
    estate_run(10, USEC_MS);
    assert_true(estate_holders(3, 0) == 0 && figures().in_doubt == 1 && figures().held == 1);
}

static void test_other_incarnation(void **state)
{
    (void)state;
    estate_inherit(0);
    struct bus_msg *msg = estate_inject_of(5, 1);
    msg->to_incarnation = estate.reg.incarnation - 1;
    assert_null(estate_ask(msg));
    msg = estate_inject_of(5, 1);
    msg->to_incarnation = estate.reg.incarnation;
    msg = estate_ask(msg);
    assert_non_null(msg);
    bus_msg_free(&msg);
}

/* The dead spool had taken it, and its answer was lost: as long as it is here alone nothing is said, and it goes back. */
static void test_known_move(void **state)
{
    (void)state;
    estate_take_from_b();
    estate_inherit(0);
    heir_set_paired(estate.heir, true);
    assert_null(estate_ask(estate_move_of(1, 1)));
    estate_commit();
    estate_read();
    assert_true(figures().leaving == 1 && estate.sent_count == 1);
    assert_string_equal(estate.sent[0]->to, "b");
    assert_int_equal(estate.sent[0]->items[0].hop, 2);
    estate_run(10, USEC_MS);
    assert_true(estate_holds(&estate.b, 1, 0));

    struct bus_msg *answer = estate_ask(estate_move_of(1, 1)); /* one that was long under way */
    assert_non_null(answer);
    assert_true(answer->type == BUS_MOVE_ANSWER && answer->items[0].verdict == BUS_TAKEN);
    bus_msg_free(&answer);
}

/* Its source refuses it: by that it is settled, and goes to whom it belongs. */
static void test_not_taken_back(void **state)
{
    (void)state;
    estate_take_from_b();
    estate.b_shut = true;
    estate_inherit(0);
    estate_run(10, USEC_MS);
    assert_true(estate_holds(&estate.h, 1, 0) && figures().state == HEIR_WAITS);
}

/* Its source has left the cluster: it asks nobody any more, and nothing can be given back to it. */
static void test_source_is_gone(void **state)
{
    static const char *const pools[] = {"main"};
    (void)state;
    estate_take_from_b();
    estate.has_no_view = true;
    estate_inherit(0);
    struct view *view = view_new(2);
    view_add_source(view_add_node(view, "h", "h", 1, 100), "127.0.0.1", "h.test", pools, 1);
    heir_set_view(estate.heir, view, estate.now);
    view_drop(&view);
    estate_run(50, USEC_SEC);
    assert_int_equal(figures().held, 1);
    assert_true(heir_deadline(estate.heir) < estate.now + USEC_MIN);
    estate_run(20, USEC_SEC);
    assert_true(estate_holds(&estate.h, 1, 0) && figures().held == 0);
}

/* Guard 14: the refusal is on the disk before it is said. */
static void test_unknown_move(void **state)
{
    (void)state;
    estate_inherit(0);
    assert_null(estate_ask(estate_move_of(7, 1)));
    assert_true(estate.count == 1 && estate.committed < estate.log[0].seq);
    estate_commit();
    long at = estate_find(BUS_MOVE_ANSWER);
    assert_true(at >= 0 && estate.sent[at]->items[0].verdict == BUS_REFUSED);
    assert_string_equal(estate.sent[at]->to, "b");
    estate_crash(0);
    heir_set_paired(estate.heir, true);
    struct bus_msg *answer = estate_ask(estate_move_of(7, 1));
    assert_non_null(answer);
    assert_int_equal(answer->items[0].verdict, BUS_REFUSED);
    bus_msg_free(&answer);
}

/* It was on its way to b when its node died: asked again there, and nowhere else. */
static void test_was_leaving(void **state)
{
    (void)state;
    estate_mail(1, "u@d0.test", 0);
    struct delivery *delivery = estate_dead(1, 0);
    custody_move(estate.dead, &delivery, 1, "b", estate.now);
    estate_dead_commits();
    estate_deliver((size_t)estate_find(BUS_MOVE), false); /* b has taken it, and its answer does not come */
    assert_true(estate_holds(&estate.b, 1, 0));
    while (estate.sent_count > 0)
        estate_drop(0);
    estate_inherit(0);
    assert_int_equal(figures().leaving, 1);
    estate_run(20, USEC_MS);
    assert_true(estate_holders(1, 0) == 1 && figures().leaving == 0);
}

/* ---- doubt ---- */

static void attempt(unsigned number)
{
    struct delivery *delivery = estate_dead(number, 0);
    assert_int_not_equal(custody_attempt(estate.dead, &delivery, 1, estate.now), 0);
    estate_dead_commits();
}

static void test_doubt(void **state)
{
    (void)state;
    some_mail(3);
    attempt(1);
    estate_inherit(0);
    usec_t swapped = estate.now;
    assert_true(figures().in_doubt == 1 && figures().doubts == 1);
    assert_non_null(strstr(estate.notice, "3 are still to be moved on; 1 of them are in doubt"));
    estate_run(100, USEC_MS);
    assert_true(estate_holders(0, 0) == 1 && estate_holders(1, 0) == 0 && estate_holders(2, 0) == 1);
    estate_run(1, swapped + HEIR_QUARANTINE - 1 - estate.now);
    assert_true(estate_holders(1, 0) == 0 && estate.events == 0);
    assert_true(heir_deadline(estate.heir) <= swapped + HEIR_QUARANTINE);
    estate_run(20, USEC_MS);
    assert_true(estate_holders(1, 0) == 1 && estate.events == 1 && figures().in_doubt == 0);
    assert_non_null(strstr(estate.event, "\"event\":\"doubt\""));
    assert_non_null(strstr(estate.event, "\"to\":\"u@d1.test\""));
    assert_non_null(strstr(estate.event, "\"spool\":\"a\""));
}

/* The quarantine begins again; the event comes at least once. */
static void test_doubt_over_a_crash(void **state)
{
    (void)state;
    some_mail(1);
    attempt(0);
    estate_inherit(0);
    estate_run(1, HEIR_QUARANTINE / 2);
    estate_crash(0);
    estate_run(1, HEIR_QUARANTINE / 2 + USEC_SEC);
    assert_true(estate_holders(0, 0) == 0 && estate.events == 0);
    estate_run(20, USEC_SEC);
    assert_true(estate_holders(0, 0) == 1 && estate.events == 1);
    /* Told already: the log knows, and the next heir need not be sure. */
    estate_crash(0);
    assert_true(figures().in_doubt == 0);
}

/* An end that the dead node may not have told. */
static void test_ends_are_told(void **state)
{
    (void)state;
    some_mail(2);
    custody_done(
        estate.dead, estate_dead(0, 0), RESULT_DELIVERED, 250, "{\"event\":\"delivered\"}", estate.now);
    custody_done(estate.dead, estate_dead(1, 0), RESULT_DELIVERED, 250, "{\"event\":\"other\"}", estate.now);
    estate_dead_commits();
    estate.told = estate.log[estate.count - 2].seq;
    estate_inherit(0);
    assert_int_equal(estate.events, 1);
    assert_string_equal(estate.event, "{\"event\":\"other\"}");
    assert_int_equal(figures().held, 0);
    assert_int_equal(inject(0, 1), 0);
    heir_set_paired(estate.heir, true);
    assert_int_equal(inject(0, 1), BUS_REPEATED);
}

/* ---- cuts, bodies ---- */

static void test_cut(void **state)
{
    (void)state;
    some_mail(3);
    estate.note.cuts[0] = (struct mirror_cut){estate.log[0].seq, estate.log[1].seq};
    estate.note.cut_count = 1;
    estate_inherit(0);
    assert_true(estate.log[1].released);
    estate_run(10, USEC_MS);
    assert_true(estate_holders(0, 0) == 1 && estate_holders(1, 0) == 0 && estate_holders(2, 0) == 1);
}

static void test_unreadable_body(void **state)
{
    (void)state;
    some_mail(1);
    estate.bodies_fail = true;
    estate_inherit(0);
    estate_run(10, USEC_SEC);
    assert_true(estate_holders(0, 0) == 0 && figures().leaving == 1);
    estate.bodies_fail = false;
    estate_run(40, USEC_SEC);
    assert_int_equal(estate_holders(0, 0), 1);
}

/* ---- the end ---- */

static void wait_for_the_end(void)
{
    for (unsigned i = 0; i < 100 && estate.asked_ref == 0; i++)
        estate_run(1, 30 * USEC_SEC);
    assert_int_equal(figures().state, HEIR_RETIRES);
}

static void test_retires(void **state)
{
    (void)state;
    usec_t start = estate.now;
    some_mail(3);
    estate_inherit(0);
    estate_run(20, USEC_MS);
    wait_for_the_end();
    assert_true(estate.now >= start + HEIR_LEAST && estate.now < start + 3 * HEIR_LEAST);
    assert_true(estate.retired == 0 && estate.asked == KV_RANGE);
    estate_store(true, true);
    assert_int_equal(estate.asked, KV_TXN);
    assert_true(estate.asked_reg.retired && !estate.reg.retired);
    estate_store(true, false); /* it happened, and nobody says so */
    assert_int_equal(estate.retired, 0);
    estate_run(2, USEC_SEC);
    assert_int_equal(estate.asked, KV_RANGE);
    estate_store(true, true);
    assert_true(estate.retired == 1 && estate.reg.retired && figures().state == HEIR_RETIRED);
    assert_true(heir_deadline(estate.heir) == USEC_NEVER);
    size_t living = 0;
    for (size_t i = 0; i < estate.count; i++)
        living += estate.log[i].base && !estate.log[i].released;
    assert_int_equal(living, 0);
}

/* An empty spool waits, too: coordinators may still ask, and are to be refused. */
static void test_empty_waits(void **state)
{
    (void)state;
    estate_inherit(0);
    estate_run(1, HEIR_LEAST - USEC_SEC);
    assert_int_equal(estate.asked_ref, 0);
    assert_int_equal(inject(4, 1), BUS_FULL);
    estate_run(2, USEC_SEC);
    assert_int_not_equal(estate.asked_ref, 0);
}

static void test_swap_lost(void **state)
{
    (void)state;
    estate_inherit(0);
    estate_run(1, HEIR_LEAST);
    estate_store(true, true);
    estate_store(false, false); /* it did not happen */
    estate_run(2, USEC_SEC);
    estate_store(true, true);
    estate.revision++; /* somebody wrote meanwhile */
    estate_store(true, true);
    assert_int_equal(estate.retired, 0);
    estate_run(2, USEC_SEC);
    estate_store(true, true);
    estate_store(true, true);
    assert_int_equal(estate.retired, 1);
}

static void test_register_gone(void **state)
{
    (void)state;
    estate_inherit(0);
    estate_run(1, HEIR_LEAST);
    estate.revision = 0;
    estate_store(true, true);
    estate_run(3, USEC_SEC);
    assert_true(estate.retired == 0 && estate.asked_ref == 0);
    assert_non_null(strstr(estate.notice, "no register"));
    assert_true(figures().state == HEIR_RETIRES);
}

/* An operator gave the spool to somebody else. */
static void test_deposed(void **state)
{
    (void)state;
    struct spool_register other = estate.reg;
    struct buffer text = {0};
    some_mail(3);
    estate_inherit(0);
    other = estate.reg;
    other.epoch++;
    strcpy(other.disk, "another");
    spool_register_write(&other, &text);
    struct kv_pair pair = {
        .key = "/t/spool/a", .value = buffer_bytes(&text), .len = buffer_len(&text), .revision = 99};
    struct kv_news news = {.type = KV_CHANGES, .pairs = &pair, .pair_count = 1, .revision = 99};
    heir_register_news(estate.heir, &news, estate.now);
    buffer_free(&text);
    assert_int_equal(figures().state, HEIR_DEPOSED);
    estate_run(10, USEC_SEC);
    assert_int_equal(estate.moves, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_everything_moves),
        TEST(test_recipients_go_together),
        TEST(test_due_first),
        TEST(test_window),
        TEST(test_pace),
        TEST(test_refused),
        TEST(test_all_refuse),
        TEST(test_silent),
        TEST(test_view_changes),
        TEST(test_inject),
        TEST(test_moves_while_it_reads),
        TEST(test_little_room),
        TEST(test_what_goes_to_another_heir_takes_no_room),
        TEST(test_unread_is_not_unknown),
        TEST(test_doubt_while_it_reads),
        TEST(test_other_incarnation),
        TEST(test_known_move),
        TEST(test_not_taken_back),
        TEST(test_source_is_gone),
        TEST(test_unknown_move),
        TEST(test_was_leaving),
        TEST(test_doubt),
        TEST(test_doubt_over_a_crash),
        TEST(test_ends_are_told),
        TEST(test_cut),
        TEST(test_unreadable_body),
        TEST(test_retires),
        TEST(test_empty_waits),
        TEST(test_swap_lost),
        TEST(test_register_gone),
        TEST(test_deposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
