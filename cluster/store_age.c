/* store_age - what is remembered, and what a look means; see store_age.h */
#include "cluster/store_age.h"

#include <inttypes.h>
#include <string.h>

static void raise_to(uint64_t *mark, uint64_t to)
{
    if (to > *mark)
        *mark = to;
}

/* What only grows within all histories that this member has been part of. */
static void raise_most(struct store_age *age)
{
    raise_to(&age->most.epoch, age->seen.epoch);
    raise_to(&age->most.change, age->seen.change);
    raise_to(&age->most.incarnation, age->seen.incarnation);
}

void store_age_view(struct store_age *age, uint64_t epoch)
{
    raise_to(&age->seen.epoch, epoch);
    raise_most(age);
}

void store_age_register(struct store_age *age, uint64_t change, uint64_t incarnation)
{
    raise_to(&age->seen.change, change);
    raise_to(&age->seen.incarnation, incarnation);
    raise_most(age);
}

void store_age_forget_register(struct store_age *age)
{
    age->seen.change = age->seen.incarnation = age->most.change = age->most.incarnation = 0;
}

bool store_age_fits(struct store_age *age, uint64_t etcd, uint64_t revision, uint64_t floor)
{
    if (age->seen.etcd == 0)
        return true; /* nothing to compare with */
    if (etcd != age->seen.etcd || revision < floor)
        return false;
    raise_to(&age->seen.revision, revision);
    return true;
}

bool store_age_doubts(struct store_age *age, uint64_t etcd, uint64_t revision)
{
    if (age->seen.etcd == 0 || etcd == 0)
        return false;
    return !store_age_fits(age, etcd, revision, revision == 0 ? 0 : age->seen.revision);
}

/* ---- a look ---- */

static bool knows(const struct store_age *age, uint64_t word)
{
    for (size_t i = 0; i < age->word_count; i++)
        if (age->words[i] == word)
            return true;
    return false;
}

static void remember(struct store_age *age, uint64_t word)
{
    if (word == 0 || knows(age, word))
        return;
    if (age->word_count < STORE_WORDS)
        age->word_count++;
    memmove(&age->words[1], &age->words[0], (age->word_count - 1) * sizeof age->words[0]);
    age->words[0] = word;
}

/* Null, or what is wrong with what was found. */
static bool is_other(const struct store_age *age, const struct store_look *look, struct error *why)
{
    const struct store_spot *floor = &look->floor, *found = &look->found;
    if (found->etcd != floor->etcd)
        error_set(why, "it is another cluster of etcd (id %" PRIx64 ") than the one known here (%" PRIx64 ")",
            found->etcd, floor->etcd);
    else if (found->revision < floor->revision)
        error_set(why, "it is at revision %" PRIu64 ", and was at %" PRIu64 " before", found->revision,
            floor->revision);
    else if (look->word.id != 0 && knows(age, look->word.id) && look->word.id != age->words[0])
        error_set(why, "the last adoption that it knows of is not the last one there was");
    else if (found->epoch != 0 && found->epoch < floor->epoch)
        error_set(why, "its view is number %" PRIu64 ", and there was number %" PRIu64 " before",
            found->epoch, floor->epoch);
    else if (found->change != 0 && (found->change < floor->change || found->incarnation < floor->incarnation))
        error_set(why,
            "it has this node's spool at incarnation %" PRIu64 " (change %" PRIu64 "), which was at %" PRIu64
            " (%" PRIu64 ")",
            found->incarnation, found->change, floor->incarnation, floor->change);
    else
        return false;
    return true;
}

static void take(struct store_age *age, const struct store_look *look)
{
    raise_most(age);
    age->seen = look->found;
    raise_most(age);
    remember(age, look->word.id);
}

enum store_verdict store_age_look(struct store_age *age, const struct store_look *look, struct error *why)
{
    const struct store_spot *found = &look->found;
    if (age->seen.etcd == 0) {
        take(age, look);
        return STORE_SAME;
    }
    if (look->word.id != 0 && look->word.etcd == found->etcd && !knows(age, look->word.id)) {
        take(age, look);
        return STORE_ADOPTED;
    }
    if (is_other(age, look, why))
        return STORE_OTHER;
    raise_to(&age->seen.revision, found->revision);
    store_age_view(age, found->epoch);
    store_age_register(age, found->change, found->incarnation);
    remember(age, look->word.id);
    return STORE_SAME;
}
