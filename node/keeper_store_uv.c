/* keeper_store_uv - see keeper_store_uv.h
 *
 * The store's threads write what they have to say into `struct desk`, under its lock, and wake the loop. The desk
 * outlives the keeper_store for as long as requests are under way. No lock is held while a user or the store is
 * called, but for `asking`, which keeps the store from going while it is asked. */
#include "node/keeper_store_uv.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"
#include "base/panic.h"

/* A pair as it stands in the store. */
struct stored {
    struct kv_pair pair; /* key and value are ours */
    uint64_t number;     /* another one with each change */
};

struct desk {
    uv_async_t wake;
    pthread_mutex_t lock; /* guards what follows: */
    unsigned holders;     /* the keeper_store, its wake-up, each request under way */
    bool closed;
    struct list answers; /* struct answer */
    struct map table;    /* struct stored by key */
    uint64_t numbers;
    uint64_t lists; /* that have come */
    uint64_t revision, history;
    bool away, refused;
    char why[256];
};

/* A user, and what it has been told. */
struct seat {
    struct list link;
    struct store_user *user;
    uint64_t id; /* is not used again: a late answer finds nobody */
    struct keeper_store *store;
    uint64_t list;   /* the one it was told last */
    uint64_t number; /* of its pair; 0: there is none */
    bool away, refused;
};

struct keeper_store {
    struct desk *desk;
    pthread_mutex_t asking; /* guards `parted`, while the store is asked */
    bool parted;
    struct kv kv;
    struct kv_watch *watch;
    struct list seats;
    uint64_t ids;
};

struct answer {
    struct list link;
    struct desk *desk;
    uint64_t seat, ref;
    struct kv_result result; /* pairs and `why` are ours */
};

/* ---- memory ---- */

static void pair_copy(struct kv_pair *to, const struct kv_pair *from)
{
    *to = *from;
    to->key = xstrdup(from->key);
    to->value = from->len == 0 ? NULL : xmemdup(from->value, from->len);
}

static void pair_clear(struct kv_pair *pair)
{
    free((void *)pair->key);
    free((void *)pair->value);
}

static void stored_free(struct stored *stored)
{
    pair_clear(&stored->pair);
    free(stored);
}

static void answer_free(struct answer *answer)
{
    for (size_t i = 0; i < answer->result.pair_count; i++)
        pair_clear((struct kv_pair *)&answer->result.pairs[i]);
    free((void *)answer->result.pairs);
    free((void *)answer->result.why);
    free(answer);
}

static void table_clear(struct map *table)
{
    struct stored *stored;
    for (struct map_entry *at = NULL; (stored = map_next(table, &at)) != NULL;)
        stored_free(stored);
    map_free(table);
}

