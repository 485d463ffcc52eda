/* scale_figures - what a run at scale counts: how soon everybody knows a view, and what the store is asked; see scale.h
 *
 * A member counts for a view if nothing has stood in its way since the view was published: it ran, was not frozen, and
 * its way to the store was whole. For the others the longest time is told, too. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/sim/scale.h"
#include "tests/sim/store_link.h"

enum { HUNDREDTHS_MS = 10, SLOTS = 100000 };

struct note { /* a view */
    uint64_t epoch;
    usec_t published, slowest;
    size_t known;
    bool checked;
};

struct asked {
    uint64_t changes, idle, keeps, grants, ranges;
};

struct scale_figures {
    struct note *notes;
    size_t count, size;
    uint64_t slots[SLOTS]; /* members who knew a view after so many tenths of a millisecond */
    uint64_t knew;
    size_t largest;
    usec_t hindered_most;
    struct asked asked, steady;
    usec_t steady_from, steady_for;
};

struct scale_figures *figures_new(void)
{
    return xcalloc(1, sizeof(struct scale_figures));
}

void figures_free(struct scale_figures **figures)
{
    free((*figures)->notes);
    free(*figures);
    *figures = NULL;
}

void scale_hinders(struct member *member)
{
    if (member->sim->scale != NULL)
        member->sim->scale->hindered[member->index] = member->sim->now;
}

void scale_published(struct sim *sim, uint64_t epoch, size_t bytes)
{
    struct scale_figures *f = sim->scale->figures;
    if (f->count == f->size) {
        f->size = f->size == 0 ? 64 : 2 * f->size;
        f->notes = xrealloc(f->notes, f->size * sizeof *f->notes);
    }
    f->notes[f->count++] = (struct note){.epoch = epoch, .published = sim->now};
    f->largest = bytes > f->largest ? bytes : f->largest;
}

static bool is_free(const struct sim *sim, const struct member *member, usec_t since)
{
    return sim->scale->hindered[member->index] < since && sim->now >= member->frozen_until;
}

void scale_knows(struct member *member, uint64_t epoch)
{
    struct sim *sim = member->sim;
    struct scale_figures *f = sim->scale->figures;
    size_t at = f->count;
    while (at > 0 && f->notes[at - 1].epoch != epoch)
        at--;
    if (at == 0)
        return;
    struct note *note = &f->notes[at - 1];
    usec_t took = sim->now - note->published;
    if (sim->now < member->frozen_until)
        return; /* its control goes on: the node hears of it later */
    if (!is_free(sim, member, note->published)) {
        took = sim->now - sim->scale->hindered[member->index];
        trace_member(member, "hindered", "it knows epoch %llu %lld ms after that", (unsigned long long)epoch,
            (long long)took / 1000);
        f->hindered_most = took > f->hindered_most ? took : f->hindered_most;
        return;
    }
    note->slowest = took > note->slowest ? took : note->slowest;
    note->known++;
    usec_t slot = took * HUNDREDTHS_MS / USEC_MS;
    f->slots[slot < SLOTS ? slot : SLOTS - 1]++;
    f->knew++;
}

static void check(struct sim *sim, const struct note *note)
{
    for (int i = 0; i < sim->members_count; i++) {
        const struct member *member = &sim->members[i];
        if (member->running && is_free(sim, member, note->published) && member->newest_epoch < note->epoch)
            sim_fail(sim, "view: %s does not know of epoch %llu after %lld ms, though nothing hinders it",
                member->name, (unsigned long long)note->epoch,
                (long long)((sim->now - note->published) / 1000));
    }
}

void figures_watch(struct sim *sim)
{
    struct scale_figures *f = sim->scale->figures;
    for (size_t at = f->count; at > 0 && !f->notes[at - 1].checked; at--) {
        if (sim->now < f->notes[at - 1].published + SCALE_VIEW_KNOWN)
            continue;
        f->notes[at - 1].checked = true;
        check(sim, &f->notes[at - 1]);
    }
}

/* ---- the store ---- */

void scale_requested(struct sim *sim, const struct kv_request *request, bool changed)
{
    struct asked *asked = &sim->scale->figures->asked;
    switch (request->verb) {
    case KV_TXN:
        *(changed ? &asked->changes : &asked->idle) += 1;
        break;
    case KV_LEASE_KEEP:
        asked->keeps++;
        break;
    case KV_RANGE:
        asked->ranges++;
        break;
    case KV_LEASE_GRANT:
    case KV_LEASE_REVOKE:
        asked->grants++;
        break;
    }
}

void figures_steady(struct sim *sim, bool begins)
{
    struct scale_figures *f = sim->scale->figures;
    if (begins) {
        f->steady_from = sim->now;
        f->steady = f->asked;
        return;
    }
    f->steady_for = sim->now - f->steady_from;
    f->steady = (struct asked){.changes = f->asked.changes - f->steady.changes,
        .idle = f->asked.idle - f->steady.idle,
        .keeps = f->asked.keeps - f->steady.keeps,
        .grants = f->asked.grants - f->steady.grants,
        .ranges = f->asked.ranges - f->steady.ranges};
}

/* ---- at the end ---- */

static double percentile(const struct scale_figures *f, double part)
{
    uint64_t passed = 0;
    for (size_t i = 0; i < SLOTS; i++)
        if ((passed += f->slots[i]) >= (uint64_t)(part * (double)f->knew))
            return (double)i / HUNDREDTHS_MS;
    return 0;
}

static int by_value(const void *a, const void *b)
{
    const usec_t *first = a, *second = b;
    return *first < *second ? -1 : *first > *second;
}

static void print_views(const struct scale_figures *f)
{
    usec_t *slowest = xcalloc(f->count + 1, sizeof *slowest);
    for (size_t i = 0; i < f->count; i++)
        slowest[i] = f->notes[i].slowest;
    qsort(slowest, f->count, sizeof *slowest, by_value);
    size_t middle = f->count / 2, late = f->count * 99 / 100, last = f->count > 0 ? f->count - 1 : 0;
    printf(
        "  views: %zu of at most %zu octets; a member knows one after %.1f ms (p50), %.1f ms (p99); the last "
        "one after %.1f ms (p50), %.1f ms (p99), %.1f ms (most); after a hindrance, %.1f s at most\n",
        f->count, f->largest, percentile(f, 0.5), percentile(f, 0.99), (double)slowest[middle] / 1000,
        (double)slowest[late] / 1000, (double)slowest[last] / 1000, (double)f->hindered_most / USEC_SEC);
    free(slowest);
}

void figures_print(struct sim *sim)
{
    const struct scale_figures *f = sim->scale->figures;
    double seconds = f->steady_for > 0 ? (double)f->steady_for / USEC_SEC : 1;
    uint64_t writes = f->steady.changes + f->steady.idle + f->steady.grants;
    print_views(f);
    printf("  store, nothing happening for %.0f s: %.2f writes a second (%llu transactions, %llu of leases), "
           "%.0f "
           "keep-alives, %.1f ranges a second; in the whole run %llu transactions, %llu of leases\n",
        seconds, (double)writes / seconds, (unsigned long long)(f->steady.changes + f->steady.idle),
        (unsigned long long)f->steady.grants, (double)f->steady.keeps / seconds,
        (double)f->steady.ranges / seconds, (unsigned long long)(f->asked.changes + f->asked.idle),
        (unsigned long long)f->asked.grants);
    if ((double)writes / seconds >= SCALE_WRITES)
        sim_fail(sim, "store: %.1f writes a second while nothing happens", (double)writes / seconds);
}
