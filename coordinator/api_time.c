/* api_time - see api_time.h */
#include "coordinator/api_time.h"

#include <stdbool.h>
#include <stddef.h>

/* Reads exactly `digits` digits. */
static bool number(const char **at, int digits, int *out)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool letter(const char **at, char want)
{
    char got = **at >= 'a' && **at <= 'z' ? (char)(**at - 32) : **at;
    if (got != want)
        return false;
    (*at)++;
    return true;
}

/* Days from 1970-01-01 in the Gregorian calendar: years begin in March here, so that the leap day is last. */
static int64_t days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static int days_in(int year, int month)
{
    static const int table[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return table[month - 1] + (month == 2 && leap);
}

static bool date(const char **at, int64_t *seconds_r)
{
    int year, month, day, hour, minute, second;
    if (!number(at, 4, &year) || !letter(at, '-') || !number(at, 2, &month) || !letter(at, '-') ||
        !number(at, 2, &day) || !letter(at, 'T') || !number(at, 2, &hour) || !letter(at, ':') ||
        !number(at, 2, &minute) || !letter(at, ':') || !number(at, 2, &second))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 ||
        second > 60)
        return false;
    *seconds_r = days(year, month, day) * 86400 + ((int64_t)hour * 60 + minute) * 60 + second;
    return true;
}

static bool offset(const char **at, int64_t *seconds_r)
{
    int hour, minute;
    *seconds_r = 0;
    if (letter(at, 'Z'))
        return true;
    int sign = **at == '+' ? 1 : **at == '-' ? -1 : 0;
    if (sign == 0)
        return false;
    (*at)++;
    if (!number(at, 2, &hour) || !letter(at, ':') || !number(at, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *seconds_r = sign * ((int64_t)hour * 60 + minute) * 60;
    return true;
}

int api_time(const char *text, usec_t *when_r)
{
    const char *at = text;
    int64_t seconds, east;
    usec_t part = 0;
    if (!date(&at, &seconds))
        return -1;
    if (*at == '.') {
        const char *first = ++at;
        for (usec_t unit = USEC_SEC / 10; *at >= '0' && *at <= '9'; at++, unit /= 10)
            part += (*at - '0') * unit;
        if (at == first)
            return -1;
    }
    if (!offset(&at, &east) || *at != '\0' || seconds < east)
        return -1;
    *when_r = (seconds - east) * USEC_SEC + part;
    return 0;
}
