/* octets - numbers in files and messages: little-endian, of a fixed width
 *
 *     octets_put(to, seq, 8); seq = octets_get(from, 8);
 * `bytes`: 1 to 8. Who calls them has checked that the room is there. */
#ifndef BASE_OCTETS_H
#define BASE_OCTETS_H

#include <stddef.h>
#include <stdint.h>

static inline void octets_put(uint8_t *to, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(number >> (8 * i));
}

static inline uint64_t octets_get(const uint8_t *from, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = bytes; i-- > 0;)
        number = number << 8 | from[i];
    return number;
}

#endif
