/* buffer - see buffer.h */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

void buffer_free(struct buffer *buffer)
{
    free(buffer->memory);
    *buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer)
{
    buffer->start = buffer->end = 0;
}

char *buffer_room(struct buffer *buffer, size_t len)
{
    must(len < ALLOC_MAX);
    if (buffer->size - buffer->end >= len && buffer->memory != NULL)
        return buffer->memory + buffer->end;
    size_t used = buffer_len(buffer);
    if (buffer->memory != NULL && buffer->start > 0 && used > 0)
        memmove(buffer->memory, buffer->memory + buffer->start, used);
    buffer->start = 0;
    buffer->end = used;
    if (buffer->size - used < len || buffer->memory == NULL) {
        size_t size = buffer->size < 64 ? 64 : buffer->size;
        while (size < used + len)
            size *= 2;
        buffer->memory = xrealloc(buffer->memory, size);
        buffer->size = size;
    }
    return buffer->memory + buffer->end;
}

void buffer_added(struct buffer *buffer, size_t len)
{
    must(len <= buffer->size - buffer->end);
    buffer->end += len;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    memcpy(buffer_room(buffer, len), bytes, len);
    buffer->end += len;
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    must(need >= 0);
    vsnprintf(buffer_room(buffer, (size_t)need + 1), (size_t)need + 1, format, again);
    va_end(again);
    buffer->end += (size_t)need;
}

void buffer_eat(struct buffer *buffer, size_t len)
{
    must(len <= buffer_len(buffer));
    buffer->start += len;
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
}

const char *buffer_text(struct buffer *buffer)
{
    *buffer_room(buffer, 1) = '\0';
    return buffer->memory + buffer->start;
}

char *buffer_steal(struct buffer *buffer, size_t *len_r)
{
    size_t len = buffer_len(buffer);
    buffer_text(buffer);
    if (buffer->start > 0)
        memmove(buffer->memory, buffer->memory + buffer->start, len + 1);
    char *memory = buffer->memory;
    *buffer = (struct buffer){0};
    if (len_r != NULL)
        *len_r = len;
    return memory;
}
