/* reply - reads what an SMTP server says
 *
 * Feed bytes as they come; complete replies come out one by one. RFC 5321 section 4.2: multi-line replies
 * repeat the code; a reply whose lines disagree, a line without three digits first, a code outside 200-599 or
 * a bare line feed gone wild is a protocol error (a bare LF at a line's end is taken: many old servers send
 * it). Enhanced codes (RFC 3463) count only at the head of the first line and only if their class fits the
 * code or is 2, 4 or 5. Bounds: a line up to REPLY_MAX_LINE (longer ones are cut, not refused), a reply up to
 * REPLY_MAX_LINES lines and REPLY_TEXT_SIZE kept bytes of text (lines joined by '\n', codes taken off,
 * control bytes and what is no UTF-8 replaced by '?', tabs by spaces); more than REPLY_MAX_BYTES in one reply
 * is a protocol error. What the reply *means* is not decided here: node/verdict does. */
#ifndef PROTO_REPLY_H
#define PROTO_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_TEXT_SIZE 1024
#define REPLY_MAX_LINE 2048
#define REPLY_MAX_LINES 128
#define REPLY_MAX_BYTES 65536

struct reply {
    int code;          /* 200-599; 0 = no reply (local event, said by the text) */
    char enhanced[12]; /* "5.7.26" or "" */
    char text[REPLY_TEXT_SIZE];
};

struct reply_reader {
    struct reply reply;
    char line[REPLY_MAX_LINE];
    size_t line_len, text_len, bytes, lines;
    bool cut;   /* the line was longer than `line` */
    bool whole; /* `line` is a whole line, without its end, until the next byte is read */
    bool ended; /* the reply is over; the next byte begins another */
};

enum reply_status { REPLY_MORE, REPLY_READY, REPLY_BAD };

void reply_reader_init(struct reply_reader *reader);
/* Reads from `bytes` up to the end of one reply; *used_r says how many bytes were taken. READY: reader->reply
 * is it (valid until the next call). BAD: reader->reply.text says why; the session can't go on. */
enum reply_status reply_read(struct reply_reader *reader, const char *bytes, size_t len, size_t *used_r);
/* Makes a reply of our own: code 0 and a text (printf). */
void reply_local(struct reply *reply, const char *enhanced, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
