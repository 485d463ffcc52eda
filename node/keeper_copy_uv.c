/* keeper_copy_uv - one copy: its spool, its note, and the mirror that decides; see keeper_copies_inside_uv.h */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/panic.h"
#include "node/copy_note.h"
#include "node/keeper_copies_inside_uv.h"

/* ---- what the mirror asks for; it must not be called back ---- */

static void port_append(void *context, const struct copy_frame *frame)
{
    struct keeper_copy *copy = context;
    struct buffer *record = &copy->all->record;
    buffer_add(record, frame->record, frame->len);
    spool_append(copy->spool, frame->seq, record, frame->body, frame->base);
}

static void port_release(void *context, uint64_t seq)
{
    const struct keeper_copy *copy = context;
    spool_release(copy->spool, seq);
}

static void port_living(void *context, uint64_t after, uint64_t upto, const uint64_t *seqs, size_t count)
{
    const struct keeper_copy *copy = context;
    spool_release_others(copy->spool, after, upto, seqs, count);
}

static void port_send(void *context, struct bus_msg *msg)
{
    const struct keeper_copies *all = ((struct keeper_copy *)context)->all;
    all->ports.send(all->ports.context, msg);
}

static void port_serve(
    void *context, const struct spool_register *reg, const struct mirror_note *note, uint64_t told)
{
    struct keeper_copy *copy = context;
    copy->serves = true;
    copy->taken_note = *note;
    copy->taken = (struct copy_taken){
        .spool = copy->spool_name, .dir = copy->dir, .reg = *reg, .note = &copy->taken_note, .told = told};
}

static void port_useless(void *context)
{
    struct keeper_copy *copy = context;
    copy->is_useless = true;
}

static void port_anew(void *context)
{
    struct keeper_copy *copy = context;
    copy->is_outdated = true;
}

static void port_notice(void *context, const char *what)
{
    const struct keeper_copy *copy = context;
    log_info(copy->dir, "%s", what);
}

/* ---- the note ---- */

static void note_work(uv_work_t *work)
{
    struct keeper_copy *copy = work->data;
    copy->note_failed = copy_note_save(copy->dir, &copy->note, &copy->note_error) != 0;
}

static void note_done(uv_work_t *work, int status)
{
    struct keeper_copy *copy = work->data;
    usec_t now = clock_now();
    (void)status;
    copy->all->working--;
    copy->noting = false;
    if (copy->phase != PHASE_OPEN) {
        copy_note_over(copy);
        return;
    }
    if (copy->note_failed) {
        if (copy->note_again == 0)
            log_error(
                copy->dir, "the copy takes nothing until its note can be written: %s", copy->note_error.text);
        copy->note_again = now + COPIES_NOTE_AGAIN;
        return;
    }
    copy->note_again = 0;
    mirror_noted(copy->mirror, now);
    copy_settle(copy, now);
}

static void write_note(struct keeper_copy *copy)
{
    copy->noting = true;
    copy->note_work.data = copy;
    copy->all->working++;
    must(uv_queue_work(copy->all->loop, &copy->note_work, note_work, note_done) == 0);
}

static void port_note(void *context, const struct mirror_note *note)
{
    struct keeper_copy *copy = context;
    copy->note = *note;
    write_note(copy);
}

/* ---- the store ---- */

static void on_result(void *context, uint64_t ref, const struct kv_result *result, usec_t now)
{
    struct keeper_copy *copy = context;
    mirror_result(copy->mirror, ref, result, now);
    copy_tell_verdict(copy, now);
    copy_settle(copy, now);
}

static void see_register(struct keeper_copy *copy, const struct kv_news *news)
{
    struct spool_register reg;
    if (news->pair_count == 0)
        return;
    const struct kv_pair *pair = &news->pairs[0];
    copy->is_unnamed = !pair->deleted && spool_register_read(pair->value, pair->len, &reg, NULL) == 0 &&
                       strcmp(reg.disk, copy->disk) != 0 && strcmp(reg.mirror, copy->disk) != 0;
}

static void on_news(void *context, const struct kv_news *news, usec_t now)
{
    struct keeper_copy *copy = context;
    see_register(copy, news);
    mirror_register_news(copy->mirror, news, now);
    copy_tell_verdict(copy, now);
    copy_settle(copy, now);
}

/* ---- life ---- */

static struct copy_folder_id folder_of(const struct keeper_copy *copy)
{
    char file[PATH_MAX];
    if ((size_t)snprintf(file, sizeof file, "%s/disk", copy->dir) >= sizeof file)
        return (struct copy_folder_id){0};
    return copy_folder_id(file);
}

