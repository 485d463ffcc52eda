/* kv_etcd_grpc - etcd as the store that all members agree on; see kv.h
 *
 * A client of our own on gRPC's C core: unary calls with deadlines, a short stream for each keep-alive, one
 * stream a watch. One thread polls; `done` and `told` are called from it (`done` also within the request,
 * when it can't be sent at all). Several endpoints: the first that answers is used, the next one when it
 * stops answering. A user's token is fetched at need and renewed when etcd no longer knows it. A status that
 * leaves open whether a write happened (DEADLINE_EXCEEDED, UNAVAILABLE, ABORTED...) is KV_UNKNOWN; all
 * requests but transactions are asked again by themselves, as long as there is time.
 *
 * What can go wrong at the start (nobody answers, a wrong certificate, a wrong password) is told by the first
 * request's `why`, in a sentence with the endpoint in it. Never fork after kv_etcd_open (fork and exec is
 * safe).
 */
#ifndef CLUSTER_KV_ETCD_GRPC_H
#define CLUSTER_KV_ETCD_GRPC_H

#include "cluster/kv.h"
#include "cluster/settings.h"
#include "cluster/store_age.h"

struct kv_etcd;
/* `settings->cluster.etcd_*`; endpoints "http://127.0.0.1:2379" or "https://..." (all of one kind). Reads the
 * files of certificates. Does not wait for etcd. Null with the reason: a file, an endpoint that can't be
 * read. */
struct kv_etcd *kv_etcd_open(const struct settings *settings, struct error *error);
/* Every open request is answered KV_UNKNOWN first; watches end without a word (their handles are gone too).
 */
void kv_etcd_close(struct kv_etcd **etcd);
struct kv kv_etcd_face(struct kv_etcd *etcd);
/* The endpoint that answered last, for messages ("none yet"). */
const char *kv_etcd_endpoints(const struct kv_etcd *etcd);

/* ---- whose store it is (store_age.h): for members; any thread ---- */

/* From here on, and before the first request: nothing is taken from an etcd that is older than `age` says, or another. */
void kv_etcd_guard(struct kv_etcd *etcd, const char *cluster, const struct store_age *age);
/* ... nor from one that has an older register of this spool, once it is known. `other`: not the one whose register
 * `age` knows. */
void kv_etcd_guard_spool(struct kv_etcd *etcd, const char *cluster, const char *spool, bool other);
/* What the member has taken in force; `history` of the news or result that brought it. */
void kv_etcd_saw_view(struct kv_etcd *etcd, uint64_t history, uint64_t epoch);
void kv_etcd_saw_register(struct kv_etcd *etcd, uint64_t history, uint64_t change, uint64_t incarnation);
/* What is to be remembered; whether something was looked at or seen since the last call. */
bool kv_etcd_age(struct kv_etcd *etcd, struct store_age *age_r);

#endif
