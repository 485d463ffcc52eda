/* address_uv - socket addresses as text, for stream_uv.h */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stream_uv.h"

static int parse_port(const char *text)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -1;
    long port = strtol(text, &end, 10);
    return *end == '\0' && port <= 65535 ? (int)port : -1;
}

/* Cuts "[host]:port", "host:port" or "host" apart; returns the port, or -1. A bare IPv6 address has more than
 * one colon and no port. */
static int split(const char *text, int default_port, char host[64])
{
    const char *start = text, *end, *port = NULL;
    if (text[0] == '[') {
        start = text + 1;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return -1;
        port = end[1] == ':' ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        bool many = colon != NULL && strchr(colon + 1, ':') != NULL;
        end = colon != NULL && !many ? colon : text + strlen(text);
        port = colon != NULL && !many ? colon + 1 : NULL;
    }
    if ((size_t)(end - start) >= 64)
        return -1;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    return port != NULL ? parse_port(port) : default_port;
}

int stream_parse_address(
    const char *text, int default_port, struct sockaddr_storage *out, socklen_t *len_r, struct error *error)
{
    char host[64];
    int port = split(text, default_port, host);
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (port >= 0 && inet_pton(AF_INET, host, &v4->sin_addr) == 1 && text[0] != '[') {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *len_r = sizeof *v4;
        return 0;
    }
    if (port >= 0 && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len_r = sizeof *v6;
        return 0;
    }
    return error_set(
        error, "\"%.80s\" is no address with a port; write it like 192.0.2.1:25 or [2001:db8::1]:25", text);
}

int stream_format_address(const struct sockaddr *address, char out[46])
{
    out[0] = '\0';
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, out, 46);
        return ntohs(v4->sin_port);
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, out, 46);
        return ntohs(v6->sin6_port);
    }
    return 0;
}
