/* downgrade_inside - what the files of proto/downgrade share: spans of the message, what a header says about
 * its body, and the encodings */
#ifndef PROTO_DOWNGRADE_INSIDE_H
#define PROTO_DOWNGRADE_INSIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

/* A piece of the message; borrowed. */
struct span {
    const char *at;
    size_t len;
};

/* --- downgrade_mime.c: what a header says about its body --- */

enum part_kind {
    PART_TEXT,
    PART_OTHER,     /* any octets: images, applications, what we don't know */
    PART_MULTIPART, /* with a boundary that can be used */
    PART_MESSAGE,   /* message/rfc822: a message inside */
    PART_SIGNED,    /* multipart/signed: a change would break the signature */
    PART_SEALED     /* must not be encoded, and there's no way in */
};

enum part_encoding {
    ENCODING_NONE,  /* none is said, or 7bit */
    ENCODING_EIGHT, /* 8bit or binary */
    ENCODING_CODED, /* base64 or quoted-printable */
    ENCODING_UNKNOWN
};

#define BOUNDARY_SIZE 256 /* RFC 2046 section 5.1.1 has 70; longer ones are seen */

struct part_head {
    size_t len; /* of the fields, without the empty line */
    enum part_kind kind;
    enum part_encoding encoding;
    bool has_type, has_encoding, has_version;
    bool is_digest; /* its parts are messages when they don't say what they are */
    char boundary[BOUNDARY_SIZE];
};

/* Reads the fields at the front of `part`. `is_message`: what it is when no Content-Type is there (RFC 2046
 * section 5.1.5). 0, or -1 with the reason why the header cannot be relied on. */
int part_head_read(struct span part, bool is_message, struct part_head *head_r, struct error *error);

/* --- downgrade_encode.c: lines and encodings --- */

#define LINE_MAX_OCTETS 998 /* RFC 5322 section 2.1.1, without the CRLF */

/* Takes the next line off the front of `rest`, with its CRLF if it has one; false at the end. */
bool span_line(struct span *rest, struct span *line_r);
bool span_has_high(struct span span); /* octets above 127 */
/* Whether it's 7bit data as RFC 2045 section 2.7 has it; the reason why not may be null. */
int span_check(struct span span, struct error *error);
/* Whether base64 reads no worse than quoted-printable. */
bool encode_prefers_base64(struct span body);
/* Both leave out the last CRLF if the body doesn't end in one. No line of theirs begins with "--", so that
 * none becomes a boundary. */
void encode_quoted(struct span body, struct buffer *out);
void encode_base64(struct span body, struct buffer *out);

#endif