static void desk_drop(struct desk *desk)
{
    pthread_mutex_lock(&desk->lock);
    bool last = --desk->holders == 0;
    pthread_mutex_unlock(&desk->lock);
    if (!last)
        return;
    for (struct list *link; (link = list_pop(&desk->answers)) != NULL;)
        answer_free(list_item(link, struct answer, link));
    table_clear(&desk->table);
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

/* With the lock held: a closed one has no wake-up any more. */
static void desk_wake(struct desk *desk)
{
    if (!desk->closed)
        uv_async_send(&desk->wake);
}

/* ---- from the store's threads ---- */

static void on_done(void *arg, const struct kv_result *result)
{
    struct answer *answer = arg;
    struct desk *desk = answer->desk;
    struct kv_pair *pairs = xmalloc((result->pair_count + 1) * sizeof *pairs);
    for (size_t i = 0; i < result->pair_count; i++)
        pair_copy(&pairs[i], &result->pairs[i]);
    answer->result = *result;
    answer->result.pairs = pairs;
    answer->result.why = result->why == NULL ? NULL : xstrdup(result->why);
    pthread_mutex_lock(&desk->lock);
    list_push_back(&desk->answers, &answer->link);
    desk_wake(desk);
    pthread_mutex_unlock(&desk->lock);
    desk_drop(desk);
}

static void take_pair(struct desk *desk, const struct kv_pair *pair)
{
    struct stored *former;
    if (pair->deleted) {
        former = map_remove_text(&desk->table, pair->key);
    } else {
        struct stored *stored = xcalloc(1, sizeof *stored);
        pair_copy(&stored->pair, pair);
        stored->number = ++desk->numbers;
        former = map_set_text(&desk->table, pair->key, stored);
    }
    if (former != NULL)
        stored_free(former);
}

static void on_news(void *arg, const struct kv_news *news)
{
    struct desk *desk = arg;
    pthread_mutex_lock(&desk->lock);
    desk->away = news->type == KV_AWAY;
    desk->refused = news->refused;
    desk->history = news->history;
    if (news->type == KV_LIST) {
        table_clear(&desk->table);
        desk->lists++;
    }
    if (news->type == KV_AWAY) {
        strncpy(desk->why, news->why == NULL ? "no answer" : news->why, sizeof desk->why - 1);
    } else {
        desk->revision = news->revision;
        for (size_t i = 0; i < news->pair_count; i++)
            take_pair(desk, &news->pairs[i]);
    }
    desk_wake(desk);
    pthread_mutex_unlock(&desk->lock);
}

/* ---- to the users ---- */

static struct seat *find_seat(const struct keeper_store *store, uint64_t id)
{
    list_each (link, &store->seats) {
        struct seat *seat = list_item(link, struct seat, link);
        if (seat->id == id)
            return seat;
    }
    return NULL;
}

static void tell_answers(struct keeper_store *store)
{
    struct desk *desk = store->desk;
    for (;;) {
        pthread_mutex_lock(&desk->lock);
        struct list *link = list_pop(&desk->answers);
        pthread_mutex_unlock(&desk->lock);
        if (link == NULL)
            return;
        struct answer *answer = list_item(link, struct answer, link);
        const struct seat *seat = find_seat(store, answer->seat);
        if (seat != NULL)
            seat->user->result(seat->user->context, answer->ref, &answer->result, clock_now());
        answer_free(answer);
    }
}

struct letter {
    struct kv_news news;
    struct kv_pair pair; /* ours */
    char why[sizeof((struct desk *)0)->why];
};

static void write_pair(struct letter *letter, const struct desk *desk, struct seat *seat)
{
    const struct stored *stored = map_get_text(&desk->table, seat->user->key);
    seat->number = stored == NULL ? 0 : stored->number;
    letter->news.pairs = &letter->pair;
    letter->news.pair_count = 1;
    if (stored != NULL)
        pair_copy(&letter->pair, &stored->pair);
    else if (letter->news.type == KV_LIST)
        letter->news.pair_count = 0;
    else
        letter->pair =
            (struct kv_pair){.key = xstrdup(seat->user->key), .revision = desk->revision, .deleted = true};
}

/* What the seat's user has not been told yet, with the desk's lock held. False: nothing. */
static bool write_letter(struct letter *letter, struct desk *desk, struct seat *seat)
{
    const struct stored *stored = map_get_text(&desk->table, seat->user->key);
    uint64_t number = stored == NULL ? 0 : stored->number;
    memset(letter, 0, sizeof *letter);
    letter->news.revision = desk->revision;
    letter->news.history = desk->history;
    if (desk->away && (!seat->away || seat->refused != desk->refused)) {
        letter->news.type = KV_AWAY;
        letter->news.refused = desk->refused;
        memcpy(letter->why, desk->why, sizeof letter->why);
        letter->news.why = letter->why;
    } else if (desk->away || (seat->list == desk->lists && seat->number == number)) {
        return false;
    } else {
        letter->news.type = seat->list == desk->lists ? KV_CHANGES : KV_LIST;
        seat->list = desk->lists;
        write_pair(letter, desk, seat);
    }
    seat->away = desk->away;
    seat->refused = desk->refused;
    return true;
}

/* The first one that has something to be told; users come and go while they are told. False: nobody. */
static bool tell_one(struct keeper_store *store)
{
    struct letter letter;
    struct seat *found = NULL;
    pthread_mutex_lock(&store->desk->lock);
    list_each (link, &store->seats) {
        struct seat *seat = list_item(link, struct seat, link);
        if (write_letter(&letter, store->desk, seat)) {
            found = seat;
            break;
        }
    }
    pthread_mutex_unlock(&store->desk->lock);
    if (found == NULL)
        return false;
    list_remove(&found->link); /* its turn comes again when the others had theirs */
    list_push_back(&store->seats, &found->link);
    found->user->news(found->user->context, &letter.news, clock_now());
    pair_clear(&letter.pair);
    return true;
}

static void on_wake(uv_async_t *handle)
{
    struct keeper_store *store = handle->data;
    tell_answers(store);
    for (size_t most = 4096; tell_one(store); most--)
        if (most == 0) { /* others on this loop want their turn */
            uv_async_send(handle);
            return;
        }
}

/* ---- asking ---- */

static void request(void *context, uint64_t ref, const struct kv_request *asked)
{
    struct seat *seat = context;
    struct keeper_store *store = seat->store;
    struct answer *answer = xcalloc(1, sizeof *answer);
    answer->desk = store->desk;
    answer->seat = seat->id;
    answer->ref = ref;
    pthread_mutex_lock(&store->desk->lock);
    store->desk->holders++;
    pthread_mutex_unlock(&store->desk->lock);
    pthread_mutex_lock(&store->asking);
    bool parted = store->parted;
    if (!parted)
        store->kv.request(store->kv.context, asked, on_done, answer);
    pthread_mutex_unlock(&store->asking);
    if (parted) {
        struct kv_result refused = {.outcome = KV_REFUSED, .why = "this process stops"};
        on_done(answer, &refused);
    }
}

/* ---- life ---- */

struct keeper_store *keeper_store_open(uv_loop_t *loop, const struct kv *kv, const char *prefix)
{
    struct keeper_store *store = xcalloc(1, sizeof *store);
    struct desk *desk = store->desk = xcalloc(1, sizeof *desk);
    must(pthread_mutex_init(&desk->lock, NULL) == 0 && pthread_mutex_init(&store->asking, NULL) == 0);
    must(uv_async_init(loop, &desk->wake, on_wake) == 0);
    desk->wake.data = store;
    desk->holders = 2;
    list_init(&desk->answers);
    list_init(&store->seats);
    store->kv = *kv;
    store->watch = kv->watch(kv->context, prefix, on_news, desk);
    return store;
}

struct store_port keeper_store_join(struct keeper_store *store, struct store_user *user)
{
    struct seat *seat = xcalloc(1, sizeof *seat);
    seat->user = user;
    seat->id = ++store->ids;
    seat->store = store;
    list_push_back(&store->seats, &seat->link);
    uv_async_send(&store->desk->wake);
    return (struct store_port){.context = seat, .request = request};
}

void keeper_store_leave(struct keeper_store *store, struct store_user *user)
{
    list_each_safe (link, &store->seats) {
        struct seat *seat = list_item(link, struct seat, link);
        if (seat->user != user)
            continue;
        list_remove(&seat->link);
        free(seat);
        return;
    }
}

void keeper_store_part(struct keeper_store *store)
{
    pthread_mutex_lock(&store->asking);
    struct kv_watch *watch = store->watch;
    store->watch = NULL;
    store->parted = true;
    pthread_mutex_unlock(&store->asking);
    if (watch != NULL)
        store->kv.unwatch(store->kv.context, watch);
}

static void wake_closed(uv_handle_t *handle)
{
    desk_drop((struct desk *)handle);
}

void keeper_store_close(struct keeper_store **store)
{
    struct keeper_store *s = *store;
    *store = NULL;
    if (s == NULL)
        return;
    struct desk *desk = s->desk;
    must(list_empty(&s->seats));
    keeper_store_part(s);
    pthread_mutex_lock(&desk->lock);
    desk->closed = true;
    pthread_mutex_unlock(&desk->lock);
    uv_close((uv_handle_t *)&desk->wake, wake_closed);
    pthread_mutex_destroy(&s->asking);
    free(s);
    desk_drop(desk);
}
