/* explain_uv - an address explained: DNS is asked first, so that the answer shows where mail would go now */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/query.h"
#include "node/keeper_state_uv.h"
#include "proto/address.h"

#define MAX_WAITING 256

struct explaining {
    struct list link;
    char domain[DNS_NAME_SIZE];
    struct bus_msg *msg;
};

bool explain_asked(struct keeper *keeper, const struct bus_msg *msg)
{
    static const char what[] = "explain?";
    char given[ADDRESS_SIZE], address[ADDRESS_SIZE];
    if (msg->type != BUS_ASK || msg->text == NULL || strncmp(msg->text, what, strlen(what)) != 0 ||
        keeper->explaining_count >= MAX_WAITING)
        return false;
    if (!query_get(msg->text + strlen(what), "address", given, sizeof given) ||
        address_clean(given, strlen(given), address, NULL, NULL) != 0)
        return false; /* the core says what is wrong with it */
    struct explaining *explaining = xcalloc(1, sizeof *explaining);
    snprintf(explaining->domain, sizeof explaining->domain, "%s", mail_domain(address));
    explaining->msg = bus_msg_copy(msg);
    list_push_back(&keeper->explaining, &explaining->link);
    keeper->explaining_count++;
    resolve_domain(keeper->resolve, explaining->domain, clock_now());
    return true;
}

static void explaining_free(struct keeper *keeper, struct explaining *explaining)
{
    list_remove(&explaining->link);
    keeper->explaining_count--;
    bus_msg_free(&explaining->msg);
    free(explaining);
}

void explain_resolved(struct keeper *keeper, const char *domain, struct mx_answer *answer, usec_t now)
{
    list_each_safe (link, &keeper->explaining) {
        struct explaining *explaining = list_item(link, struct explaining, link);
        if (strcmp(explaining->domain, domain) != 0)
            continue;
        node_set_hint(keeper->node, domain, answer);
        node_bus(keeper->node, explaining->msg, now);
        explaining_free(keeper, explaining);
    }
}

void explain_end(struct keeper *keeper)
{
    list_each_safe (link, &keeper->explaining)
        explaining_free(keeper, list_item(link, struct explaining, link));
}
