/* buffer - bytes that grow at the end and are eaten at the front
 *
 * `struct buffer b = {0};` is a valid empty one. buffer_free() leaves it empty and usable again.
 * Limits are the caller's business: check buffer_len() before feeding bytes of strangers into it. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>

struct buffer {
    char *memory;
    size_t start; /* first byte in use */
    size_t end;   /* one past the last byte in use */
    size_t size;
};

void buffer_free(struct buffer *buffer);
void buffer_clear(struct buffer *buffer);
/* Room for `len` more bytes at the end; returns where to write them (then call buffer_added). */
char *buffer_room(struct buffer *buffer, size_t len);
void buffer_added(struct buffer *buffer, size_t len);
void buffer_add(struct buffer *buffer, const void *bytes, size_t len);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops `len` bytes from the front. */
void buffer_eat(struct buffer *buffer, size_t len);
/* The content as a zero-terminated text; valid until the next change. */
const char *buffer_text(struct buffer *buffer);
/* Hands the content over as one heap block of exactly buffer_len bytes (+ a zero behind); buffer is empty
 * after. */
char *buffer_steal(struct buffer *buffer, size_t *len_r);

static inline size_t buffer_len(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline char *buffer_bytes(const struct buffer *buffer)
{
    return buffer->memory == NULL ? (char *)"" : buffer->memory + buffer->start;
}

#endif
