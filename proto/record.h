/* record - what a spool's log says, one fact a record
 *
 * A HOLD starts the life of a message in this spool (or restates all of it, when the log is tidied); the
 * others add to it. The last word counts when a log is read from its start. The body is not in the record: it
 * follows it in the log.
 *
 * - HOLD: mail, and one item a delivery held here (index, hop, state, attempts, due, ...)
 * - INTENT: these are about to move to the spool `peer` at `hop` (durable before the MOVE leaves)
 * - MOVED: these were taken by `peer` at `hop`: no longer ours
 * - REFUSED: a MOVE of these at `hop` was refused by us (durable before the refusal is sent)
 * - RETRY: tried, will be tried again at `due`
 * - DONE: these ended: result, code, and the event in `detail`
 * - ATTEMPT: the process `attempt` may send these (durable before a message's end leaves), or, 0, nobody may any more;
 *   written only where another disk may take over
 *
 * Encoded as protobuf (proto/record.proto). Unknown fields are skipped. A record says the version that a reader must
 * know to understand it, so that what is said as before is read by older programs too, and whether one who does not
 * know that version may pass it over: then nothing of it may be needed to know how a delivery stands, and it is
 * never a base frame. Only such records may be written before the whole cluster speaks a wire version that knows
 * them (proto/wire.h); all others end the way back to the program before. Bounds: RECORD_MAX_BYTES of encoded record, MAIL_MAX_RECIPIENTS items, all checked
 * before and after unpacking. Memory: a decoded record owns its mail (a hold on it), items and texts; give it
 * to record_clear(). */
#ifndef PROTO_RECORD_H
#define PROTO_RECORD_H

#include "base/buffer.h"
#include "base/error.h"
#include "proto/mail.h"

#define RECORD_MAX_BYTES (4u << 20)
#ifndef TODOKU_NEXT
#define RECORD_VERSION 2 /* the newest that this program understands */
#else
#define RECORD_VERSION 3
#endif

enum record_kind {
    RECORD_HOLD = 1,
    RECORD_INTENT,
    RECORD_MOVED,
    RECORD_REFUSED,
    RECORD_RETRY,
    RECORD_DONE,
    RECORD_ATTEMPT, /* from version 2 on, as is any other with an attempt in it */
#ifdef TODOKU_NEXT
    RECORD_NEXT, /* says nothing, and may be passed over; see proto/wire.h */
#endif
};

/* How a delivery stands in this spool. */
enum custody_state {
    CUSTODY_NONE,    /* not in this spool */
    CUSTODY_HELD,    /* ours to deliver */
    CUSTODY_LEAVING, /* held, with an open INTENT(move) */
    CUSTODY_MOVED,
    CUSTODY_REFUSED,
    CUSTODY_DONE,
};

/* How a delivery ended. */
enum delivery_result {
    RESULT_NONE,
    RESULT_DELIVERED,
    RESULT_BOUNCED,
    RESULT_EXPIRED,
    RESULT_SUPPRESSED,
    RESULT_CANCELLED,
};

struct record_item {
    uint32_t index; /* of the recipient in the mail's envelope */
    uint32_t hop;
    enum custody_state state;
    enum delivery_result result;
    uint32_t attempts;
    uint32_t code; /* of the reply, 0 if none */
    usec_t due;    /* RETRY, HOLD: not before; DONE: when it ended */
    char *peer;    /* the other spool's id: where it moves or moved to (INTENT, MOVED, REFUSED: who asked), or
                      came from (HOLD); null = none */
    uint64_t attempt; /* the process that may send it, 0 if none may: in doubt once that process is gone */
};

struct spool_record {
    enum record_kind kind;
    struct mail_id id;
    struct mail *mail; /* HOLD only */
    usec_t at;         /* when this was written */
    uint32_t item_count;
    struct record_item *items;
    char *detail; /* DONE, RETRY: the event as JSON text, so that it can be told again after a crash; else
                     null */
};

/* Appends the encoded record to `out`. */
void record_encode(const struct spool_record *record, struct buffer *out);

enum record_result {
    RECORD_GOOD = 0,
    RECORD_BAD = -1,     /* no record, or one that breaks a rule */
    RECORD_NEWER = -2,   /* who does not know what it says must not go on as if it were not there */
    RECORD_SKIPPED = -3, /* of a newer program too, and may be passed over */
};
/* Unless GOOD there is nothing to clear, and `error` has the reason. */
enum record_result record_decode(
    const void *bytes, size_t len, struct spool_record *record_r, struct error *error);
void record_clear(struct spool_record *record);

const char *result_name(enum delivery_result result); /* "delivered", ... */
const char *custody_state_name(enum custody_state state);

#endif
