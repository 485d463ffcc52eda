/* dkim_reference - DKIM's canonical body the plain way: line by line into a buffer
 *
 * What proto/dkim_body.c does in pieces and in passing must come out the same. */
#ifndef TESTS_DKIM_REFERENCE_H
#define TESTS_DKIM_REFERENCE_H

#include <stddef.h>

#include "base/buffer.h"
#include "proto/dkim.h"

/* RFC 6376 section 3.4.3, 3.4.4, as they are written. `out` is emptied first. */
void dkim_reference_body(enum dkim_canon canon, const char *bytes, size_t len, struct buffer *out);

#endif
