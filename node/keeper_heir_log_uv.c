/* keeper_heir_log_uv - a heir's log, and what the heir asks for; see keeper_heir_inside_uv.h */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/panic.h"
#include "node/keeper_heir_inside_uv.h"

/* ---- what the heir asks for ---- */

static void port_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    const struct entry *entry = context;
    spool_append(entry->spool, seq, record, body, base);
}

static void port_release(void *context, uint64_t seq)
{
    const struct entry *entry = context;
    spool_release(entry->spool, seq);
}

static void port_read_body(void *context, uint64_t seq)
{
    entry_read_body(context, seq);
}

static void port_send(void *context, struct bus_msg *msg)
{
    const struct keeper_heirs *all = ((struct entry *)context)->all;
    all->ports.send(all->ports.context, msg);
}

static void port_event(void *context, const char *json, size_t len)
{
    const struct keeper_heirs *all = ((struct entry *)context)->all;
    all->ports.event(all->ports.context, json, len);
}

static void port_retired(void *context)
{
    struct entry *entry = context;
    entry->retired = true;
}

static void port_notice(void *context, const char *what)
{
    const struct entry *entry = context;
    log_info(entry->dir, "%s", what);
}

void entry_make_heir(struct entry *entry)
{
    const struct keeper_heirs *all = entry->all;
    struct heir_settings settings = {.member = all->member,
        .home = all->home,
        .spool = entry->spool_name,
        .key = entry->key,
        .disk = entry->reg.disk,
        .process = all->process,
        .reg = &entry->reg,
        .note = &entry->note,
        .told = entry->told,
        .swapped = entry->swapped,
        .quarantine = all->quarantine,
        .least = all->least,
        .at_hand = all->at_hand,
        .pace = all->pace};
    struct heir_ports ports = {.context = entry,
        .append = port_append,
        .release = port_release,
        .read_body = port_read_body,
        .send = port_send,
        .event = port_event,
        .store = entry->store,
        .retired = port_retired,
        .notice = port_notice};
    entry->heir = heir_new(&settings, &ports);
}

/* ---- the log ---- */

static void on_damaged(void *context, const char *file, uint64_t offset, const char *why)
{
    const struct entry *entry = context;
    log_error(entry->dir, "damage in %s at offset %" PRIu64 ": %s; the rest is read on", file, offset, why);
}

static void on_committed(void *context, uint64_t seq)
{
    struct entry *entry = context;
    atomic_store_explicit(&entry->committed, seq, memory_order_release);
    uv_async_send(&entry->all->wake);
}

static void on_failed(void *context, const char *why)
{
    struct entry *entry = context;
    atomic_store(&entry->failed, true);
    log_error(entry->dir,
        "the disk failed: nothing more of this spool moves until the node was started again: %s", why);
    uv_async_send(&entry->all->wake);
}

static struct spool_listener listener_of(struct entry *entry)
{
    return (struct spool_listener){.context = entry, .committed = on_committed, .failed = on_failed};
}

static int open_log(struct entry *entry)
{
    struct spool_settings settings = {
        .dir = entry->dir, .segment_size = entry->all->segment_size, .reserve = entry->all->reserve};
    struct spool_listener listener = listener_of(entry);
    struct spool_recovery recovery = {.context = entry, .damaged = on_damaged};
    spool_close(&entry->spool);
    atomic_store(&entry->failed, false);
    entry->spool = spool_open(&settings, &listener, &recovery, &entry->error);
    return entry->spool == NULL ? -1 : 0;
}

static int is_ours(struct entry *entry)
{
    const char *disk = spool_disk_id(entry->spool);
    if (strcmp(disk, entry->reg.disk) == 0)
        return 0;
    return error_set(
        &entry->error, "this is disk %s, not %s, which the register names", disk, entry->reg.disk);
}

static void open_work(uv_work_t *work)
{
    struct entry *entry = work->data;
    entry->opened = open_log(entry) == 0 && is_ours(entry) == 0;
}

static void open_done(uv_work_t *work, int status)
{
    struct entry *entry = work->data;
    (void)status;
    entry->all->working--;
    entry->works--;
    if (entry->opened)
        entry_begin(entry);
    else
        entry_is_ill(entry);
}

void entry_open(struct entry *entry)
{
    must(entry->works == 0 && entry->heir == NULL);
    entry->phase = ENTRY_OPENS;
    entry->work.data = entry;
    entry->works++;
    entry->all->working++;
    must(uv_queue_work(entry->all->loop, &entry->work, open_work, open_done) == 0);
}

/* What a failed disk has is what a new opening finds on it. */
void entry_adopt(struct entry *entry, struct spool *log)
{
    struct spool_listener listener = listener_of(entry);
    entry->spool = log;
    spool_listen(log, &listener);
    if (spool_room(log) == SPOOL_FAILED)
        entry_open(entry);
    else if (is_ours(entry) != 0)
        entry_is_ill(entry);
    else
        entry->phase = ENTRY_SYNCS;
}
