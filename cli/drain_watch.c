/* drain_watch - see drain_watch.h */
#include "cli/drain_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/rows_json.h"

#define STALLS (5 * USEC_SEC)
#define WHY_AGAIN (30 * USEC_SEC)
#define EMPTY_LOOKS 2 /* what was just on its way to it is seen by the second */

void drain_sight_read(const char *row, struct drain_sight *sight_r)
{
    char *state = rows_member_text(row, "state");
    *sight_r = (struct drain_sight){.queued = -1, .left_ms = -1};
    snprintf(sight_r->state, sizeof sight_r->state, "%s", state == NULL ? "" : state);
    free(state);
    if (rows_member_number(row, "queued", &sight_r->queued) != 0)
        sight_r->queued = -1;
    if (rows_member_number(row, "empty_in_ms", &sight_r->left_ms) != 0)
        sight_r->left_ms = -1;
    if (rows_member_fraction(row, "drain_per_second", &sight_r->rate) != 0)
        sight_r->rate = 0;
}

void drain_watch_begin(struct drain_watch *watch, usec_t now)
{
    *watch = (struct drain_watch){.least = -1, .moved_at = now};
}

enum drain_verdict drain_watch_look(struct drain_watch *watch, const struct drain_sight *sight, usec_t now)
{
    bool draining = strcmp(sight->state, "draining") == 0;
    watch->began = watch->began || draining;
    if (watch->began && strcmp(sight->state, "up") == 0)
        return DRAIN_TAKEN_BACK;
    if (!draining || sight->queued < 0) {
        watch->empty = 0;
        return DRAIN_GOES_ON;
    }
    if (watch->least < 0 || sight->queued < watch->least) {
        watch->least = sight->queued;
        watch->moved_at = now;
        watch->why_at = 0;
    }
    watch->empty = sight->queued == 0 ? watch->empty + 1 : 0;
    return watch->empty >= EMPTY_LOOKS ? DRAIN_EMPTY : DRAIN_GOES_ON;
}

bool drain_watch_wants_why(struct drain_watch *watch, usec_t now)
{
    if (now - watch->moved_at < STALLS || (watch->why_at != 0 && now - watch->why_at < WHY_AGAIN))
        return false;
    watch->why_at = now;
    return true;
}

void drain_duration(struct buffer *out, long long ms)
{
    double s = (double)ms / 1000;
    if (s < 100)
        buffer_printf(out, "%.0f s", s < 1 && ms > 0 ? 1 : s);
    else if (s < 100 * 60)
        buffer_printf(out, "%.0f min", s / 60);
    else if (s < 48 * 3600)
        buffer_printf(out, "%.1f h", s / 3600);
    else
        buffer_printf(out, "%.1f d", s / 86400);
}

void drain_line(struct buffer *out, const char *node, const struct drain_sight *sight)
{
    buffer_printf(out, "%s: ", node);
    if (sight->state[0] == '\0') {
        buffer_add_text(out, "the API does not answer");
        return;
    }
    if (sight->queued < 0) {
        buffer_printf(out, "%s, so nothing is known of its queue", sight->state);
        return;
    }
    buffer_printf(out, "%lld queued", sight->queued);
    if (strcmp(sight->state, "draining") != 0) {
        buffer_printf(out, "; it is %s, the next view will say that it is drained", sight->state);
        return;
    }
    if (sight->queued == 0)
        return;
    if (sight->rate > 0)
        buffer_printf(out, sight->rate < 10 ? ", %.1f/s" : ", %.0f/s", sight->rate);
    if (sight->left_ms >= 0) {
        buffer_add_text(out, ", empty in ");
        drain_duration(out, sight->left_ms);
    } else
        buffer_add_text(out, ", no end in sight yet");
}
