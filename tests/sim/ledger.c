/* ledger - see ledger.h: messages, logs, events */
#include "tests/sim/ledger.h"

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/custody.h"
#include "node/node.h"
#include "tests/sim/copies.h"
#include "tests/sim/fairness.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/scale.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest retry interval of the settings is ten minutes, and a site may be left alone as long before it.
 */
#define LONGEST_WAIT (45 * USEC_MIN)

struct ledger {
    struct sim *sim;
    struct map by_id;
    struct message **messages;
    size_t count, size;
    uint64_t open;
};

struct sim *ledger_sim(const struct ledger *ledger)
{
    return ledger->sim;
}

struct ledger *ledger_new(struct sim *sim)
{
    struct ledger *ledger = xcalloc(1, sizeof *ledger);
    ledger->sim = sim;
    return ledger;
}

static void message_free(struct message *message)
{
    for (uint32_t i = 0; i < message->mail->recipient_count; i++)
        for (struct attempt *attempt; (attempt = message->truths[i].attempts) != NULL;) {
            message->truths[i].attempts = attempt->next;
            free(attempt);
        }
    for (uint32_t i = 0; i < message->mail->recipient_count; i++)
        free(message->truths[i].places);
    free(message->truths);
    mail_drop(&message->mail);
    blob_drop(&message->body);
    free(message);
}

void ledger_free(struct ledger **ledger_at)
{
    struct ledger *ledger = *ledger_at;
    *ledger_at = NULL;
    for (size_t i = 0; i < ledger->count; i++)
        message_free(ledger->messages[i]);
    free(ledger->messages);
    map_free(&ledger->by_id);
    free(ledger);
}

struct message *ledger_add(struct ledger *ledger, struct mail *mail, struct blob *body)
{
    struct message *message = xcalloc(1, sizeof *message);
    message->number = (unsigned)ledger->count;
    message->id = mail->id;
    message->mail = mail_hold(mail);
    message->body = body == NULL ? NULL : blob_hold(body);
    message->keyed = mail->keyed;
    message->truths = xcalloc(mail->recipient_count, sizeof *message->truths);
    for (uint32_t i = 0; i < mail->recipient_count; i++) {
        message->truths[i].message = message;
        message->truths[i].index = i;
    }
    if (ledger->count == ledger->size) {
        ledger->size = ledger->size == 0 ? 64 : 2 * ledger->size;
        ledger->messages = xrealloc(ledger->messages, ledger->size * sizeof(struct message *));
    }
    ledger->messages[ledger->count++] = message;
    map_set(&ledger->by_id, message->id.bytes, sizeof message->id.bytes, message);
    return message;
}

unsigned ledger_messages(const struct ledger *ledger)
{
    return (unsigned)ledger->count;
}

struct message *ledger_number(const struct ledger *ledger, unsigned number)
{
    return number < ledger->count ? ledger->messages[number] : NULL;
}

struct message *ledger_find(const struct ledger *ledger, const struct mail_id *id)
{
    return map_get(&ledger->by_id, id->bytes, sizeof id->bytes);
}

const char *ledger_name(const struct ledger *ledger, const struct mail_id *id, char out[32])
{
    const struct message *message = ledger_find(ledger, id);
    if (message != NULL) {
        snprintf(out, 32, "%c%u", message->own ? 'r' : 'm', message->number);
    } else {
        char text[ID_TEXT_SIZE];
        snprintf(out, 32, "?%.12s", id_format(id, text));
    }
    return out;
}

struct truth *ledger_next(const struct ledger *ledger, size_t *message, uint32_t *index)
{
    while (*message < ledger->count) {
        struct message *at = ledger->messages[*message];
        if (*index < at->mail->recipient_count)
            return &at->truths[(*index)++];
        *index = 0;
        (*message)++;
    }
    return NULL;
}

static const struct standing nothing = {.peer = -1};

const struct standing *truth_on(const struct truth *truth, const struct disk *disk)
{
    for (size_t i = 0; i < truth->place_count; i++)
        if (truth->places[i].disk == disk->number)
            return &truth->places[i].standing;
    return &nothing;
}

bool truth_was_on(const struct truth *truth, const struct disk *disk)
{
    for (size_t i = 0; i < truth->place_count; i++)
        if (truth->places[i].disk == disk->number)
            return true;
    return false;
}

