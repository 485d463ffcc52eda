/* bus_wire - messages of the bus as bytes between machines
 *
 * Two frames: the envelope (protobuf, proto/bus.proto), and behind it the message's body if it has one, which
 * is never copied into protobuf; a long text without a body travels there too. The envelope says who speaks
 * (cluster, member, process, wire version), where its stream to this peer is (cluster/bus_link.h), gives
 * credit for the other direction, and carries the packed message.
 *
 * To send: bus_payload_encode() when the message is queued, bus_envelope_encode() when it goes. To receive:
 * bus_envelope_decode(), compare cluster and sender with what is known of the connection, then
 * bus_payload_decode(). Two steps, so that nothing of a stranger's message is unpacked.
 *
 * Foreign bytes: sizes are checked before unpacking, which has a budget of memory; then every text, count,
 * range and time, so that what comes out may be handed to custody, route and asking as it is. A message that
 * breaks a rule is an error with a sentence, never half a message. */
#ifndef PROTO_BUS_WIRE_H
#define PROTO_BUS_WIRE_H

#include "base/buffer.h"
#include "base/error.h"
#include "proto/bus_msg.h"
#include "proto/wire.h"

#define BUS_MAX_FRAME ((size_t)4 << 20)  /* an envelope */
#define BUS_MAX_BODY ((size_t)128 << 20) /* a body, or a text in its place */
#define BUS_MAX_TEXT ((size_t)64 << 10)  /* a text beside a body */

struct bus_envelope {
    char cluster[BUS_NAME_SIZE], from[BUS_NAME_SIZE], to[BUS_NAME_SIZE];
    uint32_t wire; /* the version it is written in */
    uint64_t process;
    uint64_t stream, sequence, offset;
    enum bus_type type; /* 0: no message in it; decoded: maybe one that this program does not know */
    bool well, asks, leaves;
    uint64_t credit_stream, credit_seen, credit_limit, credit_window;
    /* What was decoded; valid until bus_envelope_clear. */
    const void *payload;
    size_t payload_len;
    void *memory;
};

/* What goes as the second frame: the body, else a text too long for the first; null = nothing. Held once more
 * for the caller. */
struct blob *bus_payload_body(const struct bus_msg *msg);
/* Appends the packed message. -1: too large to be sent, with the sentence; then nothing was appended. */
int bus_payload_encode(const struct bus_msg *msg, struct buffer *out, struct error *error);
/* Appends the envelope; `payload` is null when type is 0. */
void bus_envelope_encode(
    const struct bus_envelope *envelope, const void *payload, size_t len, struct buffer *out);

enum bus_wire_result {
    BUS_WIRE_GOOD = 0,
    BUS_WIRE_BAD = -1,
    BUS_WIRE_OTHER = -2, /* of a version that is not ours; cluster, from and process are set */
};
/* Unless GOOD there is nothing to clear, and `error` has the sentence. */
enum bus_wire_result bus_envelope_decode(
    const void *bytes, size_t len, struct bus_envelope *envelope_r, struct error *error);
void bus_envelope_clear(struct bus_envelope *envelope);
/* The message in an envelope with a type that this program knows. `body`: the second frame, copied once; null = there was none.
 * 0, or -1 with the sentence. */
int bus_payload_decode(const struct bus_envelope *envelope, const void *body, size_t body_len,
    struct bus_msg **msg_r, struct error *error);

#endif
