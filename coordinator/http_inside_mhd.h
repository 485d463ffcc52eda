/* http_inside_mhd - what the files of the HTTP door share
 *
 * http_mhd.c opens and closes the door, http_request_mhd.c carries a request through, http_events_mhd.c feeds
 * event streams. One lock guards all that is said to be guarded; it is held for moments only, and never while
 * the front is called. Requests are held by libmicrohttpd until it is through with them and by every question
 * put to the front until its `done`; the door is held by its owner and by every request. */
#ifndef COORDINATOR_HTTP_INSIDE_MHD_H
#define COORDINATOR_HTTP_INSIDE_MHD_H

#include <microhttpd.h>
#include <pthread.h>

#include "base/list.h"
#include "coordinator/http_mhd.h"

struct http {
    struct api api;
    struct front front;
    struct MHD_Daemon *daemon;
    char *cert, *key; /* PEM texts while the daemon lives */
    int port;
    pthread_t pump; /* asks for events */
    bool pump_runs;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    /* guarded: */
    unsigned holders;
    bool stopping;
    struct list requests;
    unsigned streams;
    size_t body_bytes;
};

/* An event stream; guarded. */
struct http_stream {
    struct buffer pending; /* what the client will read next */
    char *cursor;          /* owned; "" until it is placed */
    bool placed;           /* `cursor` says where it begins */
    bool open;             /* counted in http->streams */
    bool waiting;          /* suspended: nothing to read */
    bool asking;           /* a question is out */
    bool ended;            /* after what is pending nothing comes */
    usec_t spoke;          /* when something was last put into `pending` */
};

struct http_request {
    struct http *http;
    struct MHD_Connection *connection; /* guarded; null once libmicrohttpd is through */
    struct list link;                  /* guarded */
    unsigned holders;                  /* guarded */
    bool waits;                        /* guarded: suspended for an answer */
    bool answered;                     /* guarded: `answer` is there */
    struct api_answer answer;
    char *target;
    bool planned;
    struct api_plan plan;
    struct buffer body;
    size_t reserved;   /* of http->body_bytes */
    size_t dropped;    /* bytes of the body that nobody wants */
    struct mail *mail; /* API_SUBMIT: what the receipt names */
    struct http_stream stream;
};

struct http *http_hold(struct http *http);            /* with the lock held */
void http_drop(struct http *http);                    /* without */
void http_request_hold(struct http_request *request); /* with the lock held */
void http_request_drop(struct http_request *request); /* without */

/* libmicrohttpd's calls. */
void *http_on_target(void *context, const char *uri, struct MHD_Connection *connection);
enum MHD_Result http_on_request(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *upload, size_t *upload_len, void **request);
void http_on_completed(
    void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode why);

/* Answers with what stands in `answer` (taken over, emptied) unless it was answered before. */
void http_answer(struct http_request *request, struct api_answer *answer);
/* Sends the answer that is there. */
enum MHD_Result http_send_answer(struct http_request *request, struct MHD_Connection *connection);

/* Begins the stream of an API_EVENTS request. */
enum MHD_Result http_events_begin(struct http_request *request, struct MHD_Connection *connection);
void http_events_end(struct http_request *request); /* with the lock held */
void *http_events_pump(void *http);

#endif
