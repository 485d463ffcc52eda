/* clocks - what each member's clock shows
 *
 * A process reads the wall clock once and counts on from there (base/clock.h). So a clock that is set while it runs
 * is only seen by the next process, forwards or backwards; how fast it counts is the machine's own matter. Any two
 * differ by less than the five minutes after which a MOVE is too old to be taken. */
#include "tests/sim/sim.h"

#define MAX_SKEW (110 * USEC_SEC)
#define MAX_DRIFT 500 /* parts in a million: what time daemons put up with */
#define MILLION 1000000

static usec_t drifted(const struct member *member, usec_t at)
{
    return (at - SIM_START) / 1000 * member->drift / (MILLION / 1000);
}

void clock_draw(struct member *member)
{
    struct sim *sim = member->sim;
    member->skew = member->machine = sim_between(sim, -MAX_SKEW, MAX_SKEW);
    member->drift = sim_between(sim, -MAX_DRIFT, MAX_DRIFT);
}

void clock_set(struct member *member)
{
    member->machine = sim_between(member->sim, -MAX_SKEW, MAX_SKEW);
    trace_member(member, "CLOCK", "set %lld ms %s: its next process goes by that",
        (long long)(member->machine < member->skew ? member->skew - member->machine
                                                   : member->machine - member->skew) /
            1000,
        member->machine < member->skew ? "back" : "forward");
}

void clock_start(struct member *member)
{
    member->skew = member->machine;
}

usec_t member_clock(const struct member *member, usec_t at)
{
    return at + member->skew + drifted(member, at);
}

usec_t member_now(const struct member *member)
{
    return member_clock(member, member->sim->now);
}

usec_t member_skew(const struct member *member)
{
    return member->skew + drifted(member, member->sim->now);
}

usec_t member_clock_shows(const struct member *member, usec_t local)
{
    usec_t since = local - member->skew - SIM_START;
    usec_t at = SIM_START + since - since / MILLION * member->drift - USEC_MS;
    while (member_clock(member, at) < local) /* it begins a little before */
        at += local - member_clock(member, at);
    return at;
}
