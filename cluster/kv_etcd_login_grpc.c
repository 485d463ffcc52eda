/* kv_etcd_login_grpc - the token of etcd's user: fetched before the first request, and again when etcd has
 * forgotten it (a restart, its time to live)
 *
 * Sources: etcd's api/v3rpc/rpctypes/error.go for the texts and codes. */
#include <string.h>

#include "base/log.h"
#include "cluster/kv_etcd_inside_grpc.h"

static bool password_refused(const struct call *call)
{
    return call->status == GRPC_STATUS_INVALID_ARGUMENT || call->status == GRPC_STATUS_UNAUTHENTICATED ||
           call->status == GRPC_STATUS_PERMISSION_DENIED;
}

static void on_refused(struct kv_etcd *etcd, const struct call *call)
{
    char details[200];
    struct error why;
    call_details(call, details, sizeof details);
    error_set(&why,
        "etcd at %s refuses the user \"%s\" (%s): check `user` and `password` under cluster.etcd, and "
        "`etcdctl "
        "user get %s`",
        call->endpoint->text, etcd->user, details, etcd->user);
    etcd->login_at = clock_now() + LOGIN_PAUSE;
    requests_end_waiting(etcd, KV_REFUSED, why.text);
}

static void on_token(struct kv_etcd *etcd, struct call *call)
{
    grpc_slice answer = call_answer(call);
    struct error why;
    buffer_clear(&etcd->token);
    if (etcd_decode_authenticate(
            GRPC_SLICE_START_PTR(answer), GRPC_SLICE_LENGTH(answer), &etcd->token, &why) < 0) {
        etcd->login_at = clock_now() + LOGIN_PAUSE;
        requests_end_waiting(etcd, KV_REFUSED, why.text);
    } else {
        etcd->token_number++;
        endpoint_answered(call->endpoint, etcd, clock_now());
    }
    grpc_slice_unref(answer);
}

static void on_login(struct call *call)
{
    struct kv_etcd *etcd = call->owner;
    etcd->login = NULL;
    if (call->status == GRPC_STATUS_OK) {
        on_token(etcd, call);
    } else if (call->status == GRPC_STATUS_FAILED_PRECONDITION && call_says(call, "not enabled")) {
        log_warn("etcd",
            "%s asks for no password, though cluster.etcd names the user %s: run `etcdctl auth "
            "enable`, or anybody can change the cluster",
            call->endpoint->text, etcd->user);
        etcd->no_auth = true;
    } else if (password_refused(call)) {
        on_refused(etcd, call);
    } else {
        endpoint_doubt(call);
    }
}

bool login_has_token(struct kv_etcd *etcd, usec_t now)
{
    if (!etcd->well || etcd->closing)
        return false;
    if (etcd->user == NULL || etcd->no_auth || buffer_len(&etcd->token) > 0)
        return true;
    if (etcd->login != NULL || now < etcd->login_at)
        return false;
    struct buffer message = {0};
    etcd_encode_authenticate(etcd->user, etcd->password, &message);
    struct call_wish wish = {.method = ETCD_AUTHENTICATE,
        .message = &message,
        .patience = KV_PATIENCE / 2,
        .bare = true,
        .owner = etcd,
        .over = on_login};
    etcd->login = call_start(etcd, etcd->current, &wish);
    buffer_free(&message);
    return false;
}

bool login_ready(struct kv_etcd *etcd, usec_t now)
{
    return login_has_token(etcd, now) && guard_passes(etcd);
}

bool login_forget(const struct call *call)
{
    struct kv_etcd *etcd = call->etcd;
    bool refused = call->status == GRPC_STATUS_UNAUTHENTICATED || call_says(call, "invalid auth token") ||
                   call_says(call, "user name is empty") || call_says(call, "revision of auth store is old");
    if (!refused || etcd->user == NULL)
        return false;
    if (call->token == etcd->token_number) { /* nobody was faster */
        buffer_clear(&etcd->token);
        etcd->no_auth = false;
    }
    return true;
}
