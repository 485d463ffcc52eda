/* link_far_uv - the core's sessions on connections that live on work loops
 *
 * The core's end is a struct link; the far end holds the stream, and only its work loop touches it. Between them go
 * errands: orders (connect, send, TLS, close) and what came of them (connected, received, secured, closed).
 *
 * Output: an order holds the blobs that its segments point into, and has copied the rest (the commands), so the core
 * need not wait for the network. The core counts as sent what it has ordered, as it counts what a stream of its own
 * has taken; no more than ORDERED at a time, then it waits until that is with the kernel.
 *
 * Received bytes are copied, and small: a peer that says more than AHEAD before the core has seen it is not read.
 *
 * Life: `closed` is the last thing that comes from a far end; the core answers with `forget`, behind which no order
 * comes, and that frees it. Which loop a connection is on: link_crew_uv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/work_loop_uv.h"
#include "node/link_crew_uv.h"

#define SEGMENTS 32
#define ORDERED ((size_t)STREAM_MAX_QUEUED)
#define ORDER_COST 1024 /* counts as bytes: a message whose lines are all dots goes in many small orders */
#define AHEAD (64u << 10)

struct output;
struct far {
    struct link *link; /* carried for the core */
    struct hand *hand;
    struct seat *seat; /* the core's */
    size_t ordered,
        known; /* the core's: cost of all output so far; of that, what it knows to be with the kernel */
    struct stream *stream;       /* null: not yet, or no more */
    struct output *first, *last; /* not yet with the kernel */
    size_t done;                 /* cost of what is */
    size_t ahead;                /* bytes that the core has not said it has seen */
    bool closing, paused, wants_tls;
    char host[256];
};

/* ---- what the core is told ---- */

enum news_kind { NEWS_CONNECTED, NEWS_RECEIVED, NEWS_SECURED, NEWS_SENT, NEWS_CLOSED };

struct news {
    struct errand errand;
    struct far *far;
    enum news_kind kind;
    bool ok;     /* SECURED; RECEIVED: the far end waits for a word that this was seen */
    size_t done; /* far->done */
    size_t len;
    char text[]; /* with a zero behind it */
};

static void on_news(struct errand *errand);

static void tell(struct far *far, enum news_kind kind, bool ok, const char *text, size_t len)
{
    struct news *news = xmalloc(sizeof *news + len + 1);
    news->errand.run = on_news;
    news->far = far;
    news->kind = kind;
    news->ok = ok;
    news->done = far->done;
    news->len = len;
    memcpy(news->text, text, len);
    news->text[len] = '\0';
    outbox_add(work_loop_home(far->hand->work), &news->errand);
}

/* ---- the far end, on its work loop ---- */

/* Part of what the core wants sent. The segments' bytes are the held blobs' and those behind the segments. */
struct output {
    struct errand errand;
    struct far *far;
    struct output *next;
    struct blob *parts[2];
    bool tell; /* the core waits until it is with the kernel */
    size_t cost;
    size_t count, at; /* segments; the first that the stream has not taken wholly */
    struct iovec segments[];
};

static void output_free(struct output *output)
{
    blob_drop(&output->parts[0]);
    blob_drop(&output->parts[1]);
    free(output);
}

static void step_over(struct output *output, size_t bytes)
{
    while (output->at < output->count && bytes >= output->segments[output->at].iov_len)
        bytes -= output->segments[output->at++].iov_len;
    if (bytes == 0)
        return;
    struct iovec *segment = &output->segments[output->at];
    segment->iov_base = (char *)segment->iov_base + bytes;
    segment->iov_len -= bytes;
}

/* The first order's bytes may be with the kernel by reference until nothing is being written any more. */
static void send_outputs(struct far *far)
{
    while (far->first != NULL && !stream_writing(far->stream)) {
        struct output *output = far->first;
        if (output->at < output->count) {
            size_t taken =
                stream_write(far->stream, output->segments + output->at, output->count - output->at);
            step_over(output, taken);
            if (taken == 0)
                return;
            continue;
        }
        far->first = output->next;
        if (far->first == NULL)
            far->last = NULL;
        far->done += output->cost;
        if (output->tell)
            tell(far, NEWS_SENT, true, "", 0);
        output_free(output);
    }
}

