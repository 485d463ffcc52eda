/* compose - makes a message out of parts: what the HTTP API takes as JSON fields
 *
 * text and html become multipart/alternative (or one part if only one is there), UTF-8, quoted-printable (RFC
 * 2045); header values are encoded words (RFC 2047, at most 75 characters each, never cutting a UTF-8
 * sequence) and folded at 78; a CR, LF or zero in any value is refused (header injection), so is a field name
 * that is no RFC 5322 name or one that we make ourselves (From, To, Subject, MIME-Version, Content-*,
 * DKIM-Signature, Received, Return-Path, Bcc). Date and Message-ID are made when not given. Lines end in
 * CRLF. Errors: a sentence naming the field; `out` may then hold a part of the message. */
#ifndef PROTO_COMPOSE_H
#define PROTO_COMPOSE_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "proto/id.h"

struct compose_field {
    const char *name, *value; /* UTF-8 */
};

struct compose_parts {
    const char *from;      /* "a@b" or "Name <a@b>" */
    const char *const *to; /* header To; the first 100 only */
    size_t to_count;
    const char *subject, *text, *html; /* UTF-8; null = not there; at least one of text and html */
    const struct compose_field *fields;
    size_t field_count;
    struct mail_id id;
    const char *host; /* right side of the Message-ID */
};

int compose_message(const struct compose_parts *parts, usec_t now, struct buffer *out, struct error *error);
/* Turns bare LF line ends into CRLF where a message came as JSON text ("raw" and bodies); CRLF stays. Returns
 * -1 on a bare CR. */
int compose_crlf(const char *text, size_t len, struct buffer *out, struct error *error);

#endif
