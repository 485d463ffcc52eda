/* Any frame is either refused, or holds a message that encodes and decodes to itself again. The input: an
 * envelope, two octets of its length before it, and behind it the second frame, if anything is left. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "proto/bus_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What came in was sound, so it can be said again. */
static void again(const struct bus_envelope *envelope, const struct bus_msg *msg)
{
    struct buffer first = {0}, second = {0}, frame = {0};
    struct bus_envelope got;
    struct bus_msg *copy;
    struct error error;
    must(bus_payload_encode(msg, &first, &error) == 0);
    struct blob *body = bus_payload_body(msg);
    bus_envelope_encode(envelope, buffer_bytes(&first), buffer_len(&first), &frame);
    must(bus_envelope_decode(buffer_bytes(&frame), buffer_len(&frame), &got, &error) == BUS_WIRE_GOOD);
    must(bus_payload_decode(
             &got, body == NULL ? NULL : body->bytes, body == NULL ? 0 : body->len, &copy, &error) == 0);
    must(bus_payload_encode(copy, &second, &error) == 0);
    must(buffer_len(&first) == buffer_len(&second));
    must(memcmp(buffer_bytes(&first), buffer_bytes(&second), buffer_len(&first)) == 0);
    bus_envelope_clear(&got);
    bus_msg_free(&copy);
    blob_drop(&body);
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bus_envelope envelope;
    struct bus_msg *msg;
    struct error error;
    if (size < 2)
        return 0;
    size_t len = (size_t)data[0] << 8 | data[1];
    size_t rest = size - 2;
    len = len < rest ? len : rest;
    const void *body = rest > len ? data + 2 + len : NULL;
    if (bus_envelope_decode(data + 2, len, &envelope, &error) != BUS_WIRE_GOOD)
        return 0;
    if (envelope.type != 0 && bus_payload_decode(&envelope, body, rest - len, &msg, &error) == 0) {
        again(&envelope, msg);
        bus_msg_free(&msg);
    }
    bus_envelope_clear(&envelope);
    return 0;
}
