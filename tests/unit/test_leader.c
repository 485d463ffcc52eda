/* The head of the cluster: one at a time, one view an epoch, and nobody declared down too early or too many
 * at once, whatever the store does meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/view_store.h"
#include "leader_help.h"

/* ---- the straight road ---- */

static void test_first_view(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    assert_true(leader_is_head(h.leader));
    struct view *view = stored();
    assert_int_equal(epoch(), 1);
    assert_string_equal(view->leader, "c1");
    assert_int_equal(view->node_count, 2); /* n3 was never ready */
    const struct view_node *n1 = view_node(view, "n1"), *n2 = view_node(view, "n2");
    assert_int_equal(n1->weight, 7);
    assert_int_equal(n1->incarnation, 5);
    assert_int_equal(n1->process, 101);
    assert_string_equal(n1->spool, "n1.0");
    assert_string_equal(n1->endpoint, "tcp://10.0.0.1:101");
    assert_string_equal(n1->sources[0].public_address, "198.51.100.1");
    assert_true(view_node_has_pool(n1, "main"));
    assert_int_equal(n2->weight, 3); /* the operator's word goes before the file's */
    assert_true(n2->draining && !n1->draining);
    assert_int_equal(view->coordinator_count, 1);
    assert_int_equal(view->coordinators[0].process, 11);
    view_drop(&view);
    /* Nothing changes, nothing is written. */
    size_t writes = store->writes;
    run(&h, 10 * USEC_MIN);
    assert_int_equal(store->writes, writes);
    put_live("n1", MEMBER_NODE, 101, 5); /* the same again, under another lease */
    run(&h, USEC_MIN);
    assert_int_equal(epoch(), 1);
    finish(&h);
}

static void test_changes(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    put_live("n3", MEMBER_NODE, 103, 0); /* not ready yet */
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), 1);
    put_live("n3", MEMBER_NODE, 103, 1);
    put_live("c2", MEMBER_COORDINATOR, 12, 12);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), 3);
    assert_string_equal(state_of("n3"), "up");
    assert_string_equal(state_of("c2"), "up");
    /* A quick restart: the old one's live/ goes, the new one's comes, and it is ready soon. */
    fake_end_lease(store, lease_n1);
    put_live("n1", MEMBER_NODE, 104, 0);
    run(&h, 2 * USEC_SEC);
    put_live("n1", MEMBER_NODE, 104, 6);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), 4);
    struct view *view = stored();
    assert_int_equal(view_node(view, "n1")->incarnation, 6);
    view_drop(&view);
    assert_null(strstr(h.said, "down"));
    /* One that reads its log for long is down meanwhile. */
    put_live("n1", MEMBER_NODE, 105, 0);
    run(&h, 10 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    put_live("n1", MEMBER_NODE, 105, 7);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up");
    assert_non_null(strstr(h.said, "n1 is away for now"));
    assert_non_null(strstr(h.said, "n1 is back"));
    /* An operator's word counts at once, also about one that is down. */
    fake_end_lease(store, lease_n2);
    run(&h, 20 * USEC_SEC);
    put_spec("n2", MEMBER_NODE, 9, false);
    fake_put(store, "/todoku/prod/spec/n3", NULL, 0);
    run(&h, 2 * USEC_SEC);
    view = stored();
    assert_true(view_node(view, "n2")->down && view_node(view, "n2")->weight == 9);
    assert_null(view_node(view, "n3"));
    view_drop(&view);
    finish(&h);
}

/* Hot domains and shares stand in every view from the one on that was asked for. */
static void test_balance(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    struct view *view = stored(), *wanted = view_new(1);
    assert_int_equal(view_node(view, "n1")->share, 0);
    view_drop(&view);
    view_add_node(wanted, "n1", "n1.0", 1, 1)->share = 700;
    view_add_node(wanted, "n2", "n2.0", 1, 1);
    view_add_hot(wanted, "huge.test", 0);
    leader_set_balance(h.leader, balance_plan_of(wanted), now);
    view_drop(&wanted);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), 2);
    put_spec("n1", MEMBER_NODE, 9, false);
    put_live("n3", MEMBER_NODE, 103, 1);
    run(&h, 3 * USEC_SEC);
    view = stored();
    assert_int_equal(view->hot_count, 1);
    assert_int_equal(view_node(view, "n1")->share, 700);
    assert_int_equal(view_node(view, "n2")->share, 0);
    assert_in_range(view_node(view, "n3")->share, 500, 767); /* less than the others' mean */
    view_drop(&view);
    finish(&h);
}

