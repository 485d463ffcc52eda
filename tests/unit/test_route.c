/* A message goes to one spool, asked until it answers; another only after a refusal that counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/placement.h"
#include "coordinator/route.h"

enum { MOST = 64 };

struct desk {
    struct route *route;
    struct bus_msg *sent[MOST];
    size_t sent_count;
    int outcomes;
    enum front_verdict verdict;
    unsigned pressure; /* of the nodes that answer */
    usec_t now;
};

static void on_send(void *context, struct bus_msg *msg)
{
    struct desk *desk = context;
    assert_true(desk->sent_count < MOST);
    desk->sent[desk->sent_count++] = msg;
}

static void on_submitted(void *context, uint64_t token, const struct front_outcome *outcome)
{
    struct desk *desk = context;
    assert_int_equal(token, 9);
    desk->outcomes++;
    desk->verdict = outcome->verdict;
    assert_true(outcome->text[0] != '\0');
}

static struct view *view_of(uint64_t epoch, unsigned nodes, uint64_t incarnation)
{
    static const char *const pool = "main";
    struct view *view = view_new(epoch);
    for (unsigned i = 0; i < nodes; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        view_add_source(view_add_node(view, id, spool, incarnation, 100), "192.0.2.1", "m.test", &pool, 1);
    }
    return view;
}

static void set_view(struct desk *desk, uint64_t epoch, unsigned nodes, uint64_t incarnation)
{
    struct view *view = view_of(epoch, nodes, incarnation);
    route_set_view(desk->route, view);
    view_drop(&view);
}

static void open_empty_desk(struct desk *desk)
{
    *desk = (struct desk){.now = 1000 * USEC_SEC};
    struct route_ports ports = {.context = desk, .send = on_send, .submitted = on_submitted};
    desk->route = route_new("c1", &ports);
}

static void open_desk(struct desk *desk, unsigned nodes)
{
    open_empty_desk(desk);
    set_view(desk, 1, nodes, 1);
}

static void close_desk(struct desk *desk)
{
    route_free(&desk->route);
    while (desk->sent_count > 0)
        bus_msg_free(&desk->sent[--desk->sent_count]);
}

static void submit(struct desk *desk, const char *pool, bool keyed)
{
    struct mail *mail = mail_new();
    mail->keyed = keyed;
    mail_set(&mail->pool, pool);
    mail_add_recipient(mail, "a@d.test");
    route_submit(desk->route, 9, mail, blob_copy("x", 1), desk->now);
}

/* The answer to the INJECT sent as number `which`. */
static void answer(struct desk *desk, size_t which, enum bus_verdict verdict)
{
    assert_true(which < desk->sent_count);
    struct bus_msg *msg = bus_msg_answer(desk->sent[which], BUS_INJECT_ANSWER);
    msg->verdict = verdict;
    msg->pressure = (uint8_t)desk->pressure;
    route_message(desk->route, msg, desk->now);
    bus_msg_free(&msg);
}

static void tick(struct desk *desk)
{
    desk->now = route_deadline(desk->route);
    route_tick(desk->route, desk->now);
}

static void test_asks_the_owner_until_it_answers(void **state)
{
    (void)state;
    struct desk desk;
    struct view *view = view_of(1, 5, 1);
    open_desk(&desk, 5);
    submit(&desk, "main", false);
    for (int i = 0; i < 3; i++)
        tick(&desk);
    assert_int_equal(desk.sent_count, 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(desk.sent[i]->spool, place_owner(view, "main", NULL, "d.test", NULL)->spool);
        assert_int_equal(desk.sent[i]->to_incarnation, 1);
    }
    assert_int_equal(desk.outcomes, 0);
    answer(&desk, 2, BUS_TAKEN);
    assert_int_equal(desk.outcomes, 1);
    assert_int_equal(desk.verdict, FRONT_TAKEN);
    answer(&desk, 1, BUS_REPEATED); /* late */
    assert_int_equal(desk.outcomes, 1);
    assert_true(route_deadline(desk.route) == USEC_NEVER);
    assert_int_equal(route_waiting(desk.route), 0);
    view_drop(&view);
    close_desk(&desk);
}

