/* copies_learner - who shall be mirror, and gets the log for that; see copies_inside.h */
#include <stdio.h>
#include <string.h>

#include "cluster/copies_inside.h"

void copies_stop_learning(struct copies *copies, const char *why, usec_t now)
{
    copies_notice(
        copies, "%s gives up copying to %s for now: %s", copies->spool, copies->learner->member, why);
    stream_free(&copies->learner);
    copies->counts = false;
    copies->learn_at = now + COPIES_PAUSE;
}

static bool is_wanted(const struct copies *copies, const char *member)
{
    const char *mirror = copies->reg.mirror[0] == '\0' ? "" : copies->reg.mirror_node;
    return member[0] != '\0' && strcmp(copies->wanted, member) == 0 && strcmp(member, mirror) != 0 &&
           strcmp(member, copies->member) != 0;
}

static const char *own_fault(const struct stream *learner, usec_t now)
{
    if (learner->trouble[0] != '\0')
        return learner->trouble;
    bool late = stream_is_open(learner) && now - learner->since >= COPIES_PATIENCE;
    return late && learner->state != STREAM_ASKS ? "it did not keep up" : NULL;
}

bool copies_wants_learner(const struct copies *copies)
{
    return is_wanted(copies, copies->wanted);
}

/* Where there is somebody else he is chosen now, and that copy goes when it is needed no more. Who is chosen again is the
 * only one: the copy there is to make room for another, beside which it is kept (guard 15). */
static void see_outdated(struct copies *copies)
{
    const struct stream *learner = copies->learner;
    if (!learner->outdated)
        return;
    if (strcmp(copies->outdated, learner->member) == 0) {
        stream_anew(copies, learner);
        copies_notice(copies, "%s: there is no other node: another copy is begun at %s", copies->spool,
            learner->member);
    }
    memcpy(copies->outdated, learner->member, sizeof copies->outdated);
}

static const char *learner_why(struct copies *copies, usec_t now)
{
    if (!is_wanted(copies, copies->learner->member))
        return "another one is wanted";
    const char *why = own_fault(copies->learner, now);
    if (why != NULL) {
        see_outdated(copies);
        copies_note_failed(copies, copies->learner, now);
    }
    return why;
}

/* What was proposed stays until it is known what became of it. */
void copies_see_learner(struct copies *copies, usec_t now)
{
    if (copies->learner != NULL && !copies->swap.take_in_maybe) {
        copies->counts = copies->counts && copies->learner->state == STREAM_RUNS;
        const char *why = learner_why(copies, now);
        if (why != NULL)
            copies_stop_learning(copies, why, now);
    }
    if (copies->learner == NULL && is_wanted(copies, copies->wanted) && now >= copies->learn_at)
        copies->learner = stream_begin(copies, copies->wanted, true, now);
}

void copies_want(struct copies *copies, const char *member, uint64_t process, usec_t now)
{
    struct stream *mirror = copies->mirror;
    if (member != NULL && mirror != NULL && strcmp(mirror->member, member) == 0 &&
        strcmp(copies->wanted, member) == 0 && process != copies->wanted_process) {
        /* It was started again: has it still got the disk that the register names? Nothing may have to be sent. */
        stream_ask(copies, mirror, now);
        mirror->since = now;
    }
    snprintf(copies->wanted, sizeof copies->wanted, "%s", member == NULL ? "" : member);
    copies->wanted_process = process;
    copies_turn(copies, now);
}

/* Guard 5: it has all of the log in its stream, so its word will come. */
void copies_begin_counting(struct copies *copies)
{
    if (copies->learner == NULL || copies->counts || !copies->learner->confirmed ||
        !copies->learner->living_done || !stream_is_level(copies, copies->learner))
        return;
    copies->counts = true;
    copies->counted_from = copies->log.last;
}
