/* keeper_copies_uv - see keeper_copies_uv.h */
#include "node/keeper_copies_uv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/keeper_copies_inside_uv.h"

#define RESERVE ((uint64_t)64 << 20) /* as spool.h has it */

/* ---- which copies there are ---- */

static struct keeper_copy *find(const struct keeper_copies *all, const char *spool, bool made_room)
{
    list_each (link, &all->copies) {
        struct keeper_copy *copy = list_item(link, struct keeper_copy, link);
        if (copy->made_room == made_room && strcmp(copy->spool_name, spool) == 0)
            return copy;
    }
    return NULL;
}

struct keeper_copy *copies_old(const struct keeper_copies *all, const char *spool)
{
    return find(all, spool, true);
}

const char *copy_folder_name(const struct keeper_copy *copy)
{
    return strrchr(copy->dir, '/') + 1;
}

static void add(void *context, const char *spool, bool made_room)
{
    struct keeper_copies *all = context;
    struct keeper_copy *copy = xcalloc(1, sizeof *copy);
    copy->all = all;
    copy->phase = PHASE_WAITS;
    snprintf(copy->spool_name, sizeof copy->spool_name, "%s", spool);
    copy->made_room = made_room;
    snprintf(copy->dir, sizeof copy->dir, "%.4000s/%s%s", all->dir, spool, made_room ? COPY_FOLDER_OLD : "");
    member_path(copy->key, all->cluster, "spool", spool);
    list_push_back(&all->copies, &copy->link);
    all->count++;
}

void copies_forget(struct keeper_copy *copy)
{
    struct keeper_copies *all = copy->all;
    if (copy->joined)
        keeper_store_leave(all->store, &copy->user);
    list_remove(&copy->link);
    all->count--;
    mirror_free(&copy->mirror);
    free(copy);
    if (all->count == 0 && !all->closing)
        uv_timer_stop(&all->timer);
}

void copies_open_next(struct keeper_copies *all)
{
    list_each (link, &all->copies) {
        struct keeper_copy *copy = list_item(link, struct keeper_copy, link);
        if (all->opening == COPIES_OPENING)
            return;
        if (copy->phase == PHASE_WAITS)
            copy_open(copy);
    }
}

/* ---- the loop ---- */

static void on_wake(uv_async_t *handle)
{
    const struct keeper_copies *all = handle->data;
    usec_t now = clock_now();
    list_each_safe (link, &all->copies)
        copy_take_commits(list_item(link, struct keeper_copy, link), now);
}

static void on_timer(uv_timer_t *handle)
{
    struct keeper_copies *all = handle->data;
    usec_t now = clock_now();
    list_each_safe (link, &all->copies)
        copy_look(list_item(link, struct keeper_copy, link), now);
    copies_open_next(all);
}

static void start_timer(struct keeper_copies *all)
{
    if (!uv_is_active((uv_handle_t *)&all->timer))
        uv_timer_start(&all->timer, on_timer, COPIES_LOOK_MS, COPIES_LOOK_MS);
}

/* ---- a new one ---- */

void copies_add(struct keeper_copies *all, const char *spool, bool made_room)
{
    add(all, spool, made_room);
    start_timer(all);
    copies_open_next(all);
}

static bool has_room(struct keeper_copies *all, usec_t now)
{
    if (all->room_asked != 0 && now < all->room_asked + COPIES_ROOM_AGAIN)
        return all->room;
    all->room_asked = now;
    all->room = copy_folder_free(all->dir) > all->reserve + all->reserve / 2;
    return all->room;
}

static bool is_primary(const struct keeper_copies *all, const struct bus_msg *msg)
{
    struct copy_header header;
    size_t at;
    const struct view_node *node = all->view == NULL ? NULL : view_spool(all->view, msg->spool, NULL);
    return node != NULL && strcmp(node->id, msg->from) == 0 && strcmp(node->id, all->member) != 0 &&
           msg->body != NULL && copy_header_read(msg->body, &header, &at, NULL) == 0 &&
           header.verb == COPY_ASK && header.process == node->process;
}

/* A primary asks for the first time: where it wants its copy, and may have it, one is begun. It asks again. */
static void begin(struct keeper_copies *all, const struct bus_msg *msg, usec_t now)
{
    if (!member_name_good(msg->spool) || !is_primary(all, msg))
        return;
    bool full = all->count >= KEEPER_COPIES_MOST;
    if (full || !has_room(all, now)) {
        if (all->room_said == 0 || now > all->room_said + USEC_MIN)
            log_warn(all->dir, "no copy of spool %s is begun for %s: %s", msg->spool, msg->from,
                full ? "there are too many copies here" : "there is no room on the disk");
        all->room_said = now;
        return;
    }
    copies_add(all, msg->spool, false);
}

