/* A node's core with a second copy: its mirror is the real core (cluster/mirror.h) on a disk that obeys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/mirror.h"
#include "node/node.h"
#include "node_help.h"
#include "proto/wire.h"
#include "store_help.h"

#define KEY "/todoku/t/spool/n1.0"
#define MOST 256
#define START (1000 * USEC_SEC)

struct kept {
    uint64_t seq;
    char *record;
    size_t len;
    struct blob *body;
    bool base, released;
};

struct world {
    struct settings *settings;
    struct node *node;
    struct mirror *mirror;
    struct fake_store *store;
    struct fake_client client, mirror_client;
    struct kept log[MOST], copy[MOST]; /* of the node, of the mirror */
    size_t log_count, copy_count, reads;
    uint64_t read_after;
    bool reading, noting, mirror_syncs, mirror_deaf;
    struct bus_msg *sent[MOST];
    size_t sent_count;
    usec_t now;
    uint64_t told; /* as the newest message to the mirror says */
    int taken, repeated, full, deposed;
    char why[200], said[1024];
};

static void keep(struct kept *log, size_t *count, uint64_t seq, const void *record, size_t len,
    struct blob *body, bool base)
{
    assert_true(*count < MOST && (*count == 0 || log[*count - 1].seq < seq));
    log[(*count)++] =
        (struct kept){seq, xmemdup(record, len), len, body == NULL ? NULL : blob_hold(body), base, false};
}

static void drop(struct kept *log, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(log[i].record);
        blob_drop(&log[i].body);
    }
}

static void release(struct kept *log, size_t count, uint64_t seq)
{
    for (size_t i = 0; i < count; i++)
        if (log[i].seq == seq)
            log[i].released = true;
}

static void on_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    struct world *w = context;
    keep(w->log, &w->log_count, seq, buffer_bytes(record), buffer_len(record), body, base);
}

static void on_release(void *context, uint64_t seq)
{
    struct world *w = context;
    release(w->log, w->log_count, seq);
}

static void on_answer(struct world *w, const struct bus_msg *msg)
{
    w->taken += msg->verdict == BUS_TAKEN;
    w->repeated += msg->verdict == BUS_REPEATED;
    w->full += msg->verdict == BUS_FULL;
    snprintf(w->why, sizeof w->why, "%s", msg->text == NULL ? "" : msg->text);
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct world *w = context;
    if (msg->type == BUS_INJECT_ANSWER)
        on_answer(w, msg);
    if (msg->type != BUS_COPY && msg->type != BUS_COPIED) {
        bus_msg_free(&msg);
        return;
    }
    assert_true(w->sent_count < MOST);
    w->sent[w->sent_count++] = msg;
}

static void on_read_log(void *context, uint64_t after, size_t bytes)
{
    struct world *w = context;
    assert_true(bytes > 0 && !w->reading);
    w->reading = true;
    w->reads++;
    w->read_after = after;
}

static bool on_whole(void *context, uint64_t after)
{
    (void)context, (void)after;
    return true;
}

static size_t on_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    const struct world *w = context;
    size_t count = 0;
    for (size_t i = 0; i < w->log_count && count < max; i++)
        if (w->log[i].base && !w->log[i].released && w->log[i].seq > after)
            seqs_r[count++] = w->log[i].seq;
    return count;
}

static void on_deposed(void *context, uint64_t epoch, const char *heir)
{
    struct world *w = context;
    (void)epoch;
    assert_string_equal(heir, "n9");
    w->deposed++;
}

static void on_notice(void *context, const char *what)
{
    struct world *w = context;
    snprintf(w->said, sizeof w->said, "%s", what);
}

static void on_result(void *context, uint64_t ref, const struct kv_result *result)
{
    struct world *w = context;
    node_store_result(w->node, ref, result, w->now);
}

/* ---- the mirror ---- */

static void copy_append(void *context, const struct copy_frame *frame)
{
    struct world *w = context;
    keep(w->copy, &w->copy_count, frame->seq, frame->record, frame->len, frame->body, frame->base);
}

