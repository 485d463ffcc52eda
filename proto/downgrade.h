/* downgrade - an 8-bit message as a 7-bit one, for a receiver that doesn't offer 8BITMIME (RFC 6152 section
 * 3)
 *
 * Give it a complete message with CRLF line ends; it appends an equivalent one to `out`: no octet above 127,
 * no zero, no line longer than 998 octets (RFC 5322 section 2.1.1), and every part decodes to exactly the
 * octets it had. Do it before signing with DKIM: the copy has a body hash of its own.
 *
 * Only parts that need it are encoded: text as quoted-printable, or as base64 when more than a third of it
 * would be escaped; other parts as base64 (RFC 2045 section 6). Parts of a multipart and attached messages
 * (message/rfc822) are converted one by one; where such a container or a clean part was called 8bit or
 * binary, it is called 7bit. Text of an unknown charset says so (unknown-8bit, RFC 1428). In the
 * preamble and epilogue of a multipart, which nobody is shown, octets above 127 become "?". What needs no
 * change is copied as it is, also when it is malformed.
 *
 * Memory: the result is at most four times the message and 64 KiB; nothing else is allocated. Time: linear,
 * once for each level of parts. Errors: a message that has no 7-bit form: 8-bit octets in a header, in a part
 * that is already encoded, in a signed multipart (RFC 1847 section 2.1), in a message type that must not be
 * encoded, or in a part with an unreadable header; also parts that are nested too deeply, lines that are too
 * long where no encoding helps, and bare CR or LF. */
#ifndef PROTO_DOWNGRADE_H
#define PROTO_DOWNGRADE_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

#define DOWNGRADE_MAX_DEPTH 20      /* parts within parts */
#define DOWNGRADE_SLACK (64u << 10) /* the result is at most four times the message, and this */

/* Appends the 7-bit form of the `len` octets at `bytes` to `out`, which must not be where `bytes` are. 0, or
 * -1 with a sentence that names the part ("part 2: part 1: ..."); `out` may then hold a piece of the result.
 * A message that is 7-bit already comes out as it is, but for 8bit labels that aren't true. */
int downgrade_message(const char *bytes, size_t len, struct buffer *out, struct error *error);

#endif
