/* smtp_ehlo - what a server says it can do
 *
 * `struct smtp_ehlo ehlo = {0};` knows nothing: a server that was greeted by HELO. Give it the lines behind
 * the first of the reply to EHLO, one by one (RFC 5321 4.1.1.1). Unknown keywords are passed over; a
 * keyword's case doesn't matter; a parameter that is no number counts as not given.
 *
 * Memory: a plain value. Errors: none, a line that makes no sense says nothing. */
#ifndef PROTO_SMTP_EHLO_H
#define PROTO_SMTP_EHLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smtp_ehlo {
    bool pipelining;             /* RFC 2920 */
    bool eight_bit;              /* RFC 6152 */
    bool starttls;               /* RFC 3207 */
    bool size;                   /* RFC 1870: SIZE= may be said */
    uint64_t max_size;           /* 0 = not told */
    uint64_t mail_max, rcpt_max; /* RFC 9422, 0 = not told */
};

/* `line` without its code and end: "SIZE 35882577". */
void smtp_ehlo_line(struct smtp_ehlo *ehlo, const char *line, size_t len);

#endif
