/* work_loop_uv - loops with threads of their own, and how they are given work
 *
 * An errand is a struct of the sender's, allocated, with a function that runs on the other loop's thread and frees it.
 * Errands gather in an outbox, which one thread owns, and are handed to an inbox together: one lock and at most
 * one wake-up for all of them. What one outbox sends is run in the order in which it was added.
 *     struct hello { struct errand errand; ... };
 *     outbox_add(&outbox, &hello->errand);    ... outbox_flush(&outbox);
 *     then on the other loop: hello->errand.run(&hello->errand)
 *
 * Bounds: none here. Who sends errands sees to it that only so many are on their way, as by waiting for answers.
 * Threads: outbox_* by its owner; inbox_* and work_loop_* by the thread that runs the loop they were made for. */
#ifndef BASE_WORK_LOOP_UV_H
#define BASE_WORK_LOOP_UV_H

#include "base/error.h"

struct uv_loop_s;

struct errand {
    struct errand *next;
    void (*run)(struct errand *errand);
};

/* Where a loop gets errands from other threads. Its owner runs what waits in a prepare callback, and says when the loop
 * may sleep: only who sends something to a sleeping loop wakes it, which costs two system calls and more.
 *     static void on_prepare(...) { inbox_run(inbox); ... outbox_flush(...); inbox_doze(inbox); } */
struct inbox;
struct inbox *inbox_open(struct uv_loop_s *loop);
void inbox_run(struct inbox *inbox);
/* The last thing before the loop waits: if anything has come meanwhile, it won't. */
void inbox_doze(struct inbox *inbox);
/* When nobody sends any more; what waits must have been run. The loop must run once more to let go of its memory. */
void inbox_close(struct inbox **inbox);

/* All zero but `to`: empty. */
struct outbox {
    struct inbox *to;
    struct errand *first, *last;
    unsigned count;
};

/* Hands over by itself when many have gathered. */
void outbox_add(struct outbox *outbox, struct errand *errand);
void outbox_flush(struct outbox *outbox);

struct work_loop;
/* A thread that runs a loop; `name` (at most 15 bytes) is what top and ps show. `home`: where its errands back go.
 * Null with the reason. */
struct work_loop *work_loop_start(const char *name, struct inbox *home, struct error *error);
/* Waits until everything that was opened on the loop has been closed there, and the thread has ended. What it sent home
 * last may still wait there. */
void work_loop_stop(struct work_loop **work);
struct uv_loop_s *work_loop_loop(struct work_loop *work); /* for errands: where they open things */
struct inbox *work_loop_inbox(struct work_loop *work);
/* For errands and what they open: the way home, flushed before the loop waits. */
struct outbox *work_loop_home(struct work_loop *work);
/* From an errand: what is called before the loop waits, to set a timer for instance. */
void work_loop_before_wait(struct work_loop *work, void (*call)(void *context), void *context);

/* For the calling thread: when something comes for it, it waits for its turn at a processor instead of interrupting
 * who runs (SCHED_BATCH, sched(7)). Threads that hand work to each other would else switch for every single piece where
 * processors are scarce; on a free processor it begins as soon as ever. Work loops are so by themselves. */
void work_loop_be_patient(void);

/* As many as the machine's processors suggest for one of the two halves of the house: one less than there are, at
 * most eight. 1 = nothing but the half's own loop. */
unsigned work_loops_by_machine(void);

#endif
