/* source_check - are the configured source addresses this machine's?
 *
 * Binds a socket to each and closes it again: a mistyped address is told at the start, not by the first
 * message. */
#ifndef NODE_SOURCE_CHECK_H
#define NODE_SOURCE_CHECK_H

#include "base/error.h"
#include "cluster/settings.h"

/* 0, or -1 with the address, the reason and what to do. */
int source_check(const struct settings *settings, struct error *error);

#endif
