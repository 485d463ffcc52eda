/* clock - time as the cores see it
 *
 * A `usec_t` is microseconds since 1970-01-01 UTC on a clock that never jumps while a process lives: the
 * wall clock is read once at the start, and from then on the boot-time clock (which also counts while the
 * machine sleeps) is added to it. So due times can be kept over a restart, and no adjustment of the wall
 * clock lets mail burst out or hang. Cores get `now` as an argument; only keepers and doors call clock_now().
 *
 * Time: this is the only file of the house that reads a clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

typedef int64_t usec_t;

#define USEC_MS ((usec_t)1000)
#define USEC_SEC ((usec_t)1000000)
#define USEC_MIN (60 * USEC_SEC)
#define USEC_HOUR (60 * USEC_MIN)
#define USEC_DAY (24 * USEC_HOUR)
#define USEC_NEVER INT64_MAX

usec_t clock_now(void);
/* RFC 3339 in UTC with milliseconds ("2026-11-22T05:04:12.345Z"); `out` takes 32 bytes. Returns `out`. */
char *clock_rfc3339(usec_t when, char out[32]);
/* RFC 5322 date-time in UTC ("Sun, 22 Nov 2026 05:04:12 +0000"); `out` takes 40 bytes. Returns `out`. */
char *clock_rfc5322(usec_t when, char out[40]);

#endif
