/* bus_quiet_zmq - see bus_zmq_inside.h: a stranger must not be able to fill the log */
#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/bus_zmq_inside.h"

bool bus_quiet_tell(struct bus_quiet *quiet, const char *subject, usec_t now)
{
    usec_t *last = map_get_text(&quiet->told, subject);
    if (last == NULL && map_count(&quiet->told) >= BUS_QUIET_SUBJECTS)
        last = &quiet->others;
    else if (last == NULL) {
        last = xcalloc(1, sizeof *last);
        map_set_text(&quiet->told, subject, last);
    }
    if (*last != 0 && now - *last < USEC_MIN)
        return false;
    *last = now;
    return true;
}

void bus_quiet_free(struct bus_quiet *quiet)
{
    struct map_entry *at = NULL;
    for (usec_t *last; (last = map_next(&quiet->told, &at)) != NULL;)
        free(last);
    map_free(&quiet->told);
}
