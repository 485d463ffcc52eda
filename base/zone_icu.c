/* zone_icu - see zone_icu.h; unicode/ucal.h is the reference */
#include "base/zone_icu.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/ucal.h>
#include <unicode/uenum.h>
#include <unicode/ustring.h>

#include "base/alloc.h"
#include "base/config.h"

#define MAX_ZONES 2000

/* Names are ASCII; one that is not, or is too long, is none. */
static bool to_icu(const char *name, UChar out[ZONE_NAME_SIZE])
{
    size_t len = strlen(name);
    if (len == 0 || len >= ZONE_NAME_SIZE)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] >= 0x80)
            return false;
    u_charsToUChars(name, out, (int32_t)len + 1);
    return true;
}

bool zone_known(const char *name)
{
    UChar id[ZONE_NAME_SIZE], canonical[ZONE_NAME_SIZE];
    UErrorCode status = U_ZERO_ERROR;
    UBool is_system = false;
    if (!to_icu(name, id))
        return false;
    ucal_getCanonicalTimeZoneID(id, -1, canonical, ZONE_NAME_SIZE, &is_system, &status);
    return U_SUCCESS(status) && is_system && strcmp(name, UCAL_UNKNOWN_ZONE_ID) != 0;
}

static size_t all_names(char **names)
{
    UErrorCode status = U_ZERO_ERROR;
    UEnumeration *all = ucal_openTimeZoneIDEnumeration(UCAL_ZONE_TYPE_ANY, NULL, NULL, &status);
    size_t count = 0;
    for (const char *name; U_SUCCESS(status) && count < MAX_ZONES; count++) {
        name = uenum_next(all, NULL, &status);
        if (name == NULL)
            break;
        names[count] = xstrdup(name);
    }
    uenum_close(all);
    return count;
}

const char *zone_nearest(const char *name, char out[ZONE_NAME_SIZE])
{
    char **names = xcalloc(MAX_ZONES, sizeof *names);
    size_t count = all_names(names);
    const char *nearest = config_nearest(name, (const char *const *)names, count);
    out[0] = '\0';
    if (nearest != NULL && strlen(nearest) < ZONE_NAME_SIZE)
        memcpy(out, nearest, strlen(nearest) + 1);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return out;
}

/* ICU counts in milliseconds; its times of change are whole ones. */
static usec_t ahead(void *context, const char *zone, usec_t when, usec_t *until_r)
{
    UChar id[ZONE_NAME_SIZE];
    UErrorCode status = U_ZERO_ERROR;
    (void)context;
    *until_r = USEC_NEVER;
    UCalendar *calendar = to_icu(zone, id) ? ucal_open(id, -1, "", UCAL_GREGORIAN, &status) : NULL;
    if (calendar == NULL || U_FAILURE(status))
        return 0;
    const usec_t whole_ms = when / USEC_MS;
    ucal_setMillis(calendar, (UDate)whole_ms, &status);
    usec_t out = ucal_get(calendar, UCAL_ZONE_OFFSET, &status);
    out += ucal_get(calendar, UCAL_DST_OFFSET, &status);
    UDate change;
    if (ucal_getTimeZoneTransitionDate(calendar, UCAL_TZ_TRANSITION_NEXT, &change, &status) &&
        U_SUCCESS(status))
        *until_r = (usec_t)change * USEC_MS;
    ucal_close(calendar);
    return U_FAILURE(status) ? 0 : out * USEC_MS;
}

struct zone_face zone_icu(void)
{
    return (struct zone_face){.ahead = ahead};
}
