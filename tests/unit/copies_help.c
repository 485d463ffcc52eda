/* copies_help - see copies_help.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "copies_help.h"

static void on_send(void *context, struct bus_msg *msg)
{
    struct copies_world *w = context;
    assert_true(w->sent_count < HELP_MOST);
    w->sent[w->sent_count++] = msg;
}

static void on_epoch(void *context, uint64_t epoch, uint64_t incarnation)
{
    struct copies_world *w = context;
    w->epoch = epoch;
    w->incarnation = incarnation;
}

static void on_read(void *context, uint64_t after, size_t bytes)
{
    struct copies_world *w = context;
    assert_true(bytes > 0);
    assert_false(w->reading);
    w->reads++;
    w->reading = true;
    w->read_after = after;
}

static bool on_whole(void *context, uint64_t after)
{
    return after >= ((struct copies_world *)context)->gone;
}

static size_t on_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    struct copies_world *w = context;
    size_t count = 0;
    for (size_t i = 0; i < w->living_count && count < max; i++)
        if (w->living[i] > after)
            seqs_r[count++] = w->living[i];
    return count;
}

static void on_deposed(void *context, uint64_t epoch, const char *heir)
{
    struct copies_world *w = context;
    (void)epoch;
    w->deposed++;
    snprintf(w->heir, sizeof w->heir, "%s", heir);
}

static void on_notice(void *context, const char *what)
{
    struct copies_world *w = context;
    snprintf(w->said, sizeof w->said, "%s", what);
}

static void on_result(void *arg, uint64_t ref, const struct kv_result *result)
{
    struct copies_world *w = arg;
    copies_result(w->copies, ref, result, w->now);
}

struct copies_world *copies_world(const struct spool_register *reg, unsigned min_copies)
{
    struct copies_world *w = xcalloc(1, sizeof *w);
    w->store = xcalloc(1, sizeof *w->store);
    w->client = (struct fake_client){w->store, on_result, w, NULL};
    w->now = 1000 * USEC_SEC;
    w->peers[0] = (struct peer){.member = "n2", .disk = "b", .copy_process = 20, .state = COPY_FOLLOWS};
    w->peers[1] = (struct peer){.member = "n3", .disk = "c", .copy_process = 30, .state = COPY_FOLLOWS};
    struct buffer text = {0};
    spool_register_write(reg, &text);
    uint64_t revision = fake_put(w->store, SPOOL_KEY, buffer_text(&text), 0);
    buffer_free(&text);
    struct copies_settings settings = {"n1", "n1.0", SPOOL_KEY, "a", 7, min_copies};
    struct copies_ports ports = {
        w, on_send, fake_port(&w->client), on_epoch, on_read, on_whole, on_living, on_deposed, on_notice};
    w->copies = copies_new(&settings, reg, revision, &ports, w->now);
    return w;
}

void copies_world_free(struct copies_world *w)
{
    for (size_t i = 0; i < w->sent_count; i++)
        bus_msg_free(&w->sent[i]);
    copies_free(&w->copies);
    fake_forget(&w->client);
    fake_free(w->store);
    free(w->store);
    free(w);
}

/* ---- a copy ---- */

static void take_entry(struct peer *peer, const struct copy_entry *entry)
{
    assert_true(peer->count < HELP_MOST);
    peer->row[peer->count].kind = entry->kind;
    peer->row[peer->count++].seq = entry->kind == COPY_LIVING ? entry->living_count : entry->frame.seq;
    peer->taken++;
    if (entry->kind != COPY_FRAME)
        return;
    assert_true(entry->frame.seq > peer->last_seq);
    peer->last_seq = entry->frame.seq;
    if (!peer->unsynced)
        peer->durable = entry->frame.seq;
}

static void take(struct peer *peer, const struct copy_header *header, const struct blob *body, size_t at)
{
    struct copy_entry entry;
    struct error error;
    if (header->stream != peer->stream)
        return;
    if (!peer->stays)
        peer->epoch = header->epoch;
    for (uint64_t number = header->first; copy_entry_next(body, &at, &entry, &error) == 1; number++) {
        if (number == peer->taken + 1)
            take_entry(peer, &entry);
        copy_entry_clear(&entry);
    }
}

static void open_stream(struct peer *peer, const struct copy_header *header)
{
    assert_true(header->copy_process == peer->copy_process && header->have == peer->last_seq);
    peer->opened = *header;
    peer->process = header->process;
    peer->stream = header->stream;
    peer->taken = 0;
    peer->count = 0;
    peer->epoch = header->epoch;
    peer->last_seq = header->cut_after;
    peer->durable = peer->unsynced ? 0 : header->cut_after;
}

