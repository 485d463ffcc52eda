/* bus_msg - what coordinators and nodes say to each other
 *
 * One struct for every message of the bus. In one process it is handed over as it is (mail and body held, not
 * copied); between machines a door encodes it. Verbs:
 *
 *   INJECT         coordinator -> spool: take custody of `mail` + `body`. Idempotent by id; taken only by the
 *                  incarnation it is addressed to
 *   INJECT_ANSWER  `verdict`
 *   MOVE           spool -> spool: take `items` (index, hop, attempts, due) of `mail` + `body`. Asked again
 *                  until answered
 *   MOVE_BRIEF     the same, of a body whose text (what stands behind the header) the spool should have: `body` is the
 *                  head only, `text_check` and `text_hash` name the text, and mail->body_len is the whole's
 *   MOVE_WHOLE     spool -> spool: it has that text no more: the MOVE of `items` is to come with its body
 *   MOVE_ANSWER    per item: verdict TAKEN or REFUSED at that hop
 *   SETTLED_ASK    spool -> spool: is your side of the moves `items` (index, hop) of message `id` settled
 *                  (durable)?
 *   SETTLED        those that are
 *   ASK, ANSWER    operators' questions (`text`: "lanes?pool=a"; JSON lines back)
 *   COPY, COPIED   primary of a spool -> holder of its copy, and back: `body` as proto/copy_wire.h says
 *
 * `ref` is the asker's number, repeated in the answer.
 *
 * Memory: owns a hold on mail and body, the items and the text; bus_msg_free() ends it. */
#ifndef PROTO_BUS_MSG_H
#define PROTO_BUS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "proto/mail.h"

#define BUS_NAME_SIZE 64

enum bus_type {
    BUS_INJECT = 1,
    BUS_INJECT_ANSWER,
    BUS_MOVE,
    BUS_MOVE_ANSWER,
    BUS_SETTLED_ASK,
    BUS_SETTLED,
    BUS_ASK,
    BUS_ANSWER,
    BUS_COPY,
    BUS_COPIED,
    BUS_MOVE_BRIEF,
    BUS_MOVE_WHOLE,
#ifdef TODOKU_NEXT
    BUS_NEXT, /* node -> node: nothing; see proto/wire.h */
#endif
};

enum bus_verdict {
    BUS_TAKEN = 1, /* durable: custody is ours */
    BUS_REPEATED,  /* we had it already, same body */
    BUS_CONFLICT,  /* we had it already with another body */
    BUS_FULL,      /* refused: no room; this incarnation will never take it */
    BUS_REFUSED,   /* refused: `text` says why; this incarnation will never take it */
    BUS_GONE, /* MOVE_ANSWER: that spool, which was taken over, is lost; counts only for what came from there */
};

struct bus_item {
    uint32_t index, hop, attempts;
    enum bus_verdict verdict;
    usec_t due;
};

struct bus_msg {
    enum bus_type type;
    enum bus_verdict verdict;
    char from[BUS_NAME_SIZE], to[BUS_NAME_SIZE]; /* members */
    uint64_t to_incarnation;                     /* INJECT; 0 = any */
    usec_t at;                                   /* MOVE: when it was sent */
    uint64_t ref;
    char spool[BUS_NAME_SIZE], from_spool[BUS_NAME_SIZE]; /* spool addressed; MOVE, SETTLED: the asking one */
    struct mail_id id;
    struct mail *mail;
    struct blob *body;
    struct bus_item *items;
    uint32_t item_count;
    uint64_t text_check;   /* MOVE_BRIEF: its hash64(its length), by which it is found */
    uint8_t text_hash[32]; /* and its SHA-256, by which it is known */
    uint8_t pressure;      /* INJECT_ANSWER: 0 .. 100, how near the node is to what it can take */
    bool complete;         /* ANSWER */
    int code;              /* ANSWER: as in HTTP */
    char *text;
    size_t text_len;
};

/* Zeroed but for type and addresses. */
struct bus_msg *bus_msg_new(enum bus_type type, const char *from, const char *to);
/* An answer to `asked`: addresses turned round; ref, id, spool names and the incarnation asked repeated. */
struct bus_msg *bus_msg_answer(const struct bus_msg *asked, enum bus_type type);
struct bus_msg *bus_msg_copy(const struct bus_msg *msg);
void bus_msg_free(struct bus_msg **msg);
void bus_msg_set_text(struct bus_msg *msg, const char *text, size_t len);
/* A newer program may send others in a version of the wire that we speak: such a message is dropped and counted, and
 * its sender stays a peer like any other. */
bool bus_type_known(enum bus_type type);
const char *bus_type_name(enum bus_type type); /* "?": not known */
static inline bool bus_is_move(const struct bus_msg *msg)
{
    return msg->type == BUS_MOVE || msg->type == BUS_MOVE_BRIEF;
}
/* It is about a move of the spool `from_spool`. */
static inline bool bus_answers_move(const struct bus_msg *msg)
{
    return msg->type == BUS_MOVE_ANSWER || msg->type == BUS_MOVE_WHOLE;
}

#endif
