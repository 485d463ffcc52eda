/* leader_help - see leader_help.h */
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

struct fake_store *store;
usec_t now;
static uint64_t first_epoch; /* 0: there was no view yet */

static void on_elected(void *context, bool head)
{
    struct head *h = context;
    h->elections += head;
}

static void on_notice(void *context, const char *what)
{
    struct head *h = context;
    size_t len = strlen(h->said);
    snprintf(h->said + len, sizeof h->said - len, "%s\n", what);
}

static void on_result(void *arg, uint64_t ref, const struct kv_result *result)
{
    struct head *h = arg;
    leader_result(h->leader, ref, result, now);
}

uint64_t new_lease(void)
{
    store->lease_alive[++store->leases] = true;
    return store->leases;
}

void begin(struct head *h, const char *id, uint64_t lease)
{
    *h = (struct head){.client = {store, on_result, h, NULL}};
    struct leader_ports ports = {h, fake_port(&h->client), on_elected, on_notice};
    h->leader = leader_new("prod", id, &ports);
    for (int i = 0; i < LEADER_TOPICS; i++) {
        h->watches[i].store = store;
        leader_watch("prod", (enum leader_topic)i, h->watches[i].prefix);
    }
    leader_set_lease(h->leader, lease, now);
}

void finish(struct head *h)
{
    fake_forget(&h->client);
    leader_free(&h->leader);
}

void tell(struct head *h)
{
    struct kv_news news;
    for (int i = 0; i < LEADER_TOPICS; i++)
        while (fake_news(&h->watches[i], &news)) {
            news.history = h->history;
            leader_news(h->leader, (enum leader_topic)i, &news, now);
        }
}

/* The first view's epoch is the revision of its head's key: tests count from there. */
static void note_first(void)
{
    struct error error;
    const struct fake_key *key = fake_get(store, VIEW_KEY);
    struct view *view =
        key == NULL || first_epoch != 0 ? NULL : view_store_read(key->value, key->len, &error);
    if (view != NULL)
        first_epoch = view->epoch;
    view_drop(&view);
}

void settle(struct head *h)
{
    for (int i = 0; i < 100; i++) {
        tell(h);
        if (!fake_serve(&h->client, FATE_DONE))
            break;
    }
    assert_int_equal(fake_waiting(&h->client), 0);
    note_first();
}

void run(struct head *h, usec_t how_long)
{
    usec_t until = now + how_long;
    settle(h);
    for (int steps = 0; now < until; steps++) {
        assert_true(steps < 1000); /* it never spins */
        usec_t at = leader_deadline(h->leader);
        now = at > now && at < until ? at : at <= now ? now + 1 : until;
        leader_tick(h->leader, now);
        settle(h);
    }
}

void away(struct head *h)
{
    struct kv_news news = {.type = KV_AWAY, .why = "no answer"};
    for (int i = 0; i < LEADER_TOPICS; i++) {
        leader_news(h->leader, (enum leader_topic)i, &news, now);
        h->watches[i].listed = false;
    }
}

void put_spec(const char *id, enum member_role role, uint32_t weight, bool drain)
{
    struct member_spec spec = {.role = role, .weight = weight, .drain = drain};
    struct buffer text = {0};
    char path[MEMBER_PATH_SIZE];
    snprintf(spec.id, sizeof spec.id, "%s", id);
    strcpy(spec.public_key, KEY_A);
    member_spec_write(&spec, &text);
    member_path(path, "prod", "spec", id);
    fake_put(store, path, buffer_text(&text), 0);
    buffer_free(&text);
}

uint64_t put_live_as(struct member_live *live, const char *id, uint64_t process, uint64_t incarnation)
{
    struct buffer text = {0};
    char path[MEMBER_PATH_SIZE];
    uint64_t lease = new_lease();
    snprintf(live->id, sizeof live->id, "%s", id);
    if (live->spool[0] == '\0')
        snprintf(live->spool, sizeof live->spool, "%s.0", id);
    snprintf(live->endpoint, sizeof live->endpoint, "tcp://10.0.0.1:%u", (unsigned)process);
    live->process = process;
    live->incarnation = incarnation;
    if (live->public_key[0] == '\0')
        strcpy(live->public_key, KEY_A);
    strcpy(live->disk, "disk");
    live->wire = live->wire.most == 0 ? wire_ours : live->wire;
    member_live_write(live, &text);
    member_path(path, "prod", "live", id);
    fake_put(store, path, buffer_text(&text), lease);
    buffer_free(&text);
    return lease;
}

uint64_t put_live(const char *id, enum member_role role, uint64_t process, uint64_t incarnation)
{
    struct member_live live = {.role = role, .weight = 7};
    char *pools[] = {(char *)"main"};
    struct view_source source = {(char *)"192.0.2.1", (char *)"198.51.100.1", (char *)"a.example", pools, 1};
    live.sources = &source;
    live.source_count = 1;
    return put_live_as(&live, id, process, incarnation);
}

struct view *stored(void)
{
    struct error error;
    const struct fake_key *key = fake_get(store, VIEW_KEY);
    assert_non_null(key);
    struct view *view = view_store_read(key->value, key->len, &error);
    assert_non_null(view);
    return view;
}

uint64_t epoch(void)
{
    struct view *view = stored();
    uint64_t is = view->epoch - first_epoch + 1;
    view_drop(&view);
    return is;
}

size_t down_count(void)
{
    struct view *view = stored();
    size_t count = 0;
    for (size_t i = 0; i < view->node_count; i++)
        count += view->nodes[i].down;
    view_drop(&view);
    return count;
}

const char *state_of(const char *id)
{
    struct view *view = stored();
    const struct view_node *node = view_node(view, id);
    const char *is = node == NULL ? "none" : node->down ? "down" : "up";
    for (size_t i = 0; i < view->coordinator_count; i++)
        if (strcmp(view->coordinators[i].id, id) == 0)
            is = view->coordinators[i].down ? "down" : "up";
    view_drop(&view);
    return is;
}

uint64_t lease_c1, lease_n1, lease_n2;

int set_up(void **state)
{
    first_epoch = 0;
    (void)state;
    store = xcalloc(1, sizeof *store);
    now = 1000 * USEC_SEC;
    put_spec("c1", MEMBER_COORDINATOR, 0, false);
    put_spec("c2", MEMBER_ANY, 0, false);
    put_spec("n1", MEMBER_NODE, 0, false);
    put_spec("n2", MEMBER_NODE, 3, true);
    put_spec("n3", MEMBER_NODE, 0, false); /* never started */
    lease_c1 = put_live("c1", MEMBER_COORDINATOR, 11, 11);
    lease_n1 = put_live("n1", MEMBER_NODE, 101, 5);
    lease_n2 = put_live("n2", MEMBER_NODE, 102, 1);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    fake_free(store);
    free(store);
    return 0;
}
