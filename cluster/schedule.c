/* schedule - see schedule.h */
#include "cluster/schedule.h"

#include <string.h>

#define DAY_MINUTES 1440
#define WEEK_MINUTES ((usec_t)7 * DAY_MINUTES)
/* 1970-01-01 was a Thursday; weeks begin on Monday. */
#define EPOCH_MINUTE ((usec_t)3 * DAY_MINUTES)
#define MAX_LOOKS 64 /* changes of a zone and of windows looked at for one answer */
#define HORIZON (14 * USEC_DAY)

static bool same(const char *wanted, const char *value)
{
    return wanted == NULL || (value != NULL && strcmp(wanted, value) == 0);
}

static bool same_provider(const char *wanted, const struct settings *settings, const char *value)
{
    if (wanted == NULL || same(wanted, value))
        return true;
    const struct setting_provider *provider = settings_provider(settings, wanted);
    return provider != NULL && value != NULL && strcmp(provider->name, value) == 0;
}

bool schedule_matches(
    const struct setting_schedule *schedule, const struct settings *settings, const struct hold_match *what)
{
    return same(schedule->tenant, what->tenant) && same(schedule->campaign, what->campaign) &&
           same(schedule->pool, what->pool) && same(schedule->domain, what->domain) &&
           same_provider(schedule->provider, settings, what->provider);
}

static usec_t floor_div(usec_t number, usec_t by)
{
    return number / by - (number % by < 0);
}

/* The minute of the week that a wall clock shows when it is `local` after the epoch. */
static unsigned minute_of_week(usec_t local)
{
    usec_t minute = floor_div(local, USEC_MIN) + EPOCH_MINUTE;
    return (unsigned)(minute - floor_div(minute, WEEK_MINUTES) * WEEK_MINUTES);
}

static bool has_day(const struct setting_window *window, unsigned day)
{
    return (window->days & (1U << day)) != 0;
}

/* A window that ends before it begins crosses midnight: it belongs to the day on which it begins. */
static bool window_holds(const struct setting_window *window, unsigned minute)
{
    unsigned day = minute / DAY_MINUTES, at = minute % DAY_MINUTES;
    if (window->from < window->to)
        return has_day(window, day) && at >= window->from && at < window->to;
    return (has_day(window, day) && at >= window->from) ||
           (has_day(window, (day + 6) % 7) && at < window->to);
}

static bool holds(const struct setting_schedule *schedule, unsigned minute)
{
    for (size_t i = 0; i < schedule->window_count; i++)
        if (window_holds(&schedule->windows[i], minute))
            return true;
    return schedule->window_count == 0;
}

/* Minutes from `minute` to the next time of day at which any window begins or ends: 1 .. 1440. */
static unsigned to_next_edge(const struct setting_schedule *schedule, unsigned minute)
{
    unsigned at = minute % DAY_MINUTES, nearest = DAY_MINUTES;
    for (size_t i = 0; i < 2 * schedule->window_count; i++) {
        const struct setting_window *window = &schedule->windows[i / 2];
        unsigned edge = i % 2 == 0 ? window->from : window->to;
        unsigned ahead = (edge + DAY_MINUTES - at - 1) % DAY_MINUTES + 1;
        nearest = ahead < nearest ? ahead : nearest;
    }
    return nearest;
}

/* The next instant after `now` at which the answer may be another one: a window's edge by the clock as it goes
 * now, or a change of that clock. */
static usec_t next_look(const struct setting_schedule *schedule, usec_t now, usec_t ahead, usec_t zone_until)
{
    usec_t local = now + ahead;
    usec_t edge = floor_div(local, USEC_MIN) + to_next_edge(schedule, minute_of_week(local));
    usec_t instant = edge * USEC_MIN - ahead;
    return instant < zone_until ? instant : zone_until;
}

bool schedule_is_open(
    const struct setting_schedule *schedule, const struct zone_face *zones, usec_t now, usec_t *until_r)
{
    usec_t zone_until = now, ahead = 0, at = now;
    bool open = false;
    *until_r = USEC_NEVER;
    if (schedule->window_count == 0)
        return true;
    for (unsigned looks = 0; looks < MAX_LOOKS; looks++) {
        if (at >= zone_until)
            ahead = zones->ahead(zones->context, schedule->timezone, at, &zone_until);
        bool is = holds(schedule, minute_of_week(at + ahead));
        if (looks == 0)
            open = is;
        else if (is != open)
            break;
        at = next_look(schedule, at, ahead, zone_until);
    }
    *until_r = at;
    return open;
}

usec_t schedule_opens(const struct setting_schedule *schedule, const struct zone_face *zones, usec_t now)
{
    usec_t at = now, until;
    while (!schedule_is_open(schedule, zones, at, &until)) {
        if (until > now + HORIZON)
            return USEC_NEVER;
        at = until;
    }
    return at;
}

usec_t schedule_interval(const struct setting_schedule *schedule, usec_t now)
{
    return floor_div(now, schedule->release_every) * schedule->release_every;
}

uint32_t schedule_share(uint32_t count, uint32_t nodes, uint32_t rank)
{
    return nodes == 0 ? count : count / nodes + (rank < count % nodes);
}
