/* custody_back - reading the log from its end: what is newest is met first
 *
 * The newest base frame of a message says all there was to say before it, and every item all there is to know of its
 * delivery. So a message is wholly known as soon as its newest base frame is met, for all that is newer was met before: it
 * can be served at once, while older frames are still to be read. What is older of it says nothing any more; an older base
 * frame is not needed, and released.
 *
 * What is met before its base frame is loose: the newest item of each delivery is kept until the base frame comes. Where
 * none does, the message had ended and was forgotten.
 *
 * Until the log's beginning was reached nothing is forgotten, not even an id: an older base frame would be taken for news.
 *
 * Memory: about 250 bytes for each message whose newest base frame was not met yet. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody_state.h"

struct loose_item {
    uint64_t seq;  /* the newest frame about this delivery, and the one */
    uint64_t made; /* that made it what it is: no attempt did. 0: not met yet */
    usec_t due;
    uint64_t attempt;
    const char *peer; /* interned */
    uint32_t index, hop;
    uint16_t attempts, code;
    uint8_t state, result;
};

struct loose {
    struct mail_id id;
    uint64_t last_seq; /* the newest frame about it */
    uint64_t mail_seq; /* the oldest that had its mail, if one had */
    struct mail *mail;
    uint32_t count;
    struct loose_item items[];
};

/* ---- what is loose ---- */

static struct loose *find_loose(const struct custody *custody, const struct mail_id *id)
{
    return map_get(&custody->loose, id->bytes, sizeof id->bytes);
}

static void loose_free(struct custody *custody, struct loose *loose)
{
    map_remove(&custody->loose, loose->id.bytes, sizeof loose->id.bytes);
    mail_drop(&loose->mail);
    free(loose);
}

/* With room for so many items more. */
static struct loose *loose_grow(struct custody *custody, struct loose *loose, uint32_t more)
{
    size_t count = (loose == NULL ? 0 : loose->count) + (size_t)more;
    uintptr_t before = (uintptr_t)loose;
    struct loose *grown = xrealloc(loose, sizeof *loose + count * sizeof(struct loose_item));
    if (before != 0 && before != (uintptr_t)grown)
        map_set(&custody->loose, grown->id.bytes, sizeof grown->id.bytes, grown);
    return grown;
}

static struct loose *loose_new(
    struct custody *custody, const struct mail_id *id, uint64_t seq, uint32_t count)
{
    struct loose *loose = loose_grow(custody, NULL, count);
    *loose = (struct loose){.id = *id, .last_seq = seq};
    map_set(&custody->loose, id->bytes, sizeof id->bytes, loose);
    return loose;
}

static struct loose_item *find_item(struct loose *loose, uint32_t index)
{
    for (uint32_t i = 0; i < loose->count; i++)
        if (loose->items[i].index == index)
            return &loose->items[i];
    return NULL;
}

static void add_item(
    struct custody *custody, struct loose *loose, const struct record_item *item, uint64_t seq, bool makes)
{
    struct loose_item *known = find_item(loose, item->index);
    if (known != NULL) {
        if (known->made == 0 && makes)
            known->made = seq;
        return;
    }
    loose->items[loose->count++] = (struct loose_item){.seq = seq,
        .made = makes ? seq : 0,
        .due = item->due,
        .attempt = item->attempt,
        .peer = item->peer == NULL ? NULL : custody_peer(custody, item->peer)->name,
        .index = item->index,
        .hop = item->hop,
        .attempts = (uint16_t)item->attempts,
        .code = (uint16_t)item->code,
        .state = (uint8_t)item->state,
        .result = (uint8_t)item->result};
}

static void keep_loose(struct custody *custody, const struct spool_record *record, uint64_t seq)
{
    struct loose *loose = find_loose(custody, &record->id);
    loose = loose == NULL ? loose_new(custody, &record->id, seq, record->item_count)
                          : loose_grow(custody, loose, record->item_count);
    for (uint32_t i = 0; i < record->item_count; i++)
        add_item(custody, loose, &record->items[i], seq, record->kind != RECORD_ATTEMPT);
    if (record->kind != RECORD_HOLD)
        return;
    loose->mail_seq = seq;
    mail_drop(&loose->mail);
    loose->mail = mail_hold(record->mail);
}

/* ---- what is known ---- */

