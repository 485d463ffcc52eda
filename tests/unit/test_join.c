/* Joining: what is claimed in which order, who is refused with which sentence, and that no answer lost, late
 * or doubled, and no lease that is gone, makes two processes one member or one incarnation two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/view_store.h"
#include "join_help.h"

/* ---- the straight road ---- */

static void test_node_joins(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 1);
    assert_int_equal(p.incarnation, 1);
    assert_true(join_is_member(p.join) && join_lease(p.join) != 0);
    struct member_live live = read_live("n1");
    assert_int_equal(live.incarnation, 0); /* its log is not read yet */
    assert_int_equal(live.source_count, 2);
    assert_string_equal(live.sources[1].public_address, "198.51.100.2");
    member_live_free(&live);
    join_ready(p.join, now);
    fake_serve_all(&p.client);
    live = read_live("n1");
    assert_int_equal(live.incarnation, 1);
    assert_int_equal(live.process, 77);
    member_live_free(&live);
    assert_string_equal(holder_of("192.0.2.1"), "n1");
    assert_string_equal(holder_of("192.0.2.2"), "n1");
    assert_int_equal(read_register("n1.0").process, 77);
    /* From now on the lease is kept, and nothing is written. */
    size_t writes = store->writes;
    run(&p, 10 * USEC_MIN, FATE_DONE);
    assert_int_equal(store->writes, writes);
    assert_true(join_is_member(p.join));
    join_leave(p.join, now);
    assert_false(join_gone(p.join));
    fake_serve_all(&p.client);
    assert_true(join_gone(p.join));
    assert_int_equal(p.ended, 0);
    assert_string_equal(holder_of("192.0.2.1"), "");
    assert_int_equal(p.joined, 1);
    finish(&p);
}

static void test_coordinator_joins(void **state)
{
    (void)state;
    struct process p;
    struct member_live live = live_of("n10", 0xfedcba9876543210u, "", NULL, 0);
    live.role = MEMBER_COORDINATOR;
    live.spool[0] = '\0';
    begin(&p, &live);
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 1);
    assert_true(p.incarnation == 0xfedcba9876543210u);
    struct member_live there = read_live("n10");
    assert_true(there.incarnation == there.process && there.process == p.incarnation);
    member_live_free(&there);
    assert_null(fake_get(store, "/todoku/prod/spool/n10.0"));
    finish(&p);
}

/* More addresses than one transaction takes. */
static void test_many_sources(void **state)
{
    (void)state;
    struct view_source sources[150] = {{0}};
    char address[150][32];
    for (int i = 0; i < 150; i++) {
        snprintf(address[i], sizeof address[i], "192.0.2.%d", i);
        sources[i] = (struct view_source){address[i], NULL, (char *)"a.example", NULL, 0};
    }
    struct member_live live = live_of("n1", 77, "disk-a", sources, 150);
    struct process p;
    begin(&p, &live);
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 1);
    for (int i = 0; i < 150; i++)
        assert_string_equal(holder_of(address[i]), "n1");
    assert_true(store->writes <= 5); /* name, 3 batches, register */
    /* Another set: what is gone is given back, what is new is claimed, and one write says so. */
    live.source_count = 100;
    join_set_live(p.join, &live, now);
    fake_serve_all(&p.client);
    assert_string_equal(holder_of("192.0.2.99"), "n1");
    assert_string_equal(holder_of("192.0.2.100"), "");
    join_set_live(p.join, &live, now);
    live.source_count = 120;
    join_set_live(p.join, &live, now);
    fake_serve_all(&p.client);
    assert_string_equal(holder_of("192.0.2.119"), "n1");
    struct member_live there = read_live("n1");
    assert_int_equal(there.source_count, 120);
    member_live_free(&there);
    finish(&p);
}

/* ---- who is refused ---- */

static void refuse(const char *id, const char *disk, const char *part)
{
    struct process p;
    begin_node(&p, id, 77, disk);
    fake_serve_all(&p.client);
    assert_int_equal(p.ended, 1);
    assert_int_equal(p.joined, 0);
    assert_says(p.why, part);
    finish(&p);
}

