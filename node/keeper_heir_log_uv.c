/* keeper_heir_log_uv - a heir's log and table, opened and read beside the loop; see keeper_heir_inside_uv.h */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/keeper_heir_inside_uv.h"
#include "node/node.h"

/* ---- what the heir asks for ---- */

static struct effect *effect_add(struct entry *entry)
{
    struct effect *effect = xcalloc(1, sizeof *effect);
    list_push_back(&entry->effects, &effect->link);
    return effect;
}

static void port_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    const struct entry *entry = context;
    spool_append(entry->spool, seq, record, body, base);
}

static void port_release(void *context, uint64_t seq)
{
    struct entry *entry = context;
    if (entry->spool != NULL) {
        spool_release(entry->spool, seq);
        return;
    }
    if ((entry->release_count & (entry->release_count - 1)) == 0)
        entry->releases = xrealloc(entry->releases,
            (entry->release_count == 0 ? 1 : 2 * entry->release_count) * sizeof *entry->releases);
    entry->releases[entry->release_count++] = seq;
}

static void port_read_body(void *context, uint64_t seq)
{
    struct entry *entry = context;
    if (entry->off_loop)
        effect_add(entry)->read = seq;
    else
        entry_read_body(entry, seq);
}

static void port_send(void *context, struct bus_msg *msg)
{
    struct entry *entry = context;
    if (entry->off_loop)
        effect_add(entry)->msg = msg;
    else
        entry->all->ports.send(entry->all->ports.context, msg);
}

static void port_event(void *context, const char *json, size_t len)
{
    struct entry *entry = context;
    if (entry->off_loop)
        effect_add(entry)->event = xstrdup(json);
    else
        entry->all->ports.event(entry->all->ports.context, json, len);
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

static void effect_free(struct effect *effect)
{
    bus_msg_free(&effect->msg);
    free(effect->event);
    free(effect);
}

void entry_drop_effects(struct entry *entry)
{
    for (struct list *link; (link = list_pop(&entry->effects)) != NULL;)
        effect_free(list_item(link, struct effect, link));
    free(entry->releases);
    entry->releases = NULL;
    entry->release_count = 0;
}

void entry_do_effects(struct entry *entry)
{
    for (struct list *link; (link = list_pop(&entry->effects)) != NULL;) {
        struct effect *effect = list_item(link, struct effect, link);
        if (effect->msg != NULL)
            port_send(entry, effect->msg);
        else if (effect->event != NULL)
            port_event(entry, effect->event, strlen(effect->event));
        else
            port_read_body(entry, effect->read);
        effect->msg = NULL;
        effect_free(effect);
    }
}

static void make_heir(struct entry *entry)
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
        .at_hand = all->at_hand};
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

/* ---- the table ---- */

/* A queue that fits into memory needs none. */
static bool wants_table(const struct entry *entry)
{
    uint64_t bytes = 0;
    struct stat stat;
    DIR *dir = opendir(entry->dir);
    for (const struct dirent *file; dir != NULL && (file = readdir(dir)) != NULL;)
        if (fstatat(dirfd(dir), file->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode))
            bytes += (uint64_t)stat.st_size;
    if (dir != NULL)
        closedir(dir);
    return bytes >= entry->all->table_from && !entry->distrusts_table;
}

static int open_table(struct entry *entry, uint64_t log_end, struct error *error)
{
    struct park_rocks_settings settings = {.dir = entry->table_dir};
    struct park_table table;
    if (mkdir(entry->all->tables, 0750) != 0 && errno != EEXIST)
        return error_set(error, "%s can't be made: %s", entry->all->tables, strerror(errno));
    if (park_rocks_destroy(entry->table_dir, error) != 0 ||
        (entry->rocks = park_rocks_open(&settings, error)) == NULL)
        return -1;
    table = park_rocks_table(entry->rocks);
    if (heir_set_table(entry->heir, &table, log_end, error) == 0)
        return 0;
    park_rocks_close(&entry->rocks);
    return -1;
}

static void close_table(struct entry *entry)
{
    struct error error;
    if (entry->rocks != NULL)
        park_rocks_close(&entry->rocks);
    if (park_rocks_destroy(entry->table_dir, &error) != 0)
        log_warn(entry->table_dir, "%s", error.text);
}

