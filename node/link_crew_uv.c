/* link_crew_uv - see link_crew_uv.h */
#include "node/link_crew_uv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

#define SEATS 1024

struct crew {
    struct inbox *inbox; /* the core's */
    struct hand *hands;
    size_t count;
    struct seat seats[SEATS];
};

/* The loop with the fewest connections, unless the lane has some, or had, and its loop has not many more. */
static struct hand *choose_hand(const struct crew *crew, const struct seat *seat)
{
    struct hand *best = &crew->hands[0];
    for (size_t i = 1; i < crew->count; i++)
        if (crew->hands[i].links < best->links)
            best = &crew->hands[i];
    bool stays =
        seat->links > 0 || (seat->hand != NULL && seat->hand->links <= best->links + best->links / 4 + 4);
    return stays ? seat->hand : best;
}

struct seat *crew_take_seat(struct crew *crew, uint64_t lane)
{
    struct seat *seat = &crew->seats[lane % SEATS];
    seat->hand = choose_hand(crew, seat);
    seat->hand->links++;
    seat->links++;
    return seat;
}

void crew_leave_seat(struct seat *seat)
{
    seat->hand->links--;
    seat->links--;
}

int crew_open(struct keeper *keeper, unsigned count, struct error *error)
{
    struct crew *crew = xcalloc(1, sizeof *crew);
    crew->inbox = inbox_open(&keeper->loop);
    crew->hands = xcalloc(count, sizeof *crew->hands);
    keeper->crew = crew;
    while (crew->count < count) {
        struct hand *hand = &crew->hands[crew->count];
        char name[32];
        snprintf(name, sizeof name, "links-%zu", crew->count + 1);
        hand->tls = tls_context_client(error);
        hand->work = hand->tls == NULL ? NULL : work_loop_start(name, crew->inbox, error);
        if (hand->work == NULL) {
            tls_context_free(&hand->tls);
            return -1;
        }
        hand->orders.to = work_loop_inbox(hand->work);
        crew->count++;
    }
    return 0;
}

void crew_run(struct keeper *keeper)
{
    if (keeper->crew != NULL)
        inbox_run(keeper->crew->inbox);
}

void crew_doze(struct keeper *keeper)
{
    struct crew *crew = keeper->crew;
    if (crew == NULL)
        return;
    for (size_t i = 0; i < crew->count; i++)
        outbox_flush(&crew->hands[i].orders);
    inbox_doze(crew->inbox);
}

void crew_close(struct keeper *keeper)
{
    struct crew *crew = keeper->crew;
    keeper->crew = NULL;
    if (crew == NULL)
        return;
    for (size_t i = 0; i < crew->count; i++) {
        outbox_flush(&crew->hands[i].orders);
        work_loop_stop(&crew->hands[i].work);
        tls_context_free(&crew->hands[i].tls);
    }
    inbox_close(&crew->inbox);
    free(crew->hands);
    free(crew);
}
