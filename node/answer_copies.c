/* answer_copies - where the second copy of this node's mail is, or why there is none; what it keeps of others (answer.h) */
#include <inttypes.h>
#include <stdio.h>

#include "node/answer.h"
#include "proto/wire.h"

#define WORTH_A_PERSON (10 * USEC_SEC) /* without a second copy: longer than it takes to find another */

/* Why this spool has no mirror. */
static void why_none(const struct node *node, bool learning, char *text_r, size_t size)
{
    const struct node_second *second = &node->second;
    if (second->core == NULL && node->settings->cluster.copies < 2)
        snprintf(text_r, size, "copies: 1");
    else if (second->core == NULL)
        snprintf(text_r, size, "copies: 2 takes effect at the next start");
    else if (copies_deposed(second->core))
        snprintf(text_r, size, "another node has taken this spool over");
    else if (node->view == NULL)
        snprintf(text_r, size, "there is no view of the cluster yet");
    else if (node->view->wire < WIRE_COPIES)
        snprintf(text_r, size, "the cluster speaks wire version %" PRIu32, node->view->wire);
    else if (second->wanted[0] == '\0')
        snprintf(text_r, size, "there is no other node that could have it");
    else if (learning)
        snprintf(text_r, size, "%s is getting it", second->wanted);
    else
        snprintf(text_r, size, "%s is asked", second->wanted);
}

bool answer_mirror(const struct node *node, usec_t now, char text_r[ANSWER_MIRROR])
{
    struct copies_figures figures = {0};
    char why[ANSWER_MIRROR - 8];
    (void)node_copies_figures(node, now, &figures);
    if (figures.paired && figures.mirror[0] != '\0') {
        snprintf(text_r, ANSWER_MIRROR, "%s", figures.mirror);
        return true;
    }
    why_none(node, figures.learning, why, sizeof why);
    snprintf(text_r, ANSWER_MIRROR, figures.paired ? "a node that is not named" : "none (%s)", why);
    return figures.paired;
}

void answer_copies(struct asked *asked)
{
    const struct node *node = asked->node;
    struct copies_figures copies;
    char mirror[ANSWER_MIRROR];
    if (node->keeps) {
        json_number(asked->out, "copies_kept", (int64_t)node->kept.copies);
        json_number(asked->out, "copies_bytes", (int64_t)node->kept.bytes);
        json_number(asked->out, "copies_ill", (int64_t)node->kept.ill);
    }
    if (node->kept.taken > 0) {
        json_number(asked->out, "taken_over", (int64_t)node->kept.taken);
        json_number(asked->out, "taken_over_queued", (int64_t)node->kept.taken_queued);
        json_number(asked->out, "in_doubt", (int64_t)node->kept.in_doubt);
    }
    answer_mirror(node, asked->now, mirror);
    json_text(asked->out, "mirror", mirror);
    if (!node_copies_figures(node, asked->now, &copies))
        return;
    json_number(asked->out, "mirror_lag_ms", (int64_t)(copies.lag / USEC_MS));
    json_number(asked->out, "unacked_bytes", (int64_t)copies.unacked_bytes);
}

static void alert_ill(struct asked *asked)
{
    const struct node_kept *kept = &asked->node->kept;
    char detail[160];
    snprintf(detail, sizeof detail,
        "%" PRIu64 " of the %" PRIu64
        " copies of other nodes' mail here take nothing: not opened, full or failed",
        kept->ill, kept->copies);
    json_begin(asked->out, '{');
    json_text(asked->out, "alert", "copies_ill");
    json_text(asked->out, "severity", "warning");
    json_text(asked->out, "node", asked->node->id);
    json_text(asked->out, "detail", detail);
    json_text(asked->out, "do",
        "its log says why, for each; those nodes look for another one. Look at the disk: data_dir/copies");
    answer_end_row(asked);
}

static void alert_alone(struct asked *asked)
{
    const struct node *node = asked->node;
    usec_t since = node->second.alone_since;
    char mirror[ANSWER_MIRROR], time[32];
    struct buffer detail = {0};
    if (node->second.core == NULL || copies_deposed(node->second.core) || since == 0 ||
        asked->now - since < WORTH_A_PERSON)
        return;
    bool shut = node_copies_shut(node) != NULL;
    answer_mirror(node, asked->now, mirror);
    buffer_printf(&detail, "its mail lies on one disk only%s; second copy: %s",
        shut ? ", and it takes no new mail" : "", mirror);
    json_begin(asked->out, '{');
    json_text(asked->out, "alert", "copies");
    json_text(asked->out, "severity", shut ? "critical" : "warning");
    json_text(asked->out, "node", node->id);
    json_text(asked->out, "since", clock_rfc3339(since, time));
    json_text(asked->out, "detail", buffer_text(&detail));
    json_text(asked->out, "do",
        "bring another node up, or make room on its disk; what it holds is sent meanwhile. With "
        "`cluster.min_copies: 1` new mail is taken on one disk, and burns with it");
    answer_end_row(asked);
    buffer_free(&detail);
}

void answer_alert_copies(struct asked *asked)
{
    alert_alone(asked);
    if (asked->node->keeps && asked->node->kept.ill > 0)
        alert_ill(asked);
}