/* ---- reading ---- */

static uint64_t read_from(
    void *context, const char *disk, uint64_t log_end, const uint64_t **living_r, size_t *living_count_r)
{
    struct entry *entry = context;
    struct error error;
    (void)disk;
    *living_r = NULL;
    *living_count_r = 0;
    if (wants_table(entry) && open_table(entry, log_end, &error) != 0)
        log_error(entry->table_dir, "there is no table of what waits in this spool, all stays in memory: %s",
            error.text);
    return 0;
}

static void on_record(
    void *context, uint64_t seq, const void *record, size_t len, uint64_t body_len, bool base)
{
    struct entry *entry = context;
    struct error why;
    (void)body_len;
    if (entry->met_newer)
        return;
    int result = heir_replay(entry->heir, seq, record, len, base, &why);
    if (result == NODE_NEWER) {
        entry->met_newer = true;
        error_set(&entry->error, "frame %" PRIx64 ": %s", seq, why.text);
    } else if (result != 0) {
        log_error(entry->dir, "frame %" PRIx64 " can't be understood and is passed over: %s", seq, why.text);
    }
}

static void on_damaged(void *context, const char *file, uint64_t offset, const char *why)
{
    const struct entry *entry = context;
    log_error(entry->dir, "damage in %s at offset %" PRIu64 ": %s; the rest is read on", file, offset, why);
}

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    const struct entry *entry = context;
    log_info(entry->dir, "reading the log: %" PRIu64 " of %" PRIu64 " MiB", done >> 20, all >> 20);
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

static int open_log(struct entry *entry)
{
    struct spool_settings settings = {
        .dir = entry->dir, .segment_size = entry->all->segment_size, .reserve = entry->all->reserve};
    struct spool_listener listener = {.context = entry, .committed = on_committed, .failed = on_failed};
    struct spool_recovery recovery = {.context = entry,
        .from = read_from,
        .record = on_record,
        .damaged = on_damaged,
        .progress = on_progress};
    entry->met_newer = false;
    make_heir(entry);
    entry->spool = spool_open(&settings, &listener, &recovery, &entry->error);
    if (entry->spool == NULL || entry->met_newer)
        return -1;
    if (strcmp(spool_disk_id(entry->spool), entry->reg.disk) != 0)
        return error_set(&entry->error, "this is disk %s, not %s, which the register names",
            spool_disk_id(entry->spool), entry->reg.disk);
    return 0;
}

static void forget_log(struct entry *entry)
{
    heir_free(&entry->heir);
    spool_close(&entry->spool);
    close_table(entry);
    entry_drop_effects(entry);
}

/* A table that failed on the way has half of the truth: once more without. */
static int open_all(struct entry *entry)
{
    int status = open_log(entry);
    if (entry->rocks != NULL && !heir_table_works(entry->heir)) {
        log_error(entry->table_dir, "the table of what waits in this spool failed, all stays in memory");
        forget_log(entry);
        entry->distrusts_table = true;
        status = open_log(entry);
    }
    return status;
}

static void open_work(uv_work_t *work)
{
    struct entry *entry = work->data;
    entry->opened = open_all(entry) == 0;
    if (!entry->opened) {
        forget_log(entry);
        return;
    }
    spool_keep_from(entry->spool, UINT64_MAX);
    for (size_t i = 0; i < entry->release_count; i++)
        spool_release(entry->spool, entry->releases[i]);
    heir_log_ends(entry->heir, spool_last_seq(entry->spool));
    heir_recovered(entry->heir, clock_now());
}

static void open_done(uv_work_t *work, int status)
{
    struct entry *entry = work->data;
    (void)status;
    entry->all->working--;
    entry->off_loop = false;
    entry_opened(entry);
}

void entry_open(struct entry *entry)
{
    entry->phase = ENTRY_OPENS;
    entry->off_loop = true;
    entry->work.data = entry;
    entry->all->working++;
    must(uv_queue_work(entry->all->loop, &entry->work, open_work, open_done) == 0);
}

void entry_close_log(struct entry *entry)
{
    if (entry->spool != NULL)
        spool_close(&entry->spool);
    close_table(entry);
}
