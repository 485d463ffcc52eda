/* http_mhd - the HTTP door, on libmicrohttpd's own threads
 *
 * Gives every request to the core (api.h), puts what it asks to the front, and sends the answer when it
 * comes: the connection is suspended meanwhile and costs no thread. Server-sent events are polled from the
 * front every half second (http_events_mhd.c).
 *
 * Bounds: HTTP_MAX_CONNECTIONS connections, HTTP_MAX_STREAMS of them event streams, a body of
 * api_max_body(), HTTP_MAX_BODIES of bodies together (more are answered 503), 60 s of silence.
 *
 * Threads: http_start and http_stop from one thread; http_stop answers what still waits with 503 and returns
 * when no thread of the door is left. The front's late `done` calls may come after it: they find what they
 * need. Errors: the sentence names the address, or the file that could not be read. */
#ifndef COORDINATOR_HTTP_MHD_H
#define COORDINATOR_HTTP_MHD_H

#include "base/error.h"
#include "cluster/settings.h"
#include "coordinator/api.h"
#include "coordinator/front.h"

#define HTTP_MAX_CONNECTIONS 512u
#define HTTP_MAX_STREAMS 32u
#define HTTP_MAX_BODIES ((size_t)256 << 20)

struct http;
/* Listens on listener->listen ("127.0.0.1:8025"; port 0 = any), under TLS if it has a certificate. Without
 * api->verify only on loopback: anything else is refused with the command that makes a key. `api` and `front`
 * are copied; what they point to must outlive the door. */
struct http *http_start(const struct api *api, const struct front *front,
    const struct setting_listener *listener, struct error *error);
/* What is asked from now on goes by these settings; the former must stay valid. From any thread. The door's
 * own address and certificate stay as they are. */
void http_set_settings(struct http *http, const struct settings *settings);
int http_port(const struct http *http);
void http_stop(struct http **http);

#endif
