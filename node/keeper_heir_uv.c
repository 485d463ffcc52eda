/* keeper_heir_uv - see keeper_heir_uv.h: all heirs of a node, on its loop */
#include "node/keeper_heir_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/panic.h"
#include "cluster/member_record.h"
#include "node/keeper_heir_inside_uv.h"

struct body_read {
    uv_work_t work;
    struct entry *entry;
    uint64_t seq;
    struct blob *body;
    struct error error;
};

static struct entry *next_of(const struct keeper_heirs *all, const struct list *link)
{
    return link->next == &all->entries ? NULL : list_item(link->next, struct entry, link);
}

/* ---- bodies ---- */

static void read_work(uv_work_t *work)
{
    struct body_read *read = work->data;
    if (spool_read(read->entry->spool, read->seq, &read->body, &read->error) != 0)
        read->body = NULL;
}

/* A damaged text may be that of many: said at most every ten seconds. */
static void say_unread(struct entry *entry, const char *why)
{
    usec_t now = clock_now();
    entry->unread++;
    if (entry->unread_said != 0 && now - entry->unread_said < 10 * USEC_SEC)
        return;
    log_error(entry->dir,
        "a message's body can't be read, so it can't be moved on; it is tried again (%llu times since this "
        "was said last): %s",
        (unsigned long long)entry->unread, why);
    entry->unread_said = now;
    entry->unread = 0;
}

static void read_done(uv_work_t *work, int status)
{
    struct body_read *read = work->data;
    struct entry *entry = read->entry;
    struct keeper_heirs *all = entry->all;
    (void)status;
    all->working--;
    entry->works--;
    if (read->body == NULL)
        say_unread(entry, read->error.text);
    if (entry->phase == ENTRY_OPEN)
        heir_body(entry->heir, read->seq, read->body, clock_now());
    blob_drop(&read->body);
    free(read);
    heirs_arm(all);
}

void entry_read_body(struct entry *entry, uint64_t seq)
{
    struct body_read *read = xcalloc(1, sizeof *read);
    read->work.data = read;
    read->entry = entry;
    read->seq = seq;
    entry->works++;
    entry->all->working++;
    must(uv_queue_work(entry->all->loop, &read->work, read_work, read_done) == 0);
}

/* ---- one of them ---- */

static void on_result(void *context, uint64_t ref, const struct kv_result *result, usec_t now)
{
    struct entry *entry = context;
    if (entry->phase == ENTRY_OPEN)
        heir_result(entry->heir, ref, result, now);
    heirs_arm(entry->all);
}

static void on_news(void *context, const struct kv_news *news, usec_t now)
{
    struct entry *entry = context;
    if (entry->phase == ENTRY_OPEN)
        heir_register_news(entry->heir, news, now);
    heirs_arm(entry->all);
}

static void entry_look(struct entry *entry, usec_t now);

static struct entry *find(const struct keeper_heirs *all, const char *spool)
{
    for (struct entry *entry = next_of(all, &all->entries); entry != NULL; entry = next_of(all, &entry->link))
        if (strcmp(entry->spool_name, spool) == 0)
            return entry;
    return NULL;
}

