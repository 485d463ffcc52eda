/* asking_cluster - the cluster as a whole: its members, its totals, what needs a person (asking_inside.h) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "coordinator/asking_inside.h"

#define CONFIG_GRACE (10 * USEC_SEC) /* a new version may take this long to be everywhere */

/* What is told of a node beside its standing, and summed up for all. */
static const char *const figures[] = {"queued", "ready", "sending", "connections", "accepted", "delivered",
    "deferred", "bounced", "expired", "body_bytes"};
#define FIGURES (sizeof figures / sizeof figures[0])

const char *node_standing_of(const struct reply *reply)
{
    return reply->node->down               ? "down"
           : reply->silent                 ? "silent"
           : reply->state == REPLY_MISSING ? "missing"
           : reply->node->draining         ? "draining"
                                           : "up";
}

bool head_is_there(const struct view *view)
{
    for (size_t i = 0; i < view->coordinator_count; i++)
        if (strcmp(view->coordinators[i].id, view->leader) == 0)
            return !view->coordinators[i].down;
    return false;
}

static void end_row(struct buffer *out)
{
    json_end(out, '}');
    buffer_add(out, "\n", 1);
}

/* The row of its "status", or an empty one. */
static const char *status_row(const struct reply *reply, size_t *len_r)
{
    const char *at = reply->text, *line = "";
    *len_r = 0;
    if (reply_counts(reply))
        row_next(&at, reply->text + reply->len, &line, len_r);
    return line;
}

/* nodes */

/* Of its own spool the second copy, and what it keeps of others'. */
static void copies_of_row(const char *row, size_t len, struct buffer *out)
{
    static const char *const numbers[] = {"mirror_lag_ms", "unacked_bytes", "copies_kept", "copies_bytes",
        "copies_ill", "taken_over", "taken_over_queued", "in_doubt"};
    struct row_value mirror = row_member(row, len, "mirror");
    if (mirror.len > 0)
        json_text_len(out, "mirror", mirror.bytes, mirror.len);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (row_member(row, len, numbers[i]).len > 0)
            json_number(out, numbers[i], row_number(row, len, numbers[i]));
}

static void node_row(const struct question *question, const struct reply *reply, struct buffer *out)
{
    const struct view_node *node = reply->node;
    size_t len;
    const char *row = status_row(reply, &len);
    struct row_value doing = row_member(row, len, "state");
    json_begin(out, '{');
    json_text(out, "role", "node");
    json_text(out, "node", node->id);
    json_text(out, "state", node_standing_of(reply));
    if (doing.len > 0) /* running, slow, full, alone, stopping */
        json_text_len(out, "doing", doing.bytes, doing.len);
    json_text(out, "spool", node->spool);
    json_number(out, "incarnation", (int64_t)node->incarnation);
    json_number(out, "weight", node->weight);
    json_number(out, "sources", (int64_t)node->source_count);
    if (node->endpoint != NULL)
        json_text(out, "endpoint", node->endpoint);
    if (node->rack != NULL)
        json_text(out, "rack", node->rack);
    /* Of one that can't be asked the view's epoch would be a guess. */
    if (len > 0) {
        json_number(out, "epoch", row_number(row, len, "view_epoch"));
        json_number(out, "config", row_number(row, len, "config"));
    } else if (question->alone) {
        json_number(out, "epoch", (int64_t)question->view->epoch);
    }
    for (size_t i = 0; len > 0 && i < FIGURES; i++)
        json_number(out, figures[i], row_number(row, len, figures[i]));
    ebb_of_row(row, len, out);
    copies_of_row(row, len, out);
    end_row(out);
}

static void coordinator_row(
    const struct question *question, const struct view_coordinator *coordinator, struct buffer *out)
{
    const struct asking *asking = question->asking;
    const struct view *view = question->view;
    bool own = strcmp(coordinator->id, asking->member) == 0;
    bool head = strcmp(coordinator->id, view->leader) == 0;
    bool silent = !own && map_get_text(&asking->silent, coordinator->id) != NULL;
    json_begin(out, '{');
    json_text(out, "role", "coordinator");
    json_text(out, "coordinator", coordinator->id);
    json_text(out, "state", coordinator->down ? "down" : silent ? "silent" : head ? "head" : "standby");
    json_bool(out, "head", head && !coordinator->down);
    if (coordinator->endpoint != NULL)
        json_text(out, "endpoint", coordinator->endpoint);
    if (own) {
        json_number(out, "epoch", (int64_t)view->epoch);
        json_number(out, "config", (int64_t)asking->own_config);
        json_bool(out, "answers", true);
    }
    end_row(out);
}

