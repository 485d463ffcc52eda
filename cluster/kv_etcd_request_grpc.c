/* kv_etcd_request_grpc - a request from its coming in to its outcome; see kv_etcd_inside_grpc.h
 *
 * It waits until a member answers and the token is there, then runs. What may be asked twice (everything but
 * a transaction) goes back to waiting when its member fails, as long as there is time; a transaction that may
 * have reached etcd is KV_UNKNOWN then.
 *
 * Outcomes by status: see api/v3rpc/rpctypes/error.go of etcd for the codes it uses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/kv_etcd_inside_grpc.h"

#define PAGE 500 /* keys */

static void request_free(struct request *request)
{
    buffer_free(&request->message);
    arena_free(&request->memory);
    free(request->pairs);
    free(request->key);
    free(request->end);
    free(request);
}

/* Lets the lock go for `done`; the request is no more afterwards. */
static void end(struct request *request, enum kv_outcome outcome)
{
    struct kv_etcd *etcd = request->etcd;
    list_remove(&request->link);
    request->result.outcome = outcome;
    request->result.why = outcome == KV_UNKNOWN || outcome == KV_REFUSED ? request->why.text : NULL;
    if (outcome == KV_DONE && request->verb == KV_RANGE) {
        request->result.pairs = request->pairs;
        request->result.pair_count = request->pair_count;
        request->result.revision = request->at;
    }
    request->result.history = etcd->guard.history;
    pthread_mutex_unlock(&etcd->lock);
    request->done(request->arg, &request->result);
    pthread_mutex_lock(&etcd->lock);
    request_free(request);
}

/* ---- ranges ---- */

bool request_copy_pair(struct arena *memory, const struct etcd_pair *from, struct kv_pair *to)
{
    size_t key_len = from->key.len;
    if (key_len == 0 || key_len > KV_MAX_KEY || memchr(from->key.bytes, '\0', key_len) != NULL)
        return false;
    char *value = arena_take(memory, from->value.len + 1);
    memcpy(value, from->value.bytes, from->value.len);
    *to = (struct kv_pair){.key = arena_text(memory, from->key.bytes, key_len),
        .value = value,
        .len = from->value.len,
        .revision = from->modified,
        .created = from->created,
        .lease = from->lease,
        .deleted = from->deleted};
    return true;
}

static void take_pair(void *arg, const struct etcd_pair *from)
{
    struct request *request = arg;
    if (request->pair_count == request->pair_size) {
        request->pair_size = request->pair_size == 0 ? 16 : 2 * request->pair_size;
        request->pairs = xrealloc(request->pairs, request->pair_size * sizeof *request->pairs);
    }
    request->cursor = arena_text(&request->memory, from->key.bytes, from->key.len);
    request->key_len = from->key.len;
    request->bytes += from->key.len + from->value.len;
    if (request->bytes <= KV_MAX_RANGE &&
        request_copy_pair(&request->memory, from, &request->pairs[request->pair_count]))
        request->pair_count++;
}

static void forget_pages(struct request *request)
{
    arena_free(&request->memory);
    request->pair_count = request->bytes = 0;
    request->cursor = NULL;
    request->at = 0;
}

/* The next page begins behind the last key that came, at the revision of the first page: the smallest key
 * above K is K and a zero octet. */
static void encode_page(struct request *request)
{
    struct etcd_range range = {.key = {request->key, strlen(request->key)},
        .end = {request->end, request->end_len},
        .limit = request->end_len > 0 ? PAGE : 0,
        .revision = request->at};
    if (request->cursor != NULL)
        range.key = (struct etcd_bytes){request->cursor, request->key_len + 1};
    else if (range.key.len == 0)
        range.key = (struct etcd_bytes){"", 1};
    buffer_clear(&request->message);
    etcd_encode_range(&range, &request->message);
}

static void start(struct request *request);
static void wait_again(struct request *request);

static void on_page(struct request *request, grpc_slice answer)
{
    struct etcd_header header;
    bool more;
    if (etcd_decode_range(GRPC_SLICE_START_PTR(answer), GRPC_SLICE_LENGTH(answer), &header, &more, take_pair,
            request, &request->why) < 0) {
        end(request, KV_REFUSED);
        return;
    }
    if (!guard_fits(request->etcd, &header, request->floor)) {
        forget_pages(request);
        wait_again(request);
        return;
    }
    request->result.store = header.cluster;
    if (request->at == 0)
        request->at = header.revision;
    if (request->bytes > KV_MAX_RANGE) {
        error_set(&request->why, "the keys under %s hold more than %zu MiB: too much for one answer",
            request->key, KV_MAX_RANGE >> 20);
        end(request, KV_REFUSED);
    } else if (more && request->cursor != NULL) {
        start(request);
    } else {
        end(request, KV_DONE);
    }
}