static struct standing *place_on(struct truth *truth, const struct disk *disk)
{
    size_t at = 0;
    while (at < truth->place_count &&
           (truth->places[at].spool < disk->spool ||
               (truth->places[at].spool == disk->spool && truth->places[at].disk < disk->number)))
        at++;
    if (at < truth->place_count && truth->places[at].disk == disk->number)
        return &truth->places[at].standing;
    truth->places = xrealloc(truth->places, (truth->place_count + 1) * sizeof *truth->places);
    memmove(truth->places + at + 1, truth->places + at, (truth->place_count - at) * sizeof *truth->places);
    truth->place_count++;
    truth->places[at] = (struct place){.spool = disk->spool, .disk = disk->number, .standing = nothing};
    return &truth->places[at].standing;
}

const struct standing *truth_next(const struct sim *sim, const struct truth *truth, size_t *at, int *spool_r)
{
    while (*at < truth->place_count) {
        const struct place *place = &truth->places[(*at)++];
        const struct disk *primary = sim->spools[place->spool]->primary;
        *spool_r = place->spool;
        if (primary != NULL && primary->number == place->disk && place->standing.state != CUSTODY_NONE)
            return &place->standing;
    }
    return NULL;
}

const struct standing *truth_in(const struct sim *sim, const struct truth *truth, int spool)
{
    const struct disk *primary = sim->spools[spool]->primary;
    return primary == NULL ? &nothing : truth_on(truth, primary);
}

/* Ended: done in one spool, held in none, and told once. */
static bool still_open(const struct sim *sim, const struct truth *truth)
{
    unsigned open = 0, done = 0, known = 0;
    size_t at = 0;
    int spool;
    for (const struct standing *standing; (standing = truth_next(sim, truth, &at, &spool)) != NULL;) {
        uint8_t state = standing->state;
        open += state == CUSTODY_HELD || state == CUSTODY_LEAVING;
        done += state == CUSTODY_DONE;
        known += state != CUSTODY_NONE;
    }
    if (known == 0 && sim->takeover && truth->message->answered && truth_is_somewhere(sim, truth))
        return true; /* its primary's disk is lost, and not taken over yet */
    return known > 0 && (open > 0 || done == 0 || truth->finals == 0);
}

void ledger_settle(struct ledger *ledger, struct truth *truth)
{
    bool open = still_open(ledger->sim, truth);
    ledger->open += (uint64_t)open - (uint64_t)truth->open;
    truth->open = open;
}

uint64_t ledger_open(const struct ledger *ledger)
{
    return ledger->open;
}

/* A message that nobody handed in: a report made by a node. */
static struct message *own_message(struct ledger *ledger, const struct spool_record *record)
{
    struct message *message = ledger_add(ledger, record->mail, NULL);
    message->own = true;
    return message;
}

/* What a report is about ended on a disk that was lost, before the second one had it: so it ends once more, in the copy, and
 * the report about that has the same name, and an age of its own. Nobody was told of the first one. */
static void made_anew(const struct sim *sim, const struct disk *disk, struct message *message,
    const struct spool_record *record)
{
    if (!message->own || record->kind != RECORD_HOLD || record->mail->expires == message->mail->expires ||
        sim->spools[disk->spool]->primary != disk)
        return;
    mail_drop(&message->mail);
    message->mail = mail_hold(record->mail);
}

static void note_items(struct sim *sim, struct frame *frame, const struct spool_record *record)
{
    frame->item_count = record->item_count;
    frame->items = xcalloc(record->item_count + 1, sizeof *frame->items);
    for (uint32_t i = 0; i < record->item_count; i++) {
        const struct record_item *item = &record->items[i];
        frame->items[i] = (struct frame_item){.index = item->index,
            .hop = item->hop,
            .state = (uint8_t)item->state,
            .result = (uint8_t)item->result,
            .peer = item->peer == NULL ? -1 : (int16_t)sim_spool_number(sim, item->peer),
            .attempt = item->attempt};
        if (item->index >= frame->message->mail->recipient_count)
            sim_fail(sim, "log: a record names recipient %u of a message that has fewer", item->index);
    }
}

