/* kv_etcd_endpoint_grpc - the members of etcd: a channel to each, which one is used, and what to say when
 * none answers
 *
 * Requests go to one member, `current`. When it has not answered for a second it is asked for its status;
 * when it does not answer that, or knows of no leader, nothing is asked of it any more, all members are
 * probed, and the first that answers is the next current one. So a frozen or cut-off member costs two or
 * three seconds, and a member that ends its connections costs as long as a probe takes. */
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "cluster/kv_etcd_inside_grpc.h"

/* ---- gRPC's own lines ---- */

/* The last thing that a handshake complained about: gRPC says it in its log only. */
static pthread_mutex_t handshake_lock = PTHREAD_MUTEX_INITIALIZER;
static char handshake_said[200];

static void on_log(gpr_log_func_args *args)
{
    if (strstr(args->message, "andshake") != NULL) {
        pthread_mutex_lock(&handshake_lock);
        snprintf(handshake_said, sizeof handshake_said, "%s", args->message);
        pthread_mutex_unlock(&handshake_lock);
    }
    log_debug("etcd", "gRPC: %s", args->message);
}

/* Hands it over once; "" = nothing new. */
static void take_handshake(char said[sizeof handshake_said])
{
    pthread_mutex_lock(&handshake_lock);
    memcpy(said, handshake_said, sizeof handshake_said);
    handshake_said[0] = '\0';
    pthread_mutex_unlock(&handshake_lock);
}

void endpoints_log(void)
{
    char said[sizeof handshake_said];
    take_handshake(said);
    gpr_set_log_function(on_log);
}

/* ---- opening ---- */

static int read_pem(
    const char *file, const char *what, const char *mark, struct buffer *pem, struct error *error)
{
    FILE *in = fopen(file, "re");
    if (in == NULL)
        return error_set(error, "%s, %s of cluster.etcd, can't be read: %m", file, what);
    size_t got = 1;
    while (got > 0 && buffer_len(pem) <= 1 << 20) {
        got = fread(buffer_room(pem, 4096), 1, 4096, in);
        buffer_added(pem, got);
    }
    bool failed = ferror(in);
    fclose(in);
    if (failed || buffer_len(pem) > 1 << 20 || strstr(buffer_text(pem), mark) == NULL)
        return error_set(error, "%s, %s of cluster.etcd, holds no PEM with \"%s\"", file, what, mark);
    return 0;
}

static grpc_channel_credentials *make_credentials(
    struct buffer *ca, struct buffer *cert, struct buffer *key, struct error *error)
{
    grpc_ssl_pem_key_cert_pair pair = {.private_key = buffer_text(key), .cert_chain = buffer_text(cert)};
    grpc_channel_credentials *credentials = grpc_ssl_credentials_create(
        buffer_len(ca) > 0 ? buffer_text(ca) : NULL, buffer_len(cert) > 0 ? &pair : NULL, NULL, NULL);
    if (credentials == NULL)
        error_set(error, "the certificates of cluster.etcd can't be used");
    return credentials;
}

static grpc_channel_credentials *open_credentials(const struct settings *settings, struct error *error)
{
    const char *ca = settings->cluster.etcd_ca, *cert = settings->cluster.etcd_cert;
    struct buffer ca_pem = {0}, cert_pem = {0}, key_pem = {0};
    grpc_channel_credentials *credentials = NULL;
    if (strncmp(settings->cluster.etcd_endpoints[0], "https://", 8) != 0)
        credentials = grpc_insecure_credentials_create();
    else if ((ca == NULL || read_pem(ca, "the `ca`", "BEGIN CERTIFICATE-", &ca_pem, error) == 0) &&
             (cert == NULL || (read_pem(cert, "the `cert`", "BEGIN CERTIFICATE-", &cert_pem, error) == 0 &&
                                  read_pem(settings->cluster.etcd_key, "the `key`", "PRIVATE KEY-", &key_pem,
                                      error) == 0)))
        credentials = make_credentials(&ca_pem, &cert_pem, &key_pem, error);
    buffer_free(&ca_pem);
    buffer_free(&cert_pem);
    buffer_free(&key_pem);
    return credentials;
}

/* The name is what stands between "://" and the next slash. */
static int read_endpoint(const char *text, bool tls, struct endpoint *endpoint, struct error *error)
{
    const char *scheme = tls ? "https://" : "http://";
    const char *name = text + strlen(scheme);
    if (strncmp(text, scheme, strlen(scheme)) != 0 || *name == '\0' || *name == '/')
        return error_set(error,
            "cluster.etcd: \"%s\" is no endpoint like the others; write %sHOST:2379 for each", text, scheme);
    size_t len = strcspn(name, "/");
    const char *port = memrchr(name, ':', len);
    bool has_port = port != NULL && memchr(port, ']', len - (size_t)(port - name)) == NULL;
    char whole[512];
    if (name[len] != '\0' && name[len + 1] != '\0')
        return error_set(
            error, "cluster.etcd: \"%s\" has a path; write %s%.*s", text, scheme, (int)len, name);
    if (snprintf(whole, sizeof whole, "%.*s%s", (int)len, name, has_port ? "" : ":2379") >= (int)sizeof whole)
        return error_set(error, "cluster.etcd: an endpoint of %zu characters is none", strlen(text));
    endpoint->text = xstrdup(text);
    endpoint->name = xstrdup(whole);
    return 0;
}

