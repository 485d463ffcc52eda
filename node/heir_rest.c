/* heir_rest - what of a deep queue does not fit into memory: rows in a table, by their date
 *
 * While the log is read, the oldest messages are let go of whenever too many deliveries are in memory: what has ended is
 * buried as it would be at the end; of what waits a row is written. When the log has been read they come back in the order
 * of their dates, as others leave. Nothing else looks at the table, and nothing is parked any more: it is given up with
 * the heir, and made anew by the next one, which reads all of the log. */
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "node/heir_inside.h"

#define ROWS_A_COMMIT 256
#define BRING 256

static uint64_t in_memory(const struct heir *heir)
{
    struct custody_figures figures = custody_figures(heir->custody);
    return figures.held + figures.leaving + figures.final - custody_parked_all(heir->custody);
}

int heir_set_table(struct heir *heir, const struct park_table *table, uint64_t log_end, struct error *error)
{
    struct park_start start;
    must(heir->park == NULL && heir->state == HEIR_READS);
    struct park *park = park_new(table);
    if (park_open(park, heir->disk, heir->spool, log_end, heir->custody, &start, error) != 0) {
        park_free(&park);
        return -1;
    }
    free(start.living);
    must(start.living_count == 0 && custody_parked(heir->custody) == 0);
    heir->park = park;
    return 0;
}

bool heir_table_works(const struct heir *heir)
{
    return heir->park != NULL && park_works(heir->park);
}

/* ---- custody's ports ---- */

int heir_row_get(void *context, const struct mail_id *id, struct buffer *bytes)
{
    const struct heir *heir = context;
    return heir->park == NULL ? 0 : park_row_get(heir->park, id, bytes);
}

void heir_row_put(void *context, const struct custody_row *row, const struct custody_row *old)
{
    const struct heir *heir = context;
    park_row_put(heir->park, row, old);
}

void heir_row_remove(void *context, const struct custody_row *row)
{
    const struct heir *heir = context;
    park_row_remove(heir->park, row);
}

size_t heir_rows_from(void *context, uint64_t base_seq, struct mail_id *ids, size_t max)
{
    const struct heir *heir = context;
    return park_rows_from(heir->park, base_seq, ids, max);
}

void heir_row_bad(void *context, const char *why)
{
    const struct heir *heir = context;
    park_row_bad(heir->park, why);
}

/* ---- while the log is read ---- */

static usec_t first_due(const struct held *held)
{
    usec_t due = held->mail->expires;
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i]->state == CUSTODY_HELD && held->deliveries[i]->due < due)
            due = held->deliveries[i]->due;
    return due;
}

static void park_all(struct heir *heir, struct held *const *parking, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct row_wish wish = {.due = first_due(parking[i])};
        custody_write_row(heir->custody, parking[i], &wish);
    }
    if (!park_commit(heir->park))
        return;
    for (size_t i = 0; i < count; i++) {
        park_expect(heir->park, parking[i]->row_due, &parking[i]->mail->id);
        custody_park(heir->custody, parking[i]);
    }
}

static void let_go(struct heir *heir, uint64_t down_to)
{
    struct held *parking[ROWS_A_COMMIT], *next;
    size_t count = 0;
    uint64_t going = 0;
    for (struct held *held = custody_after(heir->custody, NULL);
         held != NULL && in_memory(heir) > down_to + going; held = next) {
        next = custody_after(heir->custody, held);
        if (!custody_replay_rests(heir->custody, held, heir->swapped))
            continue;
        parking[count++] = held;
        going += held->count;
        if (count == ROWS_A_COMMIT) {
            park_all(heir, parking, count);
            count = 0;
            going = 0;
        }
    }
    park_all(heir, parking, count);
}

void heir_let_go(struct heir *heir)
{
    uint64_t most = heir->let_go_next > heir->at_hand ? heir->let_go_next : heir->at_hand;
    if (!heir_table_works(heir) || in_memory(heir) <= most)
        return;
    let_go(heir, heir->at_hand / 4);
    heir->let_go_next = 2 * in_memory(heir); /* of what stays, if that is much */
}

/* ---- later ---- */

/* What has moved stays in memory for a while: it is not what this is about. */
static bool has_room(const struct heir *heir)
{
    struct custody_figures figures = custody_figures(heir->custody);
    return figures.held + figures.leaving - custody_parked_held(heir->custody) < heir->at_hand;
}

static bool is_next(const struct heir *heir)
{
    const struct heap_node *first = heap_first(&heir->due);
    usec_t next = park_next(heir->park);
    return next != USEC_NEVER && (first == NULL || next < first->key);
}

void heir_bring(struct heir *heir)
{
    struct mail_id ids[BRING];
    struct held *held;
    if (heir->park == NULL || custody_parked(heir->custody) == 0 || !has_room(heir) || !is_next(heir))
        return;
    size_t count = park_agenda(heir->park, USEC_NEVER - 1, ids, BRING);
    for (size_t i = 0; i < count; i++)
        (void)custody_fetch(heir->custody, &ids[i], &held);
    heir->more = heir->more || count > 0;
}

void heir_rows_commit(struct heir *heir)
{
    if (heir->park == NULL)
        return;
    park_commit(heir->park);
    if (park_works(heir->park) || heir->table_said)
        return;
    heir->table_said = true;
    heir_notice(heir,
        "the table of what spool %s holds has failed: %s. Nothing is lost: start this node again, which "
        "makes it anew",
        heir->spool, park_trouble(heir->park));
}
