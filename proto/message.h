/* message - walks a message's headers and completes them
 *
 * One pass over the header block of a CRLF-only message (RFC 5322 section 2, 3.6): which fields are there,
 * where, how often. Checks the shape that receivers insist on: at most one each of From, Sender, Reply-To,
 * To, Cc, Subject, Date, Message-ID; From with exactly one address (several addresses or none: refused); a
 * header block of at most MESSAGE_MAX_HEADER bytes and MESSAGE_MAX_FIELDS fields; field names as RFC 5322; no
 * 8-bit bytes in headers (they would need SMTPUTF8). Loop guard: more than 100 Received: lines.
 * Fields for us (INTERFACES: X-Todoku-Campaign, -Pool, -Priority, -Send-At; also X-Job = campaign,
 * X-Virtual-MTA = pool, where ours is not there) are read, and message_strip takes them out. Memory: values
 * are copied into fixed-size fields, cut never silently (too long = error). Errors: a sentence with the
 * field's name, for the 550 / 400.
 */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "proto/address.h"
#include "proto/mail.h"

#define MESSAGE_MAX_HEADER (256u << 10)
#define MESSAGE_MAX_FIELDS 1000

struct message_head {
    size_t header_len;       /* bytes up to and with the empty line (or the whole, if there is none) */
    char from[ADDRESS_SIZE]; /* the From: address, clean */
    bool has_date, has_message_id, has_to, has_mime;
    bool has_list_unsubscribe;
    size_t strip_count; /* fields that message_strip would take out */
    char campaign[128], pool[128];
    enum mail_priority priority;
    bool has_priority;
    usec_t send_at; /* 0 = none */
};

/* Walks the header of `bytes`; 0, or -1 with the sentence. Fields before `skip` (our own Received:) are not
 * checked. */
int message_walk(
    const char *bytes, size_t len, size_t skip, struct message_head *head_r, struct error *error);
/* The address of the header's From, clean; 0, or -1 if there is none that can be read. */
int message_from(const char *bytes, size_t len, char from_r[ADDRESS_SIZE]);
/* RFC 3339 ("2026-11-22T14:04:12+09:00", seconds and zone are needed) into microseconds; 0, or -1 with the
 * sentence. */
int message_time(const char *text, usec_t *when_r, struct error *error);
/* Takes the fields for us out of the message in place; returns the new length. */
size_t message_strip(char *bytes, size_t len);
/* Writes the missing Date: and Message-ID: lines (RFC 6409 section 8) for insertion at the front; "" if none
 * is missing. */
void message_complete(const struct message_head *head, const struct mail_id *id, const char *host, usec_t now,
    struct buffer *out);

#endif