/* At most one view a second, however much happens. */
static void test_pace(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    uint64_t before = epoch();
    for (unsigned i = 0; i < 100; i++) {
        put_spec("n1", MEMBER_NODE, 1 + i, false);
        run(&h, USEC_SEC / 10);
    }
    assert_in_range(epoch() - before, 9, 11);
    finish(&h);
}

/* ---- who is left out ---- */

static void test_left_out(void **state)
{
    (void)state;
    struct head h;
    struct member_live other = {.role = MEMBER_NODE, .wire = {wire_ours.most + 1, wire_ours.most + 2}};
    struct member_live key = {.role = MEMBER_NODE, .public_key = KEY_B};
    struct member_live spool = {.role = MEMBER_NODE, .spool = "n1.0"};
    put_live_as(&other, "n2", 102, 1);
    put_live_as(&key, "n3", 103, 1);
    put_spec("n4", MEMBER_NODE, 0, false);
    put_live_as(&spool, "n4", 104, 1);
    put_spec("n5", MEMBER_NODE, 0, false);
    fake_put(store, "/todoku/prod/live/n5", "{\"id\":\"n6\"", 0);
    fake_put(store, "/todoku/prod/live/not in spec", "{}", 0);
    put_live("n9", MEMBER_NODE, 109, 1);
    begin(&h, "c1", lease_c1);
    run(&h, 30 * USEC_SEC);
    struct view *view = stored();
    assert_int_equal(view->node_count, 1);
    assert_string_equal(view->nodes[0].id, "n1");
    view_drop(&view);
    const char *says[] = {"n2 is left out of the view: its program speaks wire version 3 to 4, the cluster 2",
        "n3 runs with another public key", "n4 is left out of the view: n1 serves its spool n1.0",
        "live/n5 can't be read"};
    for (size_t i = 0; i < 4; i++) {
        const char *once = strstr(h.said, says[i]);
        assert_non_null(once);
        assert_null(strstr(once + 1, says[i]));
    }
    finish(&h);
}

/* A view goes to everybody: of sources with the same pools it names one. */
static void test_one_source_for_its_pools(void **state)
{
    (void)state;
    struct head h;
    char *pools[] = {(char *)"main", (char *)"fast"};
    struct view_source sources[] = {{(char *)"192.0.2.1", NULL, (char *)"a.example", pools, 1},
        {(char *)"192.0.2.2", (char *)"198.51.100.2", (char *)"b.example", pools, 1},
        {(char *)"192.0.2.3", (char *)"198.51.100.3", (char *)"c.example", pools, 2},
        {(char *)"192.0.2.4", NULL, (char *)"d.example", pools, 2},
        {(char *)"192.0.2.5", NULL, (char *)"e.example", NULL, 0}};
    struct member_live live = {.role = MEMBER_NODE, .weight = 1, .sources = sources, .source_count = 5};
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    put_live_as(&live, "n1", 111, 6);
    run(&h, 2 * USEC_SEC);
    struct view *view = stored();
    const struct view_node *n1 = view_node(view, "n1");
    assert_int_equal(n1->source_count, 3);
    assert_string_equal(n1->sources[0].address, "192.0.2.1");
    assert_string_equal(n1->sources[1].public_address, "198.51.100.3");
    assert_int_equal(n1->sources[1].pool_count, 2);
    assert_int_equal(n1->sources[2].pool_count, 0);
    view_drop(&view);
    finish(&h);
}

static void test_too_big(void **state)
{
    (void)state;
    struct head h;
    struct member_live live = {.role = MEMBER_NODE, .weight = 1};
    char helo[250];
    memset(helo, 'a', sizeof helo - 1);
    helo[249] = '\0';
    static char names[3000][8];
    static char *pools[3000];
    struct view_source *sources = xcalloc(3000, sizeof *sources);
    for (int i = 0; i < 3000; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        pools[i] = names[i];
        sources[i] = (struct view_source){(char *)"192.0.2.1", NULL, helo, &pools[i], 1};
    }
    live.sources = sources;
    live.source_count = 3000;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    put_live_as(&live, "n1", 111, 6);
    live.spool[0] = '\0';
    put_live_as(&live, "n2", 112, 6);
    run(&h, 10 * USEC_SEC);
    assert_int_equal(epoch(), 2); /* with the first of them */
    const char *once = strstr(h.said, "the view stays as it was");
    assert_non_null(once);
    assert_null(strstr(once + 1, "the view stays as it was"));
    put_live("n2", MEMBER_NODE, 113, 7);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), 3);
    free(sources);
    finish(&h);
}

