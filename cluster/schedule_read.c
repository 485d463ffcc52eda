/* schedule_read - windows and time zones as the operator's file writes them (see settings_read.h)
 *
 *     Mon-Fri 08:00-20:00     Sat,Sun 10:00-16:00     22:00-06:00     Fri-Mon 00:00-24:00 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/zone_icu.h"
#include "cluster/settings.h"
#include "cluster/settings_read.h"

#define ALL_DAYS 0x7f
#define DAY_MINUTES 1440

static int no_window(const char *text, struct error *error)
{
    return error_set(error,
        "`%.80s` is no window; write it as in `Mon-Fri 08:00-20:00`, `Sat,Sun 10:00-16:00` or, for every "
        "day, "
        "`22:00-06:00`",
        text);
}

/* The day at *at, which is moved behind it; -1: none. */
static int read_day(const char **at)
{
    static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    for (int i = 0; i < 7; i++)
        if (strncasecmp(*at, names[i], 3) == 0) {
            *at += 3;
            return i;
        }
    return -1;
}

/* "Mon-Fri,Sun " with its space; nothing = every day. */
static bool read_days(const char **at, uint8_t *days_r)
{
    *days_r = 0;
    if (**at >= '0' && **at <= '9') {
        *days_r = ALL_DAYS;
        return true;
    }
    for (;; (*at)++) {
        int first = read_day(at), last = first;
        if (first >= 0 && **at == '-') {
            (*at)++;
            last = read_day(at);
        }
        if (first < 0 || last < 0)
            return false;
        for (int day = first;; day = (day + 1) % 7) { /* Fri-Mon goes round the week's end */
            *days_r |= (uint8_t)(1U << day);
            if (day == last)
                break;
        }
        if (**at == ' ')
            break;
        if (**at != ',')
            return false;
    }
    *at += strspn(*at, " ");
    return true;
}

static bool read_digits(const char **at, unsigned *number_r)
{
    const char *text = *at;
    for (int i = 0; i < 2; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    *number_r = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    *at += 2;
    return true;
}

/* "08:00" .. "24:00" */
static bool read_minute(const char **at, uint16_t *minute_r)
{
    unsigned hour, minute;
    if (!read_digits(at, &hour) || **at != ':')
        return false;
    (*at)++;
    if (!read_digits(at, &minute) || hour > 24 || minute > 59 || hour * 60 + minute > DAY_MINUTES)
        return false;
    *minute_r = (uint16_t)(hour * 60 + minute);
    return true;
}

int settings_read_window(const char *text, void *target, struct arena *arena, struct error *error)
{
    struct setting_window window;
    const char *at = text;
    (void)arena;
    if (!read_days(&at, &window.days) || !read_minute(&at, &window.from) || *at != '-')
        return no_window(text, error);
    at++;
    if (!read_minute(&at, &window.to) || *at != '\0' || window.from == DAY_MINUTES)
        return no_window(text, error);
    if (window.from == window.to)
        return error_set(error, "`%.80s` begins and ends at once; write a whole day as 00:00-24:00", text);
    *(struct setting_window *)target = window;
    return 0;
}

int settings_read_zone(const char *text, void *target, struct arena *arena, struct error *error)
{
    char near[ZONE_NAME_SIZE];
    if (!zone_known(text)) {
        zone_nearest(text, near);
        return error_set(error, "there is no time zone `%.80s`%s%s%s", text,
            near[0] == '\0' ? "; use a name of the tz database, as in Europe/Berlin or UTC"
                            : "; did you mean `",
            near, near[0] == '\0' ? "" : "`?");
    }
    *(char **)target = arena_text(arena, text, strlen(text));
    return 0;
}
