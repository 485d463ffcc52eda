/* id - see id.h */
#include "proto/id.h"

#include <stdio.h>
#include <string.h>

struct mail_id id_make(usec_t now, struct random *random)
{
    struct mail_id id;
    uint64_t ms = (uint64_t)(now / USEC_MS);
    for (int i = 0; i < 6; i++)
        id.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    uint64_t high = random_next(random), low = random_next(random);
    memcpy(id.bytes + 6, &high, 8);
    memcpy(id.bytes + 14, &low, 2);
    return id;
}

bool id_equal(const struct mail_id *a, const struct mail_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

char *id_format(const struct mail_id *id, char out[ID_TEXT_SIZE])
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        out[2 * i] = digit[id->bytes[i] >> 4];
        out[2 * i + 1] = digit[id->bytes[i] & 15];
    }
    out[32] = '\0';
    return out;
}

char *delivery_id_format(const struct mail_id *id, uint32_t index, char out[DELIVERY_ID_TEXT_SIZE])
{
    id_format(id, out);
    snprintf(out + 32, DELIVERY_ID_TEXT_SIZE - 32, "-%u", index);
    return out;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static int parse_index(const char *text, int64_t *index_r)
{
    int64_t index = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 9 || text[len] != '\0')
        return -1;
    for (size_t i = 0; i < len; i++)
        index = 10 * index + (text[i] - '0');
    if (index_r != NULL)
        *index_r = index;
    return 0;
}

int id_parse(const char *text, struct mail_id *id_r, int64_t *index_r)
{
    for (size_t i = 0; i < 16; i++) {
        int high = digit_value(text[2 * i]);
        int low = high < 0 ? -1 : digit_value(text[2 * i + 1]);
        if (low < 0)
            return -1;
        id_r->bytes[i] = (uint8_t)(16 * high + low);
    }
    if (index_r != NULL)
        *index_r = -1;
    if (text[32] == '\0')
        return 0;
    return text[32] == '-' ? parse_index(text + 33, index_r) : -1;
}
