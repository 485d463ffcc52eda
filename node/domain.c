/* domain - from a queue's domain to the site that takes its mail */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/backlog.h"
#include "node/gate.h"

struct domain *domain_get(struct node *node, const char *name)
{
    struct domain *domain = map_get_text(&node->domains, name);
    if (domain == NULL) {
        domain = xcalloc(1, sizeof *domain);
        domain->name = xstrdup(name);
        list_init(&domain->queues);
        map_set_text(&node->domains, name, domain);
    }
    return domain;
}

static void leave_site(struct node *node, struct domain *domain)
{
    struct site *site = domain->site;
    if (site == NULL)
        return;
    list_each (link, &domain->queues) {
        struct queue *queue = list_item(link, struct queue, of_domain);
        queue_deactivate(queue);
        gate_forget(queue); /* it was judged by the provider's address, which may be another one's later */
        backlog_misplaced(node, queue);
    }
    domain->site = NULL;
    site->domains--;
    site_drop(node, site);
}

void domain_unused(struct node *node, struct domain *domain)
{
    if (!list_empty(&domain->queues) || domain->asking)
        return;
    leave_site(node, domain);
    map_remove_text(&node->domains, domain->name);
    mx_answer_drop(&domain->answer);
    free(domain->name);
    free(domain);
}

void queue_deactivate(struct queue *queue)
{
    site_leave(queue);
}

/* A route or the sandbox's sink stands in for DNS: a literal "host:port". */
static const char *routed(const struct node *node, const struct queue *queue)
{
    const struct settings *settings = node->settings;
    if (settings->delivery.sink != NULL)
        return settings->delivery.sink;
    for (size_t i = 0; i < settings->route_count; i++)
        if (strcmp(settings->routes[i].domain, queue->domain->name) == 0)
            return settings->routes[i].host;
    return NULL;
}

static void join_site(struct node *node, struct domain *domain, struct site *site)
{
    domain->site = site;
    site->domains++;
    list_each (link, &domain->queues)
        backlog_misplaced(node, list_item(link, struct queue, of_domain));
}

static void take_turns(struct node *node, struct domain *domain, usec_t now)
{
    list_each (link, &domain->queues) {
        struct queue *queue = list_item(link, struct queue, of_domain);
        if (queue->ready_count > 0 && !list_linked(&queue->of_site) && gate_opens(node, queue, now) <= now)
            site_enter(node, queue);
    }
}

void queue_activate(struct node *node, struct queue *queue, usec_t now)
{
    struct domain *domain = queue->domain;
    const char *host = domain->site == NULL ? routed(node, queue) : NULL;
    if (host != NULL)
        join_site(node, domain, site_of(node, host, NULL));
    if (gate_opens(node, queue, now) > now) {
        queue_deactivate(queue);
        return;
    }
    bool fresh = domain->site != NULL && (domain->answer == NULL || domain->answer->expires > now);
    if (fresh)
        site_enter(node, queue);
    else if (!domain->asking) {
        domain->asking = true;
        node->ports.resolve(node->ports.context, domain->name);
    }
}

void queue_gated(struct node *node, struct queue *queue, usec_t now)
{
    if (queue->ready_count > 0)
        queue_activate(node, queue, now);
}

struct mx_trouble {
    const char *enhanced;
    bool permanent;
};

static const struct mx_trouble troubles[] = {
    [MX_NULL] = {"5.1.10", true}, /* RFC 7505 */
    [MX_NO_DOMAIN] = {"5.1.2", true},
    [MX_LOOP] = {"5.4.6", true},
    [MX_NO_ADDRESS] = {"4.4.4", false},
    [MX_TEMPORARY] = {"4.4.3", false},
};

/* No host to go to: everything ready has its outcome by DNS alone. */
static void fail_ready(struct node *node, struct domain *domain, const struct mx_answer *answer, usec_t now)
{
    struct reply reply;
    reply_local(&reply, troubles[answer->status].enhanced, "%s", answer->why);
    enum smtp_stage stage = troubles[answer->status].permanent ? SMTP_MAIL : SMTP_CONNECT;
    struct list failed;
    list_init(&failed);
    list_each (link, &domain->queues) {
        struct queue *queue = list_item(link, struct queue, of_domain);
        if (gate_opens(node, queue, now) > now)
            continue; /* DNS is asked again when it opens */
        while (!list_empty(&queue->ready)) {
            struct delivery *delivery = list_item(queue->ready.next, struct delivery, link);
            delivery_leave_mood(node, delivery);
            list_push_back(&failed, &delivery->link);
        }
    }
    for (struct list *link; (link = list_pop(&failed)) != NULL;)
        outcome(node, list_item(link, struct delivery, link), NULL, stage, &reply, now);
}

static void settle_site(struct node *node, struct domain *domain, usec_t now)
{
    struct site *site = domain->answer->status == MX_OK ? site_of(node, domain->name, domain->answer) : NULL;
    if (site != domain->site)
        leave_site(node, domain);
    if (site == NULL) {
        fail_ready(node, domain, domain->answer, now);
        return;
    }
    if (domain->site == NULL)
        join_site(node, domain, site);
    take_turns(node, domain, now);
}

void node_resolved(struct node *node, const char *name, struct mx_answer *answer, usec_t now)
{
    struct domain *domain = map_get_text(&node->domains, name);
    if (domain == NULL || !domain->asking)
        return;
    domain->asking = false;
    mx_answer_drop(&domain->answer);
    domain->answer = mx_answer_hold(answer);
    if (list_empty(&domain->queues))
        domain_unused(node, domain);
    else
        settle_site(node, domain, now);
    node_settle(node, now);
}