/* All of the message has ended, it says, but not how: for who has not seen it happen it is as the others know it. */
static void note_tomb(struct frame *frame, const struct disk *disk)
{
    struct message *message = frame->message;
    free(frame->items);
    frame->items = xcalloc(message->mail->recipient_count, sizeof *frame->items);
    for (uint32_t i = 0; i < message->mail->recipient_count; i++) {
        const struct truth *truth = &message->truths[i];
        const struct standing *end = NULL;
        for (size_t j = 0; j < truth->place_count; j++) {
            const struct standing *at = &truth->places[j].standing;
            bool ended =
                at->state == CUSTODY_DONE || at->state == CUSTODY_MOVED || at->state == CUSTODY_REFUSED;
            if (truth->places[j].spool == disk->spool && ended && (end == NULL || at->hop >= end->hop))
                end = at;
        }
        if (end != NULL)
            frame->items[frame->item_count++] = (struct frame_item){
                .index = i, .hop = end->hop, .state = end->state, .result = end->result, .peer = end->peer};
    }
}

static void describe(const struct sim *sim, const struct frame *frame, char *out, size_t size)
{
    static const char *const kinds[] = {
        "?", "HOLD", "INTENT", "MOVED", "REFUSED", "RETRY", "DONE", "ATTEMPT"};
    char name[32];
    int used = snprintf(out, size, "%s %s%s", kinds[frame->kind],
        ledger_name(sim->ledger, &frame->message->id, name), frame->base ? " (base)" : "");
    for (uint32_t i = 0; i < frame->item_count && used < (int)size - 50; i++) {
        const struct frame_item *item = &frame->items[i];
        used += snprintf(out + used, size - (size_t)used, " .%u %s@%u%s", item->index,
            custody_state_name((enum custody_state)item->state), item->hop, item->attempt != 0 ? "!" : "");
        if (item->state == CUSTODY_LEAVING && item->peer >= 0)
            used += snprintf(out + used, size - (size_t)used, "->%s", sim->spools[item->peer]->home->name);
        if (item->state == CUSTODY_DONE)
            used += snprintf(
                out + used, size - (size_t)used, " %s", result_name((enum delivery_result)item->result));
    }
}

void ledger_appended(struct ledger *ledger, struct disk *disk, struct frame *frame)
{
    struct member *member = disk->member;
    struct spool_record record;
    struct error error = {""};
    if (record_decode(frame->record, frame->len, &record, &error) != 0) {
        sim_fail(ledger->sim, "log: %s writes a record that cannot be read: %s", member->name, error.text);
        return;
    }
    frame->kind = (uint8_t)record.kind;
    frame->message = ledger_find(ledger, &record.id);
    if (frame->message == NULL && record.kind == RECORD_HOLD)
        frame->message = own_message(ledger, &record);
    if (frame->message == NULL) {
        sim_fail(ledger->sim, "log: %s writes about a message that nobody knows", member->name);
    } else {
        made_anew(ledger->sim, disk, frame->message, &record);
        note_items(ledger->sim, frame, &record);
        if (record.kind == RECORD_DONE && record.item_count == 0)
            note_tomb(frame, disk);
        char text[180];
        describe(ledger->sim, frame, text, sizeof text);
        trace_member(member, "log", "frame %llu: %s", (unsigned long long)frame->seq, text);
    }
    record_clear(&record);
}

/* Some base frame of its message stands before it. */
static bool has_base(const struct disk *disk, const struct frame *fact)
{
    for (size_t i = 0; i < disk->count && disk->frames[i].seq < fact->seq; i++)
        if (disk->frames[i].base && disk->frames[i].message == fact->message && !disk->frames[i].is_void)
            return true;
    return false;
}