static void test_refused(void **state)
{
    (void)state;
    refuse("n4", "d",
        "n4 is not a member of cluster prod: run `todoku members add n4 '" KEY_A
        "'` where etcd can be reached");
    let_in("n5", MEMBER_NODE, KEY_B);
    refuse("n5", "d", "knows n5 by the public key " KEY_B);
    let_in("n6", MEMBER_COORDINATOR, KEY_A);
    refuse("n6", "d", "n6 is a coordinator of cluster prod, not a node: start it with `todoku coordinator`");
    fake_put(store, "/todoku/prod/spec/n7", "{\"id\":", 0);
    refuse("n7", "d", "spec/n7 can't be read");
    fake_put(store, "/todoku/prod/spool/n1.0",
        "{\"epoch\":3,\"node\":\"n1\",\"incarnation\":3,\"disk\":\"old\",\"mirror\":\"\",\"old\":\"\"}", 0);
    refuse("n1", "new", "the spool is on disk old of node n1, not on this one (new)");
    assert_null(fake_get(store, "/todoku/prod/live/n1")); /* its lease was given back */
    assert_int_equal(read_register("n1.0").epoch, 3);
}

static void put_view(struct view *view)
{
    struct buffer bytes = {0};
    view_store_write(view, &bytes);
    fake_put_bytes(store, "/todoku/prod/view/current", buffer_bytes(&bytes), buffer_len(&bytes), 0);
    buffer_free(&bytes);
    view_drop(&view);
}

/* spec/ without a role: the first start decided, and stands in the view. */
static void test_role_of_first_start(void **state)
{
    (void)state;
    struct view *view = view_new(4);
    view_add_coordinator(view, "n10", 5, "tcp://10.0.0.9:7101");
    put_view(view);
    refuse("n10", "d", "n10 has been a coordinator of cluster prod since its first start");
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 1);
    finish(&p);
}

/* A cluster whose view this program can't read is not its to join. */
static void test_other_wire(void **state)
{
    (void)state;
    fake_put(store, "/todoku/prod/view/current", "\x08\x63", 0);
    refuse("n1", "d", "n1 can't be a member of cluster prod");
    assert_null(fake_get(store, "/todoku/prod/live/n1"));
}

static void test_store_refuses(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve(&p.client, FATE_REFUSED);
    assert_int_equal(p.ended, 1);
    assert_says(p.why, "permission denied");
    finish(&p);
    /* A member is not ended by it. */
    begin_node(&p, "n1", 78, "disk-a");
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    run(&p, USEC_MIN, FATE_REFUSED);
    assert_int_equal(p.ended, 0);
    run(&p, USEC_MIN, FATE_DONE);
    struct member_live live = read_live("n1");
    assert_true(live.incarnation == p.incarnation);
    member_live_free(&live);
    finish(&p);
}

/* ---- somebody else has it ---- */

/* After a crash: the same disk takes its own back at once, and the dead one's lease with it. */
static void test_same_disk_takes_over(void **state)
{
    (void)state;
    struct process old, new;
    begin_node(&old, "n1", 77, "disk-a");
    fake_serve_all(&old.client);
    uint64_t lease = join_lease(old.join);
    begin_node(&new, "n1", 78, "disk-a");
    fake_serve_all(&new.client);
    assert_int_equal(new.joined, 1);
    assert_int_equal(new.incarnation, 2);
    assert_false(store->lease_alive[lease]);
    /* Should the old one live after all (a copied disk), it learns of it and ends; the new one stays. */
    run(&old, 20 * USEC_SEC, FATE_DONE);
    assert_int_equal(old.ended, 1);
    assert_says(old.why, "another process at tcp://10.0.0.1:7078 is n1 of cluster prod, with disk disk-a");
    run(&new, USEC_SEC, FATE_DONE);
    assert_true(join_is_member(new.join));
    finish(&old);
    finish(&new);
}

/* Another disk waits for as long as a lease may outlive a dead process, and says for whom. */
static void test_name_is_held(void **state)
{
    (void)state;
    struct process holder, p;
    begin_node(&holder, "n1", 77, "disk-a");
    fake_serve_all(&holder.client);
    begin_node(&p, "n1", 78, "disk-b");
    run(&p, 9 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 0);
    assert_says(p.what, "the name n1, which another process at tcp://10.0.0.1:7077 still holds");
    assert_true(p.waits >= 2);
    run(&p, 3 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 1);
    assert_says(p.why, "another process at tcp://10.0.0.1:7077 is n1 of cluster prod, with disk disk-a");
    assert_true(store->lease_alive[join_lease(holder.join)]);
    finish(&holder);
    finish(&p);
}

