/* client_curl - asks a coordinator over HTTP
 *
 * Where: --api URL, else $TODOKU_API, else http://127.0.0.1:8025; the key: --key, else $TODOKU_KEY. A problem
 * object becomes its `detail`; a server that is not there is told with what to do about it.
 *
 * Memory: an answer is the caller's buffer, at most CLIENT_MAX_ANSWER bytes. Errors: a sentence. */
#ifndef CLI_CLIENT_CURL_H
#define CLI_CLIENT_CURL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"

#define CLIENT_MAX_ANSWER ((size_t)256 << 20)

struct client {
    const char *api, *key; /* null: from the environment */
};

/* GET; the body of a 2xx is in `out`. 0, or -1. */
int client_get(const struct client *client, const char *path, const char *accept, struct buffer *out,
    struct error *error);
/* POST of JSON; `idempotency_key` may be null. */
int client_post(const struct client *client, const char *path, const char *idempotency_key, const char *json,
    size_t len, struct buffer *out, struct error *error);
/* POST of anything. Where the server refuses, its whole problem object stays in `out`. */
int client_post_as(const struct client *client, const char *path, const char *type, const void *bytes,
    size_t len, struct buffer *out, struct error *error);
/* Any method; `json` null: no body. Rows come as lines of JSON. */
int client_command(const struct client *client, const char *method, const char *path, const char *json,
    struct buffer *out, struct error *error);
/* Server-sent events: `line` gets each event's data (zero-terminated); `cursor` (in and out) is where the
 * stream stands (empty = from now on). Returns -1 with the reason when the stream ends; *lasting_r tells whether
 * it is worth trying again. */
int client_follow(const struct client *client, const char *path, struct buffer *cursor,
    void (*line)(void *context, const char *data), void *context, bool *lasting_r, struct error *error);
/* Appends `text` percent-encoded. */
void client_escape(struct buffer *out, const char *text);

#endif
