/* leader_help - coordinators over a store of their test's own; see store_help.h */
#ifndef TESTS_UNIT_LEADER_HELP_H
#define TESTS_UNIT_LEADER_HELP_H

#include "cluster/leader.h"
#include "store_help.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define VIEW_KEY "/todoku/prod/view/current"

struct head {
    struct leader *leader;
    struct fake_client client;
    struct fake_watch watches[LEADER_TOPICS];
    int elections;
    uint64_t history; /* of the store, as its news says */
    char said[4096];
};

extern struct fake_store *store;
extern usec_t now;
extern uint64_t lease_c1, lease_n1, lease_n2;

/* spec/: c1, c2, n1, n2, n3; live/: c1, n1, n2, under the leases above. */
int set_up(void **state);
int tear_down(void **state);

void begin(struct head *h, const char *id, uint64_t lease);
void finish(struct head *h);
void tell(struct head *h);   /* all news there is */
void settle(struct head *h); /* news and answers, until there are no more */
void run(struct head *h, usec_t how_long);
void away(struct head *h); /* the store, for all its watches; their next news is a list */

uint64_t new_lease(void);
void put_spec(const char *id, enum member_role role, uint32_t weight, bool drain);
/* Under a lease of its own, which is returned. */
uint64_t put_live(const char *id, enum member_role role, uint64_t process, uint64_t incarnation);
uint64_t put_live_as(struct member_live *live, const char *id, uint64_t process, uint64_t incarnation);

/* The view in the store. */
struct view *stored(void);
uint64_t epoch(void); /* counted from the first view: 1 */
size_t down_count(void);
const char *state_of(const char *id); /* "up", "down" or "none" */

#endif