static void test_name_becomes_free(void **state)
{
    (void)state;
    struct process holder, p;
    struct member_live live = live_of("n10", 77, "", NULL, 0);
    live.role = MEMBER_COORDINATOR;
    begin(&holder, &live);
    fake_serve_all(&holder.client);
    live.process = 78;
    begin(&p, &live);
    run(&p, 4 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.joined + p.ended, 0);
    fake_end_lease(store, join_lease(holder.join));
    run(&p, 2 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.joined, 1);
    finish(&holder);
    finish(&p);
}

/* While the store is away leases stand still: the patience begins anew. */
static void test_patience_stands_still(void **state)
{
    (void)state;
    struct process holder, p;
    begin_node(&holder, "n1", 77, "disk-a");
    fake_serve_all(&holder.client);
    begin_node(&p, "n1", 78, "disk-b");
    run(&p, 8 * USEC_SEC, FATE_DONE);
    run(&p, 20 * USEC_SEC, FATE_LOST);
    run(&p, 8 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 0);
    fake_end_lease(store, join_lease(holder.join));
    run(&p, 3 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 1); /* by the register, which knows the disk */
    assert_says(p.why, "the spool is on disk disk-a");
    finish(&holder);
    finish(&p);
}

static void test_source_is_held(void **state)
{
    (void)state;
    let_in("n2", MEMBER_NODE, KEY_A);
    struct process holder, p;
    begin_node(&holder, "n1", 77, "disk-a");
    fake_serve_all(&holder.client);
    begin_node(&p, "n2", 78, "disk-b");
    run(&p, 9 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 0);
    assert_says(p.what, "which node n1 still holds");
    run(&p, 3 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 1);
    assert_says(p.why, "node n1 of cluster prod sends from 192.0.2.");
    assert_null(fake_get(store, "/todoku/prod/spool/n2.0")); /* nothing was begun */
    finish(&p);
    /* A member that is given such an address goes on without it. */
    struct view_source source = {"192.0.2.9", NULL, "c.example", NULL, 0};
    struct member_live live = live_of("n2", 79, "disk-b", &source, 1);
    begin(&p, &live);
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    struct view_source both[] = {source, {"192.0.2.1", NULL, "c.example", NULL, 0}};
    live.sources = both;
    live.source_count = 2;
    join_set_live(p.join, &live, now);
    run(&p, 30 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 0);
    struct member_live there = read_live("n2");
    assert_int_equal(there.source_count, 1);
    member_live_free(&there);
    fake_end_lease(store, join_lease(holder.join)); /* and takes it when it is free */
    run(&p, 10 * USEC_SEC, FATE_DONE);
    there = read_live("n2");
    assert_int_equal(there.source_count, 2);
    member_live_free(&there);
    assert_string_equal(holder_of("192.0.2.1"), "n2");
    finish(&p);
    finish(&holder);
}

/* What stands under no lease is nobody's: it ends no member, and a start does not wait for it. */
static void test_put_by_hand(void **state)
{
    (void)state;
    struct process p;
    fake_put(store, "/todoku/prod/live/n1", "garbage", 0);
    fake_put(store, "/todoku/prod/source/192.0.2.1", "{\"node\":\"n2\",\"process\":\"5\"}", 0);
    fake_put(store, "/todoku/prod/source/192.0.2.2", "{", 0);
    begin_node(&p, "n1", 77, "disk-a");
    run(&p, USEC_SEC, FATE_DONE);
    assert_int_equal(p.joined, 1);
    join_ready(p.join, now);
    run(&p, USEC_SEC, FATE_DONE);
    fake_put(store, "/todoku/prod/live/n1", "garbage", 0);
    run(&p, 2 * USEC_MIN, FATE_DONE);
    assert_int_equal(p.ended, 0);
    struct member_live live = read_live("n1");
    assert_true(live.process == 77 && live.incarnation == 1);
    member_live_free(&live);
    assert_true(fake_get(store, "/todoku/prod/live/n1")->lease == join_lease(p.join));
    finish(&p);
}