static void copy_release(void *context, uint64_t seq)
{
    struct world *w = context;
    release(w->copy, w->copy_count, seq);
}

static void copy_living(void *context, uint64_t after, uint64_t upto, const uint64_t *seqs, size_t count)
{
    struct world *w = context;
    for (size_t i = 0; i < w->copy_count; i++) {
        bool lives = false;
        for (size_t j = 0; j < count; j++)
            lives = lives || seqs[j] == w->copy[i].seq;
        if (w->copy[i].seq > after && w->copy[i].seq <= upto && !lives)
            w->copy[i].released = true;
    }
}

static void copy_note(void *context, const struct mirror_note *note)
{
    struct world *w = context;
    (void)note;
    w->noting = true;
}

static void copy_serve(
    void *context, const struct spool_register *reg, const struct mirror_note *note, uint64_t told)
{
    (void)context, (void)reg, (void)note, (void)told;
    fail();
}

static void copy_useless(void *context)
{
    (void)context;
}

static void copy_result(void *context, uint64_t ref, const struct kv_result *result)
{
    struct world *w = context;
    mirror_result(w->mirror, ref, result, w->now);
}

static void start_mirror(struct world *w, uint64_t process)
{
    static const struct mirror_note note;
    struct mirror_settings settings = {"n2", "n1.0", KEY, "b", process};
    struct mirror_ports ports = {w, copy_append, copy_release, copy_living, copy_note, on_send,
        fake_port(&w->mirror_client), copy_serve, copy_useless, on_notice, NULL};
    mirror_free(&w->mirror);
    uint64_t last = w->copy_count == 0 ? 0 : w->copy[w->copy_count - 1].seq;
    w->mirror = mirror_new(&settings, &note, last, &ports, w->now);
}

/* ---- the world ---- */

static uint64_t put_register(struct world *w, const struct spool_register *reg)
{
    struct buffer text = {0};
    spool_register_write(reg, &text);
    uint64_t revision = fake_put(w->store, KEY, buffer_text(&text), 0);
    buffer_free(&text);
    return revision;
}

static struct spool_register stands(struct world *w)
{
    struct spool_register reg;
    struct error error;
    const struct fake_key *key = fake_get(w->store, KEY);
    assert_int_equal(spool_register_read(key->value, key->len, &reg, &error), 0);
    return reg;
}

static void set_view(struct world *w, uint64_t epoch, unsigned nodes, uint32_t wire)
{
    struct view *view = node_help_view(epoch, 1, nodes);
    view->wire = wire;
    for (unsigned i = 1; i < nodes; i++) /* mail stays here */
        view->nodes[i].weight = 0;
    node_set_view(w->node, view, w->now);
    view_drop(&view);
}

static void replay(struct world *w)
{
    for (size_t i = 0; i < w->log_count; i++) {
        const struct kept *kept = &w->log[i];
        struct error error;
        if (!kept->base || !kept->released)
            assert_int_equal(node_replay(w->node, kept->seq, kept->record, kept->len, kept->base, &error), 0);
    }
}

/* A start of the node: its log is read, the register says so. */
static void start_node(struct world *w, uint64_t process)
{
    struct node_ports ports = node_help_ports(w);
    ports.append = on_append;
    ports.release = on_release;
    ports.send = on_send;
    ports.store = fake_port(&w->client);
    ports.read_log = on_read_log;
    ports.whole = on_whole;
    ports.living = on_living;
    ports.deposed = on_deposed;
    ports.notice = on_notice;
    fake_forget(&w->client);
    node_free(&w->node);
    w->reading = false;
    struct spool_register old = {0}, reg;
    struct error error;
    bool first = fake_get(w->store, KEY) == NULL;
    if (!first)
        old = stands(w);
    assert_int_equal(
        spool_register_next(first ? NULL : &old, "n1", "a", process, &reg, &error), SPOOL_REGISTER_SWAP);
    struct node_copies copies = {
        .key = KEY, .disk = "a", .process = process, .reg = reg, .revision = put_register(w, &reg)};
    w->node = node_new("n1", "n1.0", 1, w->settings, &ports, process);
    replay(w);
    node_set_incarnation(w->node, 1);
    node_open_copies(w->node, &copies, w->now);
    node_recovered(w->node, w->now);
}