/* More names of pools than a view's readers take: the view that everybody can read stays, and so does the
 * head. */
static void test_nobody_could_read(void **state)
{
    (void)state;
    enum { SOURCES = 11, POOLS = 1000 };
    static char names[SOURCES * POOLS][8];
    static char *pools[SOURCES * POOLS];
    struct head h;
    struct view_source sources[SOURCES];
    struct member_live live = {.role = MEMBER_NODE, .weight = 1, .sources = sources, .source_count = SOURCES};
    for (int i = 0; i < SOURCES * POOLS; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        pools[i] = names[i];
    }
    for (int i = 0; i < SOURCES; i++)
        sources[i] = (struct view_source){
            (char *)"192.0.2.1", NULL, (char *)"a.example", &pools[(size_t)i * POOLS], POOLS};
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    put_live_as(&live, "n1", 111, 6);
    run(&h, 10 * USEC_SEC);
    assert_int_equal(epoch(), 1);
    assert_true(leader_is_head(h.leader));
    assert_non_null(strstr(h.said, "a new one could not be read by anybody"));
    put_live("n1", MEMBER_NODE, 112, 7);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), 2);
    finish(&h);
}

/* ---- down ---- */

static void test_down_only_after_quiet(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up"); /* 4 s after the election */
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    /* The store was away: who did not come back within a lease time is gone. */
    run(&h, 20 * USEC_SEC);
    away(&h);
    fake_end_lease(store, lease_n2);
    now += USEC_MIN;
    settle(&h);
    run(&h, 4 * USEC_SEC);
    assert_string_equal(state_of("n2"), "up");
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n2"), "down");
    finish(&h);
}

/* Never more than max(1, 10 %) within 10 s, also over a change of heads. */
static void test_down_pace(void **state)
{
    (void)state;
    struct head h, h2;
    uint64_t leases[38];
    for (int i = 0; i < 38; i++) {
        char id[16];
        snprintf(id, sizeof id, "m%d", i);
        put_spec(id, MEMBER_NODE, 0, false);
        leases[i] = put_live(id, MEMBER_NODE, 200 + (uint64_t)i, 1);
    }
    begin(&h, "c1", lease_c1);
    run(&h, 10 * USEC_SEC);
    for (int i = 0; i < 38; i++)
        fake_end_lease(store, leases[i]);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(down_count(), 4);
    run(&h, 7 * USEC_SEC);
    assert_int_equal(down_count(), 4);
    run(&h, 3 * USEC_SEC);
    assert_int_equal(down_count(), 8);
    leader_resign(h.leader, now);
    settle(&h);
    begin(&h2, "c2", put_live("c2", MEMBER_COORDINATOR, 12, 12));
    usec_t changed = now;
    run(&h2, 8 * USEC_SEC);
    assert_int_equal(down_count(), 8);
    run(&h2, 3 * USEC_SEC);
    assert_int_equal(down_count(), 12);
    assert_true(now - changed < 12 * USEC_SEC);
    finish(&h);
    finish(&h2);
}

static void test_coordinator_down(void **state)
{
    (void)state;
    struct head h;
    uint64_t lease = put_live("c2", MEMBER_COORDINATOR, 12, 12);
    begin(&h, "c1", lease_c1);
    run(&h, 10 * USEC_SEC);
    assert_string_equal(state_of("c2"), "up");
    fake_end_lease(store, lease);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("c2"), "down");
    put_live("c2", MEMBER_COORDINATOR, 13, 13);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("c2"), "up");
    fake_put(store, "/todoku/prod/spec/c2", NULL, 0);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("c2"), "none");
    finish(&h);
}

/* ---- heads come and go ---- */

