/* ebb - see ebb.h */
#include "node/ebb.h"

#define NOTES (EBB_WINDOW + 1)

static unsigned newest(const struct ebb *ebb)
{
    return (ebb->first + ebb->count - 1) % NOTES;
}

void ebb_begin(struct ebb *ebb, usec_t now, uint64_t queued)
{
    *ebb = (struct ebb){.count = 1};
    ebb->notes[0].at = now;
    ebb->notes[0].queued = queued;
}

void ebb_note(struct ebb *ebb, usec_t now, uint64_t queued)
{
    if (ebb->count == 0 || now < ebb->notes[newest(ebb)].at) {
        ebb_begin(ebb, now, queued);
        return;
    }
    if (now < ebb->notes[newest(ebb)].at + USEC_SEC)
        return;
    if (ebb->count == NOTES)
        ebb->first = (ebb->first + 1) % NOTES;
    else
        ebb->count++;
    ebb->notes[newest(ebb)].at = now;
    ebb->notes[newest(ebb)].queued = queued;
}

/* The newest note that is as old as the window, else the oldest. Nothing has changed between two notes that lie far
 * apart: whoever changes something notes it. */
static unsigned base_of(const struct ebb *ebb, usec_t now)
{
    unsigned base = ebb->first;
    for (unsigned i = 0; i < ebb->count; i++) {
        unsigned at = (ebb->first + i) % NOTES;
        if (ebb->notes[at].at > now - EBB_WINDOW * USEC_SEC)
            break;
        base = at;
    }
    return base;
}

double ebb_rate(const struct ebb *ebb, usec_t now, uint64_t queued)
{
    if (ebb->count == 0)
        return 0;
    unsigned base = base_of(ebb, now);
    usec_t past = now - ebb->notes[base].at;
    if (past < USEC_SEC || ebb->notes[base].queued <= queued)
        return 0;
    if (past > EBB_WINDOW * USEC_SEC)
        past = EBB_WINDOW * USEC_SEC;
    return (double)(ebb->notes[base].queued - queued) * USEC_SEC / (double)past;
}

usec_t ebb_left(const struct ebb *ebb, usec_t now, uint64_t queued)
{
    double rate = ebb_rate(ebb, now, queued);
    if (queued == 0)
        return 0;
    if (rate * 3650 * 86400 < (double)queued)
        return USEC_NEVER;
    return (usec_t)((double)queued / rate * USEC_SEC);
}