static struct world *world(unsigned min_copies)
{
    struct world *w = xcalloc(1, sizeof *w);
    w->store = xcalloc(1, sizeof *w->store);
    w->client = (struct fake_client){w->store, on_result, w, NULL};
    w->mirror_client = (struct fake_client){w->store, copy_result, w, NULL};
    w->now = START;
    w->mirror_syncs = true;
    w->settings = node_help_settings(
        "pools: { main: {} }\n"
        "node: { id: n1, sources: [ { address: 10.0.0.1, helo: m.test, pools: [main] } ] }\n"
        "delivery: { tls: none, dsn: none }\n");
    w->settings->cluster.copies = 2;
    w->settings->cluster.min_copies = min_copies;
    start_node(w, 7);
    start_mirror(w, 20);
    return w;
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < w->sent_count; i++)
        bus_msg_free(&w->sent[i]);
    node_free(&w->node);
    mirror_free(&w->mirror);
    fake_forget(&w->client);
    fake_forget(&w->mirror_client);
    fake_free(w->store);
    free(w->store);
    drop(w->log, w->log_count);
    drop(w->copy, w->copy_count);
    settings_free(&w->settings);
    free(w);
}

static void give(struct world *w, struct bus_msg *msg)
{
    struct copy_header header;
    struct error error;
    size_t at;
    if (msg->type == BUS_COPY && copy_header_read(msg->body, &header, &at, &error) == 0)
        w->told = header.told;
    if (strcmp(msg->to, "n1") == 0)
        node_bus(w->node, msg, w->now);
    else if (strcmp(msg->to, "n2") == 0 && !w->mirror_deaf)
        mirror_message(w->mirror, msg, w->now);
    bus_msg_free(&msg);
}

static void serve_log(struct world *w)
{
    struct copy_frame frames[MOST];
    size_t count = 0;
    for (size_t i = 0; i < w->log_count; i++)
        if (w->log[i].seq > w->read_after && (!w->log[i].base || !w->log[i].released))
            frames[count++] = (struct copy_frame){
                w->log[i].seq, w->log[i].base, w->log[i].record, w->log[i].len, w->log[i].body};
    w->reading = false;
    node_log_read(w->node, frames, count, true, w->now);
}

/* What is on its way arrives, and what follows from it, but for the node's own disk. */
static void settle(struct world *w)
{
    for (int turn = 0; turn < 20; turn++) {
        for (size_t i = 0, count = w->sent_count; i < count; i++) {
            struct bus_msg *msg = w->sent[0];
            memmove(w->sent, w->sent + 1, --w->sent_count * sizeof w->sent[0]);
            give(w, msg);
        }
        if (w->noting) {
            w->noting = false;
            mirror_noted(w->mirror, w->now);
        }
        if (w->mirror_syncs && w->copy_count > 0)
            mirror_synced(w->mirror, w->copy[w->copy_count - 1].seq);
        mirror_tick(w->mirror, w->now);
        if (w->reading)
            serve_log(w);
        if (node_deadline(w->node) <= w->now)
            node_tick(w->node, w->now);
        while (fake_serve(&w->client, FATE_DONE) || fake_serve(&w->mirror_client, FATE_DONE))
            ;
    }
}

static void pass(struct world *w, usec_t how_long)
{
    for (usec_t end = w->now + how_long; w->now < end; w->now += USEC_SEC / 20)
        settle(w);
}

static void inject(struct world *w, unsigned number)
{
    struct bus_msg *msg = node_help_mail(number, w->now);
    mail_add_recipient(msg->mail, "a@b.test");
    node_help_inject(w->node, &msg, blob_copy("body\r\n", 6), w->now);
}

static void sync_log(struct world *w)
{
    if (w->log_count > 0)
        node_committed(w->node, w->log[w->log_count - 1].seq, w->now);
}

