/* signing - every message gets its signatures before it is sent (RFC 6376)
 *
 * Signed once a message, not once a recipient: the header block hangs on the held message as long as its body is in
 * memory, and whoever comes while it is being made waits for the same one. A 7-bit copy is another message to a
 * verifier, and is signed for the one session that sends it. Other settings may mean other keys: what was signed
 * before them is not used for what starts after them. A message no key applies to passes straight through.
 *
 * What can't be signed is not sent: it is deferred, and the reply says why. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/node_state.h"
#include "proto/message.h"

/* t= tells when it was signed, x= until when it holds: a message that waits longer for its turn is signed anew. */
#define HEAD_KEPT (10 * USEC_MIN)

struct signing {
    uint64_t ticket;     /* 0: it is made */
    struct held *held;   /* whose it is; null: nobody's that stays */
    struct list waiters; /* struct session, link `of_signing` */
    struct blob *head;
    usec_t since;
    uint64_t key_round;
};

static void signing_free(struct node *node, struct signing *signing)
{
    if (signing->held != NULL)
        signing->held->signing = NULL;
    if (signing->head != NULL)
        node->figures.body_bytes -= signing->head->len;
    blob_drop(&signing->head);
    free(signing);
}

/* The answer may still be under way: it comes for the sessions that wait, and nobody else. */
void signing_let_go(struct node *node, struct held *held)
{
    struct signing *signing = held->signing;
    if (signing == NULL)
        return;
    held->signing = NULL;
    signing->held = NULL;
    if (signing->ticket == 0)
        signing_free(node, signing);
}

void signing_free_all(struct node *node)
{
    struct map_entry *at = NULL;
    for (struct signing *signing; (signing = map_next(&node->signings, &at)) != NULL;)
        signing_free(node, signing);
    list_each (link, &node->bodies)
        signing_let_go(node, list_item(link, struct held, bodies));
}

static size_t keys_for(const struct node *node, const struct mail *mail, const struct blob *body,
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST])
{
    char from[ADDRESS_SIZE];
    bool asks_from = settings_dkim_asks_from(node->settings, mail->tenant);
    if (!asks_from && node->settings->operator_dkim_count == 0)
        return 0;
    if (!asks_from || message_from(body->bytes, body->len, from) != 0)
        from[0] = '\0';
    return settings_dkim_for(node->settings, mail->tenant, mail_domain(from), keys);
}

static void wait_for(struct session *session, struct signing *signing)
{
    session_set_state(session, SESSION_SIGNING);
    list_push_back(&signing->waiters, &session->of_signing);
}

static struct signing *signing_new(struct node *node, struct session *session, usec_t now)
{
    struct signing *signing = xcalloc(1, sizeof *signing);
    struct held *held = session->batch[0]->held;
    signing->ticket = ++node->ticket;
    signing->key_round = node->key_round;
    signing->since = now;
    list_init(&signing->waiters);
    map_set(&node->signings, &signing->ticket, sizeof signing->ticket, signing);
    if (!session->converted) {
        signing_let_go(node, held);
        held->signing = signing;
        signing->held = held;
    }
    return signing;
}

static struct signing *usable(const struct node *node, const struct session *session, usec_t now)
{
    struct signing *signing = session->converted ? NULL : session->batch[0]->held->signing;
    return signing != NULL && signing->key_round == node->key_round && now - signing->since < HEAD_KEPT
               ? signing
               : NULL;
}

bool signing_begin(struct node *node, struct session *session, usec_t now)
{
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    struct mail *mail = session->batch[0]->held->mail;
    struct signing *signing = usable(node, session, now);
    if (signing != NULL && signing->ticket == 0) {
        session->head = blob_hold(signing->head);
        return false;
    }
    if (signing != NULL) {
        wait_for(session, signing);
        return true;
    }
    size_t count = keys_for(node, mail, session->body, keys);
    if (count == 0)
        return false;
    signing = signing_new(node, session, now);
    wait_for(session, signing);
    struct sign_job job = {.mail = mail,
        .body = session->body,
        .converted = session->converted,
        .keys = keys,
        .key_count = count,
        .now = now};
    node->ports.sign(node->ports.context, signing->ticket, &job);
    return true;
}

/* Only with its body: what is at rest takes no memory. */
static void keep(struct node *node, struct signing *signing, struct blob *head)
{
    if (head == NULL || signing->held == NULL || !list_linked(&signing->held->bodies)) {
        signing_free(node, signing);
        return;
    }
    signing->ticket = 0;
    signing->head = blob_hold(head);
    node->figures.body_bytes += head->len;
}

static void go_on(struct node *node, struct session *session, struct blob *head, const char *why, usec_t now)
{
    struct reply reply;
    if (head != NULL) {
        session->head = blob_hold(head);
        batch_begin(node, session, now);
        return;
    }
    reply_local(&reply, "4.3.0", "the message could not be signed: %.400s", why);
    batch_fails(node, session, SMTP_CONNECT, &reply, now);
}

void node_signed(struct node *node, uint64_t ticket, struct blob *head, const char *why, usec_t now)
{
    struct signing *signing = map_remove(&node->signings, &ticket, sizeof ticket);
    struct list waiters;
    if (signing == NULL)
        return;
    list_init(&waiters);
    for (struct list *link; (link = list_pop(&signing->waiters)) != NULL;)
        list_push_back(&waiters, link);
    keep(node, signing, head);
    for (struct list *link; (link = list_pop(&waiters)) != NULL;)
        go_on(node, list_item(link, struct session, of_signing), head, why, now);
    node_settle(node, now);
}
