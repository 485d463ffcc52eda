/* node_custody - between the node's custody and its scheduler: what was gained, what leaves, where bodies are
 */
#include <string.h>

#include "base/panic.h"
#include "node/act.h"

static void append(
    void *context, uint64_t seq, const struct spool_record *record, struct blob *body, bool base)
{
    struct node *node = context;
    struct buffer bytes = {0};
    record_encode(record, &bytes);
    node->rest.bytes += buffer_len(&bytes) + (body == NULL ? 0 : body->len);
    if (node->second.core != NULL)
        node_copies_append(node, seq, &bytes, body, base);
    node->ports.append(node->ports.context, seq, &bytes, body, base);
    buffer_free(&bytes);
}

static void release(void *context, uint64_t seq)
{
    struct node *node = context;
    if (!node_copies_release(node, seq))
        node->ports.release(node->ports.context, seq);
}

/* MOVE and SETTLED_ASK name a spool: whoever serves it in our view gets them. Nobody does: they are asked
 * again later anyway. */
static void send_out(void *context, struct bus_msg *msg)
{
    struct node *node = context;
    if (msg->to[0] == '\0') {
        const struct view_node *primary =
            node->view == NULL ? NULL : view_spool(node->view, msg->spool, NULL);
        if (primary == NULL) {
            bus_msg_free(&msg);
            return;
        }
        memcpy(msg->to, primary->id, sizeof msg->to);
    }
    if (msg->type == BUS_INJECT_ANSWER)
        msg->pressure = (uint8_t)node->pressure.level;
    node->ports.send(node->ports.context, msg);
}

void body_let_go(struct node *node, struct held *held)
{
    signing_let_go(node, held);
    if (list_linked(&held->bodies)) {
        list_remove(&held->bodies);
        node->figures.body_bytes -= held->mail->body_len;
    }
    blob_drop(&held->body);
}

/* Bodies stay in memory for the first attempt, up to node.window in all; what comes beyond that is read back
 * from the spool. */
void body_kept(struct node *node, struct held *held)
{
    if (held->body == NULL || list_linked(&held->bodies))
        return;
    if (node->figures.body_bytes + held->mail->body_len > node->settings->node.window) {
        blob_drop(&held->body);
        return;
    }
    node->figures.body_bytes += held->mail->body_len;
    list_push_back(&node->bodies, &held->bodies);
}

void body_rest(struct node *node, struct held *held)
{
    for (uint32_t i = 0; i < held->count; i++)
        if (held->deliveries[i]->mood == MOOD_READY || held->deliveries[i]->mood == MOOD_SENDING)
            return;
    body_let_go(node, held);
}

static void tell_accepted(struct node *node, const struct delivery *delivery)
{
    struct event event = {.name = delivery->hop == 0 ? "accepted" : "transferred", .delivery = delivery};
    /* Mail of another node is told of with the time when it came, but while the log is read, before any clock was. */
    event.now = delivery->held->mail->created;
    if (delivery->hop > 0 && node->now > event.now)
        event.now = node->now;
    const char *text = event_text(node, &event);
    node->ports.event(node->ports.context, delivery->made_seq, text, strlen(text));
    node->figures.accepted++;
    load_count(node->load, mail_domain(delivery->held->mail->recipients[delivery->index]), node->now);
}

/* It is this node's to end from now on: placed when it is due, found anew by each view, and ended when it is too old. */
static void wait_until(struct node *node, struct delivery *delivery, usec_t due)
{
    struct held *held = delivery->held;
    census_join(node, held);
    if (!heap_has(&held->expiry))
        heap_put(&node->expiries, &held->expiry, held->mail->expires);
    heap_put(&node->due, &delivery->timer, due);
    delivery->mood = MOOD_WAITING;
    if (due > node->now) {
        delivery_join_queue(node, delivery);
        rest_consider(node, held);
    }
}

static void gained(void *context, struct delivery *delivery)
{
    struct node *node = context;
    if (delivery->made_seq > node->told_seq)
        tell_accepted(node, delivery);
    body_kept(node, delivery->held);
    wait_until(node, delivery, delivery->due);
}