void merge_nodes(struct question *question, struct buffer *out)
{
    const struct view *view = question->view;
    for (size_t i = 0; i < question->count; i++)
        node_row(question, &question->replies[i], out);
    /* One that was asked for by name is the only one told. */
    for (size_t i = 0; question->count == view->node_count && i < view->coordinator_count; i++)
        coordinator_row(question, &view->coordinators[i], out);
}

/* status */

static void list_in_state(const struct question *question, const char *state, struct buffer *out)
{
    json_begin_named(out, state, '[');
    for (size_t i = 0; i < question->count; i++)
        if (strcmp(node_standing_of(&question->replies[i]), state) == 0)
            json_text(out, NULL, question->replies[i].node->id);
    json_end(out, ']');
}

static size_t count_in_state(const struct question *question, const char *state)
{
    size_t count = 0;
    for (size_t i = 0; i < question->count; i++)
        count += strcmp(node_standing_of(&question->replies[i]), state) == 0;
    return count;
}

static const char *cluster_state(const struct question *question)
{
    size_t full = 0, said = 0, len;
    for (size_t i = 0; i < question->count; i++) {
        const char *row = status_row(&question->replies[i], &len);
        said += len > 0;
        full += row_is(row, len, "state", "full") || row_is(row, len, "state", "alone");
    }
    if (said == 0)
        return "down";
    if (full == said)
        return "full";
    return said < question->count || full > 0 || !head_is_there(question->view) ? "degraded" : "running";
}

static void totals(const struct question *question, struct buffer *out)
{
    for (size_t i = 0; i < FIGURES; i++) {
        int64_t sum = 0;
        for (size_t j = 0; j < question->count; j++) {
            size_t len;
            const char *row = status_row(&question->replies[j], &len);
            sum += row_number(row, len, figures[i]);
        }
        json_number(out, figures[i], sum);
    }
}

