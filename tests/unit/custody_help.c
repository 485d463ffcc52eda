/* custody_help - see custody_help.h */
#include "custody_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

#define BODY "Subject: x\r\n\r\nhello\r\n"

static void on_append(
    void *context, uint64_t seq, const struct spool_record *record, struct blob *body, bool base)
{
    struct bench *bench = context;
    must(seq > bench->last_seq);
    bench->last_seq = seq;
    if (bench->keeps_no_frames)
        return;
    must(bench->frame_count < BENCH_FRAMES);
    struct bench_frame *frame = &bench->frames[bench->frame_count++];
    *frame = (struct bench_frame){.seq = seq, .base = base, .has_body = body != NULL};
    record_encode(record, &frame->bytes);
}

static void on_release(void *context, uint64_t seq)
{
    struct bench *bench = context;
    for (size_t i = 0; i < bench->frame_count; i++)
        if (bench->frames[i].seq == seq) {
            must(bench->frames[i].base && !bench->frames[i].released);
            bench->frames[i].released = true;
        }
}

static void on_send(void *context, struct bus_msg *msg)
{
    struct bench *bench = context;
    if (bench->sent_count == BENCH_SENT)
        bus_msg_free(&msg);
    else
        bench->sent[bench->sent_count++] = msg;
}

static void on_gained(void *context, struct delivery *delivery)
{
    must(delivery->state == CUSTODY_HELD && delivery->committed);
    ((struct bench *)context)->gained++;
}

static void on_left(void *context, struct delivery *delivery)
{
    (void)delivery;
    ((struct bench *)context)->left++;
}

static void on_returned(void *context, struct delivery *delivery, const char *spool)
{
    struct bench *bench = context;
    must(delivery->state == CUSTODY_HELD);
    snprintf(bench->refused_by, sizeof bench->refused_by, "%s", spool);
    bench->returned++;
}

static void on_movable(void *context, struct delivery *delivery)
{
    must(delivery->settled);
    ((struct bench *)context)->movable++;
}

static void on_forgotten(void *context, struct held *held)
{
    (void)held;
    ((struct bench *)context)->forgotten++;
}

static void on_told(void *context, uint64_t seq, const struct mail *mail, const char *detail)
{
    struct bench *bench = context;
    must(seq <= bench->committed && mail != NULL && detail != NULL);
    bench->told++;
}

static void on_want_body(void *context, struct held *held)
{
    struct bench *bench = context;
    must(bench->wanted == NULL);
    bench->wanted = held;
}

static void on_unparked(void *context, struct held *held)
{
    struct bench *bench = context;
    must(held->open > 0);
    bench->unparked++;
}

static int on_row_get(void *context, const struct mail_id *id, struct buffer *bytes)
{
    return park_row_get(((struct bench *)context)->park, id, bytes);
}

/* By recipient's address. */
static void count_in_rows(struct bench *bench, const struct held *held, bool has_row)
{
    for (uint32_t i = 0; i < held->count; i++) {
        const struct delivery *delivery = held->deliveries[i];
        bool open = delivery->state == CUSTODY_HELD || delivery->state == CUSTODY_LEAVING;
        const char *address = held->mail->recipients[delivery->index];
        if ((has_row && open) != delivery->in_row)
            park_count(bench->park, address, strlen(address), delivery->in_row ? -1 : 1);
    }
}

static void on_row_put(void *context, const struct custody_row *row, const struct custody_row *old)
{
    struct bench *bench = context;
    must(row->held != NULL && (old == NULL || old->held == row->held));
    count_in_rows(bench, row->held, true);
    park_row_put(bench->park, row, old);
}

static void on_row_remove(void *context, const struct custody_row *row)
{
    struct bench *bench = context;
    count_in_rows(bench, row->held, false);
    park_row_remove(bench->park, row);
}

static size_t on_rows_from(void *context, uint64_t base_seq, struct mail_id *ids, size_t max)
{
    return park_rows_from(((struct bench *)context)->park, base_seq, ids, max);
}

static void on_row_bad(void *context, const char *why)
{
    park_row_bad(((struct bench *)context)->park, why);
}

void bench_open(struct bench *bench, const char *spool)
{
    bench_open_table(bench, spool, NULL);
}

void bench_open_table(struct bench *bench, const char *spool, struct park_memory *table)
{
    *bench = (struct bench){.now = 1800000000 * USEC_SEC};
    snprintf(bench->spool, sizeof bench->spool, "%s", spool);
    struct custody_ports ports = {.context = bench,
        .append = on_append,
        .release = on_release,
        .send = on_send,
        .gained = on_gained,
        .left = on_left,
        .returned = on_returned,
        .movable = on_movable,
        .forgotten = on_forgotten,
        .told = on_told,
        .want_body = on_want_body,
        .row_put = on_row_put,
        .row_remove = on_row_remove,
        .rows_from = on_rows_from,
        .row_bad = on_row_bad,
        .unparked = on_unparked};
    if (table != NULL) {
        struct park_table face = park_memory_table(table);
        bench->park = park_new(&face);
        ports.row_get = on_row_get;
    }
    bench->custody = custody_new(spool, spool, 7, &ports);
}

void bench_drop_sent(struct bench *bench)
{
    while (bench->sent_count > 0)
        bus_msg_free(&bench->sent[--bench->sent_count]);
}

void bench_close(struct bench *bench)
{
    custody_free(&bench->custody);
    park_free(&bench->park);
    bench_drop_sent(bench);
    for (size_t i = 0; i < bench->frame_count; i++)
        buffer_free(&bench->frames[i].bytes);
}

