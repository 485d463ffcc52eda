/* copies - second copies of spools: whose they are, where they lie, what of them is durable
 *
 * A member has, beside the disk of its home spool, one for each copy that it keeps for another member
 * (cluster/mirror.h), with the note beside it. Here is what the keeper of a node does about them: it makes one
 * at the first word of a primary that the view knows, opens them all at a start, and gives the home spool's
 * own end (node_open_copies) its register, its log and its way to the store. */
#ifndef SIM_COPIES_H
#define SIM_COPIES_H

#include "cluster/member_record.h"
#include "cluster/mirror.h"
#include "cluster/spool_verdict.h"
#include "node/heir.h"
#include "tests/sim/sim.h"

struct copy {
    struct member *member;
    struct disk *disk;
    struct mirror_note note, noting; /* on the disk; on its way there */
    bool is_noting, useless;
    struct mirror *mirror; /* null: no process has it open */
    struct spool_verdict verdict;
    struct spool_register reg; /* it serves: as it was swapped in */
    bool serves, opening, retired;
    uint64_t told;
    usec_t swapped;
    struct heir *heir; /* null: its log is not read yet, or it does not serve */
    uint64_t unread;   /* what of its log is before that frame */
};

/* How many copies a spool has in this run. */
static inline bool sim_has_copies(const struct sim *sim)
{
    return sim->copies > 1;
}
struct copy *copies_find(const struct member *member, int disk); /* null: it has none with that number */
const struct spool *copies_spool(const struct copy *copy);
void copies_key(const struct spool *spool, char key[MEMBER_PATH_SIZE]); /* of its register */
/* A process of that member serves: its home spool's end of the pair, before node_recovered; its copies. */
void copies_open_home(struct member *member);
void copies_open(struct member *member);
void copies_end(struct member *member); /* the process is gone; the disks forget what was not synced */
void copies_free_all(struct member *member);
/* That of a copy whose primary has its disk; the process ends, and its next one sets the copy aside. False: there is none. */
bool copies_damage_note(struct member *member);
/* True: it was for a copy. */
bool copies_bus(struct member *member, const struct bus_msg *msg);
void copies_disk_synced(struct disk *disk, uint64_t seq);
void copies_body(struct disk *disk, uint64_t seq, struct blob *body);
void copies_room(struct member *member);
void copies_settle(struct member *member); /* after each call into one of the member's cores */
void copies_time(struct member *member);
usec_t copies_due(const struct member *member);
void copies_answer(struct member *member, int core, uint64_t ref, const struct kv_result *result);
void copies_news(struct member *member, int topic, const struct kv_news *news);
/* By the newest view: whose node is dead. */
void copies_view(struct member *member);
/* The register of its home spool names another disk: that becomes one copy among others, and it gets another home. */
void copies_set_aside(struct member *member);
/* The machine's disks are gone, with all there was on them; it is down. Whether that is bearable now: no spool would be
 * without a copy. */
bool copies_may_lose(const struct member *member);
void copies_lose(struct member *member);
/* The disk in that machine which has that spool's log, or that of its home. */
struct disk *copies_disk(const struct member *member, const char *spool);
bool copies_serve(const struct member *member); /* it is somebody's heir */
/* Ports of the node. */
struct store_port copies_home_store(struct member *member);
void copies_read_log(struct member *member, uint64_t after, size_t bytes);
bool copies_whole(const struct member *member, uint64_t after);
size_t copies_living(const struct member *member, uint64_t after, uint64_t *seqs_r, size_t max);

#endif