static grpc_arg number(const char *name, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)name, .value.integer = value};
}

/* etcd ends connections that are pinged more often than every 5 s. A connection attempt may take 2 s. */
static grpc_channel *open_channel(const char *name, grpc_channel_credentials *credentials)
{
    char target[540];
    grpc_arg args[] = {
        number(GRPC_ARG_KEEPALIVE_TIME_MS, 6000),
        number(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000),
        number(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0),
        number(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        number(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200),
        number(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000),
        number(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000),
        number(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000),
        number(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)ETCD_MAX_MESSAGE),
        number(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        number(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        number(GRPC_ARG_ENABLE_RETRIES, 0),
    };
    grpc_channel_args all = {.num_args = sizeof args / sizeof *args, .args = args};
    snprintf(target, sizeof target, "dns:///%s", name);
    return grpc_channel_create(target, credentials, &all);
}

int endpoints_open(struct kv_etcd *etcd, const struct settings *settings, struct error *error)
{
    size_t count = settings->cluster.etcd_endpoint_count;
    if (count == 0)
        return error_set(error, "cluster.etcd names no endpoints; write http://HOST:2379 for each member");
    bool tls = strncmp(settings->cluster.etcd_endpoints[0], "https://", 8) == 0;
    etcd->endpoints = xcalloc(count, sizeof *etcd->endpoints);
    etcd->endpoint_count = count;
    etcd->current = etcd->endpoints;
    for (size_t i = 0; i < count; i++)
        if (read_endpoint(settings->cluster.etcd_endpoints[i], tls, &etcd->endpoints[i], error) < 0)
            return -1;
    etcd->credentials = open_credentials(settings, error);
    if (etcd->credentials == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        etcd->endpoints[i].channel = open_channel(etcd->endpoints[i].name, etcd->credentials);
    return 0;
}

void endpoints_close(struct kv_etcd *etcd)
{
    for (size_t i = 0; i < etcd->endpoint_count; i++) {
        free(etcd->endpoints[i].text);
        free(etcd->endpoints[i].name);
        if (etcd->endpoints[i].channel != NULL)
            grpc_channel_destroy(etcd->endpoints[i].channel);
    }
    free(etcd->endpoints);
    if (etcd->credentials != NULL)
        grpc_channel_credentials_release(etcd->credentials);
}

/* ---- what to say of one that does not answer ---- */

/* The same attempt's failure is told to every call until the next attempt: its reason is kept. */
static void explain_tls(struct endpoint *endpoint, const char *details)
{
    const char *text = endpoint->text;
    char said[sizeof handshake_said];
    take_handshake(said);
    if (endpoint->bad_tls && said[0] == '\0')
        return;
    endpoint->bad_tls = true;
    if (strstr(details, "Peer name") != NULL || strstr(details, "ostname") != NULL)
        error_set(&endpoint->why,
            "the certificate of etcd at %s is for another name: name the endpoint as its certificate does, "
            "or "
            "give etcd one for this name (%s)",
            text, details);
    else if (strstr(details, "empty address list") != NULL) /* gRPC 1.51 could not set its TLS up */
        error_set(&endpoint->why,
            "the files of cluster.etcd can't be used for %s: is `key` the key of `cert`, and are `ca` and "
            "`cert` "
            "whole?",
            text);
    else if (strstr(said, "CERTIFICATE_VERIFY_FAILED") != NULL ||
             strstr(said, "certificate verify failed") != NULL)
        error_set(&endpoint->why,
            "the certificate of etcd at %s was not signed by the `ca` of cluster.etcd, or its time is over: "
            "check `ca` and etcd's --cert-file",
            text);
    else
        error_set(&endpoint->why,
            "etcd at %s and we agree on no TLS: it may not take our certificate (check `cert` and `key` of "
            "cluster.etcd against etcd's --trusted-ca-file), or it speaks http (%s)",
            text, said[0] != '\0' ? said : details);
}

/* "failed to connect to all addresses; last error: UNKNOWN: ipv4:...: Connection refused" */
static const char *last_error(const char *details)
{
    const char *last = strstr(details, "last error: ");
    details = last != NULL ? last + strlen("last error: ") : details;
    for (const char *const *prefix = (const char *const[]){"UNKNOWN: ", "UNAVAILABLE: ", NULL};
         *prefix != NULL; prefix++)
        if (strncmp(details, *prefix, strlen(*prefix)) == 0)
            details += strlen(*prefix);
    return details;
}

static void explain_connection(struct endpoint *endpoint, const char *details, bool tls)
{
    static const char *const handshake[] = {"Peer name", "SSL", "TLS", "certificate", "CERTIFICATE",
        "andshake", "Endpoint read failed", "empty address list"};
    details = last_error(details);
    for (size_t i = 0; tls && i < sizeof handshake / sizeof *handshake; i++)
        if (strstr(details, handshake[i]) != NULL) {
            explain_tls(endpoint, details);
            return;
        }
    endpoint->bad_tls = false;
    error_set(&endpoint->why,
        "nobody answers at etcd's %s (%s): check that etcd runs there%s, and the way to it", endpoint->text,
        details, !tls && strstr(details, "Socket closed") != NULL ? " and wants no https" : "");
}

static void explain(struct call *call)
{
    struct endpoint *endpoint = call->endpoint;
    bool tls = strncmp(endpoint->text, "https://", 8) == 0;
    char details[300];
    call_details(call, details, sizeof details);
    if (call->status == GRPC_STATUS_UNAVAILABLE && strstr(details, "etcdserver:") == NULL)
        explain_connection(endpoint, details, tls);
    else if (call->status == GRPC_STATUS_DEADLINE_EXCEEDED)
        explain_connection(endpoint, "no answer in time", false);
    else
        error_set(
            &endpoint->why, "etcd at %s can't answer (%s): look at its own log", endpoint->text, details);
}

bool endpoints_why(const struct kv_etcd *etcd, struct error *why)
{
    bool hopeless = !etcd->ever_well;
    size_t at = 0;
    why->text[0] = '\0';
    for (size_t i = 0; i < etcd->endpoint_count; i++) {
        const struct endpoint *endpoint = &etcd->endpoints[i];
        hopeless = hopeless && endpoint->bad_tls;
        if (endpoint->why.text[0] == '\0' || at >= sizeof why->text - 1)
            continue;
        at += (size_t)snprintf(
            why->text + at, sizeof why->text - at, "%s%s", at > 0 ? "; " : "", endpoint->why.text);
    }
    if (at == 0)
        error_set(why, "etcd at %s has not answered in time: is it overloaded, or the network?",
            etcd->current->text);
    return hopeless;
}

/* ---- which one is used ---- */

void endpoint_answered(struct endpoint *endpoint, struct kv_etcd *etcd, usec_t now)
{
    endpoint->why.text[0] = '\0';
    endpoint->bad_tls = false;
    if (etcd->well && endpoint != etcd->current)
        return;
    if (etcd->answered != NULL && endpoint != etcd->answered)
        log_info("etcd", "%s answers, %s did not", endpoint->text, etcd->answered->text);
    etcd->current = etcd->answered = endpoint;
    etcd->answered_at = now;
    etcd->well = etcd->ever_well = true;
}

static void leave(struct kv_etcd *etcd, struct endpoint *endpoint)
{
    if (endpoint != etcd->current || !etcd->well)
        return;
    etcd->well = false;
    for (size_t i = 0; i < etcd->endpoint_count; i++)
        etcd->endpoints[i].probe_at = 0;
    requests_leave(etcd, endpoint);
    watches_leave(etcd, endpoint);
    guard_leave(etcd);
}

void endpoint_doubt(struct call *call)
{
    if (call->cancelled)
        return;
    explain(call);
    log_debug("etcd", "%s", call->endpoint->why.text);
    leave(call->etcd, call->endpoint);
}

static void on_status(struct endpoint *endpoint, struct call *call)
{
    struct kv_etcd *etcd = call->etcd;
    grpc_slice answer = call_answer(call);
    struct etcd_status status;
    if (etcd_decode_status(
            GRPC_SLICE_START_PTR(answer), GRPC_SLICE_LENGTH(answer), &status, &endpoint->why) == 0) {
        if (status.leader != 0 && !status.learner) {
            guard_hint(etcd, &status.header);
            endpoint_answered(endpoint, etcd, clock_now());
            grpc_slice_unref(answer);
            return;
        }
        error_set(&endpoint->why,
            "etcd at %s has no leader: more than half of its members must run and reach each other",
            endpoint->text);
    }
    grpc_slice_unref(answer);
    leave(etcd, endpoint);
}

static void on_probed(struct call *call)
{
    struct endpoint *endpoint = call->owner;
    endpoint->probe = NULL;
    endpoint->probe_at = clock_now() + PROBE_PAUSE;
    if (call->status == GRPC_STATUS_OK)
        on_status(endpoint, call);
    else
        endpoint_doubt(call);
}

static void probe(struct kv_etcd *etcd, struct endpoint *endpoint)
{
    struct buffer nothing = {0};
    struct call_wish wish = {.method = ETCD_STATUS,
        .message = &nothing,
        .patience = PROBE_PATIENCE,
        .bare = true,
        .owner = endpoint,
        .over = on_probed};
    endpoint->probe = call_start(etcd, endpoint, &wish);
}

void endpoints_tick(struct kv_etcd *etcd, usec_t now)
{
    for (size_t i = 0; i < etcd->endpoint_count; i++) {
        struct endpoint *endpoint = &etcd->endpoints[i];
        bool due = etcd->well ? endpoint == etcd->current && now >= etcd->answered_at + PROBE_EVERY : true;
        if (due && endpoint->probe == NULL && now >= endpoint->probe_at)
            probe(etcd, endpoint);
    }
}
