/* hold_audit - what operators did to the holds, as `audit` events
 *
 *     {"time","event":"audit","action":"pause","hold":ID,"tenant","campaign","pool","source","provider",
 *      "domain" (those it names),"until","by","reason","node"}
 * One for each hold that was added ("pause"), lifted ("resume": `by` is who lifted it, if that is known) or has
 * ended by itself ("expired"). Each node tells what it heeds, when it does.
 *
 * Pure; texts are lent for the call of `tell`. */
#ifndef NODE_HOLD_AUDIT_H
#define NODE_HOLD_AUDIT_H

#include "cluster/hold.h"

struct hold_audit {
    const char *node;
    void (*tell)(void *context, const char *json, size_t len);
    void *context;
};

/* `told`: up to when ends have been told. */
void hold_audit_change(const struct hold_audit *audit, const struct holds *former, const struct holds *set,
    usec_t told, usec_t now);
/* Those that ended after `told`, until `now`. */
void hold_audit_ends(const struct hold_audit *audit, const struct holds *set, usec_t told, usec_t now);

#endif
