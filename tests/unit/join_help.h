/* join_help - processes that join a store of their test's own; see store_help.h */
#ifndef TESTS_UNIT_JOIN_HELP_H
#define TESTS_UNIT_JOIN_HELP_H

#include "cluster/join.h"
#include "store_help.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct process {
    struct join *join;
    struct fake_client client;
    int joined, ended, waits, registered, elsewhere;
    char spool[MEMBER_ID_SIZE];
    uint64_t incarnation, change; /* as told; the register's epoch */
    char why[700], what[700];
};

extern struct fake_store *store;
extern usec_t now;
extern bool can_move; /* who is told that its spool is elsewhere is not ended */

/* A store that lets n1 (a node) and n10 (anything) in. */
int set_up(void **state);
int tear_down(void **state);
void let_in(const char *id, enum member_role role, const char *key);

struct member_live live_of(
    const char *id, uint64_t process, const char *disk, struct view_source *sources, size_t count);
void begin(struct process *p, const struct member_live *live);
void begin_node(struct process *p, const char *id, uint64_t process, const char *disk);
void finish(struct process *p);
/* Lets time go on; every deadline that comes is kept, all requests have the same fate. */
void run(struct process *p, usec_t how_long, enum fate fate);

/* What stands in the store. */
struct member_live read_live(const char *id);
struct spool_register read_register(const char *spool);
const char *holder_of(const char *address);
void assert_says(const char *text, const char *part);

#endif
