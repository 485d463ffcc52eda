/* node_copies - the core's end of a spool with two copies (cluster/copies.h); the core in node/ only
 *
 * Between the core's custody and its disk: every frame goes to `copies` too, and what custody is told to be committed
 * is what both disks have. node.h has the calls and ports; without node_open_copies nothing here does anything, and
 * the disk's word is the last one.
 *
 * After each call into `copies` comes node_copies_settle(): it lets answers go or keeps them back, hands on what is
 * committed, ends the wait of node_recovered, and quiesces the node when another one serves the spool.
 *
 * While the log's end waits for the mirror (node_recovered was called, and copies_committed() is not there yet) the node
 * knows what it holds but may not act on it: messages are dropped but for the mirror's, and releases are kept back, for
 * what a frame without a second copy had replaced must still be there if that frame is lost. */
#ifndef NODE_NODE_COPIES_H
#define NODE_NODE_COPIES_H

#include "cluster/copies.h"
#include "node/node.h"

struct log_end;    /* of an epoch in the log */
struct late_event; /* a frame's event */

struct node_second {
    struct copies *core; /* null: one copy */
    bool waits;          /* node_recovered was called: for the mirror to have the log's end */
    bool begun;          /* what the log says is acted upon */
    bool was_deposed;    /* and the node quiesced */
    bool logs_attempts;
    uint64_t process;     /* this start of the node */
    uint64_t log_end;     /* the number of the log's last frame at the start */
    uint64_t last;        /* and now */
    uint64_t committed;   /* told to custody */
    struct log_end *ends; /* while the log is read: the last frame of each epoch, rising */
    size_t end_count;
    char wanted[MEMBER_ID_SIZE]; /* who shall be mirror, as chosen last; "" = nobody */
    usec_t alone_since; /* the spool has had no second copy since then; 0 = it has one, or shall have none */
    uint64_t occasions; /* of copies_occasions, at that choice */
    uint64_t *released; /* kept back */
    size_t released_count;
    struct late_event *events; /* of the log: kept back */
    size_t event_count;
};

void node_copies_free(struct node *node);
/* A frame of the log that is read at the start, replayed or not; they rise. */
void node_copies_past(struct node *node, uint64_t seq);
/* Whether node_recovered is to wait, or has been gone on with: node_begin() is called when it need not. */
bool node_copies_wait(struct node *node, usec_t now);
/* First in node_begin(). */
void node_copies_begin(struct node *node);
/* The log has it: goes to the other disk. Lent. */
void node_copies_append(
    struct node *node, uint64_t seq, const struct buffer *record, struct blob *body, bool base);
/* An event of a frame that is replayed: told at once, or, as a frame that the other disk has not may be lost, when what
 * the log says is acted upon. */
void node_copies_event(struct node *node, uint64_t seq, const char *text);
/* True: it is kept back. Else it is to be released on our disk too. */
bool node_copies_release(struct node *node, uint64_t seq);
/* Our disk has come so far; custody is told what that, and the other one, make of it. */
void node_copies_synced(struct node *node, uint64_t seq, usec_t now);
/* True: the message was the copies', or must not be looked at yet. */
bool node_copies_take(struct node *node, const struct bus_msg *msg, usec_t now);
void node_copies_view(struct node *node, usec_t now);
void node_copies_settings(struct node *node, usec_t now);
void node_copies_silent(struct node *node, const char *member, bool silent, usec_t now);
void node_copies_tick(struct node *node, usec_t now);
usec_t node_copies_deadline(const struct node *node);
/* Why nothing new is taken, or null. */
const char *node_copies_shut(const struct node *node);

#endif
