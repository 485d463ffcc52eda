/* alloc - see alloc.h */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/panic.h"

static void *checked(void *memory, size_t size)
{
    if (memory == NULL)
        panic("out of memory (%zu bytes asked for)", size);
    return memory;
}

void *xmalloc(size_t size)
{
    if (size > ALLOC_MAX)
        panic("an allocation of %zu bytes was asked for", size);
    return checked(malloc(size > 0 ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
    if (size > 0 && count > ALLOC_MAX / size)
        panic("an allocation of %zu times %zu bytes was asked for", count, size);
    return checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1), count * size);
}

void *xrealloc(void *memory, size_t size)
{
    if (size > ALLOC_MAX)
        panic("an allocation of %zu bytes was asked for", size);
    return checked(realloc(memory, size > 0 ? size : 1), size);
}

char *xstrdup(const char *text)
{
    return xmemdup(text, strlen(text) + 1);
}

char *xstrndup(const char *text, size_t len)
{
    size_t used = strnlen(text, len);
    char *copy = xmalloc(used + 1);
    memcpy(copy, text, used);
    copy[used] = '\0';
    return copy;
}

void *xmemdup(const void *bytes, size_t len)
{
    void *copy = xmalloc(len);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}
