/* kv_etcd_age_grpc - whether etcd is the store that this member knows: looked at before anything else is asked of it
 * on a new connection, and whenever an answer throws doubt on it; see store_age.h and kv_etcd_inside_grpc.h
 *
 * A look is three reads, one after the other: the operator's word, the view, the own register. Until it is over
 * nothing else is asked; while the store is another one, requests end KV_UNKNOWN with the sentence, watches are told
 * KV_AWAY, and a look each second waits for the word, or for the right store. What a tool asks (`todoku members`)
 * is not guarded: it has seen nothing. */
#include <string.h>

#include "base/log.h"
#include "cluster/kv_etcd_inside_grpc.h"
#include "cluster/member_record.h"
#include "cluster/view_store.h"

#define LOOK_AGAIN USEC_SEC

/* ---- what stands there ---- */

static void read_pair(struct store_look *look, enum look_step step, const struct etcd_pair *pair)
{
    struct spool_register reg;
    struct view *view;
    switch (step) {
    case LOOK_WORD:
        store_word_read(pair->value.bytes, pair->value.len, &look->word, NULL);
        break;
    case LOOK_VIEW:
        view = view_store_read(pair->value.bytes, pair->value.len, NULL); /* a newer program's: no sign */
        look->found.epoch = view == NULL ? 0 : view->epoch;
        view_drop(&view);
        break;
    default:
        if (spool_register_read(pair->value.bytes, pair->value.len, &reg, NULL) == 0) {
            look->found.change = reg.epoch;
            look->found.incarnation = reg.incarnation;
        }
    }
}

static void take_pair(void *arg, const struct etcd_pair *pair)
{
    struct store_guard *guard = arg;
    read_pair(&guard->look, guard->step, pair);
}

/* ---- what it means ---- */

/* Nothing that was asked or told of the store before goes on. */
static void cut(struct kv_etcd *etcd, const char *why)
{
    requests_leave(etcd, etcd->current);
    requests_end_waiting(etcd, KV_UNKNOWN, why);
    watches_refuse(etcd, why);
}

static void is_same(struct kv_etcd *etcd)
{
    struct store_guard *guard = &etcd->guard;
    if (guard->other)
        log_warn("etcd", "is the store again that this member knows");
    guard->other = false;
    guard->checked = true;
    guard->look_at = clock_now() + LOOK_AGAIN; /* a member that lags behind gives no rest */
}

static void is_adopted(struct kv_etcd *etcd)
{
    struct store_guard *guard = &etcd->guard;
    log_warn("etcd",
        "an operator (%s) took the store as it is, at revision %llu of etcd's cluster %llx: so does this "
        "member",
        guard->look.word.by, (unsigned long long)guard->look.word.revision,
        (unsigned long long)guard->look.found.etcd);
    guard->history++;
    if (!guard->other)
        cut(etcd, "an operator put another store in its place");
    guard->other = false;
    guard->checked = true;
}

static void is_other(struct kv_etcd *etcd, const struct error *what)
{
    struct store_guard *guard = &etcd->guard;
    bool news = !guard->other;
    struct error why;
    error_set(&why,
        "etcd is not the store that this member knows: %s. It was restored from an old backup, made anew, or "
        "is "
        "another cluster's, and nothing is taken from it. Bring the right one back, or take this one as it "
        "is: "
        "`todoku members adopt`",
        what->text);
    news = news || strcmp(why.text, guard->why.text) != 0;
    guard->why = why;
    guard->other = true;
    guard->checked = false;
    guard->look_at = clock_now() + LOOK_AGAIN;
    if (news)
        cut(etcd, guard->why.text);
}

static void judge(struct kv_etcd *etcd)
{
    struct store_guard *guard = &etcd->guard;
    struct error why;
    guard->doubted = false;
    guard->fresh = true;
    switch (store_age_look(&guard->age, &guard->look, &why)) {
    case STORE_SAME:
        is_same(etcd);
        break;
    case STORE_ADOPTED:
        is_adopted(etcd);
        break;
    case STORE_OTHER:
        is_other(etcd, &why);
    }
}

/* ---- looking ---- */

static void ask(struct kv_etcd *etcd);

static void on_read(struct kv_etcd *etcd, struct call *call)
{
    struct store_guard *guard = &etcd->guard;
    grpc_slice answer = call_answer(call);
    struct etcd_header header;
    struct error why;
    bool more;
    int rc = etcd_decode_range(
        GRPC_SLICE_START_PTR(answer), GRPC_SLICE_LENGTH(answer), &header, &more, take_pair, guard, &why);
    grpc_slice_unref(answer);
    struct store_spot *found = &guard->look.found;
    bool broken = rc < 0 || header.cluster == 0 || (found->etcd != 0 && found->etcd != header.cluster);
    found->etcd = header.cluster;
    found->revision = header.revision;
    guard->step++;
    if (broken) { /* not etcd's words, or two stores behind one address: again */
        guard->checked = false;
        guard->look_at = clock_now() + LOOK_AGAIN;
    } else if (guard->step < LOOK_STEPS && guard->keys[guard->step][0] != '\0')
        ask(etcd);
    else
        judge(etcd);
}

