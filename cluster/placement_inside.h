/* placement_inside - what the files of placement share: the ranking itself */
#ifndef CLUSTER_PLACEMENT_INSIDE_H
#define CLUSTER_PLACEMENT_INSIDE_H

#include "cluster/placement.h"

/* What is given a place: a domain, a part of one, or one message. */
struct placed {
    uint64_t key;
    uint32_t part;   /* 0: the whole domain; else 1 + its number */
    bool by_message; /* ranked by shares; nothing to remember */
};

struct candidate {
    const struct view_node *node;
    size_t id_len;
    uint64_t hash; /* of its id, for the ranking of messages */
};

struct ranked {
    const struct view_node *node;
    uint64_t cost, hash;
};

/* The best of those that were offered, sorted. */
struct ranking {
    struct placed what;
    bool weighted;
    size_t count, max;
    struct ranked best[PLACEMENT_MAX_RANKS];
};

/* What a domain (part 0) or a part of it is ranked by. */
uint64_t placement_key(const char *domain, size_t len, uint32_t part);
/* `hot`: as view_hot() said; `message` may be null, the domain is then taken as a whole. */
struct placed placement_what(
    const struct view_hot *hot, const char *domain, size_t len, const struct mail_id *message);
struct candidate placement_candidate_of(const struct view_node *node);
/* What counts where messages are ranked one by one: weight times share. */
uint64_t placement_shared_weight(const struct view_node *node);

/* `weighted`: the candidates' weights differ (of messages: their shared weights). Where all weigh the same the
 * hashes alone decide, and decide the same: no logarithm is needed. */
void ranking_start(struct ranking *ranking, struct placed what, bool weighted, size_t max);
void ranking_offer(struct ranking *ranking, const struct candidate *candidate);
size_t ranking_end(const struct ranking *ranking, const struct view_node **ranked);
/* Whether the node may get new mail of the pool. */
bool placement_candidate(const struct view_node *node, const char *pool);

#endif
