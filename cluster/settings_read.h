/* settings_read - single values of the operator's file: names, addresses, domains
 *
 * Readers for the typed table (base/config.h): each takes the text of one value, checks it, and writes its
 * canonical form. The same words are checked by others who take names from people (API keys, selectors).
 *
 * Memory: texts go into the arena. Errors: a sentence that says what to write instead. */
#ifndef CLUSTER_SETTINGS_READ_H
#define CLUSTER_SETTINGS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/config.h"

#define SETTINGS_MAX_NAME 64

/* Letters, digits, '.', '_' and '-', at most 64, a letter or digit first: ids of members, tenants, pools. */
bool settings_name_ok(const char *text);

/* Each reads into a `char *` unless said otherwise. */
config_reader settings_read_name;
/* A pool's overflow: a name, or "none" for null. */
config_reader settings_read_overflow;
/* A label that a tenant puts on its messages: 1 .. 128 bytes of any text. */
config_reader settings_read_campaign;
/* "192.0.2.1", "2001:db8::1": canonical. */
config_reader settings_read_address;
/* "0.0.0.0:2525", "[::1]:25": canonical, with a port of 1 .. 65535. */
config_reader settings_read_endpoint;
/* The same, or a bare address. */
config_reader settings_read_peer;
/* A domain as a lower-case A-label. */
config_reader settings_read_domain;
/* A DKIM selector: lower-case labels of letters, digits and hyphens (RFC 6376 section 3.1). */
config_reader settings_read_selector;
/* A domain, or "*". */
config_reader settings_read_domain_or_any;
/* A domain's or an MX's name; a dot at the front is dropped. */
config_reader settings_read_suffix;
/* "tcp://10.0.0.1:7100". */
config_reader settings_read_bus;
/* "https://10.0.0.9:2379" or "http://...". */
config_reader settings_read_url;
/* "127.0.0.0/8", "::1" into a struct network. */
config_reader settings_read_network;
/* A name of the tz database: "Asia/Tokyo". */
config_reader settings_read_zone;
/* "Mon-Fri 08:00-20:00" into a struct setting_window. */
config_reader settings_read_window;
/* "100/s" into a struct rate. */
config_reader settings_read_rate;

/* An endpoint's parts; false if `text` isn't one. *port_r is 0 for a bare address. */
bool settings_endpoint_split(const char *text, struct sockaddr_storage *address_r, unsigned *port_r);
bool settings_is_loopback(const struct sockaddr_storage *address);

#endif
