/* spool_index - see spool_index.h */
#include "node/spool_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/spool_frame.h"

void spool_index_free(struct spool_index *index)
{
    for (size_t i = 0; i < index->count; i++)
        free(index->parts[i].places);
    free(index->parts);
    *index = (struct spool_index){0};
}

struct spool_part *spool_index_newest(struct spool_index *index)
{
    return index->count == 0 ? NULL : &index->parts[index->count - 1];
}

void spool_index_found(struct spool_index *index)
{
    const struct spool_part *oldest = index->parts;
    if (index->count > 0 && oldest->number > 1)
        index->gone = oldest->count > 0 ? oldest->places[0].seq - 1 : oldest->last;
}

struct spool_part *spool_index_begin(struct spool_index *index, uint64_t number)
{
    must(index->count == 0 || spool_index_newest(index)->number < number);
    if (index->count == index->size) {
        index->size = index->size == 0 ? 16 : 2 * index->size;
        index->parts = xrealloc(index->parts, index->size * sizeof *index->parts);
    }
    struct spool_part *part = &index->parts[index->count++];
    *part = (struct spool_part){.number = number, .end = SEGMENT_HEAD};
    index->bytes += SEGMENT_HEAD;
    return part;
}

void spool_index_extend(struct spool_index *index, uint64_t end)
{
    struct spool_part *part = spool_index_newest(index);
    must(end >= part->end);
    index->bytes += end - part->end;
    part->end = end;
}

void spool_index_put(struct spool_index *index, uint64_t seq, uint64_t offset, uint64_t size)
{
    struct spool_part *part = spool_index_newest(index);
    must(offset / FRAME_ALIGN <= UINT32_MAX && size / FRAME_ALIGN <= UINT32_MAX);
    must(part->count == 0 || part->places[part->count - 1].seq < seq);
    if (part->count == part->size) {
        part->size = part->size == 0 ? 64 : 2 * part->size;
        part->places = xrealloc(part->places, part->size * sizeof *part->places);
    }
    part->places[part->count++] = (struct spool_place){
        .seq = seq, .offset = (uint32_t)(offset / FRAME_ALIGN), .size = (uint32_t)(size / FRAME_ALIGN)};
    part->live++;
    part->live_bytes += size;
    index->live++;
}

static struct spool_place *find_in(const struct spool_part *part, uint64_t seq)
{
    size_t low = 0, high = part->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (part->places[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == part->count || part->places[low].seq != seq || part->places[low].size == 0)
        return NULL;
    return &part->places[low];
}

/* The living place of `seq` and the segment it is in. A segment without base frames has no first number to
 * compare with: it is passed over. */
static struct spool_place *find(const struct spool_index *index, uint64_t seq, struct spool_part **part_r)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2, at = middle;
        while (at > low && index->parts[at].count == 0)
            at--;
        const struct spool_part *part = &index->parts[at];
        if (part->count > 0 && part->places[0].seq > seq)
            high = at;
        else if (part->count > 0 && part->places[part->count - 1].seq >= seq) {
            *part_r = &index->parts[at];
            return find_in(part, seq);
        } else
            low = middle + 1;
    }
    return NULL;
}

bool spool_index_find(const struct spool_index *index, uint64_t seq, uint64_t *number_r, uint64_t *offset_r)
{
    struct spool_part *part;
    const struct spool_place *place = find(index, seq, &part);
    if (place == NULL)
        return false;
    *number_r = part->number;
    *offset_r = (uint64_t)place->offset * FRAME_ALIGN;
    return true;
}

static size_t first_behind(const struct spool_part *part, uint64_t after)
{
    size_t low = part->first, high = part->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (part->places[middle].seq <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t spool_index_living(const struct spool_index *index, uint64_t after, uint64_t *seqs_r, size_t max)
{
    size_t found = 0;
    for (size_t i = 0; i < index->count; i++) {
        const struct spool_part *part = &index->parts[i];
        if (part->live == 0 || part->last <= after)
            continue;
        for (size_t at = first_behind(part, after); at < part->count && found < max; at++)
            if (part->places[at].size != 0)
                seqs_r[found++] = part->places[at].seq;
    }
    return found;
}

static void release(struct spool_index *index, struct spool_part *part, struct spool_place *place)
{
    index->live--;
    part->live--;
    part->live_bytes -= (uint64_t)place->size * FRAME_ALIGN;
    place->size = 0;
}

bool spool_index_release(struct spool_index *index, uint64_t seq)
{
    struct spool_part *part;
    struct spool_place *place = find(index, seq, &part);
    if (place == NULL)
        return false;
    release(index, part, place);
    return true;
}

/* *kept_at goes along with the frames: both rise. */
static bool release_others_in(struct spool_index *index, struct spool_part *part, uint64_t after,
    uint64_t upto, const uint64_t *kept, size_t count, size_t *kept_at)
{
    bool any = false;
    for (size_t i = 0; i < part->count && part->places[i].seq <= upto; i++) {
        struct spool_place *place = &part->places[i];
        if (place->seq <= after || place->size == 0)
            continue;
        while (*kept_at < count && kept[*kept_at] < place->seq)
            ++*kept_at;
        if (*kept_at < count && kept[*kept_at] == place->seq)
            continue;
        release(index, part, place);
        any = true;
    }
    return any;
}

bool spool_index_release_others(
    struct spool_index *index, uint64_t after, uint64_t upto, const uint64_t *kept, size_t count)
{
    bool any = false;
    size_t kept_at = 0;
    for (size_t i = 0; i < index->count; i++) {
        struct spool_part *part = &index->parts[i];
        if (part->live > 0 && part->places[part->count - 1].seq > after && part->places[0].seq <= upto)
            any |= release_others_in(index, part, after, upto, kept, count, &kept_at);
    }
    return any;
}

static bool is_kept(const struct spool_index *index, const struct spool_part *part)
{
    return part->last >= index->keep_from;
}

bool spool_index_retire(struct spool_index *index, uint64_t *number_r, bool *damaged_r)
{
    if (index->count < 2 || index->parts[0].live > 0 || is_kept(index, index->parts))
        return false;
    struct spool_part *part = &index->parts[0];
    *number_r = part->number;
    *damaged_r = part->damaged;
    index->bytes -= part->end;
    if (part->last > index->gone)
        index->gone = part->last;
    free(part->places);
    index->count--;
    memmove(index->parts, index->parts + 1, index->count * sizeof *index->parts);
    return true;
}

void spool_index_spoil(struct spool_index *index, uint64_t number)
{
    for (size_t i = 0; i < index->count; i++)
        if (index->parts[i].number == number)
            index->parts[i].damaged = true;
}

static bool is_mostly_dead(const struct spool_index *index)
{
    uint64_t bytes = 0, live = 0;
    for (size_t i = 0; i < index->count && !is_kept(index, &index->parts[i]); i++) {
        bytes += index->parts[i].end;
        live += index->parts[i].live_bytes;
    }
    return live * 2 < bytes;
}

uint64_t spool_index_untidy(struct spool_index *index)
{
    if (index->count <= 2 || !is_mostly_dead(index))
        return 0;
    struct spool_part *part = &index->parts[0];
    while (part->first < part->count && part->places[part->first].size == 0)
        part->first++;
    return part->first < part->count ? part->places[part->first].seq : 0;
}
