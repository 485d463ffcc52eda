/* site_literal - "10.1.1.1:2525" or "[::1]:25" of a route or the sandbox's sink, as if DNS had said it */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/node_state.h"

/* Splits "host:port"; a bare IPv6 address has no port. */
static void split(const char *literal, char host[64], uint16_t *port)
{
    const char *open = strchr(literal, '['), *close = strchr(literal, ']'), *colon = strrchr(literal, ':');
    size_t len = strlen(literal);
    const char *start = literal;
    if (open == literal && close != NULL) {
        start = literal + 1;
        len = (size_t)(close - start);
        colon = close[1] == ':' ? close + 1 : NULL;
    } else if (colon != NULL && strchr(literal, ':') == colon)
        len = (size_t)(colon - literal);
    else
        colon = NULL;
    snprintf(host, 64, "%.*s", (int)(len < 63 ? len : 63), start);
    if (colon != NULL)
        *port = (uint16_t)strtoul(colon + 1, NULL, 10);
}

struct mx_answer *site_literal(const char *literal, uint16_t *port)
{
    struct mx_answer *answer = xcalloc(1, sizeof *answer + sizeof(struct mx_host));
    struct mx_host *host = &answer->hosts[0];
    answer->holders = 1;
    answer->status = MX_OK;
    answer->expires = USEC_NEVER;
    answer->host_count = 1;
    split(literal, host->name, port);
    struct mx_address *address = &host->addresses[0];
    address->family = strchr(host->name, ':') == NULL ? AF_INET : AF_INET6;
    if (inet_pton(address->family, host->name, address->bytes) == 1)
        host->address_count = 1;
    return answer;
}
