/* heir_help - see heir_help.h */
#include "heir_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

#define BODY "Subject: x\r\n\r\nhello\r\n"

struct estate estate;

/* ---- the disk ---- */

static void keep(uint64_t seq, const void *bytes, size_t len, bool has_body, bool base)
{
    must(estate.count == 0 || seq > estate.log[estate.count - 1].seq);
    if (estate.count == estate.size) {
        estate.size = estate.size == 0 ? 256 : 2 * estate.size;
        estate.log = xrealloc(estate.log, estate.size * sizeof *estate.log);
    }
    struct estate_frame *frame = &estate.log[estate.count++];
    *frame = (struct estate_frame){.seq = seq, .has_body = has_body, .base = base};
    buffer_add(&frame->bytes, bytes, len);
}

static void release(void *context, uint64_t seq)
{
    (void)context;
    for (size_t i = 0; i < estate.count; i++)
        if (estate.log[i].seq == seq)
            estate.log[i].released = true;
}

static uint64_t log_end(void)
{
    return estate.count == 0 ? 0 : estate.log[estate.count - 1].seq;
}

static void truncate_log(size_t count)
{
    while (estate.count > count)
        buffer_free(&estate.log[--estate.count].bytes);
}

/* ---- the dead node ---- */

static void dead_append(
    void *context, uint64_t seq, const struct spool_record *record, struct blob *body, bool base)
{
    struct buffer bytes = {0};
    (void)context;
    record_encode(record, &bytes);
    keep(seq, buffer_bytes(&bytes), buffer_len(&bytes), body != NULL, base);
    buffer_free(&bytes);
}

static void send(void *context, struct bus_msg *msg)
{
    (void)context;
    if (estate.sent_count == ESTATE_SENT)
        bus_msg_free(&msg);
    else
        estate.sent[estate.sent_count++] = msg;
}

static void no_delivery(void *context, struct delivery *delivery)
{
    (void)context, (void)delivery;
}

static void no_return(void *context, struct delivery *delivery, const char *spool)
{
    (void)context, (void)delivery, (void)spool;
}

static void no_held(void *context, struct held *held)
{
    (void)context, (void)held;
}

static void no_told(void *context, uint64_t seq, const struct mail *mail, const char *detail)
{
    (void)context, (void)seq, (void)mail, (void)detail;
}

static void dead_wants(void *context, struct held *held)
{
    struct blob *body = blob_copy(BODY, sizeof BODY - 1);
    (void)context;
    custody_body(estate.dead, held, body, estate.now);
    blob_drop(&body);
}

void estate_begin(void)
{
    estate = (struct estate){.now = 1800000000 * USEC_SEC, .quarantine = 0};
    bench_open(&estate.h, "h");
    bench_open(&estate.b, "b");
    estate.h.keeps_no_frames = estate.b.keeps_no_frames = true;
    struct custody_ports ports = {.append = dead_append,
        .release = release,
        .send = send,
        .gained = no_delivery,
        .left = no_delivery,
        .returned = no_return,
        .movable = no_delivery,
        .forgotten = no_held,
        .told = no_told,
        .want_body = dead_wants};
    estate.dead = custody_new("a", "a", 1, &ports);
    custody_begin_epoch(estate.dead, 1);
    custody_log_attempts(estate.dead, 111);
    strcpy(estate.note.spool, "a");
    estate.reg = (struct spool_register){
        .epoch = 1, .node = "a", .incarnation = 1, .disk = "first", .mirror = "copy", .process = 111};
    estate.revision = 10;
}

void estate_end(void)
{
    heir_free(&estate.heir);
    custody_free(&estate.dead);
    bench_close(&estate.h);
    bench_close(&estate.b);
    truncate_log(0);
    free(estate.log);
    while (estate.sent_count > 0)
        bus_msg_free(&estate.sent[--estate.sent_count]);
}

static struct mail *mail_of(unsigned number, unsigned digest, const char *recipients, usec_t due)
{
    struct mail *mail = mail_new();
    char list[1024];
    char *rest = list;
    snprintf(list, sizeof list, "%s", recipients);
    mail->id = bench_id(number);
    mail->created = estate.now;
    mail->send_at = due;
    mail->expires = estate.now + USEC_DAY;
    mail->body_len = sizeof BODY - 1;
    mail_set(&mail->pool, "main");
    memset(mail->digest, (int)digest, sizeof mail->digest);
    for (char *one; (one = strsep(&rest, ",")) != NULL;)
        mail_add_recipient(mail, one);
    return mail;
}

