/* wire - see wire.h */
#include "proto/wire.h"

#include <inttypes.h>
#include <stdio.h>

#ifndef TODOKU_NEXT
const struct wire_range wire_ours = {.least = 1, .most = WIRE_COPIES};
#else
const struct wire_range wire_ours = {.least = 1, .most = WIRE_NEXT};
#endif

bool wire_has(const struct wire_range *range, uint32_t version)
{
    return version >= range->least && version <= range->most;
}

bool wire_meets(const struct wire_range *a, const struct wire_range *b)
{
    return a->least <= b->most && b->least <= a->most;
}

const char *wire_text(const struct wire_range *range, char text_r[WIRE_TEXT_SIZE])
{
    if (range->least == range->most)
        snprintf(text_r, WIRE_TEXT_SIZE, "%" PRIu32, range->most);
    else
        snprintf(text_r, WIRE_TEXT_SIZE, "%" PRIu32 " to %" PRIu32, range->least, range->most);
    return text_r;
}
