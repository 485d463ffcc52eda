/* copies_storm - see copies_storm.h */
#include "copies_storm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct storm_seen seen;

void fail(struct storm *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
    longjmp(s->out, 1);
}

bool chance(struct storm *s, unsigned percent)
{
    return random_below(&s->random, 100) < percent;
}

bool read_register(struct storm *s, struct spool_register *reg_r)
{
    struct error error;
    const struct fake_key *key = fake_get(s->store, KEY);
    return key != NULL && spool_register_read(key->value, key->len, reg_r, &error) == 0;
}

/* ---- a disk ---- */

size_t frame_of(struct storm *s, uint64_t seq)
{
    for (size_t i = s->frame_count; i-- > 0;)
        if (s->frames[i].seq == seq)
            return i;
    fail(s, "frame %lx was never made", seq);
}

uint64_t last_seq(const struct storm *s, const struct disk *disk)
{
    return disk->count == 0 ? 0 : s->frames[disk->order[disk->count - 1]].seq;
}

void disk_append(struct storm *s, struct disk *disk, uint64_t seq)
{
    size_t frame = frame_of(s, seq);
    if (seq <= last_seq(s, disk) || disk->kept[frame].has)
        fail(s, "disk %s is given frame %lx behind %lx", disk->id, seq, last_seq(s, disk));
    disk->kept[frame] = (struct kept){.has = true};
    disk->order[disk->count++] = (uint16_t)frame;
}

void disk_release(struct storm *s, struct disk *disk, uint64_t seq)
{
    struct kept *kept = &disk->kept[frame_of(s, seq)];
    if (kept->has && !kept->dead) {
        kept->dead = true;
        kept->dead_at = last_seq(s, disk);
    }
}

/* What is not synced is lost from some frame on; what was released behind that lives again. */
void disk_crash(struct storm *s, struct disk *disk)
{
    size_t to = disk->synced + random_below(&s->random, disk->count - disk->synced + 1);
    while (disk->count > to)
        disk->kept[disk->order[--disk->count]] = (struct kept){0};
    for (size_t i = 0; i < disk->count; i++) {
        struct kept *kept = &disk->kept[disk->order[i]];
        kept->synced = true;
        kept->dead = kept->dead && kept->dead_at <= last_seq(s, disk);
    }
    disk->synced = disk->count;
    if (disk->is_noting && chance(s, 50))
        disk->note = disk->noting;
    disk->is_noting = false;
}

void disk_sync(struct disk *disk, size_t upto)
{
    while (disk->synced < upto)
        disk->kept[disk->order[disk->synced++]].synced = true;
}

/* Who reads the log as its primary does not see void frames. */
void disk_cut(struct storm *s, struct disk *disk)
{
    size_t to = 0;
    for (size_t i = 0; i < disk->count; i++)
        if (mirror_note_is_cut(&disk->note, s->frames[disk->order[i]].seq)) {
            disk->kept[disk->order[i]] = (struct kept){0};
            seen.cuts++;
        } else
            disk->order[to++] = disk->order[i];
    disk->count = disk->synced = to;
}

bool disk_lasts(const struct storm *s, const struct disk *disk, size_t frame)
{
    const struct kept *kept = &disk->kept[frame];
    uint64_t synced = disk->synced == 0 ? 0 : s->frames[disk->order[disk->synced - 1]].seq;
    return kept->has && kept->synced && !(kept->dead && kept->dead_at <= synced) &&
           !mirror_note_is_cut(&disk->note, s->frames[frame].seq);
}

const struct disk *disk_of(const struct storm *s, const char *id)
{
    for (size_t i = 0; i < NODES; i++)
        if (strcmp(s->nodes[i].disk.id, id) == 0)
            return &s->nodes[i].disk;
    return NULL;
}