/* What a peer says while something is still being sent is read when that is done, as it is on the core's loop. */
static void look(struct far *far)
{
    if (far->stream == NULL || far->closing)
        return;
    send_outputs(far);
    bool pause = far->first != NULL || far->ahead > AHEAD;
    if (pause != far->paused) {
        far->paused = pause;
        stream_pause(far->stream, pause);
    }
    if (far->wants_tls && far->first == NULL) {
        far->wants_tls = false;
        stream_start_tls(far->stream, far->hand->tls, false, far->host);
    }
}

static void on_connected(void *context)
{
    tell(context, NEWS_CONNECTED, true, "", 0);
    look(context);
}

static void on_received(void *context, const char *bytes, size_t len)
{
    struct far *far = context;
    bool within = far->ahead <= AHEAD;
    far->ahead += len;
    tell(far, NEWS_RECEIVED, within && far->ahead > AHEAD, bytes, len);
    look(far);
}

static void on_writable(void *context)
{
    look(context);
}

static void on_secured(void *context, bool ok, const char *detail)
{
    tell(context, NEWS_SECURED, ok, detail, strlen(detail));
    look(context);
}

static void on_closed(void *context, const char *why)
{
    struct far *far = context;
    far->stream = NULL;
    if (why[0] == '\0')
        why = "closed by the peer";
    tell(far, NEWS_CLOSED, false, why, strlen(why));
}

static const struct stream_calls calls = {.connected = on_connected,
    .received = on_received,
    .writable = on_writable,
    .secured = on_secured,
    .closed = on_closed};

static void run_output(struct errand *errand)
{
    struct output *output = (struct output *)errand;
    struct far *far = output->far;
    if (far->stream == NULL) {
        output_free(output);
        return;
    }
    if (far->last == NULL)
        far->first = output;
    else
        far->last->next = output;
    far->last = output;
    look(far);
}

struct start {
    struct errand errand;
    struct far *far;
    struct sockaddr_storage from, to;
    usec_t timeout;
};

static void run_start(struct errand *errand)
{
    struct start *start = (struct start *)errand;
    struct far *far = start->far;
    struct error error;
    far->stream = stream_connect(work_loop_loop(far->hand->work), (struct sockaddr *)&start->from,
        (struct sockaddr *)&start->to, start->timeout, &calls, far, &error);
    if (far->stream == NULL)
        tell(far, NEWS_CLOSED, false, error.text, strlen(error.text));
    free(start);
}

enum word_kind { WORD_SEEN, WORD_TLS, WORD_CLOSE, WORD_CLOSE_GENTLY, WORD_FORGET };

struct word {
    struct errand errand;
    struct far *far;
    enum word_kind kind;
    char host[]; /* TLS */
};

static void far_free(struct far *far)
{
    while (far->first != NULL) {
        struct output *output = far->first;
        far->first = output->next;
        output_free(output);
    }
    free(far);
}

static void obey(struct far *far, const struct word *word)
{
    switch (word->kind) {
    case WORD_SEEN:
        far->ahead = 0;
        break;
    case WORD_TLS:
        far->wants_tls = true;
        snprintf(far->host, sizeof far->host, "%s", word->host);
        break;
    case WORD_CLOSE:
    case WORD_CLOSE_GENTLY:
        if (far->stream != NULL) {
            far->closing = true;
            stream_close(far->stream, word->kind == WORD_CLOSE_GENTLY);
        }
        break;
    case WORD_FORGET:
        far_free(far);
        return;
    }
    look(far);
}

static void run_word(struct errand *errand)
{
    struct word *word = (struct word *)errand;
    obey(word->far, word);
    free(word);
}

/* ---- the core's end ---- */

static void say(struct far *far, enum word_kind kind, const char *host)
{
    size_t len = strlen(host);
    struct word *word = xmalloc(sizeof *word + len + 1);
    word->errand.run = run_word;
    word->far = far;
    word->kind = kind;
    memcpy(word->host, host, len + 1);
    outbox_add(&far->hand->orders, &word->errand);
}

static void on_end(struct far *far, const char *why)
{
    struct link *link = far->link;
    crew_leave_seat(far->seat);
    say(far, WORD_FORGET, "");
    link_gone(link, why);
}

