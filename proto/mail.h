/* mail - one accepted message: its envelope and what its tenant said about it
 *
 * Made by the intake, then constant; everybody who needs it holds it (coordinator, bus, spool, queues). The
 * body is not in here: it is a blob of its own, since a node lets go of bodies it can read back from its
 * spool. Texts are never null ("" where nothing was said). Domains in addresses are lower-case A-labels;
 * local parts are kept byte for byte. A null reverse-path is "".
 *
 * Threads: mail_hold and mail_drop from any thread. */
#ifndef PROTO_MAIL_H
#define PROTO_MAIL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "proto/id.h"

#define MAIL_MAX_RECIPIENTS 10000
#define MAIL_MAX_TAGS 10

enum mail_priority { MAIL_TRANSACTIONAL, MAIL_NORMAL, MAIL_BULK };
enum mail_dsn { MAIL_DSN_NONE, MAIL_DSN_FAILURE };

struct mail_tag {
    char *name, *value;
};

struct mail {
    atomic_uint holders;
    struct mail_id id;
    bool keyed;     /* the id comes from an idempotency key: finals are kept 24 h */
    bool eight_bit; /* the body holds octets above 127 */
    enum mail_priority priority;
    enum mail_dsn dsn;
    usec_t created; /* accepted at */
    usec_t send_at; /* not before; 0 = at once */
    usec_t expires; /* created + max_age */
    char *tenant, *campaign, *pool;
    char *from; /* reverse-path without <> */
    uint32_t recipient_count;
    char **recipients; /* without <> */
    uint32_t tag_count;
    struct mail_tag tags[MAIL_MAX_TAGS];
    uint64_t body_len;
    uint8_t digest[32]; /* SHA-256 of the body as handed in: tells a repeated idempotent message from another
                           one */
    /* What DKIM's bh= says of the message as it is stored (RFC 6376 section 3.7), taken once, where it came
     * in. Without one nobody was going to sign it then, or an older version took it. */
    bool has_body_hash, body_hash_simple; /* simple: under simple canonicalization, else relaxed */
    uint8_t body_hash[32];
};

/* An empty mail, held once, every text ""; fill it before anybody else sees it. Texts are heap blocks it
 * owns. */
struct mail *mail_new(void);
struct mail *mail_hold(struct mail *mail);
void mail_drop(struct mail **mail);
/* Replaces a text field: mail_set(&mail->from, "a@b"). */
void mail_set(char **field, const char *text);
void mail_add_recipient(struct mail *mail, const char *address);
/* The domain of an address, or "" if it has none; points into `address`. */
const char *mail_domain(const char *address);
/* How long the head of a body is: what its text begins behind. 0: all of it is text. */
size_t mail_head_len(const char *body, size_t len);

#endif
