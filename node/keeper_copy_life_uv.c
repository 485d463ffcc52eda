/* keeper_copy_life_uv - how a copy is opened and how it ends, beside the loop; see keeper_copies_inside_uv.h */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/panic.h"
#include "node/copy_note.h"
#include "node/keeper_copies_inside_uv.h"

/* ---- opening: in the pool ---- */

static void on_committed(void *context, uint64_t seq)
{
    struct keeper_copy *copy = context;
    atomic_store_explicit(&copy->committed, seq, memory_order_release);
    uv_async_send(&copy->all->wake);
}

static void on_failed(void *context, const char *why)
{
    const struct keeper_copy *copy = context;
    log_error(copy->dir, "the disk failed, this copy takes nothing more: %s", why);
}

static void on_damaged(void *context, const char *file, uint64_t offset, const char *why)
{
    struct keeper_copy *copy = context;
    atomic_fetch_add(&copy->damages, 1);
    log_error(copy->dir, "damage in %s at offset %" PRIu64 ": %s; the rest of the copy is read on", file,
        offset, why);
}

static void set_aside(struct keeper_copy *copy)
{
    char path[PATH_MAX];
    struct error error;
    copy->set_aside =
        copy_folder_set_aside(copy->all->dir, copy_folder_name(copy), path, sizeof path, &error) == 0;
    if (copy->set_aside)
        log_error(copy->dir,
            "it was renamed to %s; another copy is begun when its primary asks. Delete it when the mail in "
            "it is sure to be elsewhere",
            path);
    else
        copy->error = error;
}

static void open_work(uv_work_t *work)
{
    struct keeper_copy *copy = work->data;
    const struct keeper_copies *all = copy->all;
    struct spool_settings settings = {
        .dir = copy->dir, .segment_size = all->segment_size, .reserve = all->reserve + all->reserve / 4};
    struct spool_listener listener = {.context = copy, .committed = on_committed, .failed = on_failed};
    struct spool_recovery recovery = {.context = copy, .damaged = on_damaged};
    copy->opened = NULL;
    copy->failed = copy_note_load(copy->dir, copy->spool_name, &copy->note, &copy->error) != 0;
    if (copy->failed) {
        log_error(copy->dir, "this copy can't be used: %s", copy->error.text);
        set_aside(copy);
        return;
    }
    copy->opened = spool_open(&settings, &listener, &recovery, &copy->error);
    copy->failed = copy->opened == NULL;
}

static void open_done(uv_work_t *work, int status)
{
    struct keeper_copy *copy = work->data;
    struct keeper_copies *all = copy->all;
    (void)status;
    all->working--;
    all->opening--;
    if (all->closing)
        return; /* it closes what was opened */
    if (copy->set_aside) {
        copies_forget(copy);
    } else if (copy->failed) {
        log_error(copy->dir, "this copy can't be opened, it is tried again: %s", copy->error.text);
        copy->phase = PHASE_ILL;
        copy->again = clock_now() + KEEPER_COPIES_AGAIN;
    } else {
        copy_begin(copy, clock_now());
    }
    copies_open_next(all);
}

void copy_open(struct keeper_copy *copy)
{
    struct keeper_copies *all = copy->all;
    copy->phase = PHASE_OPENS;
    copy->work.data = copy;
    all->working++;
    all->opening++;
    must(uv_queue_work(all->loop, &copy->work, open_work, open_done) == 0);
}

/* ---- the end ---- */

static void close_work(uv_work_t *work)
{
    struct keeper_copy *copy = work->data;
    if (copy->end != END_SERVE)
        spool_close(&copy->closing);
    if (copy->end == END_SET_ASIDE)
        set_aside(copy);
    if (copy->end == END_DELETE)
        copy->failed = copy_folder_delete(copy->all->dir, copy_folder_name(copy), &copy->error) != 0;
    if (copy->end == END_MAKE_ROOM)
        copy->failed = copy_folder_make_room(copy->all->dir, copy->spool_name, &copy->error) != 0;
}

/* It is kept, and watches the register from its new place: its disk, and what it may do, are the same. */
static void go_on_as_old(struct keeper_copy *copy)
{
    struct keeper_copies *all = copy->all;
    char spool[MEMBER_ID_SIZE];
    bool moved = !copy->failed;
    memcpy(spool, copy->spool_name, sizeof spool);
    copies_forget(copy);
    copies_add(all, spool, moved);
}

static void close_done(uv_work_t *work, int status)
{
    struct keeper_copy *copy = work->data;
    const struct keeper_copies *all = copy->all;
    (void)status;
    copy->all->working--;
    if (copy->failed)
        log_error(copy->dir,
            copy->end == END_MAKE_ROOM ? "it can't make room for another copy: %s"
                                       : "not all of it could be deleted: %s",
            copy->error.text);
    if (all->closing)
        return;
    if (copy->end == END_MAKE_ROOM) {
        go_on_as_old(copy);
        return;
    }
    if (copy->end != END_SERVE) {
        copies_forget(copy);
        return;
    }
    copy->phase = PHASE_TAKEN;
    if (all->ports.serve == NULL) {
        log_error(copy->dir, "this copy is the primary, and nobody here sends its mail");
        spool_close(&copy->closing);
        return;
    }
    copy->taken.log = copy->closing;
    copy->closing = NULL;
    all->ports.serve(all->ports.context, &copy->taken);
}

static void start_closing(struct keeper_copy *copy)
{
    copy->work.data = copy;
    copy->all->working++;
    must(uv_queue_work(copy->all->loop, &copy->work, close_work, close_done) == 0);
}

void copy_note_over(struct keeper_copy *copy)
{
    if (copy->phase == PHASE_ENDS)
        start_closing(copy);
}

void copy_close(struct keeper_copy *copy, enum copy_end end)
{
    copy->phase = PHASE_ENDS;
    copy->end = end;
    copy->closing = copy->spool;
    copy->spool = NULL;
    if (copy->joined)
        keeper_store_leave(copy->all->store, &copy->user);
    copy->joined = false;
    if (end != END_SERVE)
        mirror_free(&copy->mirror);
    if (!copy->noting)
        start_closing(copy);
}