void merge_status(struct question *question, struct buffer *out)
{
    const struct view *view = question->view;
    const struct asking *asking = question->asking;
    if (question->alone) {
        merge_rows(question, out);
        return;
    }
    json_begin(out, '{');
    json_text(out, "role", "cluster");
    json_text(out, "state", cluster_state(question));
    json_text(out, "coordinator", asking->member);
    json_text(out, "head", view->leader);
    json_bool(out, "head_up", head_is_there(view));
    json_number(out, "view_epoch", (int64_t)view->epoch);
    json_number(out, "wire", view->wire);
    json_number(out, "config", (int64_t)asking->config);
    json_bool(out, "etcd", asking->away[0] == '\0');
    json_number(out, "coordinators", (int64_t)view->coordinator_count);
    json_number(out, "nodes", (int64_t)question->count);
    json_number(out, "up", (int64_t)count_in_state(question, "up"));
    static const char *const lists[] = {"down", "silent", "missing", "draining"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (count_in_state(question, lists[i]) > 0)
            list_in_state(question, lists[i], out);
    totals(question, out);
    end_row(out);
}

/* alerts */

struct alert {
    const char *alert, *severity, *member;
    bool coordinator;
    usec_t since; /* 0 = not known */
    const char *detail, *advice;
};

static void add_alert(struct buffer *out, const struct alert *alert)
{
    char text[32];
    json_begin(out, '{');
    json_text(out, "alert", alert->alert);
    json_text(out, "severity", alert->severity);
    if (alert->member != NULL)
        json_text(out, alert->coordinator ? "coordinator" : "node", alert->member);
    if (alert->since > 0)
        json_text(out, "since", clock_rfc3339(alert->since, text));
    json_text(out, "detail", alert->detail);
    json_text(out, "do", alert->advice);
    end_row(out);
}

static usec_t since_of(const struct map *troubles, const char *member)
{
    const struct trouble *trouble = map_get_text(troubles, member);
    return trouble == NULL ? 0 : trouble->since;
}

static void alert_of_node(const struct question *question, const struct reply *reply, struct buffer *out)
{
    const struct asking *asking = question->asking;
    const char *id = reply->node->id;
    struct alert alert = {.alert = "down", .severity = "critical", .member = id};
    if (reply->node->down) {
        alert.since = since_of(&asking->down, id);
        alert.severity = reply->node->returns ? "warning" : "critical";
        alert.detail =
            reply->node->returns
                ? "the node was stopped, or is starting: it gets no new mail, and what it holds waits for it"
                : "the node is declared dead: it gets no new mail; what it holds waits for it, or goes "
                  "on from its second copy";
        alert.advice = "start it again with its own disk (`todoku node -c FILE`); its log says why it ended";
    } else if (reply->state != REPLY_SAID) {
        alert.alert = "silent";
        alert.severity = "warning";
        alert.since = since_of(&asking->silent, id);
        alert.detail = "the node runs as far as etcd knows, but does not answer this coordinator";
        alert.advice = "look at the network between the two (node.bus, firewalls) and at the node's log";
    } else {
        return;
    }
    add_alert(out, &alert);
}

static void alert_of_config(
    const struct question *question, const char *member, bool coordinator, uint64_t own, struct buffer *out)
{
    const struct asking *asking = question->asking;
    char detail[160];
    if (asking->config == 0 || own == asking->config || question->asked - asking->config_since < CONFIG_GRACE)
        return;
    snprintf(detail, sizeof detail,
        "it works by version %llu of the configuration, while %llu is in force: it refused it, or has not "
        "heard of it",
        (unsigned long long)own, (unsigned long long)asking->config);
    struct alert alert = {"config", "warning", member, coordinator, asking->config_since, detail,
        "its log says what it refused and where; mend it with `todoku config apply FILE`, or go back with "
        "`todoku config rollback VERSION`"};
    add_alert(out, &alert);
}

static void alerts_of_cluster(const struct question *question, struct buffer *out)
{
    const struct asking *asking = question->asking;
    const struct view *view = question->view;
    struct alert away = {"etcd", "warning", asking->member, true, asking->away_since, asking->away,
        "sending goes on with the last view; members, configuration and the death of a node wait: look after "
        "etcd"};
    struct alert headless = {"head", "warning", view->leader, true, 0,
        "the head is gone, and no other coordinator has taken its place yet",
        "it takes some seconds; if it lasts, look whether a coordinator runs and reaches etcd"};
    if (asking->away[0] != '\0')
        add_alert(out, &away);
    if (view->leader[0] != '\0' && !head_is_there(view))
        add_alert(out, &headless);
    for (size_t i = 0; i < view->coordinator_count; i++) {
        struct alert down = {"down", "warning", view->coordinators[i].id, true,
            since_of(&asking->down, view->coordinators[i].id), "this coordinator does not run",
            "start it again, or take it out: `todoku members remove NAME`"};
        if (view->coordinators[i].down)
            add_alert(out, &down);
    }
    alert_of_config(question, asking->member, true, asking->own_config, out);
}

void merge_alerts(struct question *question, struct buffer *out)
{
    if (!question->alone)
        alerts_of_cluster(question, out);
    alerts_of_holds(question, out);
    for (size_t i = 0; i < question->count; i++) {
        const struct reply *reply = &question->replies[i];
        if (!question->alone)
            alert_of_node(question, reply, out);
        const char *at = reply->text, *line;
        size_t len;
        while (reply_counts(reply) && row_next(&at, reply->text + reply->len, &line, &len)) {
            /* Its first line tells how it is, for us; the rest are alerts. */
            if (row_member(line, len, "alert").len == 0) {
                if (!question->alone)
                    alert_of_config(
                        question, reply->node->id, false, (uint64_t)row_number(line, len, "config"), out);
                continue;
            }
            buffer_add(out, line, len);
            buffer_add(out, "\n", 1);
        }
    }
}

/* What lasts */

static void note(struct map *troubles, const char *member, bool is, usec_t now)
{
    struct trouble *trouble = map_get_text(troubles, member);
    if (is && trouble == NULL) {
        trouble = xcalloc(1, sizeof *trouble);
        trouble->since = now;
        map_set_text(troubles, member, trouble);
    } else if (!is && trouble != NULL) {
        free(map_remove_text(troubles, member));
    }
}

void asking_set_view(struct asking *asking, const struct view *view, usec_t now)
{
    for (size_t i = 0; i < view->node_count; i++) {
        note(&asking->down, view->nodes[i].id, view->nodes[i].down, now);
        /* Another process may serve it when it is up again, and nobody has called that one silent. */
        if (view->nodes[i].down)
            note(&asking->silent, view->nodes[i].id, false, now);
    }
    for (size_t i = 0; i < view->coordinator_count; i++)
        note(&asking->down, view->coordinators[i].id, view->coordinators[i].down, now);
}

void asking_set_silent(struct asking *asking, const char *member, bool silent, usec_t now)
{
    note(&asking->silent, member, silent, now);
}

void asking_set_config(struct asking *asking, uint64_t in_force, uint64_t own, usec_t now)
{
    if (in_force != asking->config)
        asking->config_since = now;
    asking->config = in_force;
    asking->own_config = own;
}

void asking_set_away(struct asking *asking, const char *why, usec_t now)
{
    if (why != NULL && asking->away[0] == '\0')
        asking->away_since = now;
    snprintf(asking->away, sizeof asking->away, "%s", why == NULL ? "" : why[0] == '\0' ? "no answer" : why);
}
