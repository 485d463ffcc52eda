/* clock - see clock.h */
#include "base/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

static usec_t offset;
static pthread_once_t offset_once = PTHREAD_ONCE_INIT;

static usec_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (usec_t)t.tv_sec * USEC_SEC + t.tv_nsec / 1000;
}

static void set_offset(void)
{
    offset = read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME);
}

usec_t clock_now(void)
{
    pthread_once(&offset_once, set_offset);
    return read_clock(CLOCK_BOOTTIME) + offset;
}

static struct tm broken_down(usec_t when)
{
    time_t seconds = (time_t)(when / USEC_SEC);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    return tm;
}

char *clock_rfc3339(usec_t when, char out[32])
{
    struct tm tm = broken_down(when);
    char date[24];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, 32, "%s.%03dZ", date, (int)(when % USEC_SEC / USEC_MS));
    return out;
}

char *clock_rfc5322(usec_t when, char out[40])
{
    static const char day[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = broken_down(when);
    snprintf(out, 40, "%s, %d %s %d %02d:%02d:%02d +0000", day[tm.tm_wday % 7], tm.tm_mday,
        month[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return out;
}