/* There is a mirror. */
static struct world *pair(void)
{
    struct world *w = world(2);
    set_view(w, 1, 2, WIRE_COPIES);
    settle(w);
    assert_string_equal(stands(w).mirror, "b");
    return w;
}

/* ---- tests ---- */

static void test_answers_wait_for_both(void **state)
{
    (void)state;
    struct world *w = pair();
    w->mirror_syncs = false;
    inject(w, 1);
    sync_log(w);
    settle(w);
    assert_int_equal(w->copy_count, 1);
    assert_int_equal(w->taken, 0);
    assert_int_equal(node_figures(w->node).accepted, 0);
    assert_false(node_copies_done(w->node));
    w->mirror_syncs = true;
    settle(w);
    assert_int_equal(w->taken, 1);
    assert_int_equal(node_figures(w->node).accepted, 1);
    assert_true(node_copies_done(w->node));
    inject(w, 2);
    settle(w); /* the mirror has it, this disk has not */
    assert_int_equal(w->copy_count, 2);
    assert_int_equal(w->taken, 1);
    sync_log(w);
    assert_int_equal(w->taken, 2);
    assert_int_equal(copy_epoch_of(w->log[1].seq), stands(w).epoch);
    world_free(w);
}

static void test_alone_takes_nothing(void **state)
{
    (void)state;
    struct world *w = world(2);
    set_view(w, 1, 1, WIRE_COPIES);
    inject(w, 1);
    assert_int_equal(w->full, 1);
    assert_non_null(strstr(w->why, "no second copy"));
    set_view(w, 2, 2, WIRE_COPIES);
    settle(w);
    inject(w, 2);
    sync_log(w);
    settle(w);
    assert_int_equal(w->taken, 1);
    world_free(w);
    w = world(1);
    set_view(w, 1, 1, WIRE_COPIES);
    inject(w, 1);
    sync_log(w);
    assert_int_equal(w->taken, 1);
    world_free(w);
}

/* An older program in the cluster could not read what a copy is. */
static void test_wire_without_copies(void **state)
{
    (void)state;
    struct world *w = world(2);
    set_view(w, 1, 2, WIRE_COPIES - 1);
    pass(w, USEC_SEC);
    inject(w, 1);
    sync_log(w);
    settle(w);
    assert_int_equal(w->taken, 1);
    assert_int_equal(w->copy_count, 0);
    assert_string_equal(stands(w).mirror, "");
    set_view(w, 2, 2, WIRE_COPIES);
    inject(w, 2);
    assert_int_equal(w->full, 1);
    settle(w);
    assert_string_equal(stands(w).mirror, "b");
    assert_int_equal(w->copy_count, 1);
    world_free(w);
}

/* What was taken is sent, but to call it taken must wait until it is safe. */
static void test_mute_when_severed(void **state)
{
    (void)state;
    struct world *w = pair();
    w->mirror_deaf = true;
    inject(w, 1);
    sync_log(w);
    pass(w, 2 * USEC_SEC);
    assert_string_equal(stands(w).mirror, "b");
    assert_int_equal(node_figures(w->node).accepted, 0);
    pass(w, 2 * USEC_SEC);
    assert_string_equal(stands(w).mirror, "");
    assert_string_equal(stands(w).old, "b");
    assert_int_equal(node_figures(w->node).accepted, 1);
    inject(w, 1);
    assert_int_equal(w->taken + w->repeated, 0);
    inject(w, 2);
    assert_int_equal(w->full, 1);
    w->mirror_deaf = false;
    pass(w, 2 * USEC_SEC);
    assert_string_equal(stands(w).mirror, "b");
    assert_int_equal(w->taken, 1);
    inject(w, 1);
    assert_int_equal(w->repeated, 1);
    world_free(w);
}

/* What the node says to this question; `code`: as what. */
static void assert_says(const struct world *w, const char *what, int code, const char *text)
{
    struct buffer out = {0};
    assert_int_equal(node_answer(w->node, what, "", w->now, &out), code);
    if (strstr(buffer_text(&out), text) == NULL)
        fail_msg("%s does not say \"%s\": %s", what, text, buffer_text(&out));
    buffer_free(&out);
}

