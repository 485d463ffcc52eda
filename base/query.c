/* query - see query.h */
#include "base/query.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode(const char *at, size_t len, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)at[i];
        if (c == '+')
            c = ' ';
        else if (c == '%') {
            int high = i + 2 < len ? hex(at[i + 1]) : -1;
            int low = high < 0 ? -1 : hex(at[i + 2]);
            if (low < 0 || (high == 0 && low == 0))
                return false;
            c = 16 * high + low;
            i += 2;
        }
        if (used + 1 >= size)
            return false;
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return true;
}

/* The raw value of the first `name`, or null. */
static const char *find(const char *selectors, const char *name, size_t *len_r)
{
    size_t name_len = strlen(name);
    for (const char *at = selectors; *at != '\0';) {
        size_t len = strcspn(at, "&");
        if (len > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=') {
            *len_r = len - name_len - 1;
            return at + name_len + 1;
        }
        at += len;
        at += *at == '&';
    }
    return NULL;
}

void query_add(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s%s=", buffer_len(out) == 0 ? "" : "&", name);
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (isalnum(c) || strchr("-._~@", c) != NULL)
            buffer_add(out, value, 1);
        else
            buffer_printf(out, "%%%02X", c);
    }
}

bool query_has(const char *selectors, const char *name)
{
    size_t len;
    return find(selectors, name, &len) != NULL;
}

bool query_get(const char *selectors, const char *name, char *out, size_t size)
{
    size_t len = 0;
    const char *value = find(selectors, name, &len);
    bool good = value != NULL && decode(value, len, out, size);
    if (!good)
        out[0] = '\0';
    return good;
}

int64_t query_number(const char *selectors, const char *name, int64_t low, int64_t high, int64_t fallback)
{
    char text[24], *end;
    if (!query_get(selectors, name, text, sizeof text) || text[0] == '\0')
        return fallback;
    long long number = strtoll(text, &end, 10);
    return *end != '\0' || number < low || number > high ? fallback : number;
}