void ledger_durable(struct ledger *ledger, struct disk *disk, struct frame *frame)
{
    struct sim *sim = ledger->sim;
    bool is_primary = sim->spools[disk->spool]->primary == disk;
    for (uint32_t i = 0; i < frame->item_count && !sim->failed; i++) {
        struct frame_item *item = &frame->items[i];
        struct truth *truth = &frame->message->truths[item->index];
        struct standing *standing = place_on(truth, disk), before = *standing;
        item->before = before;
        if (!frame->base && before.state == CUSTODY_NONE && !is_primary && !has_base(disk, frame))
            continue; /* of a message that has ended: a copy begins without those */
        *standing = (struct standing){.state = item->state,
            .result = item->result,
            .hop = item->hop,
            .peer = item->peer,
            .intent = item->state == CUSTODY_LEAVING ? item->hop + 1 : 0,
            .attempt = item->attempt,
            .attempt_seq = item->attempt == 0              ? 0
                           : frame->kind == RECORD_ATTEMPT ? frame->seq
                                                           : before.attempt_seq};
        if (!is_primary)
            continue;
        frame->message->seen = true;
        fairness_taken(sim, frame->message);
        if (disk == disk->member->disk && (frame->kind == RECORD_RETRY || item->state == CUSTODY_DONE))
            ledger_outcome_durable(ledger, disk->member, truth);
        oracle_step(sim, truth, disk, &before, standing);
        oracle_custody(sim, truth);
        ledger_settle(ledger, truth);
    }
    if (sim_has_copies(sim))
        return; /* it may be taken back: ledger_void */
    free(frame->items);
    frame->items = NULL;
    frame->item_count = 0;
}

void ledger_void(struct ledger *ledger, struct disk *disk, struct frame *frame)
{
    for (uint32_t i = frame->item_count; i-- > 0;) {
        struct truth *truth = &frame->message->truths[frame->items[i].index];
        *place_on(truth, disk) = frame->items[i].before;
        ledger_settle(ledger, truth);
    }
}

void ledger_disk_lost(struct ledger *ledger, struct disk *disk)
{
    size_t at = 0;
    uint32_t index = 0;
    for (struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;)
        for (size_t i = 0; i < truth->place_count; i++)
            if (truth->places[i].disk == disk->number) {
                uint8_t state = truth->places[i].standing.state;
                if (state == CUSTODY_HELD || state == CUSTODY_LEAVING)
                    truth->places[i].standing = nothing;
                ledger_settle(ledger, truth);
                oracle_custody(ledger->sim, truth);
            }
}

/* What has ended there, and was told, is forgotten some time: a copy need not know it. */
static void inherit(struct truth *truth, const struct disk *former, const struct disk *heir)
{
    const struct standing was = *truth_on(truth, former); /* a new place moves the others */
    bool ended = was.state == CUSTODY_DONE ? truth->finals > 0
                                           : was.state == CUSTODY_MOVED || was.state == CUSTODY_REFUSED;
    if (ended && truth_on(truth, heir)->state == CUSTODY_NONE)
        *place_on(truth, heir) = was;
}

void ledger_primary_changed(struct ledger *ledger, int spool, const struct disk *former)
{
    size_t at = 0;
    uint32_t index = 0;
    for (struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;) {
        bool concerned = false;
        for (size_t i = 0; i < truth->place_count; i++)
            concerned = concerned || truth->places[i].spool == spool;
        if (!concerned)
            continue;
        inherit(truth, former, ledger->sim->spools[spool]->primary);
        oracle_custody(ledger->sim, truth);
        oracle_taken_over(ledger->sim, truth, spool);
        ledger_settle(ledger, truth);
    }
}

void ledger_retired(struct ledger *ledger, const struct disk *disk)
{
    size_t at = 0;
    uint32_t index = 0;
    char name[32];
    for (const struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;) {
        uint8_t state = truth_on(truth, disk)->state;
        if (state == CUSTODY_HELD || state == CUSTODY_LEAVING)
            sim_fail(ledger->sim, "P2: the spool of disk %s is retired, but holds %s.%u", disk->id,
                ledger_name(ledger, &truth->message->id, name), truth->index);
    }
}

bool attempt_is_deposed(const struct sim *sim, const struct attempt *attempt)
{
    return attempt->disk != NULL && sim->spools[attempt->disk->spool]->primary != attempt->disk;
}

static bool counts_on(const struct truth *truth, const struct disk *disk)
{
    uint8_t state = disk == NULL ? CUSTODY_NONE : truth_on(truth, disk)->state;
    return state == CUSTODY_HELD || state == CUSTODY_LEAVING || state == CUSTODY_DONE;
}

