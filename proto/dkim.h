/* dkim - what a DKIM signature covers, and the header field that carries it (RFC 6376, 8301, 8463)
 *
 * Canonicalization, the choice of header fields, and the text of DKIM-Signature. Knows no cryptography: the
 * digest comes in as a face, the signature as bytes.
 *
 * How to use: the body's hash is taken once, where the message comes in (dkim_body_*: any number of pieces),
 * and stored with the message. To sign: dkim_prepare() writes the field up to "b=" and tells the digest of
 * what is to be signed (rsa-sha256 signs that digest as PKCS #1 v1.5; ed25519-sha256 signs those 32 octets,
 * RFC 8463 section 3); dkim_finish() adds the signature, folded. A message may get several fields; each is
 * made from the message without the others.
 *
 * Pure. Memory: buffers of the caller's. Errors: a sentence. */
#ifndef PROTO_DKIM_H
#define PROTO_DKIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"

#define DKIM_HASH_SIZE 32

enum dkim_canon { DKIM_RELAXED, DKIM_SIMPLE };
enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256 };

/* SHA-256, piece by piece. */
struct dkim_digest {
    void *(*begin)(void);
    void (*add)(void *digest, const void *bytes, size_t len);
    void (*end)(void *digest, uint8_t out[DKIM_HASH_SIZE]); /* and frees it */
};

#define DKIM_KEPT 512

/* A body on its way through the canonicalization (RFC 6376 section 3.4.3, 3.4.4) into a digest. Lines end in
 * CRLF; a CR or LF alone is a character like others. The last line's CRLF may be missing: it is added, as SMTP
 * adds it. Its fields are dkim_body.c's own, but for `bytes`. */
struct dkim_body {
    const struct dkim_digest *face;
    void *digest;
    enum dkim_canon canon;
    uint64_t bytes;       /* of canonical body so far */
    uint64_t line_ends;   /* held back: they count only if something follows */
    bool cr;              /* held back: an LF may follow */
    bool space, space_cr; /* relaxed: within white space; a CR behind it is held back */
    size_t kept_len;      /* collected for the digest, so that short runs cost no call each */
    char kept[DKIM_KEPT];
};

void dkim_body_begin(struct dkim_body *body, const struct dkim_digest *face, enum dkim_canon canon);
void dkim_body_add(struct dkim_body *body, const char *bytes, size_t len);
void dkim_body_end(struct dkim_body *body, uint8_t hash[DKIM_HASH_SIZE]);
/* The same for a message that lies in memory: of all behind its first empty line. */
void dkim_body_hash(const struct dkim_digest *face, enum dkim_canon canon, const char *message, size_t len,
    uint8_t hash[DKIM_HASH_SIZE]);

struct dkim_wish {
    const char *domain, *selector; /* lower-case A-labels, at most 253 octets each */
    enum dkim_algorithm algorithm;
    enum dkim_canon header, body;
    const uint8_t *body_hash; /* under `body` */
    usec_t now;               /* t= */
    usec_t lifetime;          /* x= t + this; 0 = without x= */
};

/* Signs From (RFC 6376 section 5.4) and whatever of the advised fields is there (5.4.1, RFC 8058 section 4:
 * List-Unsubscribe and List-Unsubscribe-Post too), each as often as it occurs, the last one first (5.4.2).
 * Those that must occur at most once are named one time more ("over-signing", section 8.15), so that no second
 * one can be added; those that a reader sees or that change what he sees (From, Reply-To, To, Cc, Subject,
 * Date, Message-ID, and MIME's) are named so even where the message has none. `message` begins with its
 * header; more than that need not be there. DKIM-Signature fields that are there already are not signed.
 * *field is emptied first. 0, or -1: no From, a line that is no field, more than DKIM_MAX_SIGNED fields. */
#define DKIM_MAX_SIGNED 1008 /* what intake lets in, and what is added to it: Date, Message-ID, MIME's */
int dkim_prepare(const struct dkim_wish *wish, const struct dkim_digest *face, const char *message,
    size_t len, struct buffer *field, uint8_t to_sign[DKIM_HASH_SIZE], struct error *error);
/* Adds b= and the line's end: "DKIM-Signature: ...\r\n", folded at 78 columns (only a domain or a selector may
 * make a longer line: they have no place to fold). */
void dkim_finish(struct buffer *field, const uint8_t *signature, size_t len);

#endif
