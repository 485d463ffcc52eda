/* dsn - the message that tells a sender what could not be delivered (RFC 3461-3464)
 *
 * multipart/report with a text a person understands, a message/delivery-status part and the headers of the
 * original (text/rfc822-headers). From <> (never answered by another DSN), To the reverse-path; nothing is
 * made for a null reverse-path. */
#ifndef PROTO_DSN_H
#define PROTO_DSN_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "proto/mail.h"

struct dsn_recipient {
    const char *address;
    const char *status;     /* "5.1.1" */
    const char *diagnostic; /* the reply as "550 5.1.1 no such user", or a local sentence */
    const char *remote;     /* MX host name, or "" */
};

/* Writes the report about `mail`'s failed recipients; `original` are the first bytes of the original (its
 * header is taken, at most 64 KiB). */
void dsn_make(const struct mail *mail, const struct dsn_recipient *recipients, size_t count,
    const char *original, size_t original_len, const char *host, const struct mail_id *id, usec_t now,
    struct buffer *out);

#endif