bool truth_is_somewhere(const struct sim *sim, const struct truth *truth)
{
    for (size_t i = 0; i < truth->place_count; i++) {
        const struct spool *spool = sim->spools[truth->places[i].spool];
        if (counts_on(truth, spool->primary) || counts_on(truth, disk_find(sim, spool->reg.mirror)) ||
            counts_on(truth, disk_find(sim, spool->reg.old)))
            return true;
    }
    return false;
}
void ledger_answered(struct ledger *ledger, struct member *member, struct message *message)
{
    if (message->refused)
        sim_fail(ledger->sim, "P1: %s says that m%u is taken, which was refused before", member->name,
            message->number);
    size_t at = 0;
    int spool;
    if (truth_next(ledger->sim, &message->truths[0], &at, &spool) == NULL &&
        !truth_is_somewhere(ledger->sim, &message->truths[0]))
        sim_fail(
            ledger->sim, "P1: %s says that m%u is taken, but no disk has it", member->name, message->number);
    message->answered = true;
}

/* What a dead primary wrote alone is nobody's any more: its heir has never heard of it, and says so. */
static bool is_in_a_spool(const struct sim *sim, const struct message *message)
{
    bool has_it = false;
    int spool;
    for (uint32_t i = 0; i < message->mail->recipient_count && !has_it; i++) {
        size_t at = 0;
        has_it = truth_next(sim, &message->truths[i], &at, &spool) != NULL;
    }
    return sim->takeover ? has_it : message->seen;
}

void ledger_refused(struct ledger *ledger, struct member *member, struct message *message)
{
    if (message->answered || is_in_a_spool(ledger->sim, message))
        sim_fail(ledger->sim, "P1: %s says that m%u is refused for good, but a spool has it", member->name,
            message->number);
    message->refused = true;
}

static bool read_field(const char *json, size_t len, const char *name, char *out, size_t size)
{
    const char *at = memmem(json, len, name, strlen(name));
    if (at == NULL)
        return false;
    at += strlen(name);
    size_t used = 0;
    while (at < json + len && *at != '"' && used + 1 < size)
        out[used++] = *at++;
    out[used] = '\0';
    return true;
}

static enum delivery_result result_of(const char *event)
{
    for (int result = RESULT_DELIVERED; result <= RESULT_CANCELLED; result++)
        if (strcmp(event, result_name((enum delivery_result)result)) == 0)
            return (enum delivery_result)result;
    return RESULT_NONE;
}

/* The end of a delivery is told: once, and only what stands in the log. */
static void told_final(
    struct ledger *ledger, struct disk *disk, struct truth *truth, enum delivery_result result)
{
    struct member *member = disk->member;
    struct sim *sim = ledger->sim;
    char name[32];
    ledger_name(ledger, &truth->message->id, name);
    const struct standing *standing = truth_on(truth, disk);
    if (standing->state != CUSTODY_DONE || standing->result != result)
        sim_fail(sim, "P1: %s tells that %s.%u was %s, but its durable log says %s %s", member->name, name,
            truth->index, result_name(result), custody_state_name((enum custody_state)standing->state),
            result_name((enum delivery_result)standing->result));
    oracle_both_ended(sim, disk, truth);
    truth->finals++;
    if (truth->finals > 1 && truth->result == result && sim->spools[disk->spool]->was_taken) {
        truth->retold = true;
        sim->counts->retold++;
    } else if (truth->finals > 1)
        sim_fail(sim, "P1: the end of %s.%u is told a second time (%s, before: %s)", name, truth->index,
            result_name(result), result_name((enum delivery_result)truth->result));
    if (sim->options->strict && result == RESULT_EXPIRED && sim->phase != PHASE_LOAD &&
        sim->now > sim->calm_since + LONGEST_WAIT)
        sim_fail(sim, "P10: %s.%u expired, although nothing has stood in its way for %lld minutes", name,
            truth->index, (long long)((sim->now - sim->calm_since) / USEC_MIN));
    truth->result = (uint8_t)result;
    fairness_note_end(sim, truth, result);
    if (sim->scale != NULL)
        rate_ended(sim);
    ledger_settle(ledger, truth);
}