void bench_commit(struct bench *bench)
{
    /* What a commit brings about may log more. */
    while (bench->committed < bench->last_seq) {
        bench->committed = bench->last_seq;
        custody_committed(bench->custody, bench->committed, bench->now);
    }
}

static bool can_be_read(const struct bench *bench, uint64_t seq)
{
    for (size_t i = 0; i < bench->frame_count; i++)
        if (bench->frames[i].seq == seq)
            return bench->frames[i].has_body && !bench->frames[i].released && seq <= bench->committed;
    return false;
}

void bench_read(struct bench *bench)
{
    struct held *held = bench->wanted;
    must(held != NULL && can_be_read(bench, held->disk_seq));
    bench->wanted = NULL;
    struct blob *body = blob_copy(BODY, sizeof BODY - 1);
    custody_body(bench->custody, held, body, bench->now);
    blob_drop(&body);
}

void bench_fail_read(struct bench *bench)
{
    struct held *held = bench->wanted;
    must(held != NULL);
    bench->wanted = NULL;
    custody_body(bench->custody, held, NULL, bench->now);
}

static bool is_living(const struct park_start *start, const struct bench_frame *frame)
{
    if (frame->seq >= start->from)
        return true;
    for (size_t i = 0; i < start->living_count; i++)
        if (start->living[i] == frame->seq)
            return true;
    return false;
}

void bench_restart(struct bench *fresh, const struct bench *old, uint64_t upto)
{
    bench_restart_table(fresh, old, upto, NULL);
}

void bench_restart_table(
    struct bench *fresh, const struct bench *old, uint64_t upto, struct park_memory *table)
{
    struct park_start start = {0};
    struct error error;
    bench_open_table(fresh, old->spool, table);
    fresh->now = old->now;
    if (table != NULL)
        must(park_open(fresh->park, "disk", old->spool, upto, fresh->custody, &start, &error) == 0);
    for (size_t i = 0; i < old->frame_count && old->frames[i].seq <= upto; i++) {
        const struct bench_frame *frame = &old->frames[i];
        struct bench_frame *copy = &fresh->frames[fresh->frame_count++];
        struct spool_record record;
        struct error why;
        *copy = (struct bench_frame){.seq = frame->seq, .base = frame->base, .has_body = frame->has_body};
        copy->released = !is_living(&start, frame);
        buffer_add(&copy->bytes, buffer_bytes(&frame->bytes), buffer_len(&frame->bytes));
        fresh->last_seq = fresh->committed = frame->seq;
        if (frame->seq < start.from)
            continue;
        must(record_decode(buffer_bytes(&frame->bytes), buffer_len(&frame->bytes), &record, &why) == 0);
        must(custody_replay(fresh->custody, frame->seq, &record, frame->base, &why) == 0);
        record_clear(&record);
    }
    free(start.living);
    custody_log_ends(fresh->custody, upto);
    custody_recovered(fresh->custody, fresh->now);
}

bool bench_is_resident(const struct bench *bench, unsigned number)
{
    struct mail_id id = bench_id(number);
    return custody_find(bench->custody, &id) != NULL;
}

void bench_park(struct bench *bench, unsigned number)
{
    bench_park_at(bench, number, NULL);
}

void bench_park_at(struct bench *bench, unsigned number, const struct row_wish *wish)
{
    struct mail_id id = bench_id(number);
    struct held *held = custody_find(bench->custody, &id);
    must(held != NULL);
    custody_write_row(bench->custody, held, wish);
    must(park_commit(bench->park));
    custody_park(bench->custody, held);
}

struct bus_msg *bench_take(struct bench *bench, enum bus_type type)
{
    for (size_t i = 0; i < bench->sent_count; i++) {
        struct bus_msg *msg = bench->sent[i];
        if (msg->type != type)
            continue;
        memmove(&bench->sent[i], &bench->sent[i + 1], (--bench->sent_count - i) * sizeof(struct bus_msg *));
        return msg;
    }
    return NULL;
}

bool bench_pass(struct bench *from, struct bench *to, enum bus_type type, bool room)
{
    struct bus_msg *msg = bench_take(from, type);
    if (msg == NULL)
        return false;
    custody_message(to->custody, msg, room ? NULL : "no room", to->now);
    bus_msg_free(&msg);
    return true;
}

struct mail_id bench_id(unsigned number)
{
    struct mail_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

void bench_inject(struct bench *bench, unsigned number, unsigned digest, uint32_t recipients, bool room)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c1", bench->spool);
    struct mail *mail = mail_new();
    snprintf(msg->spool, sizeof msg->spool, "%s", bench->spool);
    msg->to_incarnation = 7;
    msg->id = mail->id = bench_id(number);
    msg->ref = number;
    mail->created = bench->now;
    mail->expires = bench->now + USEC_DAY;
    mail->body_len = sizeof BODY - 1;
    memset(mail->digest, (int)digest, sizeof mail->digest);
    for (uint32_t i = 0; i < recipients; i++) {
        char address[40];
        snprintf(address, sizeof address, "u%u@d%u.test", i, i);
        mail_add_recipient(mail, address);
    }
    msg->mail = mail;
    msg->body = blob_copy(BODY, sizeof BODY - 1);
    custody_message(bench->custody, msg, room ? NULL : "no room", bench->now);
    bus_msg_free(&msg);
}

struct delivery *bench_delivery(const struct bench *bench, unsigned number, uint32_t index)
{
    struct mail_id id = bench_id(number);
    const struct held *held = custody_find(bench->custody, &id);
    for (uint32_t i = 0; held != NULL && i < held->count; i++)
        if (held->deliveries[i]->index == index)
            return held->deliveries[i];
    return NULL;
}
