/* kv_etcd_watch_grpc - watches: what is there, then each change; see kv_etcd_inside_grpc.h
 *
 * A watch lists its prefix by an ordinary request, tells that, and opens a stream of its own from the list's
 * revision on. A stream that breaks is opened again behind the last change that was told; when etcd has
 * forgotten that revision (compaction), or was silent for so long that KV_AWAY was told, a new list comes
 * first. etcd never cuts a revision in two (`fragment` is not asked for), so the highest revision that came
 * is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/kv_etcd_inside_grpc.h"

/* Lets the lock go meanwhile. */
static void tell(struct kv_watch *watch, const struct kv_news *news)
{
    struct kv_etcd *etcd = watch->etcd;
    if (watch->dead || etcd->closing)
        return;
    etcd->telling = watch;
    pthread_mutex_unlock(&etcd->lock);
    watch->told(watch->arg, news);
    pthread_mutex_lock(&etcd->lock);
    etcd->telling = NULL;
    pthread_cond_broadcast(&etcd->told);
}

static void retry(struct kv_watch *watch, enum watch_state state, usec_t pause)
{
    watch->state = state;
    watch->try_at = clock_now() + pause;
}

/* ---- the list ---- */

static void take_list(struct kv_watch *watch, const struct kv_result *result)
{
    struct kv_news news = {.type = KV_LIST,
        .pairs = result->pairs,
        .pair_count = result->pair_count,
        .revision = result->revision,
        .history = result->history};
    watch->next = result->revision + 1;
    watch->well_at = clock_now();
    watch->away = false;
    retry(watch, WATCH_TO_OPEN, 0);
    tell(watch, &news);
}

static void on_list(void *arg, const struct kv_result *result)
{
    struct kv_watch *watch = arg;
    struct kv_etcd *etcd = watch->etcd;
    pthread_mutex_lock(&etcd->lock);
    if (result->outcome == KV_DONE) {
        take_list(watch, result);
    } else {
        error_set(&watch->why, "%s", result->why);
        retry(watch, WATCH_TO_LIST, result->outcome == KV_REFUSED ? WATCH_REFUSED_PAUSE : 0);
    }
    pthread_mutex_unlock(&etcd->lock);
}

static void start_list(struct kv_watch *watch)
{
    struct kv_etcd *etcd = watch->etcd;
    struct kv_request request = {.verb = KV_RANGE, .key = watch->prefix, .prefix = true};
    watch->state = WATCH_LISTING;
    pthread_mutex_unlock(&etcd->lock);
    kv_etcd_request(etcd, &request, on_list, watch);
    pthread_mutex_lock(&etcd->lock);
}

/* ---- the stream ---- */

struct taken {
    struct arena memory;
    struct kv_pair *pairs;
    size_t count, size;
    uint64_t from, last;
};

static void take_event(void *arg, const struct etcd_pair *from)
{
    struct taken *taken = arg;
    if (from->modified < taken->from)
        return; /* told before the stream broke */
    taken->last = from->modified;
    if (taken->count == taken->size) {
        taken->size = taken->size == 0 ? 16 : 2 * taken->size;
        taken->pairs = xrealloc(taken->pairs, taken->size * sizeof *taken->pairs);
    }
    if (request_copy_pair(&taken->memory, from, &taken->pairs[taken->count]))
        taken->count++;
}

/* etcd ends a watch: the revision is compacted, or the user may not look there (which a token that it has
 * forgotten looks like, too). The stream itself stays open, so we end it. */
static void on_canceled(struct kv_watch *watch, struct call *call, const struct etcd_watch_reply *reply)
{
    call->owner = NULL;
    watch->call = NULL;
    call_cancel(call);
    if (reply->compacted != 0) {
        retry(watch, WATCH_TO_LIST, 0);
        return;
    }
    error_set(&watch->why, "etcd at %s refuses the watch of %s (%s)", call->endpoint->text, watch->prefix,
        reply->reason);
    if (!watch->relogged && watch->etcd->user != NULL && call->token == watch->etcd->token_number)
        buffer_clear(&watch->etcd->token);
    retry(watch, WATCH_TO_OPEN, watch->relogged ? WATCH_REFUSED_PAUSE : 0);
    watch->relogged = true;
}

static void on_reply(struct kv_watch *watch, const struct etcd_watch_reply *reply, struct taken *taken)
{
    struct kv_news news = {.type = KV_CHANGES,
        .pairs = taken->pairs,
        .pair_count = taken->count,
        .revision = taken->last,
        .history = watch->etcd->guard.history};
    guard_hint(watch->etcd, &reply->header);
    watch->state = WATCH_OPEN;
    watch->relogged = false;
    endpoint_answered(watch->call->endpoint, watch->etcd, clock_now());
    if (taken->last >= watch->next)
        watch->next = taken->last + 1;
    else if (reply->events == 0 && !reply->created && reply->header.revision >= watch->next)
        watch->next = reply->header.revision + 1; /* a notice of progress: nothing happened up to there */
    if (taken->count > 0)
        tell(watch, &news);
}

static void on_heard(struct call *call, const void *bytes, size_t len)
{
    struct kv_watch *watch = call->owner;
    struct taken taken = {.from = watch->next};
    struct etcd_watch_reply reply;
    if (etcd_decode_watch(bytes, len, &reply, take_event, &taken, &watch->why) < 0) {
        call->owner = NULL;
        watch->call = NULL;
        call_cancel(call);
        retry(watch, WATCH_TO_LIST, WATCH_REFUSED_PAUSE);
    } else if (reply.canceled) {
        on_canceled(watch, call, &reply);
    } else {
        on_reply(watch, &reply, &taken);
    }
    arena_free(&taken.memory);
    free(taken.pairs);
}

