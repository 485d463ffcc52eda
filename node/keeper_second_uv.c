/* keeper_second_uv - the second copy of this node's own spool: its register in the store, the log read back for it
 *
 * The core decides (node/node_copies.h). Here is what it needs of the world: the store, by way of keeper_store_uv; frames
 * of the log that are no longer in memory, read in libuv's pool; and the start: with `copies: 2` the register that was
 * claimed begins the copies, with `copies: 1` a mirror that it still names is given up first, for that would take a
 * spool over whose log it has not got any more. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "cluster/member_record.h"
#include "node/keeper_state_uv.h"

#define COPIED_PATIENCE (5 * USEC_SEC)

struct log_read {
    uv_work_t work;
    struct keeper *keeper;
    uint64_t after;
    size_t bytes;
    struct spool_frames frames;
};

static void read_work(uv_work_t *work)
{
    struct log_read *read = work->data;
    spool_frames_from(read->keeper->spool, read->after, read->bytes, &read->frames);
}

static void read_done(uv_work_t *work, int status)
{
    struct log_read *read = work->data;
    struct keeper *k = read->keeper;
    (void)status;
    k->working--;
    node_log_read(k->node, read->frames.frames, read->frames.count, read->frames.end, clock_now());
    links_flush(k);
    spool_frames_clear(&read->frames);
    free(read);
}

static void port_read_log(void *context, uint64_t after, size_t bytes)
{
    struct keeper *k = context;
    if (k->spool == NULL) /* closed */
        return;
    struct log_read *read = xcalloc(1, sizeof *read);
    *read = (struct log_read){.keeper = k, .after = after, .bytes = bytes};
    read->work.data = read;
    k->working++;
    must(uv_queue_work(&k->loop, &read->work, read_work, read_done) == 0);
}

static bool port_whole(void *context, uint64_t after)
{
    const struct keeper *k = context;
    return k->spool != NULL && spool_is_whole(k->spool, after);
}

static size_t port_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    const struct keeper *k = context;
    return k->spool == NULL ? 0 : spool_living(k->spool, after, seqs_r, max);
}

static void port_notice(void *context, const char *what)
{
    const struct keeper *k = context;
    log_warn(k->spool_name, "%s", what);
}

static void port_request(void *context, uint64_t ref, const struct kv_request *request)
{
    const struct keeper *k = context;
    k->register_port.request(k->register_port.context, ref, request);
}

void keeper_second_ports(struct keeper *k, struct node_ports *ports)
{
    ports->store = (struct store_port){.context = k, .request = port_request};
    ports->read_log = port_read_log;
    ports->whole = port_whole;
    ports->living = port_living;
    ports->notice = port_notice;
}

static void on_result(void *context, uint64_t ref, const struct kv_result *result, usec_t now)
{
    struct keeper *k = context;
    node_store_result(k->node, ref, result, now);
    links_flush(k);
}

static void on_news(void *context, const struct kv_news *news, usec_t now)
{
    struct keeper *k = context;
    node_register_news(k->node, news, now);
    links_flush(k);
}

struct keeper_store *keeper_registers(struct keeper *k)
{
    char prefix[MEMBER_PATH_SIZE];
    member_path(prefix, k->claim.cluster, "spool", ""); /* all of them: it ends with a slash */
    if (k->store == NULL)
        k->store = keeper_store_open(&k->loop, k->claim.kv, prefix);
    return k->store;
}

static void begin(struct keeper *k)
{
    k->register_user =
        (struct store_user){.context = k, .key = k->register_key, .result = on_result, .news = on_news};
    k->register_port = keeper_store_join(keeper_registers(k), &k->register_user);
    k->second = true;
    struct node_copies copies = {.key = k->register_key,
        .disk = spool_disk_id(k->spool),
        .process = k->home.reg.process,
        .reg = k->home.reg,
        .revision = k->home.revision};
    node_open_copies(k->node, &copies, clock_now());
}

int keeper_second_open(struct keeper *k, struct error *error)
{
    const struct kv *kv = k->claim.kv;
    if (kv != NULL)
        member_path(k->register_key, k->claim.cluster, "spool", k->spool_name);
    if (kv != NULL && k->settings->cluster.copies > 1) {
        begin(k);
        return 0;
    }
    if (kv != NULL &&
        spool_register_go_alone(kv, k->register_key, k->home.revision, &k->home.reg, error) != 0)
        return -1;
    /* Else it had one copy always. */
    if (copy_epoch_of(spool_last_seq(k->spool)) > 0)
        node_begin_epoch(k->node, k->home.reg.epoch);
    return 0;
}

/* Events are written, and synced by nobody: after a minute the system has. */
void keeper_second_told(struct keeper *k, usec_t now)
{
    if (!k->second || now - k->events_at < USEC_MIN)
        return;
    k->events_at = now;
    node_events_told(k->node, k->events_seen);
    k->events_seen = event_log_last_seq(k->events);
}

bool keeper_second_done(struct keeper *k, usec_t now)
{
    if (!k->second || node_copies_done(k->node))
        return true;
    if (k->copied_by == 0)
        k->copied_by = now + COPIED_PATIENCE;
    return now >= k->copied_by;
}

void keeper_second_settings(const struct keeper *k, const struct settings *settings)
{
    if ((settings->cluster.copies > 1) != (k->settings->cluster.copies > 1))
        log_warn(settings->file, "cluster.copies: %u takes effect at the next start of this node",
            settings->cluster.copies);
}

void keeper_second_close(struct keeper *k)
{
    if (k->store == NULL)
        return;
    if (k->second)
        keeper_store_leave(k->store, &k->register_user);
    keeper_store_close(&k->store);
}

void keeper_part(struct keeper *keeper)
{
    if (keeper->store != NULL)
        keeper_store_part(keeper->store);
}