static struct record_item item_of_loose(const struct loose_item *loose)
{
    union {
        const char *constant;
        char *text;
    } peer = {.constant = loose->peer}; /* lent */
    return (struct record_item){.index = loose->index,
        .hop = loose->hop,
        .state = (enum custody_state)loose->state,
        .result = (enum delivery_result)loose->result,
        .attempts = loose->attempts,
        .code = loose->code,
        .due = loose->due,
        .peer = peer.text,
        .attempt = loose->attempt};
}

/* What is newer than the base frame, from frame `from` on. */
static int add_newer(
    struct custody *custody, struct held *held, const struct loose *loose, uint64_t from, struct error *error)
{
    int status = 0;
    held->last_seq = loose->last_seq;
    for (uint32_t i = 0; i < loose->count; i++) {
        const struct loose_item *newer = &loose->items[i];
        const struct record_item item = item_of_loose(newer);
        const struct delivery *older = held_delivery(held, item.index);
        uint64_t made = newer->made != 0 ? newer->made : older != NULL ? older->made_seq : newer->seq;
#ifdef TODOKU_WITHOUT_NEWEST_FIRST
        from = older != NULL ? UINT64_MAX : from;
#endif
        if (newer->seq >= from && replay_item(custody, held, &item, made, error) != 0)
            status = -1;
    }
    return status;
}

static struct held *serve(struct custody *custody, struct held *held, usec_t now)
{
    struct mail_id id = held->mail->id;
    replay_recover(custody, held, now);
    return custody_find(custody, &id); /* it may have ended, and only its id be left */
}

static int is_known(struct custody *custody, const struct spool_record *record, uint64_t seq, usec_t now,
    struct held **known_r, struct error *error)
{
    struct held *held = held_new(custody, record->mail);
    struct loose *loose = find_loose(custody, &record->id);
    int status = 0;
    replay_base(custody, held, seq, record);
    held->last_seq = seq;
    held_is_fresh(custody, held, seq);
    for (uint32_t i = 0; i < record->item_count; i++)
        if (replay_item(custody, held, &record->items[i], seq, error) != 0)
            status = -1;
    if (loose != NULL) {
        if (add_newer(custody, held, loose, 0, error) != 0)
            status = -1;
        loose_free(custody, loose);
    }
    *known_r = serve(custody, held, now);
    return status;
}

/* ---- for the owner ---- */

void custody_back_begin(struct custody *custody)
{
    must(!custody->recovered && map_count(&custody->messages) == 0);
    custody->reads_back = true;
    custody->back_seq = custody->committed_seq + 1;
}

int custody_back(struct custody *custody, uint64_t seq, const struct spool_record *record, bool base,
    usec_t now, struct held **known_r, struct error *error)
{
    must(custody->reads_back && seq < custody->back_seq);
    custody->back_seq = seq;
    *known_r = NULL;
    if (custody_find(custody, &record->id) != NULL || tomb_knows(custody, &record->id)) {
        if (base)
            custody->ports.release(custody->ports.context, seq);
        return 0;
    }
    if (!base) {
        keep_loose(custody, record, seq);
        return 0;
    }
    if (record->kind == RECORD_HOLD)
        return is_known(custody, record, seq, now, known_r, error);
    struct loose *loose = find_loose(custody, &record->id);
    if (loose != NULL)
        loose_free(custody, loose);
    tomb_replay(custody, record, seq);
    return 0;
}

/* Its base frame is damaged, or gone although it was needed: what is known of it is known. */
static bool has_no_base(struct custody *custody, const struct loose *loose, usec_t now, struct held **known_r)
{
    struct error error;
    if (loose->mail == NULL)
        return false;
    struct held *held = held_new(custody, loose->mail);
    held_is_fresh(custody, held, loose->mail_seq);
    (void)add_newer(custody, held, loose, loose->mail_seq, &error);
    *known_r = serve(custody, held, now);
    return true;
}

bool custody_back_end(struct custody *custody, size_t most, usec_t now, struct held **known_r)
{
    must(custody->reads_back);
    *known_r = NULL;
    for (size_t i = 0; i < most; i++) {
        struct map_entry *at = NULL;
        struct loose *loose = map_next(&custody->loose, &at);
        if (loose == NULL) {
            custody->reads_back = false;
            custody->recovered = true;
            return true;
        }
        bool known = has_no_base(custody, loose, now, known_r);
        loose_free(custody, loose);
        if (known)
            return false;
    }
    return false;
}

void loose_free_all(struct custody *custody)
{
    struct map_entry *at = NULL;
    for (struct loose *loose; (loose = map_next(&custody->loose, &at)) != NULL;)
        loose_free(custody, loose);
    map_free(&custody->loose);
}
