/* Heads in a storm: see struct storm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "cluster/view_store.h"
#include "leader_help.h"

/* Three coordinators, a store that loses answers and does things late, leases that end, members that come and
 * go. Each write of the view raises its epoch by one, and within 10 s no more than one of ten goes down. */
struct storm {
    struct random random;
    struct head heads[3];
    uint64_t leases[3], nodes[12], epoch, views;
    size_t at;
    bool down[12];
    usec_t downs[1000];
    size_t down_count;
};

static void check_views(struct storm *s, uint64_t seed, usec_t blur)
{
    for (; s->at < store->log_count; s->at++) {
        const struct fake_change *change = &store->log[s->at];
        if (strcmp(change->key, VIEW_KEY) != 0)
            continue;
        struct error error;
        struct view *view = view_store_read(change->value, change->len, &error);
        assert_non_null(view);
        if (s->epoch != 0 && view->epoch != s->epoch + 1)
            fail_msg("seed %lu: epoch %lu after %lu", seed, view->epoch, s->epoch);
        s->epoch = view->epoch;
        s->views++;
        for (int i = 0; i < 12; i++) {
            char id[16];
            snprintf(id, sizeof id, "m%d", i);
            const struct view_node *node = view_node(view, id);
            bool down = node != NULL && node->down;
            if (down && !s->down[i]) {
                if (s->down_count > 0 && now - s->downs[s->down_count - 1] < 10 * USEC_SEC - blur)
                    fail_msg("seed %lu: two went down within 10 s", seed);
                s->downs[s->down_count++] = now;
                assert_true(s->down_count < 1000);
            }
            s->down[i] = down;
        }
        view_drop(&view);
    }
}

static void new_coordinator(struct storm *s, int i)
{
    char id[16];
    snprintf(id, sizeof id, "h%d", i);
    if (s->heads[i].leader != NULL) {
        fake_happen_late(&s->heads[i].client);
        finish(&s->heads[i]);
    }
    s->leases[i] = put_live(id, MEMBER_COORDINATOR, 1000 + store->leases, 1);
    begin(&s->heads[i], id, s->leases[i]);
}

static void change_node(struct storm *s, int i)
{
    char id[16];
    snprintf(id, sizeof id, "m%d", i);
    if (random_below(&s->random, 2) == 0)
        fake_end_lease(store, s->nodes[i]);
    else
        s->nodes[i] = put_live(id, MEMBER_NODE, 5000 + store->leases, random_below(&s->random, 3));
}

static void rare_event(struct storm *s, int i)
{
    switch (random_below(&s->random, 4)) {
    case 0:
        new_coordinator(s, i);
        break;
    case 1:
        fake_end_lease(store, s->leases[i]);
        break;
    case 2: /* the old one is not known to be gone */
        leader_set_lease(s->heads[i].leader, s->leases[i] = new_lease(), now);
        break;
    default:
        away(&s->heads[i]);
        break;
    }
}

static void storm_step(struct storm *s)
{
    int i = (int)random_below(&s->random, 3);
    struct head *h = &s->heads[i];
    struct kv_news news;
    static const enum fate fates[] = {
        FATE_DONE, FATE_DONE, FATE_DONE, FATE_UNANSWERED, FATE_LOST, FATE_LATE_LATER};
    unsigned dice = (unsigned)random_below(&s->random, 100);
    if (dice < 5)
        change_node(s, (int)random_below(&s->random, 12));
    else if (dice < 8 && random_below(&s->random, 20) == 0)
        rare_event(s, i);
    else if (dice < 12)
        fake_happen_late(&h->client);
    else if (dice < 50)
        fake_serve(&h->client, fates[random_below(&s->random, 6)]);
    else if (dice < 80) {
        int topic = (int)random_below(&s->random, LEADER_TOPICS);
        if (fake_news(&h->watches[topic], &news))
            leader_news(h->leader, (enum leader_topic)topic, &news, now);
    } else {
        now += (usec_t)random_below(&s->random, USEC_SEC);
        for (int j = 0; j < 3; j++)
            leader_tick(s->heads[j].leader, now);
    }
}

/* Who lives and is ready is up, when all is quiet. */
static void check_up(int i, uint64_t seed)
{
    char id[16], path[MEMBER_PATH_SIZE];
    snprintf(id, sizeof id, "m%d", i);
    member_path(path, "prod", "live", id);
    const struct fake_key *key = fake_get(store, path);
    struct member_live live = {.incarnation = 0};
    struct error error;
    if (key != NULL)
        assert_int_equal(member_live_read(key->value, key->len, &live, &error), 0);
    if (live.incarnation != 0 && strcmp(state_of(id), "up") != 0)
        fail_msg("seed %lu: %s lives, but is %s", seed, id, state_of(id));
    member_live_free(&live);
}

static void test_storm(void **state)
{
    uint64_t views = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        tear_down(state);
        set_up(state);
        struct storm *s = xcalloc(1, sizeof *s);
        s->random.state = seed;
        for (int i = 0; i < 12; i++) {
            char id[16];
            snprintf(id, sizeof id, "m%d", i);
            put_spec(id, MEMBER_NODE, 0, false);
            s->nodes[i] = put_live(id, MEMBER_NODE, 500 + (uint64_t)i, 1);
        }
        for (int i = 0; i < 3; i++) {
            char id[16];
            snprintf(id, sizeof id, "h%d", i);
            put_spec(id, MEMBER_COORDINATOR, 0, false);
            new_coordinator(s, i);
        }
        for (int step = 0; step < 3000; step++) {
            storm_step(s);
            check_views(s, seed, 0);
        }
        /* It ends: one head, who says what is. */
        for (int i = 0; i < 3; i++) {
            fake_happen_late(&s->heads[i].client);
            fake_end_lease(store, s->leases[i]);
            leader_set_lease(s->heads[i].leader, new_lease(), now);
        }
        fake_put(store, "/todoku/prod/leader", NULL, 0); /* or its lease was one that nobody has any more */
        for (int i = 0; i < 30; i++)
            for (int j = 0; j < 3; j++) {
                run(&s->heads[j], USEC_SEC / 3);
                check_views(s, seed, USEC_SEC / 3);
            }
        int heads = 0;
        for (int i = 0; i < 3; i++)
            heads += leader_is_head(s->heads[i].leader);
        assert_int_equal(heads, 1);
        views += s->views;
        for (int i = 0; i < 12; i++)
            check_up(i, seed);
        for (int i = 0; i < 3; i++)
            finish(&s->heads[i]);
        free(s);
    }
    assert_true(views > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_storm, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
