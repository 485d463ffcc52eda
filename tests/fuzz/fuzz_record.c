/* Any bytes are either refused, or a record that encodes and decodes to the same bytes again. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "proto/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spool_record record, again;
    struct error error;
    if (record_decode(data, size, &record, &error) < 0)
        return 0;
    struct buffer first = {0}, second = {0};
    record_encode(&record, &first);
    must(record_decode(buffer_bytes(&first), buffer_len(&first), &again, &error) == 0);
    record_encode(&again, &second);
    must(buffer_len(&first) == buffer_len(&second));
    must(memcmp(buffer_bytes(&first), buffer_bytes(&second), buffer_len(&first)) == 0);
    record_clear(&record);
    record_clear(&again);
    buffer_free(&first);
    buffer_free(&second);
    return 0;
}