/* ---- answers ---- */

static void on_txn(struct request *request, grpc_slice answer)
{
    struct etcd_header header;
    bool succeeded;
    if (etcd_decode_txn(GRPC_SLICE_START_PTR(answer), GRPC_SLICE_LENGTH(answer), &header, &succeeded,
            &request->why) < 0) {
        end(request, KV_UNKNOWN);
        return;
    }
    request->result.revision = header.revision;
    request->result.store = header.cluster;
    if (!guard_fits(request->etcd, &header, request->floor)) {
        error_set(&request->why, "etcd answers for another store than before");
        end(request, KV_UNKNOWN);
        return;
    }
    end(request, succeeded ? KV_DONE : KV_LOST);
}

static void on_lease(struct request *request, grpc_slice answer)
{
    struct etcd_header header;
    uint64_t seconds;
    if (etcd_decode_lease(GRPC_SLICE_START_PTR(answer), GRPC_SLICE_LENGTH(answer), &header,
            &request->result.lease, &seconds, &request->why) < 0) {
        end(request, KV_UNKNOWN);
        return;
    }
    guard_hint(request->etcd, &header);
    request->result.revision = header.revision;
    request->result.ttl = (usec_t)seconds * USEC_SEC;
    end(request, seconds > 0 ? KV_DONE : KV_LOST);
}

static void on_answer(struct request *request, struct call *call)
{
    grpc_slice answer = call_answer(call);
    if (request->verb == KV_RANGE)
        on_page(request, answer);
    else if (request->verb == KV_TXN)
        on_txn(request, answer);
    else if (request->verb == KV_LEASE_REVOKE)
        end(request, KV_DONE);
    else
        on_lease(request, answer);
    grpc_slice_unref(answer);
}

/* ---- failures ---- */

static void wait_again(struct request *request)
{
    list_remove(&request->link);
    list_push_back(&request->etcd->waiting, &request->link);
}

/* RESOURCE_EXHAUSTED is "too many requests" too, which another time may bring to an end. */
bool call_is_refusal(const struct call *call)
{
    switch (call->status) {
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return !call_says(call, "too many requests");
    case GRPC_STATUS_INVALID_ARGUMENT:
    case GRPC_STATUS_NOT_FOUND:
    case GRPC_STATUS_ALREADY_EXISTS:
    case GRPC_STATUS_PERMISSION_DENIED:
    case GRPC_STATUS_FAILED_PRECONDITION:
    case GRPC_STATUS_OUT_OF_RANGE:
    case GRPC_STATUS_UNIMPLEMENTED:
    case GRPC_STATUS_UNAUTHENTICATED:
        return true;
    default:
        return false;
    }
}

static const char *advice(const struct call *call)
{
    if (call->status == GRPC_STATUS_PERMISSION_DENIED)
        return ": give its user a role with these keys (`etcdctl role grant-permission`)";
    if (call->status == GRPC_STATUS_UNAUTHENTICATED || call_says(call, "user name is empty"))
        return ": set `user` and `password` under cluster.etcd";
    if (call_says(call, "database space exceeded"))
        return ": its disk quota is full; compact and defragment it, then `etcdctl alarm disarm`";
    if (call_says(call, "too large") || call_says(call, "larger than max"))
        return ": the value is larger than it takes";
    return "";
}

static void on_refusal(struct request *request, const struct call *call)
{
    char details[200];
    if (call->status == GRPC_STATUS_NOT_FOUND && request->verb != KV_RANGE) { /* the lease is no more */
        end(request, request->verb == KV_LEASE_REVOKE && request->tried ? KV_DONE : KV_LOST);
        return;
    }
    if (call->status == GRPC_STATUS_OUT_OF_RANGE && request->at != 0) { /* compacted between two pages */
        forget_pages(request);
        wait_again(request);
        return;
    }
    call_details(call, details, sizeof details);
    error_set(&request->why, "etcd at %s refuses (%s)%s", call->endpoint->text, details, advice(call));
    end(request, KV_REFUSED);
}

static void explain(struct request *request, const struct call *call)
{
    if (call->endpoint->why.text[0] != '\0')
        request->why = call->endpoint->why;
    else
        error_set(&request->why, "etcd at %s did not answer in time: is it overloaded, or the network?",
            call->endpoint->text);
}

/* No answer: what may be asked twice waits for a member that answers. */
static void on_silence(struct request *request, struct call *call)
{
    bool again = request->verb != KV_TXN && clock_now() < request->until;
    endpoint_doubt(call);
    request->tried = true;
    explain(request, call);
    if (!again || request->etcd->closing) {
        end(request, KV_UNKNOWN);
        return;
    }
    wait_again(request);
}

