/* units - see units.h */
#include "base/units.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_MAX ((uint64_t)1 << 62)

struct unit {
    const char *name;
    uint64_t value;
};

static const struct unit DURATION_UNITS[] = {
    {"ms", USEC_MS}, {"s", USEC_SEC}, {"m", USEC_MIN}, {"h", USEC_HOUR}, {"d", USEC_DAY}, {NULL, 0}};

static const struct unit RATE_UNITS[] = {{"s", USEC_SEC}, {"sec", USEC_SEC}, {"second", USEC_SEC},
    {"m", USEC_MIN}, {"min", USEC_MIN}, {"minute", USEC_MIN}, {"h", USEC_HOUR}, {"hour", USEC_HOUR},
    {"d", USEC_DAY}, {"day", USEC_DAY}, {NULL, 0}};

static const struct unit SIZE_UNITS[] = {{"B", 1}, {"KiB", (uint64_t)1 << 10}, {"MiB", (uint64_t)1 << 20},
    {"GiB", (uint64_t)1 << 30}, {"TiB", (uint64_t)1 << 40}, {NULL, 0}};

static const struct unit *unit_find(const struct unit *units, const char *name)
{
    for (; units->name != NULL; units++)
        if (strcmp(units->name, name) == 0)
            return units;
    return NULL;
}

/* The digits at the front; what follows them is in *rest_r. Too large numbers stay at NUMBER_MAX. */
static int digits_read(
    const char *text, const char *what, uint64_t *number_r, const char **rest_r, struct error *error)
{
    const char *at = text;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
        if (number > NUMBER_MAX)
            number = NUMBER_MAX;
    }
    if (at == text)
        return error_set(error, "`%.60s` is no %s", text, what);
    if (text[0] == '0' && at - text > 1)
        return error_set(error, "`%.60s` has a leading zero; write it without", text);
    if (*at == '.' || *at == ',')
        return error_set(error, "`%.60s`: whole numbers only", text);
    *number_r = number;
    *rest_r = at;
    return 0;
}

/* A number and its unit; `hint` names the units and gives an example. */
static int measure_read(const char *text, const struct unit *units, const char *what, const char *hint,
    uint64_t max, uint64_t *value_r, struct error *error)
{
    uint64_t number = 0;
    const char *rest = "";
    struct error why;
    if (digits_read(text, what, &number, &rest, &why) != 0)
        return error_set(error, "%.200s; write %s", why.text, hint);
    if (*rest == 0)
        return error_set(error, "`%.60s` has no unit; write %s", text, hint);
    const struct unit *unit = unit_find(units, rest);
    if (unit == NULL)
        return error_set(error, "`%.60s`: unknown unit `%.20s`; write %s", text, rest, hint);
    if (number > max / unit->value)
        return error_set(error, "`%.60s` is too large", text);
    *value_r = number * unit->value;
    return 0;
}

int units_duration(const char *text, usec_t *duration_r, struct error *error)
{
    uint64_t value = 0;
    if (measure_read(text, DURATION_UNITS, "duration", "a number and ms, s, m, h or d, as in 30s",
            UNITS_MAX_DURATION, &value, error) != 0)
        return -1;
    *duration_r = (usec_t)value;
    return 0;
}

int units_size(const char *text, uint64_t *size_r, struct error *error)
{
    return measure_read(text, SIZE_UNITS, "size", "a number and B, KiB, MiB, GiB or TiB, as in 10MiB",
        UNITS_MAX_SIZE, size_r, error);
}

int units_rate(const char *text, uint32_t *count_r, usec_t *per_r, struct error *error)
{
    static const char *hint = "as in 100/s, 20/min, 1000/hour, 5000/day or none";
    if (strcmp(text, "none") == 0) {
        *count_r = 0;
        *per_r = USEC_SEC;
        return 0;
    }
    uint64_t number = 0;
    const char *rest = "";
    struct error why;
    if (digits_read(text, "rate", &number, &rest, &why) != 0)
        return error_set(error, "%.200s; write it %s", why.text, hint);
    if (*rest == 0)
        return error_set(error, "`%.60s` does not say per what; write it %s", text, hint);
    const struct unit *unit = *rest == '/' ? unit_find(RATE_UNITS, rest + 1) : NULL;
    if (unit == NULL)
        return error_set(error, "`%.60s`: unknown unit `%.20s`; write it %s", text, rest, hint);
    if (number == 0)
        return error_set(error, "`%.60s` would stop everything; write none for no limit", text);
    if (number > UNITS_MAX_RATE)
        return error_set(error, "`%.60s` is too large; write none for no limit", text);
    *count_r = (uint32_t)number;
    *per_r = (usec_t)unit->value;
    return 0;
}

int units_number(const char *text, uint64_t min, uint64_t max, uint64_t *number_r, struct error *error)
{
    uint64_t number = 0;
    const char *rest = "";
    if (digits_read(text, "whole number", &number, &rest, error) != 0)
        return -1;
    if (*rest != 0)
        return error_set(error, "`%.60s` is no whole number", text);
    if (number < min || number > max)
        return error_set(
            error, "`%.60s` is out of bounds: %" PRIu64 " to %" PRIu64 " is allowed", text, min, max);
    *number_r = number;
    return 0;
}

/* The largest unit that divides `value`; the first if none does. */
static const struct unit *unit_fitting(const struct unit *units, uint64_t value)
{
    const struct unit *best = units;
    for (; units->name != NULL; units++)
        if (value != 0 && value % units->value == 0 && units->value > best->value)
            best = units;
    return best;
}

char *units_duration_text(usec_t duration, char out[32])
{
    uint64_t value = duration < 0 ? 0 : (uint64_t)duration;
    const struct unit *unit = value == 0 ? &DURATION_UNITS[1] : unit_fitting(DURATION_UNITS, value);
    snprintf(out, 32, "%" PRIu64 "%s", value / unit->value, unit->name);
    return out;
}

char *units_size_text(uint64_t size, char out[32])
{
    const struct unit *unit = unit_fitting(SIZE_UNITS, size);
    snprintf(out, 32, "%" PRIu64 "%s", size / unit->value, unit->name);
    return out;
}

char *units_rate_text(uint32_t count, usec_t per, char out[32])
{
    if (count == 0) {
        snprintf(out, 32, "none");
        return out;
    }
    const char *name = per == USEC_MIN ? "min" : per == USEC_HOUR ? "hour" : per == USEC_DAY ? "day" : "s";
    snprintf(out, 32, "%" PRIu32 "/%s", count, name);
    return out;
}