static bool alerts(const struct world *w)
{
    struct buffer out = {0};
    node_answer(w->node, "alerts", "", w->now, &out);
    bool is = strstr(buffer_text(&out), "\"alert\":\"copies\"") != NULL;
    buffer_free(&out);
    return is;
}

/* Who looks sees where the second copy is, or why there is none. */
static void test_says_where_the_copy_is(void **state)
{
    (void)state;
    struct world *w = world(2);
    assert_says(w, "status", 200, "\"mirror\":\"none (there is no view of the cluster yet)\"");
    set_view(w, 1, 1, WIRE_COPIES);
    assert_says(w, "status", 200, "\"state\":\"alone\"");
    assert_says(w, "ready", 503, "\"copies\":1,\"min_copies\":2,\"mirror\":\"none (there is no other node");
    assert_says(w, "ready", 503, "\"reason\":\"there is no second copy\"");
    pass(w, 9 * USEC_SEC);
    assert_false(alerts(w));
    pass(w, 2 * USEC_SEC);
    assert_true(alerts(w));
    assert_says(w, "alerts", 200, "\"severity\":\"critical\"");
    w->mirror_deaf = true;
    set_view(w, 2, 2, WIRE_COPIES);
    assert_says(w, "status", 200, "none (n2 is ");
    w->mirror_deaf = false;
    pass(w, 2 * USEC_SEC);
    assert_false(alerts(w));
    assert_says(w, "status", 200, "\"state\":\"running\"");
    assert_says(w, "status", 200, "\"mirror\":\"n2\",\"mirror_lag_ms\":0");
    node_set_kept(w->node, &(struct node_kept){.copies = 3, .bytes = 4096});
    assert_says(w, "status", 200, "\"copies_kept\":3,\"copies_bytes\":4096,\"copies_ill\":0");
    assert_false(alerts(w));
    node_set_kept(w->node, &(struct node_kept){.copies = 3,
                               .bytes = 4096,
                               .ill = 1,
                               .taken = 1,
                               .taken_queued = 70,
                               .in_doubt = 2,
                               .doubts = 5});
    assert_says(w, "status", 200, "\"queued\":70,");
    assert_says(w, "alerts", 200, "1 of the 3 copies");
    assert_says(w, "status", 200, "\"taken_over\":1,\"taken_over_queued\":70,\"in_doubt\":2");
    assert_says(w, "metrics", 200, "todoku_doubts_total{node=\"n1\"} 5");
    assert_says(w, "ready", 200, "\"copies\":2,\"min_copies\":2,\"mirror\":\"n2\"");
    world_free(w);
    w = world(1);
    set_view(w, 1, 2, WIRE_COPIES - 1);
    assert_says(w, "ready", 200,
        "\"copies\":1,\"min_copies\":1,\"mirror\":\"none (the cluster speaks wire version 1)");
    pass(w, 11 * USEC_SEC);
    assert_says(w, "alerts", 200, "\"alert\":\"copies\",\"severity\":\"warning\"");
    world_free(w);
}

/* It had its log on its own disk only when it died: what it knows may not be said before the mirror has it. */
static void test_recovers_with_the_mirror(void **state)
{
    (void)state;
    struct world *w = pair();
    w->mirror_deaf = true;
    inject(w, 1);
    for (size_t i = 0; i < w->sent_count; i++)
        bus_msg_free(&w->sent[i]);
    w->sent_count = 0;
    start_node(w, 8);
    set_view(w, 2, 2, WIRE_COPIES);
    assert_true(node_waits(w->node));
    inject(w, 1);
    settle(w);
    assert_int_equal(w->repeated + w->taken + w->full, 0);
    assert_int_equal(node_figures(w->node).accepted, 0);
    w->mirror_deaf = false;
    pass(w, USEC_SEC);
    assert_false(node_waits(w->node));
    assert_int_equal(w->copy_count, 1);
    assert_true(w->reads > 0);
    assert_int_equal(custody_figures(node_custody(w->node)).held, 1);
    inject(w, 1);
    assert_int_equal(w->repeated, 1);
    assert_int_equal(stands(w).epoch, 3);
    world_free(w);
}

