/* Anything as the register of a spool in the store. What is read can be written, and is then read as the same. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "cluster/spool_register.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spool_register reg, again;
    struct buffer out = {0}, twice = {0};
    struct error error;
    if (spool_register_read((const char *)data, size, &reg, &error) != 0) {
        must(error.text[0] != '\0');
        return 0;
    }
    spool_register_write(&reg, &out);
    must(spool_register_read(buffer_bytes(&out), buffer_len(&out), &again, &error) == 0);
    must(spool_register_same(&reg, &again));
    spool_register_write(&again, &twice);
    must(buffer_len(&out) == buffer_len(&twice));
    must(memcmp(buffer_bytes(&out), buffer_bytes(&twice), buffer_len(&out)) == 0);
    buffer_free(&out);
    buffer_free(&twice);
    return 0;
}
