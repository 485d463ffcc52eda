/* settings_read - see settings_read.h */
#include "cluster/settings_read.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cluster/settings.h"
#include "proto/address.h"

#define MAX_CAMPAIGN 128

static void text_store(void *target, const char *text, struct arena *arena)
{
    *(char **)target = arena_text(arena, text, strlen(text));
}

/* --- names --- */

bool settings_name_ok(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > SETTINGS_MAX_NAME || !isalnum((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isascii((unsigned char)text[i]) || (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i])))
            return false;
    return true;
}

int settings_read_name(const char *text, void *target, struct arena *arena, struct error *error)
{
    if (!settings_name_ok(text))
        return error_set(error,
            "`%.80s` is no name; use letters, digits, '.', '_' and '-', at most %d, a letter or digit first",
            text, SETTINGS_MAX_NAME);
    text_store(target, text, arena);
    return 0;
}

int settings_read_overflow(const char *text, void *target, struct arena *arena, struct error *error)
{
    if (strcmp(text, "none") != 0)
        return settings_read_name(text, target, arena, error);
    *(char **)target = NULL;
    return 0;
}

int settings_read_campaign(const char *text, void *target, struct arena *arena, struct error *error)
{
    if (text[0] == 0 || strlen(text) > MAX_CAMPAIGN)
        return error_set(error, "`%.80s` is no campaign; use 1 to %d bytes", text, MAX_CAMPAIGN);
    text_store(target, text, arena);
    return 0;
}

/* --- addresses --- */

/* One address of either family, into its family's sockaddr with the port. */
static bool address_parse(const char *text, unsigned port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
        return false;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return true;
}

static void address_write(const struct sockaddr_storage *address, char out[INET6_ADDRSTRLEN])
{
    const void *bytes = address->ss_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr;
    inet_ntop(address->ss_family, bytes, out, INET6_ADDRSTRLEN);
}

bool settings_endpoint_split(const char *text, struct sockaddr_storage *address_r, unsigned *port_r)
{
    char host[INET6_ADDRSTRLEN];
    const char *colon = strrchr(text, ':'), *begin = text, *end = colon;
    uint64_t port = 0;
    *port_r = 0;
    if (strlen(text) < sizeof host && address_parse(text, 0, address_r))
        return true;
    if (colon == NULL || units_number(colon + 1, 1, 65535, &port, NULL) != 0)
        return false;
    bool brackets = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    if (brackets) {
        begin++;
        end--;
    }
    if ((size_t)(end - begin) >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(end - begin), begin);
    *port_r = (unsigned)port;
    return address_parse(host, *port_r, address_r) && (address_r->ss_family == AF_INET6) == brackets;
}

bool settings_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

int settings_read_address(const char *text, void *target, struct arena *arena, struct error *error)
{
    struct sockaddr_storage address;
    char out[INET6_ADDRSTRLEN];
    if (!address_parse(text, 0, &address))
        return error_set(error, "`%.80s` is no IP address; write one as in 192.0.2.1 or 2001:db8::1", text);
    address_write(&address, out);
    text_store(target, out, arena);
    return 0;
}

static int peer_read(const char *text, bool bare, void *target, struct arena *arena, struct error *error)
{
    struct sockaddr_storage address;
    unsigned port;
    char host[INET6_ADDRSTRLEN], out[INET6_ADDRSTRLEN + 16];
    if (!settings_endpoint_split(text, &address, &port) || (port == 0 && !bare))
        return error_set(
            error, "`%.80s` is no IP address and port; write them as in 192.0.2.1:25 or [::1]:25", text);
    address_write(&address, host);
    bool v6 = address.ss_family == AF_INET6;
    if (port == 0)
        snprintf(out, sizeof out, "%s", host);
    else
        snprintf(out, sizeof out, v6 ? "[%s]:%u" : "%s:%u", host, port);
    text_store(target, out, arena);
    return 0;
}

int settings_read_endpoint(const char *text, void *target, struct arena *arena, struct error *error)
{
    return peer_read(text, false, target, arena, error);
}

int settings_read_peer(const char *text, void *target, struct arena *arena, struct error *error)
{
    return peer_read(text, true, target, arena, error);
}

