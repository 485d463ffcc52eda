/* keeper_heir_read_uv - the log of a heir, read from its end; see keeper_heir_inside_uv.h */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/keeper_heir_inside_uv.h"
#include "node/node.h"

#define PORTION_BYTES ((uint64_t)8 << 20)
#define PORTION_BASES 2048
#define SLICE (4 * USEC_MS)
#define SLICE_LOOK 32 /* frames between two looks at the clock */

struct met {
    uint64_t seq;
    bool base;
    enum record_result result;
    struct spool_record record;
    char *why; /* it is not good */
};

struct portion {
    uv_work_t work;
    struct entry *entry;
    struct met *mets; /* in the order of the log */
    size_t count, size;
    int status;
    uint64_t living; /* before it */
    struct error error;
};

static void portion_free(struct portion *portion)
{
    if (portion == NULL)
        return;
    while (portion->count > 0) {
        struct met *met = &portion->mets[--portion->count];
        if (met->result == RECORD_GOOD)
            record_clear(&met->record);
        free(met->why);
    }
    free(portion->mets);
    free(portion);
}

void entry_drop_portions(struct entry *entry)
{
    portion_free(entry->portion);
    portion_free(entry->next);
    entry->portion = entry->next = NULL;
}

/* ---- in the pool ---- */

static void on_frame(void *context, uint64_t seq, const void *record, size_t len, bool base)
{
    struct portion *portion = context;
    struct error error;
    if (portion->count == portion->size) {
        portion->size = portion->size == 0 ? PORTION_BASES : 2 * portion->size;
        portion->mets = xrealloc(portion->mets, portion->size * sizeof *portion->mets);
    }
    struct met *met = &portion->mets[portion->count++];
    *met = (struct met){.seq = seq, .base = base};
    met->result = record_decode(record, len, &met->record, &error);
    if (met->result != RECORD_GOOD)
        met->why = xstrdup(error.text);
}

static void on_damaged(void *context, const char *file, uint64_t offset, const char *why)
{
    const struct portion *portion = context;
    log_error(portion->entry->dir, "damage in %s at offset %" PRIu64 ": %s; the rest is read on", file,
        offset, why);
}

static void read_work(uv_work_t *work)
{
    struct portion *portion = work->data;
    struct entry *entry = portion->entry;
    struct spool_portion wanted = {.bytes = PORTION_BYTES,
        .bases = PORTION_BASES,
        .context = portion,
        .frame = on_frame,
        .damaged = on_damaged};
    portion->status = spool_read_back(entry->spool, &entry->back, &wanted, &portion->error);
    portion->living = entry->back.living;
}

/* ---- on the loop ---- */

static void read_done(uv_work_t *work, int status)
{
    struct portion *portion = work->data;
    struct entry *entry = portion->entry;
    (void)status;
    entry->all->working--;
    entry->works--;
    entry->reading = false;
    entry->all_read = portion->status == 0;
    if (entry->phase != ENTRY_OPEN) {
        portion_free(portion);
    } else if (portion->status < 0) {
        entry->error = portion->error;
        portion_free(portion);
        entry_is_ill(entry);
    } else if (entry->portion == NULL) {
        entry->portion = portion;
        entry_read_on(entry);
    } else {
        entry->next = portion;
    }
    heirs_arm(entry->all);
}

static bool wants_more(const struct entry *entry)
{
    return entry->phase == ENTRY_OPEN && !entry->reading && !entry->all_read && entry->next == NULL &&
           heir_has_room(entry->heir);
}

void entry_read_on(struct entry *entry)
{
    if (!wants_more(entry))
        return;
    struct portion *portion = xcalloc(1, sizeof *portion);
    portion->work.data = portion;
    portion->entry = entry;
    entry->reading = true;
    entry->works++;
    entry->all->working++;
    must(uv_queue_work(entry->all->loop, &portion->work, read_work, read_done) == 0);
}

bool entry_replays(const struct entry *entry)
{
    if (entry->phase != ENTRY_OPEN || heir_figures(entry->heir).state != HEIR_READS)
        return false;
    return entry->portion != NULL || entry->all_read || wants_more(entry);
}

/* False: a newer program wrote it, and nobody knows what it says. */
static bool replay_last(struct entry *entry, struct portion *portion)
{
    struct met *met = &portion->mets[--portion->count];
    struct error why = {""};
    if (met->why != NULL)
        error_set(&why, "%s", met->why);
    int status = heir_replay_decoded(entry->heir, met->seq, met->result, &met->record, met->base, &why);
    free(met->why);
    if (status == NODE_NEWER)
        error_set(&entry->error, "frame %" PRIx64 ": %s", met->seq, why.text);
    else if (status != 0)
        log_error(
            entry->dir, "frame %" PRIx64 " can't be understood and is passed over: %s", met->seq, why.text);
    return status != NODE_NEWER;
}

static void portion_over(struct entry *entry)
{
    heir_unread(entry->heir, entry->portion->living);
    portion_free(entry->portion);
    entry->portion = entry->next;
    entry->next = NULL;
    entry_read_on(entry);
}

/* False: there is nothing more to do now, or it is ill. */
static bool replay_some(struct entry *entry)
{
    if (entry->portion == NULL)
        return entry->all_read && !entry->reading && !heir_recovered(entry->heir, clock_now());
    for (unsigned i = 0; i < SLICE_LOOK && entry->portion->count > 0; i++)
        if (!replay_last(entry, entry->portion)) {
            entry_is_ill(entry);
            return false;
        }
    if (entry->portion->count == 0)
        portion_over(entry);
    return true;
}

void entry_replay(struct entry *entry, usec_t now)
{
    entry_read_on(entry);
    heir_tick(entry->heir, now);
    while (heir_figures(entry->heir).state == HEIR_READS && replay_some(entry) && clock_now() < now + SLICE)
        ;
}