static void say_to(struct copies_world *w, struct peer *peer, uint64_t ref)
{
    struct copy_answer answer = {
        .state = peer->state, .copy_process = peer->copy_process, .newest = peer->epoch};
    if (copy_epoch_of(peer->last_seq) > answer.newest)
        answer.newest = copy_epoch_of(peer->last_seq);
    struct buffer out = {0};
    size_t len;
    snprintf(answer.disk, sizeof answer.disk, "%s", peer->disk);
    answer.last_seq = peer->last_seq;
    answer.epoch = peer->epoch;
    answer.process = peer->process;
    answer.stream = peer->stream;
    answer.taken = peer->taken;
    answer.durable = peer->durable;
    if (peer->state != COPY_FOLLOWS)
        snprintf(answer.why, sizeof answer.why, "it was told to say so");
    copy_answer_add(&answer, &out);
    struct bus_msg *msg = bus_msg_new(BUS_COPIED, peer->member, "n1");
    msg->ref = ref;
    snprintf(msg->spool, sizeof msg->spool, "n1.0");
    char *bytes = buffer_steal(&out, &len);
    msg->body = blob_take(bytes, len);
    copies_message(w->copies, msg, w->now);
    bus_msg_free(&msg);
}

void say(struct copies_world *w, struct peer *peer)
{
    say_to(w, peer, 0);
}

static void arrives(struct copies_world *w, struct peer *peer, const struct bus_msg *msg)
{
    struct copy_header header;
    struct error error = {""};
    size_t at;
    if (copy_header_read(msg->body, &header, &at, &error) != 0)
        fail_msg("%s", error.text);
    peer->messages++;
    if (header.verb == COPY_OPEN && header.stream != peer->stream)
        open_stream(peer, &header);
    else if (header.verb == COPY_ANEW)
        peer->anew += strcmp(header.disk, peer->disk) == 0;
    else if (header.verb == COPY_STREAM)
        take(peer, &header, msg->body, at);
    if (!peer->mute)
        say_to(w, peer, msg->ref);
}

void deliver(struct copies_world *w)
{
    for (int rounds = 0; w->sent_count > 0; rounds++) {
        struct bus_msg *msg = w->sent[0];
        assert_true(rounds < 10000);
        memmove(w->sent, w->sent + 1, --w->sent_count * sizeof *w->sent);
        struct peer *peer = &w->peers[strcmp(msg->to, "n2") == 0 ? 0 : 1];
        assert_string_equal(msg->to, peer->member);
        if (!peer->deaf)
            arrives(w, peer, msg);
        bus_msg_free(&msg);
    }
}

/* ---- the rest of the world ---- */

void serve(struct copies_world *w, enum fate fate)
{
    for (int i = 0; i < 100 && fake_serve(&w->client, fate); i++)
        ;
    deliver(w);
}

static void read_log(struct copies_world *w)
{
    struct copy_frame frames[HELP_MOST];
    size_t count = 0;
    if (!w->reading || w->slow)
        return;
    w->reading = false;
    for (size_t i = 0; i < w->log_count; i++)
        if (w->log[i] > w->read_after)
            frames[count++] = (struct copy_frame){w->log[i], true, "record", 6, NULL};
    copies_read(w->copies, frames, count, true, w->now);
}

void pass(struct copies_world *w, usec_t how_long)
{
    usec_t until = w->now + how_long;
    deliver(w);
    for (int steps = 0;; steps++) {
        assert_true(steps < 1000); /* it never spins */
        read_log(w);
        deliver(w);
        usec_t at = copies_deadline(w->copies);
        if (at > until)
            break;
        w->now = at > w->now ? at : w->now;
        copies_tick(w->copies, w->now);
        deliver(w);
    }
    w->now = until;
    copies_tick(w->copies, w->now);
    deliver(w);
}

void append(struct copies_world *w, uint64_t seq)
{
    struct copy_frame frame = {seq, true, "record", 6, NULL};
    copies_append(w->copies, &frame);
    w->living[w->living_count++] = seq;
    w->log[w->log_count++] = seq;
    pass(w, 0);
}

void append_synced(struct copies_world *w, uint64_t seq)
{
    append(w, seq);
    copies_synced(w->copies, seq, w->now);
    deliver(w);
}

void put_register(struct copies_world *w, const struct spool_register *reg)
{
    struct buffer text = {0};
    spool_register_write(reg, &text);
    uint64_t revision = fake_put(w->store, SPOOL_KEY, buffer_text(&text), 0);
    struct kv_pair pair = {
        .key = SPOOL_KEY, .value = buffer_bytes(&text), .len = buffer_len(&text), .revision = revision};
    struct kv_news news = {.type = KV_CHANGES,
        .pairs = &pair,
        .pair_count = 1,
        .revision = revision,
        .history = w->store->history};
    copies_register_news(w->copies, &news, w->now);
    buffer_free(&text);
}

struct spool_register stands(struct copies_world *w)
{
    struct spool_register reg;
    struct error error;
    const struct fake_key *key = fake_get(w->store, SPOOL_KEY);
    assert_non_null(key);
    assert_int_equal(spool_register_read(key->value, key->len, &reg, &error), 0);
    return reg;
}

bool is_committed(struct copies_world *w, uint64_t seq)
{
    return copies_committed(w->copies) >= seq;
}