/* A new head begins with the view that is there: the epoch goes on, and who is gone is down, not dropped. */
static void test_new_head(void **state)
{
    (void)state;
    struct head h, h2;
    begin(&h, "c1", lease_c1);
    begin(&h2, "c2", put_live("c2", MEMBER_COORDINATOR, 12, 12));
    run(&h, 2 * USEC_SEC);
    settle(&h2);
    assert_false(leader_is_head(h2.leader));
    uint64_t was = epoch();
    fake_end_lease(store, lease_c1);
    fake_end_lease(store, lease_n1);
    run(&h2, 2 * USEC_SEC);
    assert_true(leader_is_head(h2.leader));
    assert_int_equal(epoch(), was + 1);
    assert_string_equal(state_of("n1"), "up");
    run(&h2, 10 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    assert_string_equal(state_of("c1"), "down");
    /* The old one does not know yet, and has something to say: it changes nothing. */
    uint64_t is = epoch();
    assert_true(leader_is_head(h.leader));
    put_spec("n1", MEMBER_NODE, 55, false);
    struct kv_news news;
    while (fake_news(&h.watches[LEADER_SPEC], &news))
        leader_news(h.leader, LEADER_SPEC, &news, now);
    assert_int_equal(fake_waiting(&h.client), 1);
    fake_serve(&h.client, FATE_DONE);
    assert_int_equal(epoch(), is);
    settle(&h);
    assert_false(leader_is_head(h.leader));
    leader_set_lease(h.leader, 0, now);
    run(&h, 10 * USEC_SEC);
    assert_int_equal(h.elections, 1);
    finish(&h);
    finish(&h2);
}

/* The answer to the election is lost, or overtaken by the news, or by the end of its key. */
static void test_election_unknown(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    tell(&h);
    assert_string_equal(fake_about(&h.client), "/todoku/prod/leader");
    fake_serve(&h.client, FATE_UNANSWERED);
    assert_false(leader_is_head(h.leader));
    tell(&h); /* a key with my lease: mine */
    assert_true(leader_is_head(h.leader));
    fake_put(store, "/todoku/prod/leader", NULL, 0);
    run(&h, 5 * USEC_SEC);
    assert_true(leader_is_head(h.leader));
    assert_int_equal(h.elections, 2);
    /* Elected, but the lease ended before the answer came. */
    finish(&h);
    fake_put(store, "/todoku/prod/leader", NULL, 0);
    uint64_t lease = new_lease();
    begin(&h, "c1", lease);
    tell(&h);
    leader_set_lease(h.leader, new_lease(), now);
    fake_serve(&h.client, FATE_DONE); /* of the old lease: says nothing */
    assert_false(leader_is_head(h.leader));
    tell(&h);
    assert_false(leader_is_head(h.leader)); /* that key is not of this lease */
    fake_end_lease(store, lease);
    run(&h, 2 * USEC_SEC);
    assert_true(leader_is_head(h.leader));
    finish(&h);
}

/* The same lease, lapsed and found again: the same key, the same head. */
static void test_lease_lapses(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 10 * USEC_SEC);
    leader_set_lease(h.leader, 0, now);
    assert_false(leader_is_head(h.leader));
    run(&h, 10 * USEC_SEC);
    leader_set_lease(h.leader, lease_c1, now);
    assert_true(leader_is_head(h.leader));
    fake_end_lease(store, lease_n1);
    run(&h, 4 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up"); /* quiet again */
    finish(&h);
}

/* The answer to a publishing is lost: done or not, there is one view an epoch. */
static void test_publish_unknown(void **state)
{
    (void)state;
    for (int how = FATE_UNANSWERED; how <= FATE_LATE_LATER; how++) {
        tear_down(state);
        set_up(state);
        struct head h;
        begin(&h, "c1", lease_c1);
        run(&h, 2 * USEC_SEC);
        put_spec("n1", MEMBER_NODE, 50, false);
        tell(&h);
        assert_string_equal(fake_about(&h.client), VIEW_KEY);
        fake_serve(&h.client, (enum fate)how);
        put_spec("n1", MEMBER_NODE, 51, false);
        run(&h, 7 * USEC_SEC);
        uint64_t is = epoch();
        fake_happen_late(&h.client);
        run(&h, 7 * USEC_SEC);
        assert_int_equal(epoch(), is);
        struct view *view = stored();
        assert_int_equal(view_node(view, "n1")->weight, 51);
        view_drop(&view);
        finish(&h);
    }
}

/* A view of a newer program: this one does not stand, or gives the key back. */
static void test_unreadable_view(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    fake_put(store, VIEW_KEY, "\x08\x63", 0);
    run(&h, 5 * USEC_SEC);
    assert_false(leader_is_head(h.leader));
    assert_null(fake_get(store, "/todoku/prod/leader"));
    assert_non_null(strstr(h.said, "c1 does not stand for head"));
    fake_put(store, VIEW_KEY, NULL, 0); /* by hand */
    run(&h, 5 * USEC_SEC);
    assert_true(leader_is_head(h.leader));
    assert_true(epoch() >= 2);
    finish(&h);
}

/* The view is taken away by hand, and no coordinator runs that remembers it: members do, and take nothing
 * that is not newer than what they have. */
static void test_no_epoch_twice(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    for (uint32_t weight = 60; weight < 70; weight++) {
        put_spec("n1", MEMBER_NODE, weight, false);
        run(&h, 2 * USEC_SEC);
    }
    uint64_t was = epoch();
    assert_true(was > 10);
    finish(&h);
    fake_end_lease(store, lease_c1);
    fake_put(store, VIEW_KEY, NULL, 0);
    begin(&h, "c1", put_live("c1", MEMBER_COORDINATOR, 21, 21));
    run(&h, 2 * USEC_SEC);
    assert_true(leader_is_head(h.leader));
    assert_true(epoch() > was);
    finish(&h);
}

/* Somebody wrote over the head's key: it hangs on no lease, and would stand for ever. */
static void test_key_put_by_hand(void **state)
{
    (void)state;
    struct head h, h2;
    begin(&h, "c1", lease_c1);
    begin(&h2, "c2", put_live("c2", MEMBER_COORDINATOR, 12, 12));
    run(&h, 2 * USEC_SEC);
    settle(&h2);
    fake_put(store, "/todoku/prod/leader", "{", 0);
    for (int i = 0; i < 6; i++) {
        run(&h, USEC_SEC / 2);
        run(&h2, USEC_SEC / 2);
    }
    assert_int_equal(leader_is_head(h.leader) + leader_is_head(h2.leader), 1);
    assert_true(fake_get(store, "/todoku/prod/leader")->lease != 0);
    finish(&h);
    finish(&h2);
}

static void test_resign(void **state)
{
    (void)state;
    struct head h, h2;
    begin(&h, "c1", lease_c1);
    begin(&h2, "c2", put_live("c2", MEMBER_COORDINATOR, 12, 12));
    run(&h, 2 * USEC_SEC);
    settle(&h2);
    leader_resign(h.leader, now);
    assert_false(leader_is_head(h.leader));
    settle(&h);
    settle(&h2);
    assert_true(leader_is_head(h2.leader));
    run(&h, 10 * USEC_SEC);
    assert_int_equal(h.elections, 1);
    finish(&h);
    finish(&h2);
}

/* ---- another store in its place ---- */

/* As if restored from a backup: revisions and the view are those of long ago. */
static void put_back(struct head *h, uint64_t first)
{
    struct buffer bytes = {0};
    struct error error;
    struct view *view = view_new(first);
    assert_int_equal(view_seal(view, &error), 0);
    view_store_write(view, &bytes);
    view_drop(&view);
    away(h);
    fake_end_lease(store, lease_c1);
    store->revision = 3;
    put_spec("c1", MEMBER_COORDINATOR, 0, false);
    put_spec("n1", MEMBER_NODE, 0, false);
    lease_c1 = put_live("c1", MEMBER_COORDINATOR, 11, 11);
    lease_n1 = put_live("n1", MEMBER_NODE, 101, 5);
    fake_put_bytes(store, VIEW_KEY, buffer_bytes(&bytes), buffer_len(&bytes), 0);
    buffer_free(&bytes);
    leader_set_lease(h->leader, lease_c1, now);
}

/* Epochs go on above all that this head, and any member, has heard of. */
static void test_another_history(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    uint64_t first = epoch();
    for (uint64_t i = 0; i < 5; i++) {
        put_live("n2", MEMBER_NODE, 110 + i, 2 + i);
        run(&h, 2 * USEC_SEC);
    }
    struct view *view = stored();
    uint64_t before = view->epoch;
    view_drop(&view);
    assert_int_equal(epoch(), first + 5);
    put_back(&h, 1);
    h.history = 1;
    run(&h, 10 * USEC_SEC);
    assert_true(leader_is_head(h.leader));
    view = stored();
    assert_int_equal(view->epoch, before + 1);
    assert_int_equal(view->node_count, 2);
    view_drop(&view);
    size_t writes = store->writes;
    struct member_live late = {.role = MEMBER_NODE, .weight = 1, .epoch = before + 500};
    put_live_as(&late, "n2", 116, 7);
    run(&h, 10 * USEC_SEC);
    view = stored();
    assert_int_equal(view->epoch, before + 501);
    view_drop(&view);
    assert_true(store->writes <= writes + 3);
    run(&h, 10 * USEC_MIN);
    assert_true(store->writes <= writes + 3);
    finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_view, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_balance, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_source_for_its_pools, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_big, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_could_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_down_only_after_quiet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_down_pace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_coordinator_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_election_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lease_lapses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_publish_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable_view, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_epoch_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_key_put_by_hand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resign, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_history, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
