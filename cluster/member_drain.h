/* member_drain - sets and takes back the mark in spec/<member> that it gets no new mail and hands on what it holds
 *
 *     member_drain(&kv, "prod", "n3", true, done, arg);
 * The record is read and swapped under a compare of what was read, again if somebody else was in between, so
 * nothing else that stands in it is lost. The head puts the mark into the next view; the node does the rest.
 *
 * Threads: any; `done` is called once, from the store's thread or within the call (kv.h).
 * Outcomes: KV_DONE; KV_LOST: others change the record all the time; KV_REFUSED: it could not be read or written,
 * nothing was changed; KV_UNKNOWN: it may have been. `why` is a sentence, null if there is none. */
#ifndef CLUSTER_MEMBER_DRAIN_H
#define CLUSTER_MEMBER_DRAIN_H

#include "cluster/kv.h"
#include "cluster/member_record.h"

/* `spec` (lent): the record as it stands now; null: KV_DONE: there is no such member, else: it is not known. Of one
 * whose role is coordinator nothing was changed. `changed`: the mark was another one before. */
typedef void member_drained(
    void *arg, enum kv_outcome outcome, const struct member_spec *spec, bool changed, const char *why);
void member_drain(
    const struct kv *kv, const char *cluster, const char *name, bool drain, member_drained *done, void *arg);

#endif