static void on_over(struct call *call)
{
    struct kv_etcd *etcd = call->owner;
    if (etcd == NULL)
        return;
    struct store_guard *guard = &etcd->guard;
    guard->call = NULL;
    if (call->status == GRPC_STATUS_OK) {
        endpoint_answered(call->endpoint, etcd, clock_now());
        on_read(etcd, call);
    } else if (login_forget(call)) {
        guard->look_at = 0;
    } else if (call_is_refusal(call)) { /* whoever asks for more hears that, with advice */
        guard->checked = !guard->other;
        guard->look_at = clock_now() + LOOK_AGAIN;
    } else {
        guard->look_at = 0;
        endpoint_doubt(call);
    }
}

static void ask(struct kv_etcd *etcd)
{
    struct store_guard *guard = &etcd->guard;
    struct buffer message = {0};
    const char *key = guard->keys[guard->step];
    struct etcd_range range = {.key = {key, strlen(key)}};
    etcd_encode_range(&range, &message);
    struct call_wish wish = {.method = ETCD_RANGE,
        .message = &message,
        .patience = KV_PATIENCE / 2,
        .owner = etcd,
        .over = on_over};
    guard->call = call_start(etcd, etcd->current, &wish);
    buffer_free(&message);
}

void guard_tick(struct kv_etcd *etcd, usec_t now)
{
    struct store_guard *guard = &etcd->guard;
    if (!guard->on || guard->call != NULL || (guard->checked && !guard->doubted) || now < guard->look_at ||
        !login_has_token(etcd, now))
        return;
    guard->step = LOOK_WORD;
    guard->look = (struct store_look){.floor = guard->age.seen};
    ask(etcd);
}

void guard_leave(struct kv_etcd *etcd)
{
    struct store_guard *guard = &etcd->guard;
    guard->checked = false;
    guard->look_at = 0;
    if (guard->call == NULL)
        return;
    guard->call->owner = NULL;
    call_cancel(guard->call);
    guard->call = NULL;
}

/* ---- what answers say ---- */

bool guard_passes(const struct kv_etcd *etcd)
{
    return !etcd->guard.on || etcd->guard.checked;
}

const char *guard_refuses(const struct kv_etcd *etcd)
{
    return etcd->guard.other ? etcd->guard.why.text : NULL;
}

bool guard_fits(struct kv_etcd *etcd, const struct etcd_header *header, uint64_t floor)
{
    struct store_guard *guard = &etcd->guard;
    if (!guard->on || store_age_fits(&guard->age, header->cluster, header->revision, floor))
        return true;
    guard->checked = false;
    return false;
}

void guard_hint(struct kv_etcd *etcd, const struct etcd_header *header)
{
    struct store_guard *guard = &etcd->guard;
    if (guard->on && store_age_doubts(&guard->age, header->cluster, header->revision))
        guard->doubted = true;
}

/* ---- the face ---- */

void kv_etcd_guard(struct kv_etcd *etcd, const char *cluster, const struct store_age *age)
{
    struct store_guard *guard = &etcd->guard;
    pthread_mutex_lock(&etcd->lock);
    guard->on = true;
    guard->age = *age;
    member_path(guard->keys[LOOK_WORD], cluster, "adopted", NULL);
    member_path(guard->keys[LOOK_VIEW], cluster, "view/current", NULL);
    pthread_mutex_unlock(&etcd->lock);
}

void kv_etcd_guard_spool(struct kv_etcd *etcd, const char *cluster, const char *spool, bool other)
{
    struct store_guard *guard = &etcd->guard;
    pthread_mutex_lock(&etcd->lock);
    if (other)
        store_age_forget_register(&guard->age);
    member_path(guard->keys[LOOK_REGISTER], cluster, "spool", spool);
    guard_leave(etcd);
    pthread_mutex_unlock(&etcd->lock);
}

void kv_etcd_saw_view(struct kv_etcd *etcd, uint64_t history, uint64_t epoch)
{
    pthread_mutex_lock(&etcd->lock);
    if (history == etcd->guard.history)
        store_age_view(&etcd->guard.age, epoch);
    etcd->guard.fresh = true;
    pthread_mutex_unlock(&etcd->lock);
}

void kv_etcd_saw_register(struct kv_etcd *etcd, uint64_t history, uint64_t change, uint64_t incarnation)
{
    pthread_mutex_lock(&etcd->lock);
    if (history == etcd->guard.history)
        store_age_register(&etcd->guard.age, change, incarnation);
    etcd->guard.fresh = true;
    pthread_mutex_unlock(&etcd->lock);
}

bool kv_etcd_age(struct kv_etcd *etcd, struct store_age *age_r)
{
    pthread_mutex_lock(&etcd->lock);
    bool fresh = etcd->guard.fresh;
    etcd->guard.fresh = false;
    *age_r = etcd->guard.age;
    pthread_mutex_unlock(&etcd->lock);
    return fresh;
}