/* ---- answers lost, late, doubled ---- */

/* Each request in turn is done, but its answer lost: nothing is done twice, and one start is one incarnation.
 */
static void test_each_answer_lost(void **state)
{
    for (int lost = 0; lost < 20; lost++)
        for (int how = FATE_UNANSWERED; how <= FATE_LOST; how++) {
            tear_down(state);
            set_up(state);
            struct process p;
            begin_node(&p, "n1", 77, "disk-a");
            for (int i = 0; i < lost; i++)
                fake_serve(&p.client, FATE_DONE);
            fake_serve(&p.client, (enum fate)how);
            run(&p, 5 * USEC_SEC, FATE_DONE);
            if (p.joined != 1)
                fail_msg("request %d, fate %d: not joined: %s", lost, how, p.what);
            join_ready(p.join, now);
            run(&p, USEC_SEC, FATE_DONE);
            assert_int_equal(p.incarnation, 1);
            assert_int_equal(read_register("n1.0").epoch, 1);
            struct member_live live = read_live("n1");
            assert_int_equal(live.incarnation, 1);
            assert_int_equal(live.source_count, 2);
            member_live_free(&live);
            finish(&p);
        }
}

/* The lease ends in front of each request in turn. */
static void test_lease_lost_while_claiming(void **state)
{
    for (int before = 3; before < 12; before++) {
        tear_down(state);
        set_up(state);
        struct process p;
        begin_node(&p, "n1", 77, "disk-a");
        for (int i = 0; i < before; i++)
            fake_serve(&p.client, FATE_DONE);
        fake_end_lease(store, store->leases);
        run(&p, 5 * USEC_SEC, FATE_DONE);
        assert_int_equal(p.joined, 1);
        assert_int_equal(p.incarnation, 1);
        assert_true(store->lease_alive[join_lease(p.join)]);
        assert_string_equal(holder_of("192.0.2.1"), "n1");
        assert_string_equal(holder_of("192.0.2.2"), "n1");
        finish(&p);
    }
}

/* etcd is away for a minute: the lease is gone, the member is not; it comes back as it was. */
static void test_store_away(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    fake_serve_all(&p.client);
    uint64_t lease = join_lease(p.join);
    run(&p, USEC_MIN, FATE_LOST);
    assert_int_equal(join_lease(p.join), 0); /* nobody can say that it lives */
    assert_true(join_is_member(p.join));
    assert_says(p.what, "the store to answer: etcd is away");
    fake_end_lease(store, lease);
    run(&p, 5 * USEC_SEC, FATE_DONE);
    assert_true(join_lease(p.join) != 0 && join_lease(p.join) != lease);
    struct member_live live = read_live("n1");
    assert_int_equal(live.incarnation, 1);
    assert_int_equal(live.source_count, 2);
    member_live_free(&live);
    assert_string_equal(holder_of("192.0.2.2"), "n1");
    assert_int_equal(read_register("n1.0").epoch, 1);
    assert_int_equal(p.ended, 0);
    assert_int_equal(p.joined, 1);
    assert_says(p.what, "nothing any more");
    /* Away again, but the lease outlives it (etcd itself stood still). */
    lease = join_lease(p.join);
    run(&p, USEC_MIN, FATE_LOST);
    assert_int_equal(join_lease(p.join), 0);
    run(&p, 5 * USEC_SEC, FATE_DONE);
    assert_int_equal(join_lease(p.join), lease);
    finish(&p);
}

/* The name is another's when the store comes back: the one that lost it ends. */
static void test_name_lost(void **state)
{
    (void)state;
    struct process p, other;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    run(&p, USEC_MIN, FATE_LOST);
    fake_end_lease(store, 1);
    begin_node(&other, "n1", 78, "disk-a");
    fake_serve_all(&other.client);
    assert_int_equal(other.joined, 1);
    run(&p, 5 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 0);
    run(&p, 10 * USEC_SEC, FATE_DONE);
    assert_int_equal(p.ended, 1);
    finish(&p);
    finish(&other);
}