static void on_news(struct errand *errand)
{
    struct news *news = (struct news *)errand;
    struct far *far = news->far;
    struct link *link = far->link;
    struct keeper *keeper = link->keeper;
    usec_t now = clock_now();
    far->known = news->done;
    switch (news->kind) {
    case NEWS_CONNECTED:
        node_connected(keeper->node, link->session, now);
        break;
    case NEWS_RECEIVED:
        if (news->ok)
            say(far, WORD_SEEN, "");
        node_received(keeper->node, link->session, news->text, news->len, now);
        break;
    case NEWS_SECURED:
        node_secured(keeper->node, link->session, news->ok, news->text, now);
        break;
    case NEWS_SENT:
        link->held_back = false;
        link_dirty(link);
        break;
    case NEWS_CLOSED:
        on_end(far, news->text);
        break;
    }
    links_flush(keeper);
    free(news);
}

static bool is_in(const struct blob *part, const struct iovec *segment)
{
    const char *at = segment->iov_base;
    return part != NULL && at >= part->bytes && at < part->bytes + part->len;
}

/* Bytes that no part has are the client's own, and only until it goes on. */
static struct output *make_output(
    struct far *far, struct blob *const parts[2], const struct iovec *segments, size_t count)
{
    size_t own = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_in(parts[0], &segments[i]) && !is_in(parts[1], &segments[i]))
            own += segments[i].iov_len;
    struct output *output = xmalloc(sizeof *output + count * sizeof *segments + own);
    char *copy = (char *)&output->segments[count];
    *output = (struct output){.errand.run = run_output, .far = far, .count = count};
    for (size_t i = 0; i < count; i++) {
        output->segments[i] = segments[i];
        size_t part = is_in(parts[0], &segments[i]) ? 0 : is_in(parts[1], &segments[i]) ? 1 : 2;
        if (part < 2 && output->parts[part] == NULL)
            output->parts[part] = blob_hold(parts[part]);
        if (part < 2)
            continue;
        memcpy(copy, segments[i].iov_base, segments[i].iov_len);
        output->segments[i].iov_base = copy;
        copy += segments[i].iov_len;
    }
    return output;
}

/* The stream takes at most so much at once; what it does not take would stand here. */
static size_t cut(struct iovec *segments, size_t *count, size_t most)
{
    size_t len = 0;
    for (size_t i = 0; i < *count; i++) {
        if (segments[i].iov_len >= most - len) {
            segments[i].iov_len = most - len;
            *count = i + 1;
            return most;
        }
        len += segments[i].iov_len;
    }
    return len;
}

static void order_output(struct link *link)
{
    struct iovec segments[SEGMENTS];
    struct node *node = link->keeper->node;
    struct far *far = link->far;
    size_t count;
    while (!link->held_back && (count = node_output(node, link->session, segments, SEGMENTS)) > 0) {
        struct blob *parts[2];
        size_t len = cut(segments, &count, ORDERED - (far->ordered - far->known));
        node_parts(node, link->session, parts);
        struct output *output = make_output(far, parts, segments, count);
        output->cost = len + ORDER_COST;
        far->ordered += output->cost;
        output->tell = link->held_back = far->ordered - far->known >= ORDERED;
        outbox_add(&far->hand->orders, &output->errand);
        node_sent(node, link->session, len, clock_now());
    }
}

void far_flush(struct link *link)
{
    struct far *far = link->far;
    order_output(link);
    if (link->wants_tls && !link->held_back) {
        link->wants_tls = false;
        say(far, WORD_TLS, link->host);
    }
    if (link->ending)
        far_end(link, link->gently);
}

void far_end(struct link *link, bool gently)
{
    say(link->far, gently ? WORD_CLOSE_GENTLY : WORD_CLOSE, "");
}

void far_connect(struct link *link, const struct sockaddr_storage *from, const struct sockaddr_storage *to)
{
    struct far *far = xcalloc(1, sizeof *far);
    link->far = far;
    far->link = link;
    far->seat = crew_take_seat(link->keeper->crew, node_lane(link->keeper->node, link->session));
    far->hand = far->seat->hand;
    struct start *start = xcalloc(1, sizeof *start);
    start->errand.run = run_start;
    start->far = far;
    start->from = *from;
    start->to = *to;
    start->timeout = link->keeper->settings->delivery.connect_timeout;
    outbox_add(&far->hand->orders, &start->errand);
}
