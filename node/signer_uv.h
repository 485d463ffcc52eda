/* signer_uv - signatures made beside the node's loop
 *
 * Threads of its own, with one queue: a signature takes hundreds of microseconds of pure arithmetic, and in libuv's
 * pool (four threads for everybody) bodies that are to be read back would wait behind it. Under load nobody is woken
 * for a single message: a thread takes the next one by itself, and the loop takes all answers that are there. The
 * threads start with the first job, so that a node without keys has none.
 *
 * Life: signer_open -> signer_ask -> ... -> signer_close; then the loop must run until the wake-up's handle is
 * closed. All calls and answers in the loop's thread. Memory: a job holds its message; there are never more of them
 * than the core has sessions. */
#ifndef NODE_SIGNER_UV_H
#define NODE_SIGNER_UV_H

#include <uv.h>

#include "node/keyring.h"
#include "node/signing.h"

/* `head` is lent; null = it could not be made, and `why` says why. */
typedef void signer_answer(void *context, uint64_t ticket, struct blob *head, const char *why);

struct signer;
struct signer *signer_open(uv_loop_t *loop, signer_answer *answer, void *context);
/* Answered later, never from within. */
void signer_ask(
    struct signer *signer, const struct keyring *keyring, uint64_t ticket, const struct sign_job *job);
/* What is not answered yet never will be. */
void signer_close(struct signer **signer);

#endif