/* A keep that is answered when its lease was long replaced, or after its own time, says nothing. */
static void test_late_keep(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    fake_serve_all(&p.client);
    now = join_deadline(p.join);
    join_tick(p.join, now);
    assert_int_equal(fake_verb(&p.client), KV_LEASE_KEEP);
    now += 6 * USEC_SEC;
    join_tick(p.join, now);
    assert_int_equal(join_lease(p.join), 0);
    fake_serve(&p.client, FATE_DONE); /* it was kept, 6 s ago: is it still? */
    assert_int_equal(join_lease(p.join), 0);
    fake_serve_all(&p.client);
    assert_true(join_lease(p.join) != 0);
    /* Refs of long ago. */
    uint64_t lease = join_lease(p.join);
    struct kv_result none = {.outcome = KV_LOST};
    for (uint64_t ref = 0; ref < 12; ref++)
        join_result(p.join, ref, &none, now);
    assert_int_equal(join_lease(p.join), lease);
    /* A request that is never answered at all is given up. */
    now = join_deadline(p.join);
    join_tick(p.join, now);
    fake_forget(&p.client);
    run(&p, USEC_MIN, FATE_DONE);
    assert_int_equal(join_lease(p.join), lease);
    finish(&p);
}

/* PROTOCOL guard 1: the swap of a process that died was long on its way. It changes nothing any more, and two
 * starts have two incarnations. */
static void test_swap_comes_late(void **state)
{
    (void)state;
    struct process old, new;
    begin_node(&old, "n1", 77, "disk-a");
    while (
        strcmp(fake_about(&old.client), "/todoku/prod/spool/n1.0") != 0 || fake_verb(&old.client) != KV_TXN)
        assert_true(fake_serve(&old.client, FATE_DONE));
    fake_serve(&old.client, FATE_LATE_LATER); /* and it dies */
    begin_node(&new, "n1", 78, "disk-a");
    fake_serve_all(&new.client);
    assert_int_equal(new.joined, 1);
    assert_int_equal(fake_happen_late(&old.client), 1);
    struct spool_register reg = read_register("n1.0");
    assert_int_equal(reg.process, 78);
    assert_int_equal(reg.incarnation, new.incarnation);
    finish(&old);
    finish(&new);
    /* It lands just before the new one's: that one takes the next. */
    begin_node(&old, "n1", 79, "disk-a");
    while (
        strcmp(fake_about(&old.client), "/todoku/prod/spool/n1.0") != 0 || fake_verb(&old.client) != KV_TXN)
        assert_true(fake_serve(&old.client, FATE_DONE));
    begin_node(&new, "n1", 80, "disk-a");
    while (
        strcmp(fake_about(&new.client), "/todoku/prod/spool/n1.0") != 0 || fake_verb(&new.client) != KV_TXN)
        assert_true(fake_serve(&new.client, FATE_DONE));
    fake_serve(&old.client, FATE_UNANSWERED);
    run(&new, USEC_SEC, FATE_DONE);
    assert_int_equal(new.incarnation, 3);
    assert_int_equal(read_register("n1.0").process, 80);
    finish(&old);
    finish(&new);
}

/* ---- an operator's word ---- */

static void test_taken_out(void **state)
{
    (void)state;
    struct process p;
    struct fake_watch watch = {.store = store, .prefix = "/todoku/prod/spec/n1"};
    begin_node(&p, "n1", 77, "disk-a");
    struct kv_news news, old_list = {.type = KV_LIST, .revision = 1},
                         away = {.type = KV_AWAY, .why = "no answer"};
    fake_serve_all(&p.client);
    join_spec_news(p.join, &old_list, now); /* older than what was read: from before the member was added */
    while (fake_news(&watch, &news))
        join_spec_news(p.join, &news, now);
    join_spec_news(p.join, &away, now);
    fake_put(store, "/todoku/prod/spec/n10", NULL, 0); /* n10 is not n1 */
    fake_put(store, "/todoku/prod/spec/n1", "{nonsense", 0);
    while (fake_news(&watch, &news))
        join_spec_news(p.join, &news, now);
    assert_int_equal(p.ended, 0);
    fake_put(store, "/todoku/prod/spec/n1", NULL, 0);
    while (fake_news(&watch, &news))
        join_spec_news(p.join, &news, now);
    assert_int_equal(p.ended, 1);
    assert_says(p.why, "n1 is not a member of cluster prod");
    fake_serve_all(&p.client);
    assert_string_equal(holder_of("192.0.2.1"), "");
    join_tick(p.join, now + USEC_MIN);
    assert_int_equal(fake_waiting(&p.client), 0); /* and nothing follows */
    assert_true(join_deadline(p.join) == USEC_NEVER);
    finish(&p);
    /* A new list after a gap, and it is not in it. */
    let_in("n1", MEMBER_NODE, KEY_A);
    begin_node(&p, "n1", 78, "disk-a");
    fake_serve_all(&p.client);
    struct kv_news list = {.type = KV_LIST, .revision = store->revision + 1};
    join_spec_news(p.join, &list, now);
    assert_int_equal(p.ended, 1);
    finish(&p);
}

