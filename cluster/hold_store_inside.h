/* hold_store_inside - what hold_store.c and hold_watch.c share: the keys below block/ */
#ifndef CLUSTER_HOLD_STORE_INSIDE_H
#define CLUSTER_HOLD_STORE_INSIDE_H

#include "cluster/hold_store.h"
#include "cluster/member_record.h"

/* The id in a key, or null: it is another one. */
const char *hold_key_id(const char *key);
bool hold_key_is_lift(const char *key);
void hold_key(char path_r[MEMBER_PATH_SIZE], const char *cluster, const char *id);
/* All of it: "" as the name of a key. */
void hold_prefix(char path_r[MEMBER_PATH_SIZE], const char *cluster);

#endif