void estate_dead_commits(void)
{
    custody_committed(estate.dead, log_end(), estate.now);
    estate.committed = log_end();
}

void estate_mail(unsigned number, const char *recipients, usec_t due)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", "a");
    strcpy(msg->spool, "a");
    msg->mail = mail_of(number, 1, recipients, due);
    msg->id = msg->mail->id;
    msg->body = blob_copy(BODY, sizeof BODY - 1);
    custody_message(estate.dead, msg, NULL, estate.now);
    bus_msg_free(&msg);
    estate_dead_commits();
}

static struct delivery *find(const struct custody *custody, unsigned number, uint32_t index)
{
    struct mail_id id = bench_id(number);
    const struct held *held = custody_find(custody, &id);
    for (uint32_t i = 0; held != NULL && i < held->count; i++)
        if (held->deliveries[i]->index == index)
            return held->deliveries[i];
    return NULL;
}

struct delivery *estate_dead(unsigned number, uint32_t index)
{
    return find(estate.dead, number, index);
}

uint64_t estate_oldest(void)
{
    for (size_t i = 0; i < estate.count; i++)
        if (estate.log[i].base && !estate.log[i].released)
            return estate.log[i].seq;
    return 0;
}

/* ---- the heir ---- */

static void on_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    (void)context;
    must(seq >> COPY_EPOCH_SHIFT == estate.reg.epoch);
    keep(seq, buffer_bytes(record), buffer_len(record), body != NULL, base);
    buffer_clear(record);
}

static void on_read(void *context, uint64_t seq)
{
    (void)context;
    must(estate.read_count < ESTATE_SENT);
    estate.reads[estate.read_count++] = seq;
}

static void on_event(void *context, const char *json, size_t len)
{
    (void)context;
    must(strlen(json) == len);
    estate.events++;
    snprintf(estate.event, sizeof estate.event, "%s", json);
}

static void on_retired(void *context)
{
    (void)context;
    estate.retired++;
}

static void on_notice(void *context, const char *what)
{
    (void)context;
    estate.notices++;
    snprintf(estate.notice, sizeof estate.notice, "%s", what);
}

static void on_request(void *context, uint64_t ref, const struct kv_request *request)
{
    struct error error;
    (void)context;
    must(estate.asked_ref == 0 &&
         strcmp(request->verb == KV_TXN ? request->changes->key : request->key, "/t/spool/a") == 0);
    estate.asked_ref = ref;
    estate.asked = request->verb;
    if (request->verb != KV_TXN)
        return;
    must(request->compare_count == 1 && request->change_count == 1);
    estate.asked_revision = request->compares->revision;
    must(spool_register_read(request->changes->value, request->changes->len, &estate.asked_reg, &error) == 0);
}

void estate_store(bool done, bool told)
{
    must(estate.asked_ref != 0);
    uint64_t ref = estate.asked_ref;
    struct kv_result result = {.outcome = KV_DONE};
    struct buffer text = {0};
    estate.asked_ref = 0;
    if (estate.asked == KV_TXN && done && estate.asked_revision == estate.revision) {
        estate.reg = estate.asked_reg;
        estate.revision++;
    } else if (estate.asked == KV_TXN) {
        result.outcome = KV_LOST;
    }
    spool_register_write(&estate.reg, &text);
    struct kv_pair pair = {.key = "/t/spool/a",
        .value = buffer_bytes(&text),
        .len = buffer_len(&text),
        .revision = estate.revision};
    if (estate.asked == KV_RANGE && estate.revision != 0) {
        result.pairs = &pair;
        result.pair_count = 1;
    }
    if (!told)
        result = (struct kv_result){.outcome = KV_UNKNOWN, .why = "no answer"};
    heir_result(estate.heir, ref, &result, estate.now);
    buffer_free(&text);
}

static struct view *make_view(void)
{
    static const char *const pools[] = {"main"};
    struct view *view = view_new(1);
    view_add_source(view_add_node(view, "h", "h", 1, 100), "127.0.0.1", "h.test", pools, 1);
    view_add_source(view_add_node(view, "b", "b", 1, 100), "127.0.0.2", "b.test", pools, 1);
    view_add_node(view, "a", "a", 1, 100)->down = true;
    return view;
}

