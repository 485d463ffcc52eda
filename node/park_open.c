/* park_open - see park.h: what a start finds in the table
 *
 * The base frames are read in one walk, of which only their numbers and the totals are kept. The agenda's first
 * look is had here: it may walk over all that was removed, which no step of a running node should. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/park_state.h"

static void identity(struct buffer *out, const char *disk, const char *spool)
{
    buffer_printf(out, "%d %s %s", PARK_VERSION, disk, spool);
}

static int check_identity(
    struct park *park, const char *disk, const char *spool, bool *empty_r, struct error *error)
{
    struct buffer there = {0}, ours = {0};
    identity(&ours, disk, spool);
    int found = park->table.get(park->table.context, "I", 1, &there, error);
    bool same = found > 0 && strcmp(buffer_text(&there), buffer_text(&ours)) == 0;
    if (found > 0 && !same)
        error_set(error, "it was made for \"%s\", this is \"%s\"", buffer_text(&there), buffer_text(&ours));
    if (found == 0)
        park_gather_put(park, "I", 1, buffer_bytes(&ours), buffer_len(&ours));
    *empty_r = found == 0;
    buffer_free(&there);
    buffer_free(&ours);
    return found < 0 || (found > 0 && !same) ? -1 : 0;
}

struct opening {
    struct park_start *start;
    size_t size;
    uint64_t open, final, newest;
    bool strange;
};

static bool on_row(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct opening *opening = with;
    struct park_start *start = opening->start;
    const uint8_t *bytes = value;
    if (key_len != 9 || len != PARK_BASE_VALUE) {
        opening->strange = true;
        return false;
    }
    if (start->living_count == opening->size) {
        opening->size = opening->size == 0 ? 256 : 2 * opening->size;
        start->living = xrealloc(start->living, opening->size * sizeof *start->living);
    }
    start->living[start->living_count++] = park_get_number((const uint8_t *)key + 1, 8);
    uint64_t last_seq = park_get_number(bytes + 16, 8);
    opening->newest = last_seq > opening->newest ? last_seq : opening->newest;
    opening->open += park_get_number(bytes + 24, 4);
    opening->final += park_get_number(bytes + 28, 4);
    return true;
}

static int read_from(struct park *park, uint64_t log_end, uint64_t *from_r, struct error *error)
{
    struct buffer value = {0};
    int found = park->table.get(park->table.context, "R", 1, &value, error);
    bool strange = found > 0 && buffer_len(&value) != 8;
    *from_r = found > 0 && !strange ? park_get_number((const uint8_t *)buffer_bytes(&value), 8) : 0;
    buffer_free(&value);
    if (strange)
        return error_set(error, "it does not say from where the log is to be read");
    if (*from_r > log_end + 1)
        return error_set(error, "it goes on from frame %llu, and the log ends with frame %llu",
            (unsigned long long)*from_r, (unsigned long long)log_end);
    return found < 0 ? -1 : 0;
}

static int read_rows(struct park *park, struct opening *opening, uint64_t log_end, struct error *error)
{
    if (park->table.scan(park->table.context, "b", 1, 1, on_row, opening, error) != 0)
        return -1;
    if (opening->strange)
        return error_set(error, "it has an entry that this version does not know");
    if (opening->newest > log_end)
        return error_set(error, "it knows frame %llu, and the log ends with frame %llu",
            (unsigned long long)opening->newest, (unsigned long long)log_end);
    return 0;
}

static int open_table(struct park *park, const char *disk, const char *spool, uint64_t log_end,
    struct opening *opening, struct error *error)
{
    bool empty;
    if (check_identity(park, disk, spool, &empty, error) != 0 ||
        read_from(park, log_end, &opening->start->from, error) != 0 ||
        read_rows(park, opening, log_end, error) != 0)
        return -1;
    if (empty && (opening->start->living_count > 0 || opening->start->from > 0))
        return error_set(error, "it does not say what it belongs to");
    return 0;
}

int park_open(struct park *park, const char *disk, const char *spool, uint64_t log_end,
    struct custody *custody, struct park_start *start_r, struct error *error)
{
    struct opening opening = {.start = start_r};
    *start_r = (struct park_start){0};
    if (open_table(park, disk, spool, log_end, &opening, error) != 0) {
        free(start_r->living);
        *start_r = (struct park_start){0};
        return -1;
    }
    custody_rows_known(custody, start_r->living_count, opening.open, opening.final);
    (void)park_agenda(park, 0, NULL, 0);
    return park_commit(park) ? 0 : error_set(error, "%s", park->trouble);
}