/* A base frame whose successor was on one disk only when the node died. */
static void test_releases_are_kept_back(void **state)
{
    (void)state;
    struct world *w = pair();
    inject(w, 1);
    sync_log(w);
    settle(w);
    w->mirror_deaf = true;
    node_restate(w->node, w->log[0].seq, w->now);
    assert_int_equal(w->log_count, 2);
    sync_log(w);
    assert_false(w->log[0].released);
    start_node(w, 8);
    set_view(w, 2, 2, WIRE_COPIES);
    settle(w);
    assert_false(w->log[0].released || w->copy[0].released);
    w->mirror_deaf = false;
    pass(w, USEC_SEC);
    assert_true(w->log[0].released && !w->log[1].released);
    assert_int_equal(w->copy_count, 2);
    assert_true(w->copy[0].released && !w->copy[1].released);
    world_free(w);
}

/* A heir tells again only what may not have been told. */
static void test_says_what_was_told(void **state)
{
    (void)state;
    struct world *w = pair();
    inject(w, 1);
    settle(w);
    assert_int_equal(w->told, 0);
    node_events_told(w->node, w->log[0].seq);
    inject(w, 2);
    settle(w);
    assert_true(w->told == w->log[0].seq);
    world_free(w);
}

static void test_deposed(void **state)
{
    (void)state;
    struct world *w = pair();
    struct spool_register reg = stands(w);
    snprintf(reg.node, sizeof reg.node, "n9");
    snprintf(reg.disk, sizeof reg.disk, "z");
    reg.epoch++;
    uint64_t revision = put_register(w, &reg);
    const struct fake_key *key = fake_get(w->store, KEY);
    struct kv_pair changed = {
        .key = KEY, .value = key->value, .len = key->len, .revision = revision, .created = key->created};
    struct kv_news news = {.type = KV_CHANGES, .pairs = &changed, .pair_count = 1, .revision = revision};
    node_register_news(w->node, &news, w->now);
    assert_int_equal(w->deposed, 1);
    inject(w, 1);
    assert_int_equal(w->full, 1);
    node_tick(w->node, w->now);
    assert_int_equal(w->deposed, 1);
    world_free(w);
}

/* A learner gets the whole log, what is in memory and what is not; and what was released is so over there. */
static void test_learns_a_long_log(void **state)
{
    (void)state;
    struct world *w = world(1);
    set_view(w, 1, 1, WIRE_COPIES);
    for (unsigned i = 1; i <= 30; i++)
        inject(w, i);
    sync_log(w);
    assert_int_equal(w->taken, 30);
    set_view(w, 2, 2, WIRE_COPIES);
    pass(w, USEC_SEC);
    assert_string_equal(stands(w).mirror, "b");
    assert_int_equal(w->copy_count, 30);
    start_node(w, 8);
    set_view(w, 3, 2, WIRE_COPIES);
    pass(w, USEC_SEC);
    assert_false(node_waits(w->node));
    assert_int_equal(w->copy_count, 30); /* nothing came twice */
    struct copies_figures figures;
    assert_true(node_copies_figures(w->node, w->now, &figures));
    assert_true(figures.paired && !figures.learning);
    assert_string_equal(figures.mirror, "n2");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_wait_for_both),
        cmocka_unit_test(test_alone_takes_nothing),
        cmocka_unit_test(test_wire_without_copies),
        cmocka_unit_test(test_mute_when_severed),
        cmocka_unit_test(test_says_where_the_copy_is),
        cmocka_unit_test(test_recovers_with_the_mirror),
        cmocka_unit_test(test_releases_are_kept_back),
        cmocka_unit_test(test_says_what_was_told),
        cmocka_unit_test(test_deposed),
        cmocka_unit_test(test_learns_a_long_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
