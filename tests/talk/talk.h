/* talk - plays scripted SMTP dialogues against the cores in proto/
 *
 * A script is a text file, README.md here says what may stand in it. It is read once (talk_script.c) and
 * played by the side it names (talk_client.c, talk_server.c), once with the bytes of each packet together and
 * once trickling, a byte at a time in both directions.
 *
 * Errors: what doesn't go as written is printed as "file:line: ..." and the play ends with false. */
#ifndef TESTS_TALK_H
#define TESTS_TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/clock.h"

struct talk_line {
    int number;
    char *word; /* "S:", "RESULT": up to the first space */
    char *rest; /* behind that space, or "" */
};

struct talk_script {
    char *path;
    bool server; /* the script tests proto/smtp_server */
    struct talk_line *lines;
    size_t count;
};

/* 0, or -1 with the reason printed. */
int talk_script_read(struct talk_script *script, const char *path);
void talk_script_free(struct talk_script *script);

/* Prints "file:line: ..."; returns false. */
bool talk_wrong(const struct talk_script *script, const struct talk_line *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Is it one of "X:", "X!", "X*N"? */
bool talk_is_bytes(const struct talk_line *line, char side);
/* The bytes such a line stands for: with CRLF, or escapes resolved, or repeated. False if it makes no sense.
 */
bool talk_bytes(const struct talk_line *line, struct buffer *out);
/* \r \n \t \\ \" \xNN */
bool talk_unescape(const char *text, size_t len, struct buffer *out);
/* "250ms", "30s", "5m", "1h"; -1 if it is none. */
usec_t talk_duration(const char *text);
/* Bytes as printable text, cut to a sane length; `out` takes 400 bytes. Returns `out`. */
char *talk_show(const char *bytes, size_t len, char out[400]);
/* Cuts the next word off *at (spaces between words; a part in "quotes" may hold spaces). Heap, or null. */
char *talk_word(const char **at);
/* The value of the `key=` word in a list of words (heap), or null. */
char *talk_value(const char *words, const char *key);

/* A body by its name (plain, dots, big:5000...) or as it stands between quotes. False if there is no such. */
bool talk_body(const char *value, struct buffer *out);
/* The message as it must be sent (RFC 5321 4.5.2), a byte at a time as the book says it. */
void talk_stuff(const struct buffer *message, struct buffer *out);

bool talk_client(const struct talk_script *script, bool trickle);
bool talk_server(const struct talk_script *script, bool trickle);

#endif
