/* pb - what every codec over protobuf-c needs: views of bytes to pack, memory with a limit to unpack
 *
 * Packing: a view points to what the caller has; nothing is copied. Unpacking: a few bytes of protobuf can ask for
 * many of memory, so whoever unpacks foreign bytes passes pb_allocator() with a budget; a null message then means
 * "broken, or too greedy". For proto/ only: what crosses its headers is plain C. */
#ifndef PROTO_PB_H
#define PROTO_PB_H

#include <protobuf-c/protobuf-c.h>
#include <string.h>

/* Gives what unpacking asks for until `*budget` bytes are used up, then null. Also what frees the message; the
 * budget may be 0 for that. */
ProtobufCAllocator pb_allocator(size_t *budget);

/* protobuf-c only reads what is packed. */
static inline ProtobufCBinaryData pb_view(const void *bytes, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)bytes};
}

/* Null is as "". */
static inline ProtobufCBinaryData pb_view_text(const char *text)
{
    return pb_view(text, text == NULL ? 0 : strlen(text));
}

#endif