static bool is_reading(void)
{
    return heir_figures(estate.heir).state == HEIR_READS;
}

static void read_log(void)
{
    estate.unread = estate.count;
    heir_log_ends(estate.heir, log_end(), estate.count, estate.now);
    while (!estate.reads_later && is_reading()) {
        must(heir_has_room(estate.heir));
        estate_read_back(estate.count);
    }
}

void estate_read_back(size_t frames)
{
    struct error error;
    if (is_reading() && estate.unread == 0)
        (void)heir_recovered(estate.heir, estate.now);
    for (; frames > 0 && estate.unread > 0 && heir_has_room(estate.heir); frames--) {
        const struct estate_frame *frame = &estate.log[--estate.unread];
        must(heir_replay(estate.heir, frame->seq, buffer_bytes(&frame->bytes), buffer_len(&frame->bytes),
                 frame->base, &error) == 0);
    }
}

static void take_over(void)
{
    struct heir_settings settings = {.member = "h",
        .home = "h",
        .spool = "a",
        .key = "/t/spool/a",
        .disk = "copy",
        .process = ++estate.reg.process,
        .reg = &estate.reg,
        .note = &estate.note,
        .told = estate.told,
        .swapped = estate.now,
        .quarantine = estate.quarantine,
        .window = estate.window,
        .at_hand = estate.at_hand,
        .pace = estate.pace};
    struct heir_ports ports = {.append = on_append,
        .release = release,
        .read_body = on_read,
        .send = send,
        .event = on_event,
        .store.request = on_request,
        .retired = on_retired,
        .notice = on_notice};
    estate.reg.epoch++;
    estate.reg.incarnation++;
    estate.revision++;
    snprintf(estate.reg.node, sizeof estate.reg.node, "h");
    snprintf(estate.reg.old, sizeof estate.reg.old, "first");
    snprintf(estate.reg.disk, sizeof estate.reg.disk, "copy");
    estate.reg.mirror[0] = '\0';
    estate.asked_ref = 0;
    estate.read_count = 0;
    estate.heir = heir_new(&settings, &ports);
    read_log();
    if (estate.has_no_view)
        return;
    struct view *view = make_view();
    heir_set_view(estate.heir, view, estate.now);
    view_drop(&view);
}

void estate_inherit(uint64_t upto)
{
    while (upto != 0 && log_end() > upto)
        truncate_log(estate.count - 1);
    estate.committed = log_end();
    take_over();
}

void estate_crash(size_t kept)
{
    size_t count = 0;
    heir_free(&estate.heir);
    while (count < estate.count && estate.log[count].seq <= estate.committed)
        count++;
    if (count + kept < estate.count)
        truncate_log(count + kept);
    estate.committed = log_end();
    take_over();
}

void estate_commit(void)
{
    while (estate.committed < log_end()) {
        estate.committed = log_end();
        heir_committed(estate.heir, estate.committed, estate.now);
    }
}

void estate_commit_some(size_t count)
{
    size_t at = 0;
    while (at < estate.count && estate.log[at].seq <= estate.committed)
        at++;
    if (count == 0 || at == estate.count)
        return;
    estate.committed = estate.log[at + count <= estate.count ? at + count - 1 : estate.count - 1].seq;
    heir_committed(estate.heir, estate.committed, estate.now);
}

static bool can_be_read(uint64_t seq)
{
    for (size_t i = 0; i < estate.count; i++)
        if (estate.log[i].seq == seq)
            return estate.log[i].has_body && !estate.log[i].released && seq <= estate.committed;
    return false;
}

void estate_read(void)
{
    while (estate.read_count > 0) {
        uint64_t seq = estate.reads[--estate.read_count];
        /* What has ended meanwhile can't be. */
        bool can = !estate.bodies_fail && can_be_read(seq);
        struct blob *body = can ? blob_copy(BODY, sizeof BODY - 1) : NULL;
        heir_body(estate.heir, seq, body, estate.now);
        blob_drop(&body);
    }
}

/* ---- the bus ---- */

static void take_words(struct bench *bench)
{
    bench_commit(bench);
    for (size_t i = 0; i < bench->sent_count; i++)
        send(NULL, bench->sent[i]);
    bench->sent_count = 0;
}

