/* Whatever etcd (or who stands in its place) answers: each decoder refuses it or hands out pairs that lie
 * within it. The first octet chooses the decoder. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "proto/etcd_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *arg, const struct etcd_pair *pair)
{
    size_t *octets = arg;
    const unsigned char *key = pair->key.bytes, *value = pair->value.bytes;
    unsigned sum = 0;
    for (size_t i = 0; i < pair->key.len; i++)
        sum += key[i];
    for (size_t i = 0; i < pair->value.len; i++)
        sum += value[i];
    *octets += pair->key.len + pair->value.len + (sum == 1);
}

static void decode(unsigned which, const uint8_t *bytes, size_t len)
{
    struct etcd_header header;
    struct etcd_watch_reply reply;
    struct etcd_status status;
    struct buffer token = {0};
    struct error why;
    bool flag;
    uint64_t lease, seconds;
    size_t octets = 0;
    if (which == 0)
        etcd_decode_range(bytes, len, &header, &flag, take, &octets, &why);
    else if (which == 1)
        etcd_decode_txn(bytes, len, &header, &flag, &why);
    else if (which == 2)
        etcd_decode_lease(bytes, len, &header, &lease, &seconds, &why);
    else if (which == 3 && etcd_decode_watch(bytes, len, &reply, take, &octets, &why) == 0)
        must(strlen(reply.reason) < sizeof reply.reason);
    else if (which == 4 && etcd_decode_status(bytes, len, &status, &why) == 0)
        must(strlen(status.version) < sizeof status.version);
    else if (which == 5 && etcd_decode_authenticate(bytes, len, &token, &why) == 0)
        must(buffer_len(&token) > 0);
    must(octets <= 2 * len);
    buffer_free(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        decode(data[0] % 6, data + 1, size - 1);
    return 0;
}