static void test_follows_the_spool(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 1);
    submit(&desk, "main", false);
    set_view(&desk, 2, 1, 5); /* restarted */
    tick(&desk);
    assert_int_equal(desk.sent[1]->to_incarnation, 5);
    set_view(&desk, 1, 1, 3); /* an old view */
    tick(&desk);
    assert_int_equal(desk.sent[2]->to_incarnation, 5);
    close_desk(&desk);
}

/* Once a dead node's spool was taken over its heir is asked, and believed: who refuses there, whose message it never
 * got, may be asked elsewhere. */
static void test_asks_the_heir(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 2);
    submit(&desk, "main", false);
    bool first = strcmp(desk.sent[0]->spool, "n0.0") == 0;
    const char *dead = first ? "n0.0" : "n1.0", *heir = first ? "n1" : "n0";
    struct view *view = view_of(2, 2, 1);
    view->nodes[first ? 0 : 1].down = true;
    view_add_taken(view, dead, heir, 2);
    route_set_view(desk.route, view);
    view_drop(&view);
    tick(&desk);
    assert_int_equal(desk.sent_count, 2);
    assert_string_equal(desk.sent[1]->to, heir);
    assert_string_equal(desk.sent[1]->spool, dead);
    assert_int_equal(desk.sent[1]->to_incarnation, 2);
    answer(&desk, 0, BUS_REFUSED); /* by the dead node, before: the heir may have the message */
    assert_int_equal(desk.sent_count, 2);
    answer(&desk, 1, BUS_REFUSED);
    assert_int_equal(desk.sent_count, 3);
    assert_string_equal(desk.sent[2]->to, heir);
    assert_string_not_equal(desk.sent[2]->spool, dead); /* its own home */
    assert_int_equal(desk.sent[2]->to_incarnation, 1);
    answer(&desk, 2, BUS_TAKEN);
    assert_int_equal(desk.verdict, FRONT_TAKEN);
    close_desk(&desk);
}

/* A refusal of an older process than the newest asked does not count: the newest may have taken it. */
static void test_late_refusal(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 2);
    submit(&desk, "main", false);
    set_view(&desk, 2, 2, 5);
    tick(&desk);
    answer(&desk, 0, BUS_FULL);
    assert_int_equal(desk.sent_count, 2);
    answer(&desk, 1, BUS_FULL);
    assert_int_equal(desk.sent_count, 3);
    assert_string_not_equal(desk.sent[2]->spool, desk.sent[1]->spool);
    answer(&desk, 1, BUS_REFUSED); /* said twice */
    assert_int_equal(desk.sent_count, 3);
    answer(&desk, 2, BUS_TAKEN);
    assert_int_equal(desk.verdict, FRONT_TAKEN);
    close_desk(&desk);
}

/* Taken by a node that is pressed: the client hears of it later, and once. */
static void test_pressed_node_slows_its_client(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 2);
    submit(&desk, "main", false);
    usec_t at = desk.now;
    desk.pressure = 50;
    answer(&desk, 0, BUS_TAKEN);
    assert_int_equal(desk.outcomes, 0);
    assert_int_equal(route_waiting(desk.route), 1);
    assert_int_equal(route_deadline(desk.route), at + USEC_SEC / 4);
    answer(&desk, 0, BUS_REPEATED); /* said twice */
    assert_int_equal(route_deadline(desk.route), at + USEC_SEC / 4);
    assert_int_equal(desk.sent_count, 1); /* not asked again */
    tick(&desk);
    assert_int_equal(desk.outcomes, 1);
    assert_int_equal(desk.verdict, FRONT_TAKEN);
    assert_int_equal(desk.sent_count, 1);
    assert_int_equal(route_waiting(desk.route), 0);
    close_desk(&desk);
}