/* An operator's word, told by whose disk it is about, when it has begun to serve. */
static void tell_revived(const struct entry *entry)
{
    const struct spool_register *reg = &entry->reg;
    struct buffer out = {0};
    char time[32];
    json_begin(&out, '{');
    json_text(&out, "time", clock_rfc3339(entry->swapped, time));
    json_text(&out, "event", "audit");
    json_text(&out, "action", "revive");
    json_text(&out, "spool", entry->spool_name);
    json_number(&out, "epoch", (int64_t)reg->revived);
    json_text(&out, "former", reg->old_node);
    json_text(&out, "by", reg->revived_by);
    json_text(&out, "reason", "served from a copy that was not up to date: all of it is in doubt");
    json_text(&out, "node", entry->all->member);
    json_end(&out, '}');
    entry->all->ports.event(entry->all->ports.context, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
}

void keeper_heirs_take(struct keeper_heirs *heirs, const struct copy_taken *taken)
{
    char key[MEMBER_PATH_SIZE];
    must(find(heirs, taken->spool) == NULL);
    struct entry *entry = xcalloc(1, sizeof *entry);
    entry->all = heirs;
    snprintf(entry->spool_name, sizeof entry->spool_name, "%s", taken->spool);
    snprintf(entry->dir, sizeof entry->dir, "%s", taken->dir);
    member_path(key, heirs->cluster, "spool", taken->spool);
    entry->key = xstrdup(key);
    entry->reg = taken->reg;
    entry->note = *taken->note;
    entry->told = taken->told;
    entry->swapped = clock_now();
    list_push_back(&heirs->entries, &entry->link);
    entry->user =
        (struct store_user){.context = entry, .key = entry->key, .result = on_result, .news = on_news};
    entry->store = keeper_store_join(heirs->store, &entry->user);
    if (entry->reg.revived != 0 && entry->reg.epoch == entry->reg.revived + 1)
        tell_revived(entry);
    if (taken->log == NULL) {
        entry_open(entry);
        return;
    }
    entry_adopt(entry, taken->log);
    entry_look(entry, entry->swapped);
    heirs_arm(heirs);
}

static void tell_silent(const struct entry *entry, usec_t now)
{
    struct map_entry *at = NULL;
    for (const char *member; (member = map_next(&entry->all->silent, &at)) != NULL;)
        heir_set_silent(entry->heir, member, true, now);
}

void entry_begin(struct entry *entry)
{
    struct keeper_heirs *all = entry->all;
    usec_t now = clock_now();
    if (all->closing)
        return;
    uint64_t end = spool_last_seq(entry->spool);
    entry->phase = ENTRY_OPEN;
    entry->back = (struct spool_back){0};
    entry->all_read = false;
    entry->committed_told = end;
    entry_make_heir(entry);
    heir_log_ends(entry->heir, end, spool_figures(entry->spool).live, now);
    heir_set_paired(entry->heir, all->paired);
    if (all->view != NULL)
        heir_set_view(entry->heir, all->view, now);
    tell_silent(entry, now);
    entry_read_on(entry);
    heirs_arm(all);
}

/* Of what is over: it only rises. */
static void keep_figures(struct entry *entry)
{
    struct heir_figures *past = &entry->all->past, last = heir_figures(entry->heir);
    past->moved += last.moved;
    past->doubts += last.doubts;
    past->refused += last.refused;
    past->unanswered += last.unanswered;
}

void entry_is_ill(struct entry *entry)
{
    struct keeper_heirs *all = entry->all;
    if (entry->heir != NULL)
        keep_figures(entry);
    heir_free(&entry->heir);
    entry_drop_portions(entry);
    entry->phase = ENTRY_ILL;
    entry->again = clock_now() + KEEPER_HEIR_AGAIN;
    log_error(entry->dir,
        "spool %s was taken over, and its log can't be read; nothing of it moves; it is tried again: %s",
        entry->spool_name, entry->error.text);
    heirs_arm(all);
}

/* What is left of it here; it has left the list. Blocks on the disk, where it was open. */
static void entry_free(struct entry *entry)
{
    keeper_store_leave(entry->all->store, &entry->user);
    must(entry->works == 0);
    spool_close(&entry->spool);
    heir_free(&entry->heir);
    entry_drop_portions(entry);
    free(entry->key);
    free(entry);
}

/* Nothing is in it, so its log is short by now. */
static void entry_retire(struct entry *entry)
{
    struct keeper_heirs *all = entry->all;
    char spool[MEMBER_ID_SIZE];
    memcpy(spool, entry->spool_name, sizeof spool);
    keep_figures(entry);
    list_remove(&entry->link);
    entry_free(entry);
    all->ports.retired(all->ports.context, spool);
}

/* Bodies that are being read are read to the end. */
static void entry_look(struct entry *entry, usec_t now)
{
    if (entry->phase == ENTRY_ILL && now >= entry->again && entry->works == 0)
        entry_open(entry);
    if (entry->phase == ENTRY_SYNCS && spool_committed(entry->spool) >= spool_last_seq(entry->spool))
        entry_begin(entry);
    if (entry->phase != ENTRY_SYNCS && entry->phase != ENTRY_OPEN)
        return;
    if (atomic_load(&entry->failed)) {
        entry->phase = ENTRY_ENDS;
        return;
    }
    uint64_t committed = atomic_load_explicit(&entry->committed, memory_order_acquire);
    if (entry->phase == ENTRY_OPEN && committed > entry->committed_told) {
        entry->committed_told = committed;
        heir_committed(entry->heir, committed, now);
    }
    if (entry->phase == ENTRY_OPEN && entry_replays(entry))
        entry_replay(entry, now);
    if (entry->phase == ENTRY_OPEN && heir_deadline(entry->heir) <= now)
        heir_tick(entry->heir, now);
}

/* ---- all of them ---- */

static void look(struct keeper_heirs *all)
{
    usec_t now = clock_now();
    for (struct entry *entry = next_of(all, &all->entries), *next; entry != NULL; entry = next) {
        next = next_of(all, &entry->link);
        entry_look(entry, now);
        if (entry->retired && entry->works == 0)
            entry_retire(entry);
    }
    heirs_arm(all);
}

static void on_wake(uv_async_t *handle)
{
    look(handle->data);
}

static void on_timer(uv_timer_t *handle)
{
    look(handle->data);
}

void heirs_arm(struct keeper_heirs *all)
{
    usec_t deadline = USEC_NEVER, now = clock_now();
    if (all->closing)
        return;
    for (struct entry *entry = next_of(all, &all->entries); entry != NULL;
         entry = next_of(all, &entry->link)) {
        usec_t then = entry->phase == ENTRY_ILL    ? entry->again
                      : entry->phase == ENTRY_OPEN ? heir_deadline(entry->heir)
                                                   : USEC_NEVER;
        if ((entry->retired && entry->works == 0) || entry_replays(entry))
            then = now;
        deadline = then < deadline ? then : deadline;
    }
    if (deadline == USEC_NEVER)
        uv_timer_stop(&all->timer);
    else
        uv_timer_start(&all->timer, on_timer,
            deadline <= now ? 0 : (uint64_t)((deadline - now + USEC_MS - 1) / USEC_MS), 0);
}

struct keeper_heirs *keeper_heirs_open(uv_loop_t *loop, struct keeper_store *store,
    const struct keeper_heirs_settings *settings, const struct keeper_heirs_ports *ports)
{
    struct keeper_heirs *all = xcalloc(1, sizeof *all);
    all->loop = loop;
    all->store = store;
    all->ports = *ports;
    snprintf(all->member, sizeof all->member, "%s", settings->member);
    snprintf(all->home, sizeof all->home, "%s", settings->home);
    snprintf(all->cluster, sizeof all->cluster, "%s", settings->cluster);
    all->process = settings->process;
    all->segment_size = settings->segment_size;
    all->reserve = settings->reserve;
    all->quarantine = settings->quarantine;
    all->least = settings->least;
    all->at_hand = settings->at_hand;
    all->pace = settings->pace;
    list_init(&all->entries);
    must(uv_async_init(loop, &all->wake, on_wake) == 0);
    must(uv_timer_init(loop, &all->timer) == 0);
    all->wake.data = all->timer.data = all;
    return all;
}

static void free_all(uv_handle_t *handle)
{
    free(handle->data);
}

static void timer_closed(uv_handle_t *handle)
{
    struct keeper_heirs *all = handle->data;
    uv_close((uv_handle_t *)&all->wake, free_all);
}

void keeper_heirs_close(struct keeper_heirs **heirs)
{
    struct keeper_heirs *all = *heirs;
    *heirs = NULL;
    if (all == NULL)
        return;
    all->closing = true;
    uv_timer_stop(&all->timer);
    list_each (link, &all->entries) {
        struct entry *entry = list_item(link, struct entry, link);
        if (entry->phase == ENTRY_OPEN)
            entry->phase = ENTRY_ENDS;
    }
    while (all->working > 0)
        uv_run(all->loop, UV_RUN_ONCE);
    for (struct list *link; (link = list_pop(&all->entries)) != NULL;)
        entry_free(list_item(link, struct entry, link));
    view_drop(&all->view);
    struct map_entry *at = NULL;
    for (char *member; (member = map_next(&all->silent, &at)) != NULL;)
        free(member);
    map_free(&all->silent);
    uv_close((uv_handle_t *)&all->timer, timer_closed);
}

bool keeper_heirs_message(struct keeper_heirs *heirs, const struct bus_msg *msg, usec_t now)
{
    const char *spool = bus_answers_move(msg) ? msg->from_spool : msg->spool;
    struct entry *entry = spool[0] == '\0' || list_empty(&heirs->entries) ? NULL : find(heirs, spool);
    if (entry == NULL)
        return false;
    if (entry->phase == ENTRY_OPEN)
        heir_message(entry->heir, msg, now);
    heirs_arm(heirs);
    return true;
}

void keeper_heirs_view(struct keeper_heirs *heirs, struct view *view, usec_t now)
{
    view_drop(&heirs->view);
    heirs->view = view_hold(view);
    for (struct entry *entry = next_of(heirs, &heirs->entries); entry != NULL;
         entry = next_of(heirs, &entry->link))
        if (entry->phase == ENTRY_OPEN)
            heir_set_view(entry->heir, view, now);
    heirs_arm(heirs);
}

void keeper_heirs_silent(struct keeper_heirs *heirs, const char *member, bool silent, usec_t now)
{
    free(map_remove_text(&heirs->silent, member));
    if (silent)
        map_set_text(&heirs->silent, member, xstrdup(member));
    for (struct entry *entry = next_of(heirs, &heirs->entries); entry != NULL;
         entry = next_of(heirs, &entry->link))
        if (entry->phase == ENTRY_OPEN)
            heir_set_silent(entry->heir, member, silent, now);
    heirs_arm(heirs);
}

void keeper_heirs_paired(struct keeper_heirs *heirs, bool paired)
{
    heirs->paired = paired;
    for (struct entry *entry = next_of(heirs, &heirs->entries); entry != NULL;
         entry = next_of(heirs, &entry->link))
        if (entry->phase == ENTRY_OPEN)
            heir_set_paired(entry->heir, paired);
}

/* ---- for answers ---- */

size_t keeper_heirs_count(const struct keeper_heirs *heirs)
{
    size_t count = 0;
    for (const struct list *link = heirs->entries.next; link != &heirs->entries; link = link->next)
        count++;
    return count;
}

static struct heir_figures figures_of(const struct entry *entry)
{
    if (entry->heir == NULL)
        return (struct heir_figures){.state = HEIR_READS};
    return heir_figures(entry->heir);
}

bool keeper_heirs_each(
    const struct keeper_heirs *heirs, size_t at, const char **spool_r, struct heir_figures *figures_r)
{
    const struct entry *entry = next_of(heirs, &heirs->entries);
    for (; entry != NULL && at > 0; at--)
        entry = next_of(heirs, &entry->link);
    if (entry == NULL)
        return false;
    *spool_r = entry->spool_name;
    *figures_r = figures_of(entry);
    return true;
}

struct heir_figures keeper_heirs_figures(const struct keeper_heirs *heirs)
{
    struct heir_figures sum = heirs->past, one;
    const char *spool;
    sum.state = HEIR_RETIRED;
    for (size_t at = 0; keeper_heirs_each(heirs, at, &spool, &one); at++) {
        sum.state = one.state < sum.state ? one.state : sum.state;
        sum.held += one.held;
        sum.leaving += one.leaving;
        sum.unread += one.unread;
        sum.moved += one.moved;
        sum.known += one.known;
        sum.in_doubt += one.in_doubt;
        sum.doubts += one.doubts;
        sum.refused += one.refused;
        sum.unanswered += one.unanswered;
    }
    return sum;
}