/* ---- another store in its place ---- */

static void put_register(uint64_t change, uint64_t incarnation, uint64_t process)
{
    struct spool_register reg = {.epoch = change, .incarnation = incarnation, .process = process};
    struct buffer text = {0};
    strcpy(reg.node, "n1");
    strcpy(reg.disk, "disk-a");
    spool_register_write(&reg, &text);
    fake_put(store, "/todoku/prod/spool/n1.0", buffer_text(&text), 0);
    buffer_free(&text);
}

/* A node that serves goes on with its incarnation, and the store is told; the next start is above it. */
static void test_another_history(void **state)
{
    (void)state;
    struct process p;
    put_register(8, 6, 70);
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    fake_serve_all(&p.client);
    assert_int_equal(p.incarnation, 7);
    assert_int_equal(p.change, 9);
    /* What the backup had: an earlier start of it, whose lease is long gone. */
    put_register(3, 2, 60);
    fake_end_lease(store, join_lease(p.join));
    fake_put(store, "/todoku/prod/live/n1", "{}", 0);
    join_new_history(p.join, now);
    run(&p, USEC_MIN, FATE_DONE);
    assert_int_equal(p.ended, 0);
    assert_int_equal(p.joined, 1);
    assert_int_equal(p.registered, 2);
    struct spool_register reg = read_register("n1.0");
    assert_int_equal(reg.incarnation, 7);
    assert_int_equal(reg.process, 77);
    assert_int_equal(reg.epoch, 10);
    struct member_live live = read_live("n1");
    assert_int_equal(live.incarnation, 7);
    member_live_free(&live);
    assert_string_equal(holder_of("192.0.2.1"), "n1");
    /* Another process of that disk went on before the word was said: this one is no longer it. */
    put_register(12, 8, 90);
    join_new_history(p.join, now);
    run(&p, USEC_MIN, FATE_DONE);
    assert_int_equal(p.ended, 1);
    assert_says(p.why, "taken over by incarnation 8 of this disk");
    finish(&p);
}

/* What this disk was ever served by is remembered, and the store is not. */
static void test_floor(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    join_set_floor(p.join, 9, 7);
    fake_serve_all(&p.client);
    assert_int_equal(p.incarnation, 8);
    assert_int_equal(p.change, 10);
    assert_int_equal(read_register("n1.0").incarnation, 8);
    finish(&p);
}

/* A register from a backup names a mirror that may have been severed since: that is none until it has everything. One
 * that is as new as this disk knows keeps its own. */
static void test_mirror_of_long_ago(void **state)
{
    (void)state;
    static const uint64_t floors[] = {2, 3, 9};
    for (size_t i = 0; i < 3; i++) {
        struct process p;
        fake_put(store, "/todoku/prod/spool/n1.0",
            "{\"epoch\":3,\"node\":\"n1\",\"incarnation\":3,\"disk\":\"disk-a\",\"mirror\":\"disk-b\","
            "\"old\":\"\"}",
            0);
        begin_node(&p, "n1", 77 + i, "disk-a");
        join_set_floor(p.join, floors[i], 3);
        fake_serve_all(&p.client);
        assert_string_equal(read_register("n1.0").mirror, floors[i] < 4 ? "disk-b" : "");
        assert_int_equal(read_register("n1.0").epoch, floors[i] < 4 ? 4 : 10);
        finish(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_node_joins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_coordinator_joins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_sources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_role_of_first_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_wire, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_disk_takes_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_becomes_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patience_stands_still, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_source_is_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_put_by_hand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_answer_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lease_lost_while_claiming, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_late_keep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_swap_comes_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_history, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_floor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mirror_of_long_ago, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
