/* units - numbers with a unit behind them, as an operator writes them
 *
 *     rate       100/s  5000/day  3/minute  none
 *     duration   500ms  30s  5m  2h  4d
 *     size       512B  64KiB  10MiB  1GiB  2TiB
 *
 * Whole numbers only, and always with a unit: a bare 30 is refused, since nobody can tell seconds from
 * minutes by looking at it. Units are written as above (lower-case; sizes in powers of 1024).
 *
 * Time, memory: values only. Errors: a sentence that names the units; out-parameters are then untouched. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"

#define UNITS_MAX_DURATION (3650 * USEC_DAY)
#define UNITS_MAX_SIZE ((uint64_t)1 << 50)
#define UNITS_MAX_RATE 1000000000U

/* "100/s": *count_r things per *per_r; units s second m min minute h hour d day. "none" (unlimited): count 0
 * per one second. A count of 0 is refused: it would stop everything. */
int units_rate(const char *text, uint32_t *count_r, usec_t *per_r, struct error *error);
/* "30s", at most ten years; zero is allowed. */
int units_duration(const char *text, usec_t *duration_r, struct error *error);
/* "10MiB" in bytes, at most 1 PiB. */
int units_size(const char *text, uint64_t *size_r, struct error *error);
/* "42": a whole number without unit, sign or leading zeros, within [min, max]. */
int units_number(const char *text, uint64_t min, uint64_t max, uint64_t *number_r, struct error *error);

/* The other direction, exact and in the largest unit that fits: "90s", "5m", "64KiB", "100/s", "none". */
char *units_duration_text(usec_t duration, char out[32]);
char *units_size_text(uint64_t size, char out[32]);
char *units_rate_text(uint32_t count, usec_t per, char out[32]);

#endif