void copy_begin(struct keeper_copy *copy, usec_t now)
{
    struct keeper_copies *all = copy->all;
    copy->spool = copy->opened;
    copy->opened = NULL;
    copy->phase = PHASE_OPEN;
    copy->trouble = COPY_FOLLOWS;
    copy->folder = folder_of(copy);
    snprintf(copy->disk, sizeof copy->disk, "%s", spool_disk_id(copy->spool));
    copy->user = (struct store_user){.context = copy, .key = copy->key, .result = on_result, .news = on_news};
    struct mirror_ports ports = {.context = copy,
        .append = port_append,
        .release = port_release,
        .living = port_living,
        .note = port_note,
        .send = port_send,
        .store = keeper_store_join(all->store, &copy->user),
        .serve = port_serve,
        .useless = port_useless,
        .anew = port_anew,
        .notice = port_notice};
    copy->joined = true;
    struct mirror_settings settings = {.member = all->member,
        .spool = copy->spool_name,
        .key = copy->key,
        .disk = copy->disk,
        .process = all->process};
    copy->mirror = mirror_new(&settings, &copy->note, spool_last_seq(copy->spool), &ports, now);
    log_info(copy->dir, "a copy of spool %s (disk %s), up to frame %" PRIx64, copy->spool_name, copy->disk,
        spool_last_seq(copy->spool));
}

/* Of two that can't be brought up to date the one that the register names is kept: it may be the last resort. The other
 * goes: a learner that was never complete, or one from before. It is asked for again until there is room. */
static void make_room(struct keeper_copy *copy)
{
    struct keeper_copy *other = copies_old(copy->all, copy->spool_name);
    copy->is_outdated = false;
    if (other == NULL) {
        log_warn(copy->dir,
            "this copy of spool %s can't be brought up to date: it is %s" COPY_FOLDER_OLD
            " until another one, which begins here, is complete",
            copy->spool_name, copy->dir);
        copy_close(copy, END_MAKE_ROOM);
    } else if (!mirror_is_old(copy->mirror)) {
        copy_close(copy, END_DELETE);
    } else if (other->phase == PHASE_OPEN && !mirror_is_old(other->mirror)) {
        copy_close(other, END_DELETE);
    }
}

void copy_settle(struct keeper_copy *copy, usec_t now)
{
    (void)now;
    if (copy->phase != PHASE_OPEN)
        return;
    if (copy->is_outdated && !copy->is_useless && !copy->serves)
        make_room(copy);
    else if (copy->is_useless)
        copy_close(copy, END_DELETE);
    else if (copy->serves)
        copy_close(copy, END_SERVE);
}

void copy_tell_verdict(struct keeper_copy *copy, usec_t now)
{
    const struct keeper_copies *all = copy->all;
    if (!all->takes_over || all->view == NULL || copy->phase != PHASE_OPEN)
        return;
    const char *primary = mirror_primary(copy->mirror);
    if (primary[0] == '\0' || view_node(all->view, primary) == NULL)
        return;
    mirror_verdict(copy->mirror, primary,
        spool_verdict_dead(
            &copy->verdict, all->view, copy->spool_name, primary, mirror_primary_process(copy->mirror), now),
        now);
}

void copy_take_commits(struct keeper_copy *copy, usec_t now)
{
    if (copy->phase != PHASE_OPEN)
        return;
    mirror_synced(copy->mirror, atomic_load_explicit(&copy->committed, memory_order_acquire));
    copy_settle(copy, now);
}

/* ---- trouble ---- */

static enum copy_state state_of(const struct keeper_copy *copy, const char **why_r)
{
    *why_r = "";
    if (spool_room(copy->spool) == SPOOL_FAILED) {
        *why_r = "the disk of the copy failed: nothing more is taken until its node was started again";
        return COPY_FAILED;
    }
    if (copy->note_again != 0) {
        *why_r = copy->note_error.text;
        return COPY_FAILED;
    }
    if (atomic_load(&copy->damages) > 0) {
        *why_r = "damage was found in the copy";
        return COPY_FAILED;
    }
    if (spool_room(copy->spool) == SPOOL_LOW) {
        *why_r = "the disk of the copy is nearly full";
        return COPY_FULL;
    }
    return COPY_FOLLOWS;
}

/* True: somebody took the directory away; what is written there reaches no disk that anybody will open. */
static bool is_gone(struct keeper_copy *copy)
{
    struct copy_folder_id now = folder_of(copy);
    if (now.there && now.device == copy->folder.device && now.inode == copy->folder.inode)
        return false;
    log_error(copy->dir, "the directory was taken away while the copy was in use: it is given up");
    mirror_trouble(copy->mirror, COPY_FAILED, "the directory of the copy was taken away");
    copy_close(copy, END_GIVE_UP);
    return true;
}

void copy_look(struct keeper_copy *copy, usec_t now)
{
    const char *why;
    if (copy->phase == PHASE_ILL && now >= copy->again)
        copy->phase = PHASE_WAITS;
    if (copy->phase != PHASE_OPEN || is_gone(copy))
        return;
    if (copy->note_again != 0 && !copy->noting && now >= copy->note_again)
        write_note(copy);
    enum copy_state state = state_of(copy, &why);
    if (state != copy->trouble)
        mirror_trouble(copy->mirror, state, why);
    copy->trouble = state;
    if (atomic_load(&copy->damages) > 0 && copy->is_unnamed && !copy->noting) {
        copy_close(copy, END_SET_ASIDE);
        return;
    }
    mirror_tick(copy->mirror, now);
    copy_tell_verdict(copy, now);
    copy_settle(copy, now);
}
