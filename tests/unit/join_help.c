/* join_help - see join_help.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "join_help.h"

struct fake_store *store;
usec_t now;
bool can_move;

static void on_joined(void *context, uint64_t incarnation)
{
    struct process *p = context;
    p->joined++;
    p->incarnation = incarnation;
}

static void on_ended(void *context, const char *why)
{
    struct process *p = context;
    p->ended++;
    snprintf(p->why, sizeof p->why, "%s", why);
}

static void on_waiting(void *context, const char *what)
{
    struct process *p = context;
    p->waits++;
    snprintf(p->what, sizeof p->what, "%s", what);
}

static void on_elsewhere(void *context, const struct spool_register *reg, const char *why)
{
    struct process *p = context;
    assert_non_null(reg);
    p->elsewhere++;
    snprintf(p->why, sizeof p->why, "%s", why);
}

static void on_registered(
    void *context, const struct spool_register *reg, uint64_t revision, uint64_t history)
{
    struct process *p = context;
    char key[MEMBER_PATH_SIZE];
    member_path(key, "prod", "spool", p->spool);
    assert_int_equal(fake_get(store, key)->revision, revision);
    assert_int_equal(history, 0);
    p->registered++;
    p->change = reg->epoch;
}

static void on_result(void *arg, uint64_t ref, const struct kv_result *result)
{
    struct process *p = arg;
    join_result(p->join, ref, result, now);
}

struct member_live live_of(
    const char *id, uint64_t process, const char *disk, struct view_source *sources, size_t count)
{
    struct member_live live = {.role = MEMBER_NODE, .wire = wire_ours, .process = process, .weight = 1};
    snprintf(live.id, sizeof live.id, "%s", id);
    snprintf(live.endpoint, sizeof live.endpoint, "tcp://10.0.0.1:%u", (unsigned)(7000 + process));
    strcpy(live.public_key, KEY_A);
    snprintf(live.disk, sizeof live.disk, "%s", disk);
    snprintf(live.spool, sizeof live.spool, "%s.0", id);
    live.sources = sources;
    live.source_count = count;
    return live;
}

void begin(struct process *p, const struct member_live *live)
{
    *p = (struct process){.client = {store, on_result, p, NULL}};
    struct join_ports ports = {p, fake_port(&p->client), on_joined, on_ended, on_waiting, on_registered,
        can_move ? on_elsewhere : NULL};
    snprintf(p->spool, sizeof p->spool, "%s", live->spool);
    p->join = join_new("prod", live, &ports);
    join_start(p->join, now);
}

void begin_node(struct process *p, const char *id, uint64_t process, const char *disk)
{
    struct view_source sources[] = {
        {"192.0.2.1", NULL, "a.example", NULL, 0}, {"192.0.2.2", "198.51.100.2", "b.example", NULL, 0}};
    struct member_live live = live_of(id, process, disk, sources, 2);
    begin(p, &live);
}

void finish(struct process *p)
{
    fake_forget(&p->client);
    join_free(&p->join);
}

void let_in(const char *id, enum member_role role, const char *key)
{
    struct member_spec spec = {.role = role};
    struct buffer text = {0};
    char path[MEMBER_PATH_SIZE];
    snprintf(spec.id, sizeof spec.id, "%s", id);
    snprintf(spec.public_key, sizeof spec.public_key, "%s", key);
    member_spec_write(&spec, &text);
    member_path(path, "prod", "spec", id);
    fake_put(store, path, buffer_text(&text), 0);
    buffer_free(&text);
}

int set_up(void **state)
{
    (void)state;
    store = xcalloc(1, sizeof *store);
    now = 1000 * USEC_SEC;
    can_move = false;
    let_in("n1", MEMBER_NODE, KEY_A);
    let_in("n10", MEMBER_ANY, KEY_A);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    fake_free(store);
    free(store);
    return 0;
}

void run(struct process *p, usec_t how_long, enum fate fate)
{
    usec_t until = now + how_long;
    for (int steps = 0; now < until; steps++) {
        assert_true(steps < 10000); /* it never spins */
        while (fake_serve(&p->client, fate))
            ;
        usec_t at = join_deadline(p->join);
        if (at > now)
            now = at < until ? at : until;
        join_tick(p->join, now);
    }
}

struct member_live read_live(const char *id)
{
    char path[MEMBER_PATH_SIZE];
    struct member_live live;
    struct error error;
    member_path(path, "prod", "live", id);
    const struct fake_key *key = fake_get(store, path);
    assert_non_null(key);
    assert_int_equal(member_live_read(key->value, key->len, &live, &error), 0);
    return live;
}

struct spool_register read_register(const char *spool)
{
    char path[MEMBER_PATH_SIZE];
    struct spool_register reg;
    struct error error;
    member_path(path, "prod", "spool", spool);
    const struct fake_key *key = fake_get(store, path);
    assert_non_null(key);
    assert_int_equal(spool_register_read(key->value, key->len, &reg, &error), 0);
    return reg;
}

const char *holder_of(const char *address)
{
    static struct member_claim claim;
    char path[MEMBER_PATH_SIZE];
    struct error error;
    member_path(path, "prod", "source", address);
    const struct fake_key *key = fake_get(store, path);
    if (key == NULL)
        return "";
    assert_int_equal(member_claim_read(key->value, key->len, &claim, &error), 0);
    return claim.node;
}

void assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}