int settings_read_bus(const char *text, void *target, struct arena *arena, struct error *error)
{
    static const char scheme[] = "tcp://";
    char *endpoint = NULL, *bus;
    if (strncmp(text, scheme, sizeof scheme - 1) != 0 ||
        settings_read_endpoint(text + sizeof scheme - 1, &endpoint, arena, NULL) != 0 || endpoint == NULL)
        return error_set(
            error, "`%.80s` is no bus address; write it as in tcp://10.0.0.1:7100 or tcp://[::1]:7100", text);
    bus = arena_take(arena, sizeof scheme + strlen(endpoint));
    memcpy(bus, scheme, sizeof scheme - 1);
    memcpy(bus + sizeof scheme - 1, endpoint, strlen(endpoint));
    *(char **)target = bus;
    return 0;
}

int settings_read_url(const char *text, void *target, struct arena *arena, struct error *error)
{
    const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                       : strncmp(text, "http://", 7) == 0 ? text + 7
                                                          : "";
    if (host[0] == 0 || strchr("/:", host[0]) != NULL || strpbrk(text, " \"'<>\\") != NULL)
        return error_set(error, "`%.80s` is no endpoint; write it as in https://10.0.0.9:2379", text);
    text_store(target, text, arena);
    return 0;
}

/* Are the bits behind the first `bits` all zero? */
static bool network_tail_is_zero(const struct network *network, unsigned all)
{
    for (unsigned bit = network->bits; bit < all; bit++)
        if ((network->bytes[bit / 8] & (0x80U >> (bit % 8))) != 0)
            return false;
    return true;
}

int settings_read_network(const char *text, void *target, struct arena *arena, struct error *error)
{
    struct network network = {0};
    char host[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    uint64_t bits = 0;
    (void)arena;
    snprintf(host, sizeof host, "%.*s", (int)(len < sizeof host ? len : 0), text);
    network.family = inet_pton(AF_INET, host, network.bytes) == 1    ? AF_INET
                     : inet_pton(AF_INET6, host, network.bytes) == 1 ? AF_INET6
                                                                     : AF_UNSPEC;
    unsigned all = network.family == AF_INET ? 32 : 128;
    bits = all;
    if (network.family == AF_UNSPEC || (slash != NULL && units_number(slash + 1, 0, all, &bits, NULL) != 0))
        return error_set(
            error, "`%.80s` is no network; write it as in 10.0.0.0/8, 192.0.2.1 or fd00::/8", text);
    network.bits = (unsigned)bits;
    if (!network_tail_is_zero(&network, all))
        return error_set(error, "`%.80s` has bits behind its first %u; write the network's first address",
            text, network.bits);
    *(struct network *)target = network;
    return 0;
}

/* --- domains --- */

int settings_read_domain(const char *text, void *target, struct arena *arena, struct error *error)
{
    char domain[256];
    if (text[0] == 0)
        return error_set(error, "the name is empty; write it as in mail.example.net");
    if (domain_clean(text, strlen(text), domain, error) != 0)
        return error_prefix(error, "`%.80s`", text);
    text_store(target, domain, arena);
    return 0;
}

/* RFC 6376 section 3.1: selector = sub-domain *( "." sub-domain ), as in RFC 5321. */
static bool selector_ok(const char *text)
{
    size_t label = 0;
    for (const char *at = text; *at != '\0'; at++) {
        bool hyphen = *at == '-', dot = *at == '.';
        if (!isascii((unsigned char)*at) || (!isalnum((unsigned char)*at) && !hyphen && !dot))
            return false;
        if ((hyphen && (label == 0 || at[1] == '.' || at[1] == '\0')) || (dot && label == 0))
            return false;
        label = dot ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0 && strlen(text) <= SETTINGS_MAX_NAME;
}

int settings_read_selector(const char *text, void *target, struct arena *arena, struct error *error)
{
    char lower[SETTINGS_MAX_NAME + 1];
    if (!selector_ok(text))
        return error_set(error,
            "`%.80s` is no selector; use letters, digits and hyphens, with dots between labels, at most %d",
            text, SETTINGS_MAX_NAME);
    for (size_t i = 0; i <= strlen(text); i++)
        lower[i] = (char)tolower((unsigned char)text[i]);
    text_store(target, lower, arena);
    return 0;
}

int settings_read_domain_or_any(const char *text, void *target, struct arena *arena, struct error *error)
{
    if (strcmp(text, "*") != 0)
        return settings_read_domain(text, target, arena, error);
    text_store(target, text, arena);
    return 0;
}

int settings_read_suffix(const char *text, void *target, struct arena *arena, struct error *error)
{
    return settings_read_domain(text[0] == '.' ? text + 1 : text, target, arena, error);
}

int settings_read_rate(const char *text, void *target, struct arena *arena, struct error *error)
{
    struct rate *rate = target;
    (void)arena;
    return units_rate(text, &rate->count, &rate->per, error);
}
