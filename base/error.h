/* error - one sentence about what went wrong
 *
 * Functions that can fail return -1 (or null) and write what happened, where, and what to do about it into
 * the caller's `struct error`. A null error pointer is allowed: the sentence is then dropped.
 *
 * Memory: a plain value of fixed size; longer sentences are cut. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

struct error {
    char text[512];
};

/* Writes the sentence; always returns -1, so that a caller can `return error_set(...)`. */
int error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts `format` and ": " before the sentence that is there; returns -1 too. */
int error_prefix(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
