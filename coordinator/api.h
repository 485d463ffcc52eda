/* api - what an HTTP request asks for, and what is answered
 *
 * The core of the HTTP door: knows the paths, who may do what, and the shape of every answer; knows no
 * socket, no thread, no clock. The door (http_mhd.h) gives it the request line and headers, and does what the
 * plan says:
 *     API_ANSWER  the answer is there: send it
 *     API_ASK     put `what` with `selectors` to the front, then api_asked() makes the answer
 *     API_SUBMIT  read the body, api_json.h makes a mail of it, the front takes it, api_submitted() answers
 *     API_EVENTS  a stream of events from `cursor`
 *     API_HOLD    the same with api_hold.h
 *     API_COMMAND read the body, api_hold.h makes selectors of it, then as API_ASK
 *     API_MEMBER  the same with api_member.h, which needs no body
 *     API_CONFIG  read the body if it takes one, then api_config.h asks the store and answers
 *
 * Who is who: with a keys_file every request but the page, /healthz and /readyz needs `Authorization: Bearer
 * KEY`; a tenant's key sees and touches that tenant only. Without one the door listens on loopback only and
 * nobody is asked; then a browser is the one to be feared, so the Host must be local (DNS rebinding) and a
 * POST must be of a media type that no page of another site may send unasked (application/json, YAML).
 *
 * Memory: a plan and an answer own their texts; api_plan_free(), api_answer_free(). Errors: problem objects
 * (RFC 9457) whose `detail` is a sentence for a person. */
#ifndef COORDINATOR_API_H
#define COORDINATOR_API_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "cluster/hold.h"
#include "cluster/kv.h"
#include "cluster/settings.h"
#include "cluster/view.h"
#include "coordinator/front.h"
#include "proto/mail.h"

#define API_TENANT_SIZE 128
#define API_MAX_TARGET 8192
#define API_MAX_KEY 255 /* Idempotency-Key */
#define API_COMMENT_SIZE 201
#define API_NAME_SIZE 128

struct api_identity {
    bool admin;
    char tenant[API_TENANT_SIZE]; /* of a tenant's key */
    char key[64];                 /* which key it was, for the record; "" = nobody was asked */
};

/* The cluster, for those who may change its configuration. All is lent and outlives the API. */
struct api_admin {
    const struct kv *kv;
    const char *cluster;
    struct view *(*view)(void *context); /* the newest, held once for the caller; may be null */
    void *context;
};

/* Where operators' pauses are kept. All is lent and outlives the API. */
struct api_holds {
    const struct kv *_Atomic kv; /* null: not open yet */
    const char *cluster;
    struct holds *(*known)(void *context); /* those told last, held once for the caller; may be null */
    struct view *(*view)(void *context);   /* as api_admin's */
    void *context;
};

struct api {
    const struct settings
        *_Atomic settings; /* swapped when the file is read again; the old ones stay valid */
    /* Null where no key is asked for; else true with the key's owner. From any thread. */
    bool (*verify)(void *keys, const char *key, struct api_identity *who_r);
    void *keys;
    /* The id for a message: made from the tenant and the idempotency key (keyed hash, first 16 bytes of
     * HMAC-SHA256(secret, tenant '\0' key)), or a fresh one if the key is null. From any thread. */
    struct mail_id (*make_id)(void *ids, const char *tenant, const char *key);
    void *ids;
    const struct api_admin *admin; /* null on one machine: there the file wins */
    const struct api_holds *holds;
};

/* Headers that are not there are null. */
struct api_request {
    const char *method, *target; /* as they came */
    const char *authorization, *accept, *content_type, *host, *idempotency_key, *last_event_id;
};

struct api_answer {
    int status;
    const char *type; /* media type */
    struct buffer text;
    const char *allow;    /* 405: the methods that are allowed; else null */
    unsigned retry_after; /* seconds; 0 = not said */
    bool page;            /* the web page: the door adds its Content-Security-Policy */
    struct buffer
        audit; /* selectors of the question "audit": a node is to note who did it; empty = nothing is */
};

enum api_kind { API_ANSWER, API_ASK, API_SUBMIT, API_EVENTS, API_CONFIG, API_HOLD, API_COMMAND, API_MEMBER };
enum api_hold_verb { API_HOLD_LIST, API_HOLD_ADD, API_HOLD_LIFT };
enum api_verb { API_CONFIG_SHOW, API_CONFIG_HISTORY, API_CONFIG_APPLY, API_CONFIG_ROLLBACK };
enum api_shape { API_ARRAY, API_LINES, API_TEXT, API_READY };

struct api_plan {
    enum api_kind kind;
    struct api_answer answer; /* API_ANSWER */
    const char *what;         /* API_ASK, API_COMMAND: the front's word */
    enum api_shape shape;
    char selectors[API_MAX_TARGET];        /* API_ASK, API_EVENTS, API_HOLD */
    char *cursor;                          /* API_EVENTS, owned: "" = from now on; else null */
    struct api_identity who;               /* admin is true where no key is asked for */
    char idempotency_key[API_MAX_KEY + 1]; /* API_SUBMIT; "" = none */
    struct {                               /* API_CONFIG */
        enum api_verb verb;
        uint64_t version;  /* SHOW: 0 = the one in force */
        uint64_t expected; /* APPLY: what it was made from; 0 = whatever is in force */
        char comment[API_COMMENT_SIZE];
        char origin[API_NAME_SIZE]; /* APPLY: what the text is called in faults */
        bool yaml;                  /* SHOW: the bare text */
    } config;
    struct { /* API_HOLD */
        enum api_hold_verb verb;
        char id[HOLD_ID_SIZE]; /* LIFT: this one; "" = those that the selectors name */
    } hold;
    struct { /* API_MEMBER */
        char name[MEMBER_ID_SIZE];
        bool drain; /* else it is taken back */
    } member;
};

void api_plan(const struct api *api, const struct api_request *request, struct api_plan *plan_r);
void api_plan_free(struct api_plan *plan);
/* Who does it, for the record: "key acme-1", "this machine (c1)". */
void api_by(const struct api *api, const struct api_identity *who, char *by_r, size_t size);
/* The tenant to name to the front: null for an administrator. */
const char *api_plan_tenant(const struct api_plan *plan);

/* The biggest request body that may be read for this plan; 0: it takes none. */
size_t api_max_body(const struct api *api, const struct api_plan *plan);

/* Answers. Each fills an empty one. */
void api_asked(enum api_shape shape, int code, const char *text, size_t len, struct api_answer *answer_r);
void api_submitted(const struct mail *mail, const struct front_outcome *outcome, struct api_answer *answer_r);
void api_problem(struct api_answer *answer_r, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void api_answer_free(struct api_answer *answer);

#endif