static void test_all_refuse(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 3);
    submit(&desk, "main", false);
    for (size_t i = 0; i < 3; i++)
        answer(&desk, i, BUS_FULL);
    assert_int_equal(desk.outcomes, 1);
    assert_int_equal(desk.verdict, FRONT_FULL);
    close_desk(&desk);
}

static void test_gives_up_after_a_minute(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 2);
    usec_t since = desk.now;
    submit(&desk, "main", false);
    while (desk.outcomes == 0)
        tick(&desk);
    assert_int_equal(desk.verdict, FRONT_LATER);
    assert_int_equal(desk.now - since, USEC_MIN);
    for (size_t i = 1; i < desk.sent_count; i++) /* never another spool */
        assert_string_equal(desk.sent[i]->spool, desk.sent[0]->spool);
    close_desk(&desk);
}

static void test_nobody_has_the_pool(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 2);
    submit(&desk, "other", false);
    assert_int_equal(desk.outcomes, 1);
    assert_int_equal(desk.verdict, FRONT_LATER);
    assert_int_equal(route_waiting(desk.route), 0);
    close_desk(&desk);
}

static void test_keys(void **state)
{
    (void)state;
    static const struct {
        bool keyed;
        enum bus_verdict said;
        enum front_verdict verdict;
    } rows[] = {{true, BUS_TAKEN, FRONT_TAKEN}, {true, BUS_REPEATED, FRONT_REPEATED},
        {false, BUS_REPEATED, FRONT_TAKEN}, {true, BUS_CONFLICT, FRONT_CONFLICT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk desk;
        open_desk(&desk, 2);
        submit(&desk, "main", rows[i].keyed);
        answer(&desk, 0, rows[i].said);
        assert_int_equal(desk.verdict, rows[i].verdict);
        close_desk(&desk);
    }
}

/* The nodes for d.test, best first. */
static void rank(struct view *view, const struct view_node **ranked)
{
    assert_int_equal(place(view, "main", NULL, "d.test", NULL, ranked, 3), 3);
}

static void test_new_mail_avoids_the_silent(void **state)
{
    (void)state;
    struct view *view = view_of(1, 3, 1);
    const struct view_node *ranked[3];
    rank(view, ranked);
    for (int silent = 0; silent < 8; silent++) { /* which of the three, as bits */
        struct desk desk;
        open_desk(&desk, 3);
        for (int i = 0; i < 3; i++)
            route_set_silent(desk.route, ranked[i]->id, true);
        for (int i = 0; i < 3; i++)
            route_set_silent(desk.route, ranked[i]->id, silent >> i & 1);
        submit(&desk, "main", false);
        int expected = silent == 7 ? 0 : !(silent & 1) ? 0 : !(silent & 2) ? 1 : 2;
        assert_string_equal(desk.sent[0]->to, ranked[expected]->id);
        /* a refusal goes on to the best that is left and speaks; if none speaks, to the best that is left */
        answer(&desk, 0, BUS_FULL);
        int left = 7 & ~(1 << expected), next = (left & ~silent) != 0 ? left & ~silent : left;
        assert_string_equal(desk.sent[1]->to, ranked[__builtin_ctz((unsigned)next)]->id);
        close_desk(&desk);
    }
    view_drop(&view);
}

static void test_what_was_sent_stays(void **state)
{
    (void)state;
    struct desk desk;
    struct view *view = view_of(1, 3, 1);
    const struct view_node *ranked[3];
    rank(view, ranked);
    open_desk(&desk, 3);
    submit(&desk, "main", false);
    route_set_silent(desk.route, ranked[0]->id, true);
    tick(&desk);
    struct view *down = view_of(2, 3, 4); /* declared down, and somebody else serves its spool */
    down->nodes[ranked[0] - view->nodes].down = true;
    strcpy(down->nodes[ranked[0] - view->nodes].id, "heir");
    route_set_view(desk.route, down);
    tick(&desk);
    struct view *gone = view_of(3, 0, 1); /* nobody does */
    route_set_view(desk.route, gone);
    tick(&desk);
    set_view(&desk, 4, 3, 5); /* it is back */
    tick(&desk);
    assert_int_equal(desk.sent_count, 4);
    for (size_t i = 0; i < desk.sent_count; i++)
        assert_string_equal(desk.sent[i]->spool, ranked[0]->spool);
    assert_string_equal(desk.sent[1]->to, ranked[0]->id);
    assert_string_equal(desk.sent[2]->to, "heir");
    assert_int_equal(desk.sent[3]->to_incarnation, 5);
    answer(&desk, 3, BUS_TAKEN);
    assert_int_equal(desk.verdict, FRONT_TAKEN);
    view_drop(&view);
    view_drop(&down);
    view_drop(&gone);
    close_desk(&desk);
}

static void test_new_mail_avoids_those_down(void **state)
{
    (void)state;
    struct desk desk;
    struct view *view = view_of(2, 3, 1);
    const struct view_node *ranked[3];
    rank(view, ranked);
    open_desk(&desk, 3);
    view->nodes[ranked[0] - view->nodes].down = true;
    route_set_view(desk.route, view);
    submit(&desk, "main", false);
    assert_string_equal(desk.sent[0]->to, ranked[1]->id);
    view_drop(&view);
    close_desk(&desk);
}

static void test_waits_for_the_first_view(void **state)
{
    (void)state;
    struct desk desk;
    open_empty_desk(&desk);
    submit(&desk, "main", false);
    assert_int_equal(desk.sent_count + (size_t)desk.outcomes, 0);
    desk.now += 4 * USEC_SEC;
    route_tick(desk.route, desk.now);
    assert_int_equal(desk.outcomes, 0);
    set_view(&desk, 1, 2, 1);
    assert_true(route_deadline(desk.route) <= desk.now);
    route_tick(desk.route, desk.now);
    assert_int_equal(desk.sent_count, 1);
    answer(&desk, 0, BUS_TAKEN);
    assert_int_equal(desk.verdict, FRONT_TAKEN);
    close_desk(&desk);
}

static void test_waits_for_the_first_view_not_for_ever(void **state)
{
    (void)state;
    struct desk desk;
    open_empty_desk(&desk);
    usec_t since = desk.now;
    submit(&desk, "main", false);
    while (desk.outcomes == 0)
        tick(&desk);
    assert_int_equal(desk.verdict, FRONT_LATER);
    assert_int_equal(desk.now - since, 5 * USEC_SEC);
    submit(&desk, "other", false); /* the view comes, and has nobody for it */
    set_view(&desk, 1, 2, 1);
    tick(&desk);
    assert_int_equal(desk.outcomes, 2);
    assert_int_equal(desk.sent_count, 0);
    close_desk(&desk);
}

/* An answer about another message that happened to have the same token. */
static void test_foreign_answer(void **state)
{
    (void)state;
    struct desk desk;
    open_desk(&desk, 1);
    submit(&desk, "main", false);
    struct bus_msg *msg = bus_msg_answer(desk.sent[0], BUS_INJECT_ANSWER);
    msg->verdict = BUS_TAKEN;
    msg->id.bytes[3] ^= 1;
    route_message(desk.route, msg, desk.now);
    assert_int_equal(desk.outcomes, 0);
    bus_msg_free(&msg);
    close_desk(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks_the_owner_until_it_answers),
        cmocka_unit_test(test_follows_the_spool),
        cmocka_unit_test(test_asks_the_heir),
        cmocka_unit_test(test_late_refusal),
        cmocka_unit_test(test_pressed_node_slows_its_client),
        cmocka_unit_test(test_all_refuse),
        cmocka_unit_test(test_gives_up_after_a_minute),
        cmocka_unit_test(test_nobody_has_the_pool),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_foreign_answer),
        cmocka_unit_test(test_new_mail_avoids_the_silent),
        cmocka_unit_test(test_what_was_sent_stays),
        cmocka_unit_test(test_new_mail_avoids_those_down),
        cmocka_unit_test(test_waits_for_the_first_view),
        cmocka_unit_test(test_waits_for_the_first_view_not_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
