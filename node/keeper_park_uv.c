/* keeper_park_uv - the table of messages at rest beside a node's spool: opened with the log, brought to the disk
 * in libuv's pool, given up when it fails
 *
 * It lies in data_dir/table and may be removed at any time while the node stands still: the next start reads
 * all of the log and makes it anew. What can't be opened, or does not fit the log, is removed here. A table that
 * failed while the node ran leaves the file data_dir/table.failed behind, so that the next start does not
 * trust it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/event_files.h"
#include "node/keeper_state_uv.h"

static void failed_mark(const struct keeper *k, char out[PATH_MAX + 16])
{
    snprintf(out, PATH_MAX + 16, "%s.failed", k->table_dir);
}

/* ---- opening ---- */

static int open_rocks(struct keeper *k, struct error *error)
{
    struct park_rocks_settings settings = {.dir = k->table_dir};
    k->rocks = park_rocks_open(&settings, error);
    return k->rocks == NULL ? -1 : 0;
}

static int open_table(struct keeper *k, const char *disk, uint64_t log_end, struct error *error)
{
    struct park_start start;
    struct node_table table = {.disk = disk, .log_end = log_end};
    if (open_rocks(k, error) != 0)
        return -1;
    table.table = park_rocks_table(k->rocks);
    if (node_open_table(k->node, &table, &start, error) != 0) {
        park_rocks_close(&k->rocks);
        return -1;
    }
    k->living = start.living;
    k->living_count = start.living_count;
    k->replay_from = start.from;
    return 0;
}

static bool remove_table(struct keeper *k)
{
    char mark[PATH_MAX + 16];
    struct error error;
    if (park_rocks_destroy(k->table_dir, &error) != 0) {
        log_error(k->table_dir, "the table of messages at rest can't be removed, so all stay in memory: %s",
            error.text);
        return false;
    }
    failed_mark(k, mark);
    if (unlink(mark) != 0 && errno != ENOENT)
        log_warn(mark, "can't be removed: %s", strerror(errno));
    return true;
}

void keeper_table_remove(struct keeper *k)
{
    remove_table(k);
}

static bool has_failed(const struct keeper *k)
{
    char mark[PATH_MAX + 16];
    failed_mark(k, mark);
    return access(mark, F_OK) == 0;
}

uint64_t keeper_table_open(
    void *context, const char *disk, uint64_t log_end, const uint64_t **living_r, size_t *living_count_r)
{
    struct keeper *k = context;
    struct error error;
    if (k->table_distrusted || has_failed(k)) {
        log_warn(k->table_dir,
            "the table of messages at rest has failed: all of the log is read, to make it anew");
        if (!remove_table(k))
            return 0;
    }
    if (open_table(k, disk, log_end, &error) != 0) {
        log_warn(k->table_dir,
            "the table of messages at rest can't be used (%s): all of the log is read, to make "
            "it anew",
            error.text);
        if (!remove_table(k))
            return 0;
        if (open_table(k, disk, log_end, &error) != 0) {
            log_error(
                k->table_dir, "there is no table of messages at rest, all stay in memory: %s", error.text);
            return 0;
        }
    }
    *living_r = k->living;
    *living_count_r = k->living_count;
    return k->replay_from;
}

/* It failed while the log was read: custody does not know all. False: all is well. */
bool keeper_table_failed_early(const struct keeper *k)
{
    return k->rocks != NULL && !node_table_works(k->node);
}

void keeper_table_close(struct keeper *k)
{
    if (k->rocks != NULL)
        park_rocks_close(&k->rocks);
    free(k->living);
    k->living = NULL;
}

void keeper_table_opened(struct keeper *k)
{
    free(k->living);
    k->living = NULL;
    if (k->rocks == NULL)
        spool_keep_from(k->spool, UINT64_MAX);
    else if (k->replay_from > 0)
        log_info(k->table_dir, "%zu messages at rest; the log was read from frame %llu on", k->living_count,
            (unsigned long long)k->replay_from);
}

/* ---- checkpoints ---- */

struct checkpoint {
    uv_work_t work;
    struct keeper *keeper;
    char log_dir[PATH_MAX];
    bool ok;
    struct error error;
};

static int sync_file(const char *dir, uint64_t number, struct error *error)
{
    char path[EVENT_PATH_SIZE];
    if (!event_file_path(dir, number, path))
        return error_set(error, "the path of an event log in %s is too long", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) /* deleted meanwhile, for its age or size */
        return 0;
    int status = fd < 0 ? -1 : fdatasync(fd);
    if (status != 0)
        error_set(error, "%s can't be synced: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

/* Events of the last seconds stand in the newest file, or in the one before. */
static int sync_events(const char *dir, struct error *error)
{
    struct event_files files;
    int status = event_files_list(dir, &files, error);
    if (status != 0)
        return -1;
    for (size_t i = files.count > 2 ? files.count - 2 : 0; i < files.count && status == 0; i++)
        status = sync_file(dir, files.items[i].number, error);
    event_files_free(&files);
    return status;
}

static void checkpoint_work(uv_work_t *work)
{
    struct checkpoint *checkpoint = work->data;
    struct park_table table = park_rocks_table(checkpoint->keeper->rocks);
    checkpoint->ok = sync_events(checkpoint->log_dir, &checkpoint->error) == 0 &&
                     table.flush(table.context, &checkpoint->error) == 0;
}

static void checkpoint_done(uv_work_t *work, int status)
{
    struct checkpoint *checkpoint = work->data;
    struct keeper *k = checkpoint->keeper;
    (void)status;
    k->working--;
    node_checkpointed(k->node, checkpoint->ok, checkpoint->error.text, clock_now());
    links_flush(k);
    free(checkpoint);
}

static void port_checkpoint(void *context)
{
    struct keeper *k = context;
    if (k->spool == NULL) /* closed: the next start reads a little more of the log */
        return;
    struct checkpoint *checkpoint = xcalloc(1, sizeof *checkpoint);
    event_log_flush(k->events, clock_now());
    checkpoint->work.data = checkpoint;
    checkpoint->keeper = k;
    snprintf(checkpoint->log_dir, sizeof checkpoint->log_dir, "%s", k->log_dir);
    k->working++;
    must(uv_queue_work(&k->loop, &checkpoint->work, checkpoint_work, checkpoint_done) == 0);
}

static void port_keep_from(void *context, uint64_t seq)
{
    struct keeper *k = context;
    if (k->spool != NULL)
        spool_keep_from(k->spool, seq);
}

static void port_table_failed(void *context, const char *why)
{
    const struct keeper *k = context;
    char mark[PATH_MAX + 16];
    log_error(k->table_dir,
        "the table of messages at rest has failed: %s; nothing is lost, but new ones stay in memory, some of "
        "those "
        "at rest wait, and the log is not shortened; start this node again, which makes the table anew",
        why);
    failed_mark(k, mark);
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        log_error(
            mark, "can't be made: %s; remove %s yourself before the start", strerror(errno), k->table_dir);
    else
        close(fd);
}

void keeper_table_ports(struct node_ports *ports)
{
    ports->checkpoint = port_checkpoint;
    ports->keep_from = port_keep_from;
    ports->table_failed = port_table_failed;
}
