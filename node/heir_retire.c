/* heir_retire - the end of a spool: its register says that it is nobody's any more
 *
 * The key stays in the store: a disk that was away must not take the spool for its own (cluster/spool_register.h). A
 * swap whose answer is lost is decided by reading the register again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/heir_inside.h"

#define AGAIN USEC_SEC
#define AGAIN_GONE USEC_MIN

bool heir_is_empty(const struct heir *heir)
{
    return custody_figures(heir->custody).messages == 0 && custody_oldest_end(heir->custody) == UINT64_MAX;
}

static void ask(struct heir *heir, enum heir_asked what, const struct kv_request *request)
{
    heir->asked = what;
    heir->ask_ref = ++heir->refs;
    heir->ports.store.request(heir->ports.store.context, heir->ask_ref, request);
}

static void read_register(struct heir *heir)
{
    struct kv_request request = {.verb = KV_RANGE, .key = heir->key};
    ask(heir, HEIR_ASKED_READ, &request);
}

static void swap_register(struct heir *heir, const struct spool_register *next, uint64_t revision)
{
    struct buffer text = {0};
    spool_register_write(next, &text);
    struct kv_compare compare = {.key = heir->key, .revision = revision};
    struct kv_change change = {heir->key, buffer_bytes(&text), buffer_len(&text), 0};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    ask(heir, HEIR_ASKED_SWAP, &request);
    buffer_free(&text);
}

static void is_retired(struct heir *heir)
{
    heir->state = HEIR_RETIRED;
    heir_notice(heir, "spool %s is empty and retired", heir->spool);
    heir->ports.retired(heir->ports.context);
}

static void is_deposed(struct heir *heir, const struct spool_register *reg)
{
    heir->state = HEIR_DEPOSED;
    heir_notice(heir,
        "spool %s belongs to disk %s of node %s in epoch %" PRIu64
        ", not to this copy (disk %s): it moves nothing any more",
        heir->spool, reg->disk, reg->node, reg->epoch, heir->disk);
}

/* A store that was wiped, or put back from a backup: nothing follows from that. */
static void is_gone(struct heir *heir)
{
    heir->ask_at = heir->now + AGAIN_GONE;
    if (!heir->gone_said)
        heir_notice(heir,
            "there is no register of spool %s, which this copy (disk %s) serves: it is empty, and kept",
            heir->spool, heir->disk);
    heir->gone_said = true;
}

/* What the register says: false, it can't be read. */
static bool decode(struct heir *heir, const struct kv_pair *pair, struct spool_register *reg_r)
{
    struct error error;
    if (spool_register_read(pair->value, pair->len, reg_r, &error) == 0)
        return true;
    heir->ask_at = heir->now + AGAIN_GONE;
    heir_notice(heir, "%s: %s. Somebody wrote there by hand", heir->key, error.text);
    return false;
}

static bool is_mine(const struct heir *heir, const struct spool_register *reg)
{
    return strcmp(reg->disk, heir->disk) == 0 && reg->process == heir->process;
}

static void on_read(struct heir *heir, const struct kv_result *result)
{
    const struct kv_pair *pair = NULL;
    struct spool_register reg, next;
    struct error error;
    for (size_t i = 0; i < result->pair_count; i++)
        if (strcmp(result->pairs[i].key, heir->key) == 0)
            pair = &result->pairs[i];
    if (pair == NULL)
        is_gone(heir);
    else if (!decode(heir, pair, &reg))
        return;
    else if (reg.retired && strcmp(reg.disk, heir->disk) == 0)
        is_retired(heir);
    else if (!is_mine(heir, &reg))
        is_deposed(heir, &reg);
    else if (spool_register_retire(&reg, heir->disk, heir->process, &next, &error) == 0)
        swap_register(heir, &next, pair->revision);
}

void heir_result(struct heir *heir, uint64_t ref, const struct kv_result *result, usec_t now)
{
    if (heir->asked == HEIR_ASKED_NOTHING || ref != heir->ask_ref)
        return;
    enum heir_asked asked = heir->asked;
    heir->now = now;
    heir->asked = HEIR_ASKED_NOTHING;
    if (heir->state != HEIR_RETIRES)
        return;
    if (asked == HEIR_ASKED_READ && result->outcome == KV_DONE)
        on_read(heir, result);
    else if (asked == HEIR_ASKED_SWAP && result->outcome == KV_DONE)
        is_retired(heir);
    else /* it may have happened, or not: read again */
        heir->ask_at = now + AGAIN;
}

/* An operator may have given the spool to another disk: who goes on then moves mail that is no longer ours. */
void heir_register_news(struct heir *heir, const struct kv_news *news, usec_t now)
{
    struct spool_register reg;
    heir->now = now;
    if (news->type == KV_AWAY || heir->state == HEIR_RETIRED || heir->state == HEIR_DEPOSED)
        return;
    for (size_t i = 0; i < news->pair_count; i++) {
        const struct kv_pair *pair = &news->pairs[i];
        if (strcmp(pair->key, heir->key) != 0 || pair->deleted || !decode(heir, pair, &reg))
            continue;
        if (reg.epoch > heir->epoch && !reg.retired && !is_mine(heir, &reg)) {
            is_deposed(heir, &reg);
            return;
        }
    }
}

void heir_retire_tick(struct heir *heir)
{
    if (heir->state == HEIR_WAITS && heir_is_empty(heir) && heir->now >= heir->swapped + heir->least)
        heir->state = HEIR_RETIRES;
    if (heir->state != HEIR_RETIRES || heir->asked != HEIR_ASKED_NOTHING || heir->now < heir->ask_at)
        return;
    if (!heir_is_empty(heir)) { /* a MOVE came meanwhile, and its refusal is known now */
        heir->state = HEIR_WAITS;
        return;
    }
    read_register(heir);
}

usec_t heir_retire_deadline(const struct heir *heir)
{
    if (heir->state == HEIR_WAITS && heir_is_empty(heir))
        return heir->swapped + heir->least;
    return heir->state == HEIR_RETIRES && heir->asked == HEIR_ASKED_NOTHING ? heir->ask_at : USEC_NEVER;
}