/* ---- all ---- */

bool keeper_copies_has(const struct keeper_copies *all, const char *spool)
{
    return find(all, spool, false) != NULL || find(all, spool, true) != NULL;
}

bool keeper_copies_message(struct keeper_copies *all, const struct bus_msg *msg, usec_t now)
{
    if (msg->type != BUS_COPY)
        return false;
    struct keeper_copy *copy = find(all, msg->spool, false);
    if (copy == NULL) {
        begin(all, msg, now);
    } else if (copy->mirror != NULL) {
        mirror_message(copy->mirror, msg, now);
        copy_settle(copy, now);
    }
    return true;
}

void keeper_copies_view(struct keeper_copies *all, struct view *view, usec_t now)
{
    view_drop(&all->view);
    all->view = view_hold(view);
    list_each_safe (link, &all->copies) {
        struct keeper_copy *copy = list_item(link, struct keeper_copy, link);
        copy_tell_verdict(copy, now);
        copy_settle(copy, now);
    }
}

void keeper_copies_retired(struct keeper_copies *all, const char *spool)
{
    list_each_safe (link, &all->copies) {
        struct keeper_copy *copy = list_item(link, struct keeper_copy, link);
        if (copy->phase == PHASE_TAKEN && strcmp(copy->spool_name, spool) == 0)
            copy_close(copy, END_DELETE);
    }
}

struct keeper_copies_figures keeper_copies_figures(const struct keeper_copies *all)
{
    struct keeper_copies_figures figures = {.count = all->count};
    list_each (link, &all->copies) {
        const struct keeper_copy *copy = list_item(link, struct keeper_copy, link);
        figures.ill +=
            copy->phase == PHASE_ILL || (copy->phase == PHASE_OPEN && copy->trouble != COPY_FOLLOWS);
        if (copy->spool == NULL)
            continue;
        struct spool_figures spool = spool_figures(copy->spool);
        figures.bytes += spool.bytes;
        figures.living += spool.live;
        figures.pending += spool.pending;
    }
    return figures;
}

struct keeper_copies *keeper_copies_open(uv_loop_t *loop, struct keeper_store *store,
    const struct keeper_copies_settings *settings, const struct keeper_copies_ports *ports)
{
    struct keeper_copies *all = xcalloc(1, sizeof *all);
    struct error error;
    all->loop = loop;
    all->store = store;
    all->ports = *ports;
    all->process = settings->process;
    all->segment_size = settings->segment_size;
    all->reserve = settings->reserve == 0 ? RESERVE : settings->reserve;
    all->takes_over = settings->takes_over;
    snprintf(all->dir, sizeof all->dir, "%s", settings->dir);
    snprintf(all->cluster, sizeof all->cluster, "%s", settings->cluster);
    snprintf(all->member, sizeof all->member, "%s", settings->member);
    list_init(&all->copies);
    must(uv_async_init(loop, &all->wake, on_wake) == 0 && uv_timer_init(loop, &all->timer) == 0);
    all->wake.data = all->timer.data = all;
    all->handles = 2;
    if (copy_folder_list(all->dir, add, all, &error) != 0)
        log_error(all->dir, "%s", error.text);
    if (all->count > 0)
        start_timer(all);
    copies_open_next(all);
    return all;
}

static void handle_closed(uv_handle_t *handle)
{
    struct keeper_copies *all = handle->data;
    if (--all->handles > 0)
        return;
    buffer_free(&all->record);
    free(all);
}

void keeper_copies_close(struct keeper_copies **copies)
{
    struct keeper_copies *all = *copies;
    *copies = NULL;
    if (all == NULL)
        return;
    all->closing = true;
    while (all->working > 0)
        uv_run(all->loop, UV_RUN_ONCE);
    list_each_safe (link, &all->copies) {
        struct keeper_copy *copy = list_item(link, struct keeper_copy, link);
        spool_close(&copy->opened);
        spool_close(&copy->closing);
        spool_close(&copy->spool);
        copies_forget(copy);
    }
    view_drop(&all->view);
    uv_close((uv_handle_t *)&all->wake, handle_closed);
    uv_close((uv_handle_t *)&all->timer, handle_closed);
}