/* RESOURCE_EXHAUSTED: what has gathered is larger than a message may be; a list comes in pages. */
static void on_over(struct call *call)
{
    struct kv_watch *watch = call->owner;
    if (watch == NULL)
        return;
    char details[200];
    watch->call = NULL;
    call_details(call, details, sizeof details);
    error_set(
        &watch->why, "etcd at %s ended the watch of %s (%s)", call->endpoint->text, watch->prefix, details);
    if (!login_forget(call) && call->status != GRPC_STATUS_RESOURCE_EXHAUSTED)
        endpoint_doubt(call);
    bool list = call->status == GRPC_STATUS_RESOURCE_EXHAUSTED || watch->away;
    retry(watch, list ? WATCH_TO_LIST : WATCH_TO_OPEN, WATCH_PAUSE);
}

static void start_stream(struct kv_watch *watch)
{
    struct kv_etcd *etcd = watch->etcd;
    struct buffer message = {0};
    size_t len = strlen(watch->prefix);
    char *end = xmalloc(len + 1);
    struct etcd_range range = {.key = {len > 0 ? watch->prefix : "", len > 0 ? len : 1},
        .end = {end, etcd_prefix_end(watch->prefix, len, end)},
        .revision = watch->next};
    etcd_encode_watch(&range, &message);
    struct call_wish wish = {
        .method = ETCD_WATCH, .message = &message, .owner = watch, .over = on_over, .heard = on_heard};
    watch->state = WATCH_OPENING;
    watch->call = call_start(etcd, etcd->current, &wish);
    buffer_free(&message);
    free(end);
}

/* ---- time ---- */

static void forget_stream(struct kv_watch *watch)
{
    if (watch->call == NULL)
        return;
    watch->call->owner = NULL;
    call_cancel(watch->call);
    watch->call = NULL;
}

static void tell_away(struct kv_watch *watch, const char *why, bool refused)
{
    struct kv_news news = {
        .type = KV_AWAY, .why = why, .refused = refused, .history = watch->etcd->guard.history};
    forget_stream(watch);
    if (watch->state != WATCH_LISTING)
        retry(watch, WATCH_TO_LIST, 0);
    watch->away = true;
    tell(watch, &news);
}

static void go_away(struct kv_watch *watch)
{
    struct kv_etcd *etcd = watch->etcd;
    struct error why;
    if (guard_refuses(etcd) != NULL)
        error_set(&why, "%s", guard_refuses(etcd));
    else if (etcd->well && watch->why.text[0] != '\0')
        why = watch->why;
    else
        endpoints_why(etcd, &why);
    tell_away(watch, why.text, guard_refuses(etcd) != NULL);
}

void watches_refuse(struct kv_etcd *etcd, const char *why)
{
    list_each (link, &etcd->watches) { /* others add at its end, and only we take out */
        struct kv_watch *watch = list_item(link, struct kv_watch, link);
        if (!watch->dead)
            tell_away(watch, why, true);
    }
}

static void watch_tick(struct kv_watch *watch, usec_t now)
{
    struct kv_etcd *etcd = watch->etcd;
    if (watch->state == WATCH_OPEN && etcd->answered_at > watch->well_at)
        watch->well_at = etcd->answered_at;
    if (!watch->away && now > watch->well_at + AWAY_AFTER)
        go_away(watch);
    if (watch->dead || now < watch->try_at || !login_ready(etcd, now))
        return;
    if (watch->state == WATCH_TO_LIST)
        start_list(watch);
    else if (watch->state == WATCH_TO_OPEN)
        start_stream(watch);
}

static void watch_free(struct kv_watch *watch)
{
    list_remove(&watch->link);
    free(watch->prefix);
    free(watch);
}

void watches_tick(struct kv_etcd *etcd, usec_t now)
{
    struct list *at = etcd->watches.next;
    while (at != &etcd->watches) { /* only we take out of the list; others add at its end */
        struct kv_watch *watch = list_item(at, struct kv_watch, link);
        if (!watch->dead)
            watch_tick(watch, now);
        at = at->next;
        if (watch->dead && watch->state != WATCH_LISTING) {
            forget_stream(watch);
            watch_free(watch);
        }
    }
}

void watches_leave(struct kv_etcd *etcd, const struct endpoint *endpoint)
{
    list_each (link, &etcd->watches) {
        struct kv_watch *watch = list_item(link, struct kv_watch, link);
        if (watch->call == NULL || watch->call->endpoint != endpoint)
            continue;
        forget_stream(watch);
        retry(watch, WATCH_TO_OPEN, 0);
    }
}

void watches_free(struct kv_etcd *etcd)
{
    while (!list_empty(&etcd->watches))
        watch_free(list_item(list_pop(&etcd->watches), struct kv_watch, link));
}

/* ---- the face ---- */

struct kv_watch *kv_etcd_watch(void *context, const char *prefix, kv_told *told, void *arg)
{
    struct kv_etcd *etcd = context;
    struct kv_watch *watch = xcalloc(1, sizeof *watch);
    watch->etcd = etcd;
    watch->prefix = xstrdup(prefix);
    watch->told = told;
    watch->arg = arg;
    pthread_mutex_lock(&etcd->lock);
    watch->well_at = clock_now();
    list_push_back(&etcd->watches, &watch->link);
    if (login_ready(etcd, watch->well_at))
        start_list(watch);
    pthread_mutex_unlock(&etcd->lock);
    return watch;
}

void kv_etcd_unwatch(void *context, struct kv_watch *watch)
{
    struct kv_etcd *etcd = context;
    pthread_mutex_lock(&etcd->lock);
    watch->dead = true;
    while (etcd->telling == watch)
        pthread_cond_wait(&etcd->told, &etcd->lock);
    pthread_mutex_unlock(&etcd->lock);
}