static void on_over(struct call *call)
{
    struct request *request = call->owner;
    struct kv_etcd *etcd = call->etcd;
    request->call = NULL;
    if (call->status == GRPC_STATUS_OK) {
        endpoint_answered(call->endpoint, etcd, clock_now());
        on_answer(request, call);
    } else if (login_forget(call) && !request->relogged) {
        request->relogged = true;
        wait_again(request);
    } else if (call_is_refusal(call)) {
        endpoint_answered(call->endpoint, etcd, clock_now());
        on_refusal(request, call);
    } else {
        on_silence(request, call);
    }
}

/* ---- starting ---- */

static const char *method_of(enum kv_verb verb)
{
    switch (verb) {
    case KV_RANGE:
        return ETCD_RANGE;
    case KV_TXN:
        return ETCD_TXN;
    case KV_LEASE_GRANT:
        return ETCD_LEASE_GRANT;
    case KV_LEASE_KEEP:
        return ETCD_LEASE_KEEP_ALIVE;
    default:
        return ETCD_LEASE_REVOKE;
    }
}

static void start(struct request *request)
{
    struct kv_etcd *etcd = request->etcd;
    usec_t left = request->until - clock_now();
    list_remove(&request->link);
    list_push_back(&etcd->running, &request->link);
    if (request->history != etcd->guard.history)
        forget_pages(request);
    request->history = etcd->guard.history;
    request->floor = etcd->guard.age.seen.revision;
    if (request->verb == KV_RANGE)
        encode_page(request);
    struct call_wish wish = {.method = method_of(request->verb),
        .message = &request->message,
        .patience = left > USEC_MS ? left : USEC_MS,
        .owner = request,
        .over = on_over};
    request->call = call_start(etcd, etcd->current, &wish);
}

void requests_leave(struct kv_etcd *etcd, const struct endpoint *endpoint)
{
    list_each (link, &etcd->running) {
        struct request *request = list_item(link, struct request, link);
        if (request->call != NULL && request->call->endpoint == endpoint)
            call_cancel(request->call);
    }
}

void requests_end_waiting(struct kv_etcd *etcd, enum kv_outcome outcome, const char *why)
{
    size_t count = 0; /* what comes in meanwhile is not meant */
    list_each (link, &etcd->waiting)
        count++;
    for (; count > 0 && !list_empty(&etcd->waiting); count--) {
        struct request *request = list_item(list_pop(&etcd->waiting), struct request, link);
        error_set(&request->why, "%s", why);
        end(request, outcome);
    }
}

static struct request *first_over(struct kv_etcd *etcd, usec_t now)
{
    list_each (link, &etcd->waiting) {
        struct request *request = list_item(link, struct request, link);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): what was freed has left its list */
        if (now >= request->until)
            return request;
    }
    return NULL;
}

static void expire(struct kv_etcd *etcd, usec_t now)
{
    struct error why;
    struct request *request;
    bool hopeless = !etcd->well && endpoints_why(etcd, &why);
    if (hopeless)
        requests_end_waiting(etcd, KV_REFUSED, why.text);
    if (guard_refuses(etcd) != NULL)
        requests_end_waiting(etcd, KV_UNKNOWN, guard_refuses(etcd));
    while ((request = first_over(etcd, now)) != NULL) { /* from the start: the lock was let go */
        endpoints_why(etcd, &request->why);
        end(request, KV_UNKNOWN);
    }
}

void requests_tick(struct kv_etcd *etcd, usec_t now)
{
    expire(etcd, now);
    while (!list_empty(&etcd->waiting) && login_ready(etcd, now))
        start(list_item(etcd->waiting.next, struct request, link));
}

/* ---- coming in ---- */

void kv_etcd_request(void *context, const struct kv_request *asked, kv_done *done, void *arg)
{
    struct kv_etcd *etcd = context;
    struct request *request = xcalloc(1, sizeof *request);
    *request = (struct request){.etcd = etcd, .verb = asked->verb, .done = done, .arg = arg};
    enum kv_outcome outcome = request_read(request, asked) < 0 ? KV_REFUSED : KV_DONE;
    pthread_mutex_lock(&etcd->lock);
    request->until = clock_now() + KV_PATIENCE;
    list_push_back(&etcd->waiting, &request->link);
    if (etcd->closing) {
        error_set(&request->why, "the connection to etcd is being closed");
        outcome = KV_UNKNOWN;
    }
    if (outcome != KV_DONE)
        end(request, outcome);
    else if (login_ready(etcd, clock_now()))
        start(request);
    pthread_mutex_unlock(&etcd->lock);
}