static void tell_bench(struct bench *bench, const struct bus_msg *msg, bool shut)
{
    bench->now = estate.now;
    if (msg->type == BUS_MOVE && estate.moves < sizeof estate.move_dues / sizeof estate.move_dues[0])
        estate.move_dues[estate.moves] = msg->items[0].due;
    estate.moves += msg->type == BUS_MOVE;
    custody_message(bench->custody, msg, shut ? "no room" : NULL, estate.now);
    take_words(bench);
}

static void route(const struct bus_msg *msg)
{
    const char *spool = bus_answers_move(msg) ? msg->from_spool : msg->spool;
    if (strcmp(msg->to, "c1") == 0)
        return;
    if (strcmp(spool, "h") == 0)
        tell_bench(&estate.h, msg, estate.h_shut);
    else if (strcmp(spool, "b") == 0)
        tell_bench(&estate.b, msg, estate.b_shut);
    else if (estate.heir != NULL)
        heir_message(estate.heir, msg, estate.now);
    else {
        custody_message(estate.dead, msg, NULL, estate.now);
        estate_dead_commits();
    }
}

void estate_b_words(void)
{
    custody_tick(estate.b.custody, estate.now);
    take_words(&estate.b);
}

void estate_drop(size_t at)
{
    bus_msg_free(&estate.sent[at]);
    memmove(&estate.sent[at], &estate.sent[at + 1], (--estate.sent_count - at) * sizeof(struct bus_msg *));
}

void estate_deliver(size_t at, bool again)
{
    struct bus_msg *msg = bus_msg_copy(estate.sent[at]);
    if (!again)
        estate_drop(at);
    route(msg);
    bus_msg_free(&msg);
}

long estate_find(enum bus_type type)
{
    for (size_t i = 0; i < estate.sent_count; i++)
        if (estate.sent[i]->type == type)
            return (long)i;
    return -1;
}

struct bus_msg *estate_ask(struct bus_msg *msg)
{
    size_t before = estate.sent_count;
    heir_message(estate.heir, msg, estate.now);
    bus_msg_free(&msg);
    if (estate.sent_count == before)
        return NULL;
    must(estate.sent_count == before + 1);
    return estate.sent[--estate.sent_count];
}

struct bus_msg *estate_inject_of(unsigned number, unsigned digest)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", "h");
    strcpy(msg->spool, "a");
    msg->mail = mail_of(number, digest, "u@b.test", 0);
    msg->id = msg->mail->id;
    msg->body = blob_copy(BODY, sizeof BODY - 1);
    return msg;
}

struct bus_msg *estate_move_of(unsigned number, uint32_t hop)
{
    struct bus_msg *msg = estate_inject_of(number, 1);
    msg->type = BUS_MOVE;
    msg->at = estate.now;
    strcpy(msg->from, "b");
    strcpy(msg->from_spool, "b");
    msg->items = xcalloc(1, sizeof *msg->items);
    msg->items[0] = (struct bus_item){.hop = hop};
    msg->item_count = 1;
    return msg;
}

void estate_run(unsigned rounds, usec_t step)
{
    for (unsigned round = 0; round < rounds; round++) {
        estate_read_back(16);
        estate_run_unread(1, step);
    }
}

void estate_run_unread(unsigned rounds, usec_t step)
{
    for (unsigned round = 0; round < rounds; round++) {
        estate.now += step;
        if (heir_deadline(estate.heir) <= estate.now)
            heir_tick(estate.heir, estate.now);
        estate_b_words();
        custody_tick(estate.h.custody, estate.now);
        take_words(&estate.h);
        estate_commit();
        estate_read();
        for (size_t left = estate.sent_count; left > 0 && estate.sent_count > 0; left--)
            estate_deliver(0, false);
        estate_commit();
    }
}

bool estate_holds(const struct bench *bench, unsigned number, uint32_t index)
{
    const struct delivery *delivery = find(bench->custody, number, index);
    return delivery != NULL && delivery->state == CUSTODY_HELD;
}

unsigned estate_holders(unsigned number, uint32_t index)
{
    return estate_holds(&estate.h, number, index) + estate_holds(&estate.b, number, index);
}

void estate_take_from_b(void)
{
    struct bus_msg *msg = estate_move_of(1, 1);
    custody_message(estate.dead, msg, NULL, estate.now);
    bus_msg_free(&msg);
    estate_dead_commits();
    while (estate.sent_count > 0)
        estate_drop(0);
}
