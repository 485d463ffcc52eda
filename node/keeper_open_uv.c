/* keeper_open_uv - the data behind a node: its spool and the register of it, the event log, in the order of a
 * start */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/work_loop_uv.h"
#include "node/keeper_state_uv.h"
#include "node/source_check.h"

static void on_disk(void *context, uint64_t seq)
{
    struct keeper *k = context;
    atomic_store_explicit(&k->committed, seq, memory_order_release);
    uv_async_send(&k->wake);
}

static void disk_failed(void *context, const char *why)
{
    struct keeper *k = context;
    pthread_mutex_lock(&k->lock);
    snprintf(k->disk_trouble, sizeof k->disk_trouble, "%s", why);
    pthread_mutex_unlock(&k->lock);
    log_error("spool", "the disk failed, no more mail is taken: %s", why);
    uv_async_send(&k->wake);
}

static void recovered_record(
    void *context, uint64_t seq, const void *record, size_t len, uint64_t body_len, bool base)
{
    struct keeper *k = context;
    struct error why;
    (void)body_len;
    if (k->met_newer) /* nothing of what follows may count, nor go to the table */
        return;
    int result = node_replay(k->node, seq, record, len, base, &why);
    if (result == NODE_NEWER) {
        k->met_newer = true;
        error_set(&k->newer, "spool %s: frame %llu: %s", k->spool_dir, (unsigned long long)seq, why.text);
        return;
    }
    if (result != 0)
        log_error("spool", "frame %llu can't be understood and is passed over: %s", (unsigned long long)seq,
            why.text);
    node_replay_rest(k->node, clock_now());
}

static void passed_record(void *context, uint64_t seq)
{
    const struct keeper *k = context;
    node_log_has(k->node, seq);
}

static void recovered_damage(void *context, const char *file, uint64_t offset, const char *why)
{
    (void)context;
    log_error(file, "damage at offset %llu: %s; the file is kept, the rest of the log is read on",
        (unsigned long long)offset, why);
}

static void recovery_progress(void *context, uint64_t done, uint64_t all)
{
    const struct keeper *k = context;
    log_info(k->spool_dir, "reading the log: %llu of %llu MiB", (unsigned long long)(done >> 20),
        (unsigned long long)(all >> 20));
}

static int make_folder(const char *dir, struct error *error)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return error_set(error, "%s can't be made: %s", dir, strerror(errno));
    return 0;
}

static int open_spool(struct keeper *k, struct error *error)
{
    struct spool_settings settings = {.dir = k->spool_dir,
        .segment_size = k->settings->node.spool_segment,
        .reserve = k->settings->node.spool_reserve};
    struct spool_listener listener = {.context = k, .committed = on_disk, .failed = disk_failed};
    struct spool_recovery recovery = {.context = k,
        .from = keeper_table_open,
        .record = recovered_record,
        .passed = passed_record,
        .damaged = recovered_damage,
        .progress = recovery_progress};
    k->spool = spool_open(&settings, &listener, &recovery, error);
    return k->spool == NULL ? -1 : 0;
}

void keeper_remake_node(struct keeper *k)
{
    node_free(&k->node);
    keeper_make_node(k);
    node_set_told(k->node, event_log_last_seq(k->events));
}

void keeper_close_spool(struct keeper *k)
{
    while (k->working > 0) /* a checkpoint of the table */
        uv_run(&k->loop, UV_RUN_ONCE);
    spool_close(&k->spool);
    keeper_remake_node(k);
    keeper_table_close(k);
    k->met_newer = k->table_distrusted = false;
    k->living_count = 0;
    k->replay_from = 0;
}

/* The core has half of the truth when the table fails on the way: a new one reads all of the log. */
int keeper_open_spool(struct keeper *k, struct error *error)
{
    if (open_spool(k, error) != 0)
        return -1;
    if (keeper_table_failed_early(k)) {
        spool_close(&k->spool);
        keeper_remake_node(k);
        keeper_table_close(k);
        k->table_distrusted = true;
        if (open_spool(k, error) != 0)
            return -1;
    }
    keeper_table_opened(k);
    if (k->met_newer) {
        *error = k->newer;
        return -1;
    }
    uint64_t skipped = node_figures(k->node).skipped;
    if (skipped > 0)
        log_info(k->spool_dir, "%llu records of a newer Todoku were passed over: they say nothing of mail",
            (unsigned long long)skipped);
    return 0;
}

static int open_events(struct keeper *k, struct error *error)
{
    struct event_log_settings settings = {
        .dir = k->log_dir, .keep = k->settings->events.keep, .max_size = k->settings->events.max_size};
    k->events = event_log_open(&settings, clock_now(), error);
    if (k->events == NULL)
        return -1;
    node_set_told(k->node, event_log_last_seq(k->events));
    return 0;
}

static int open_crew(struct keeper *k, struct error *error)
{
    unsigned loops = k->settings->node.loops;
    if (loops == 0)
        loops = work_loops_by_machine();
    return loops == 1 ? 0 : crew_open(k, loops - 1, error);
}

/* A new log's frames are numbered above those of a former one, whose events were told; with two copies they are by
 * their epoch (keeper_home_uv.c). */
static uint64_t log_end(const struct keeper *k)
{
    bool one_copy = k->claim.kv == NULL || k->settings->cluster.copies < 2;
    uint64_t last = spool_last_seq(k->spool);
    return last == 0 && one_copy ? event_log_last_seq(k->events) : last;
}

int keeper_open_data(struct keeper *k, struct error *error)
{
    k->tls = tls_context_client(error);
    if (k->tls == NULL || open_crew(k, error) != 0 || source_check(k->settings, error) != 0 ||
        make_folder(k->log_dir, error) != 0 || open_events(k, error) != 0 ||
        keeper_open_resolver(k, error) != 0 || keeper_open_home(k, error) != 0)
        return -1;
    k->committed_told = spool_last_seq(k->spool);
    atomic_store(&k->committed, k->committed_told);
    keeper_begin_holds(k, clock_now());
    node_log_ends(k->node, log_end(k));
    if (keeper_second_open(k, error) != 0)
        return -1;
    keeper_others_open(k);
    node_recovered(k->node, clock_now());
    return 0;
}
