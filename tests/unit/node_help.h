/* node_help - what every harness of a node's core begins with: its settings, ports that do nothing, a view, mail for it
 *
 *     struct node_ports ports = node_help_ports(desk);   // then those that the test looks at
 *     struct bus_msg *msg = node_help_mail(7, now);      // then what it is about, and its recipients
 *     node_help_inject(node, &msg, blob_copy("x", 1), now);
 */
#ifndef UNIT_NODE_HELP_H
#define UNIT_NODE_HELP_H

#include "node/node.h"

/* The test fails if they are wrong. */
struct settings *node_help_settings(const char *text);
/* Nothing comes of what the node asks for; TLS and signatures it must not ask for. */
struct node_ports node_help_ports(void *context);
/* Nodes n<first> to n<last>, each with a source of pool main and spool n<i>.0. The caller's to drop. */
struct view *node_help_view(uint64_t epoch, unsigned first, unsigned last);
/* An INJECT to n1 (spool n1.0, incarnation 1) from c1: its id is made of the number, pool main, a day to live. */
struct bus_msg *node_help_mail(unsigned number, usec_t now);
/* Takes over both. */
void node_help_inject(struct node *node, struct bus_msg **msg, struct blob *body, usec_t now);

#endif