/* What of the message stays may only have waited for this one. */
static void left(void *context, struct delivery *delivery)
{
    struct node *node = context;
    struct held *held = delivery->held;
    must(delivery->mood != MOOD_SENDING);
    delivery_leave_mood(node, delivery);
    delivery_leave_queue(node, delivery);
    for (uint32_t i = 0; i < held->count && !list_linked(&held->resting); i++)
        if (held->deliveries[i]->state == CUSTODY_HELD)
            rest_consider(node, held);
}

/* Also what was leaving when a start read the log: that one did not gain it. */
static void placed_anew(void *context, struct delivery *delivery)
{
    struct node *node = context;
    if (delivery->mood == MOOD_SENDING)
        return;
    delivery_leave_mood(node, delivery);
    bool expired = node->now >= delivery->held->mail->expires; /* while it was on its way: it ends at once */
    wait_until(node, delivery, expired ? node->now : delivery->due);
}

static void returned(void *context, struct delivery *delivery, const char *spool)
{
    spool_refused(context, spool);
    placed_anew(context, delivery);
}

static void forgotten(void *context, struct held *held)
{
    struct node *node = context;
    act_forgotten(node, held);
    heap_remove(&node->expiries, &held->expiry);
    census_leave(node, held);
    rest_forget(node, held);
    body_let_go(node, held);
}

static void told(void *context, uint64_t seq, const struct mail *mail, const char *detail)
{
    struct node *node = context;
    (void)mail;
    node->ports.event(node->ports.context, seq, detail, strlen(detail));
}

void body_read(struct node *node, struct held *held)
{
    held->reading = true;
    map_set(&node->reading, &held->disk_seq, sizeof held->disk_seq, held);
    node->ports.read_body(node->ports.context, held->disk_seq);
}

static void want_body(void *context, struct held *held)
{
    body_read(context, held);
}

void node_body(struct node *node, uint64_t seq, struct blob *body, usec_t now)
{
    struct held *held = map_remove(&node->reading, &seq, sizeof seq);
    if (held == NULL)
        return;
    if (body == NULL && held->disk_seq != seq) { /* restated while it was read: the old frame has gone */
        body_read(node, held);
        return;
    }
    /* A frame without the body that the mail has: it could not be read when it was restated. */
    if (body != NULL && body->len == 0 && held->mail->body_len != 0)
        body = NULL;
    custody_body(node->custody, held, body, now);
    session_body(node, held, body, now);
    node_settle(node, now);
}

static int row_get(void *context, const struct mail_id *id, struct buffer *bytes)
{
    return park_row_get(((struct node *)context)->rest.park, id, bytes);
}

static void row_put(void *context, const struct custody_row *row, const struct custody_row *old)
{
    struct node *node = context;
    park_row_put(node->rest.park, row, old);
    row_counts(node, row->held, true);
}

static void row_remove(void *context, const struct custody_row *row)
{
    struct node *node = context;
    park_row_remove(node->rest.park, row);
    row_counts(node, row->held, false);
}

static size_t rows_from(void *context, uint64_t base_seq, struct mail_id *ids, size_t max)
{
    return park_rows_from(((struct node *)context)->rest.park, base_seq, ids, max);
}

static void row_bad(void *context, const char *why)
{
    park_row_bad(((struct node *)context)->rest.park, why);
}

static void unparked(void *context, struct held *held)
{
    rest_unparked(context, held);
}

void node_custody_ports(struct node *node, struct custody_ports *ports)
{
    *ports = (struct custody_ports){
        .context = node,
        .append = append,
        .release = release,
        .send = send_out,
        .gained = gained,
        .left = left,
        .returned = returned,
        .movable = placed_anew,
        .forgotten = forgotten,
        .told = told,
        .want_body = want_body,
        .row_get = row_get,
        .row_put = row_put,
        .row_remove = row_remove,
        .rows_from = rows_from,
        .row_bad = row_bad,
        .unparked = unparked,
    };
}