void ledger_event(struct ledger *ledger, struct disk *disk, uint64_t seq, const char *json, size_t len)
{
    struct member *member = disk->member;
    char event[32], id[64], name[32];
    struct mail_id mail_id;
    int64_t index = -1;
    if (!read_field(json, len, "\"event\":\"", event, sizeof event) ||
        !read_field(json, len, "\"id\":\"", id, sizeof id) || id_parse(id, &mail_id, &index) != 0)
        return;
    struct message *message = ledger_find(ledger, &mail_id);
    trace_member(member, "event", "%s %s.%lld (frame %llu)", event, ledger_name(ledger, &mail_id, name),
        (long long)index, (unsigned long long)seq);
    if (seq > disk->synced_seq)
        sim_fail(ledger->sim, "P1: %s tells of frame %llu before it is durable", member->name,
            (unsigned long long)seq);
    enum delivery_result result = result_of(event);
    if (message != NULL && index >= 0 && index < (int64_t)message->mail->recipient_count &&
        strcmp(event, "doubt") == 0) {
        message->truths[index].doubts++;
        const struct spool *spool = ledger->sim->spools[disk->spool];
        if (disk != member->disk && !disk->reading &&
            ledger->sim->now < spool->taken_at + clock_at_least(HEIR_QUARANTINE))
            sim_fail(ledger->sim, "P3: %s ends the doubt about %s.%lld %lld ms after it took %s over",
                member->name, ledger_name(ledger, &mail_id, name), (long long)index,
                (long long)(ledger->sim->now - spool->taken_at) / 1000, spool->name);
        ledger->sim->counts->doubts++;
    }
    if (message != NULL && index >= 0 && index < (int64_t)message->mail->recipient_count &&
        result != RESULT_NONE)
        told_final(ledger, disk, &message->truths[index], result);
}

void ledger_complain_open(struct ledger *ledger)
{
    size_t at = 0;
    uint32_t index = 0;
    char text[300], name[32];
    for (struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;)
        if (truth->open)
            sim_fail(ledger->sim, "P10: faults stopped long ago, but %s.%u (of %llu) has not ended: %s",
                ledger_name(ledger, &truth->message->id, name), truth->index,
                (unsigned long long)ledger->open, oracle_standings(ledger->sim, truth, text, sizeof text));
    if (!ledger->sim->failed)
        sim_fail(ledger->sim, "P10: faults stopped long ago, but a submission still waits for its answer");
}

void ledger_check_all(struct ledger *ledger)
{
    size_t at = 0;
    uint32_t index = 0;
    uint64_t open = 0;
    for (struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;) {
        open += still_open(ledger->sim, truth);
        if (truth->message->seen)
            oracle_custody(ledger->sim, truth);
    }
    if (open != ledger->open)
        sim_fail(ledger->sim, "book: %llu deliveries are open, not %llu", (unsigned long long)open,
            (unsigned long long)ledger->open);
}

void ledger_check_end(struct ledger *ledger)
{
    size_t at = 0;
    uint32_t index = 0;
    if (ledger->open > 0)
        ledger_complain_open(ledger);
    for (struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;)
        oracle_end(ledger->sim, truth);
}

void ledger_count(const struct ledger *ledger, struct sim_counts *counts)
{
    size_t at = 0;
    uint32_t index = 0;
    counts->messages += ledger->count;
    for (const struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;) {
        counts->deliveries++;
        counts->accepted += truth->accepts > 0;
        counts->doubled += truth->accepts > 1 ? truth->accepts - 1 : 0;
        counts->bounced += truth->result == RESULT_BOUNCED;
        counts->expired += truth->result == RESULT_EXPIRED;
        size_t place = 0;
        int spool;
        for (const struct standing *here; (here = truth_next(ledger->sim, truth, &place, &spool)) != NULL;)
            counts->moves += here->state == CUSTODY_MOVED;
    }
}

/* It is held by that spool, or on its way to or from it; or its end there was told by nobody yet. */
static bool concerns(const struct sim *sim, const struct truth *truth, int own)
{
    size_t at = 0;
    int spool;
    for (const struct standing *standing; (standing = truth_next(sim, truth, &at, &spool)) != NULL;)
        if ((standing->state == CUSTODY_LEAVING && (spool == own || standing->peer == own)) ||
            (standing->state == CUSTODY_HELD && spool == own) ||
            (standing->state == CUSTODY_DONE && spool == own && truth->finals == 0))
            return true;
    return false;
}

bool ledger_spool_empty(const struct ledger *ledger, const struct member *member)
{
    size_t at = 0;
    uint32_t index = 0;
    if (member->disk->synced < member->disk->count)
        return false;
    for (const struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;)
        if (concerns(ledger->sim, truth, member->disk->spool))
            return false;
    return true;
}
