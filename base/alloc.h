/* alloc - memory that is there, or the process is not
 *
 * A sender that cannot get memory for a pointer cannot do anything useful with the mail it holds: it ends
 * at once, loudly, and the spool brings everything back at the next start. So nothing here returns null.
 * Sizes that come from outside are bounded before they get here; a request above ALLOC_MAX is a bug.
 *
 * Memory: what is returned is the caller's, to be given to free(). */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

#define ALLOC_MAX ((size_t)1 << 36)

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *memory, size_t size);
/* A copy of `text`; of at most `len` bytes of it, terminated; of `len` raw bytes. */
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t len);
void *xmemdup(const void *bytes, size_t len);

#endif
