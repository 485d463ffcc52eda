/* http_mhd - see http_mhd.h */
#include "coordinator/http_mhd.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/stream_uv.h"
#include "coordinator/http_inside_mhd.h"

#define THREADS 4u
#define SILENCE 60u /* seconds */
#define CONNECTION_MEMORY ((size_t)64 << 10)
#define MAX_PEM ((size_t)1 << 20)

/* Holding */

struct http *http_hold(struct http *http)
{
    http->holders++;
    return http;
}

static void http_free(struct http *http)
{
    pthread_cond_destroy(&http->stop);
    pthread_mutex_destroy(&http->lock);
    free(http->cert);
    free(http->key);
    free(http);
}

void http_drop(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    bool last = --http->holders == 0;
    pthread_mutex_unlock(&http->lock);
    if (last)
        http_free(http);
}

/* Opening */

static bool is_loopback(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static const char *advice(int number)
{
    switch (number) {
    case EADDRINUSE:
        return "; another program has this port: `ss -ltnp` names it, or choose another for `http:`";
    case EACCES:
        return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL:
        return "; this address is on no interface of this machine (`ip address` lists them)";
    default:
        return "";
    }
}

static int open_socket(
    const char *listen_on, const struct sockaddr_storage *address, socklen_t len, struct error *error)
{
    int on = 1, fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (address->ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        if (bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, 512) == 0)
            return fd;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    return error_set(error, "cannot serve HTTP on %s: %s%s", listen_on, strerror(why), advice(why));
}

static char *read_pem(const char *path, struct error *error)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        error_set(error, "cannot read %s for HTTPS: %s", path, strerror(errno));
        return NULL;
    }
    char *text = xmalloc(MAX_PEM + 1);
    size_t len = fread(text, 1, MAX_PEM, file);
    fclose(file);
    text[len] = '\0';
    if (strstr(text, "-----BEGIN ") != NULL)
        return text;
    error_set(error, "%s is no PEM file", path);
    free(text);
    return NULL;
}

/* What libmicrohttpd complains about is weather, mostly: clients that hang up. */
__attribute__((format(printf, 2, 0))) static void on_complaint(
    void *context, const char *format, va_list args)
{
    (void)context;
    char text[300];
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("http", "%s", text);
}

static int start_daemon(struct http *http, int fd, struct error *error)
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_complaint, NULL},
        {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)http_on_target, http},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)http_on_completed, http},
        {MHD_OPTION_THREAD_POOL_SIZE, THREADS, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, HTTP_MAX_CONNECTIONS, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, SILENCE, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)CONNECTION_MEMORY, NULL},
        {http->cert == NULL ? MHD_OPTION_END : MHD_OPTION_HTTPS_MEM_CERT, 0, http->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, http->key},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (http->cert == NULL ? 0u : MHD_USE_TLS);
    http->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_on_request, http, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (http->daemon != NULL)
        return 0;
    close(fd);
    return error_set(error, "libmicrohttpd does not start%s",
        http->cert == NULL ? "" : ": do tls_cert and tls_key belong together, and are both PEM?");
}

static void note_port(struct http *http, int fd)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof own;
    char text[46];
    if (getsockname(fd, (struct sockaddr *)&own, &len) == 0)
        http->port = stream_format_address((struct sockaddr *)&own, text);
}

static int open_door(struct http *http, const struct setting_listener *listener, struct error *error)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (stream_parse_address(listener->listen, 8025, &address, &len, error) != 0)
        return -1;
    if (http->api.verify == NULL && !is_loopback(&address))
        return error_set(error,
            "the API would be open to everybody on %s: set coordinator.keys_file and make a key with `todoku "
            "key add --admin`, or listen on 127.0.0.1",
            listener->listen);
    if (listener->tls_cert != NULL && ((http->cert = read_pem(listener->tls_cert, error)) == NULL ||
                                          (http->key = read_pem(listener->tls_key, error)) == NULL))
        return -1;
    int fd = open_socket(listener->listen, &address, len, error);
    if (fd < 0)
        return -1;
    note_port(http, fd);
    return start_daemon(http, fd, error);
}

struct http *http_start(const struct api *api, const struct front *front,
    const struct setting_listener *listener, struct error *error)
{
    struct http *http = xcalloc(1, sizeof *http);
    http->api = *api;
    http->front = *front;
    http->holders = 1;
    list_init(&http->requests);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->stop, &attributes);
    pthread_condattr_destroy(&attributes);
    if (open_door(http, listener, error) != 0) {
        http_free(http);
        return NULL;
    }
    http->pump_runs = pthread_create(&http->pump, NULL, http_events_pump, http) == 0;
    must(http->pump_runs);
    return http;
}

void http_set_settings(struct http *http, const struct settings *settings)
{
    http->api.settings = settings;
}

int http_port(const struct http *http)
{
    return http->port;
}

/* Closing */

/* Nothing may stay suspended when libmicrohttpd stops. */
static void wake_all(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    http->stopping = true;
    list_each (at, &http->requests) {
        struct http_request *request = list_item(at, struct http_request, link);
        if (request->waits) {
            request->waits = false;
            request->answered = true;
            request->answer.retry_after = 5;
            api_problem(&request->answer, 503,
                request->plan.kind == API_CONFIG ? "This coordinator is stopping, and a change of the "
                                                   "configuration may have happened: look at "
                                                   "`todoku config history` before you try again."
                : request->plan.kind == API_HOLD || request->plan.kind == API_COMMAND ||
                        request->plan.kind == API_MEMBER
                    ? "This coordinator is stopping, and it may have happened: look before you try again."
                    : "This coordinator is stopping; try again in a moment.");
            MHD_resume_connection(request->connection);
        }
        if (request->stream.waiting) {
            request->stream.waiting = false;
            MHD_resume_connection(request->connection);
        }
    }
    pthread_cond_broadcast(&http->stop);
    pthread_mutex_unlock(&http->lock);
}

void http_stop(struct http **http)
{
    struct http *h = *http;
    *http = NULL;
    if (h == NULL)
        return;
    wake_all(h);
    pthread_join(h->pump, NULL);
    MHD_stop_daemon(h->daemon);
    http_drop(h);
}
