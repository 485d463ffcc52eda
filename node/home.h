/* home - the directory of a node's home spool: whose log it has, and how it is set aside
 *
 * A node serves one spool for which it takes mail, its home; its log lies in data_dir/spool. The small file `home` in
 * there says which spool that is: written when the spool was claimed, before the first frame, never changed. A
 * directory without it is new, or from a program that did not write it yet: then the spool is NODE.0
 * (member_home_spool()). A node's later ones, after it lost one, are called NODE.XXXXXXXX by the first digits of their
 * disk's id, so none is used twice.
 *
 * Who finds that its spool was taken over sets it aside: the directory gets the note of a copy (node/copy_note.h) and
 * becomes data_dir/copies/SPOOL, one copy among others from then on (cluster/mirror.h decides when nobody needs it). A
 * crash on the way leaves it where it was or where it goes to, with the note before the move; done again from the
 * start, or not at all, nothing is missing.
 *
 * Blocks on the disk. Threads: any. Errors: a sentence with the path. */
#ifndef NODE_HOME_H
#define NODE_HOME_H

#include "cluster/mirror.h"

#define HOME_FILE "home"

/* Which spool's log that directory has; "": nothing says so. */
int home_read(const char *dir, char spool_r[MEMBER_ID_SIZE], struct error *error);
/* Into that directory, which is there; when it has returned 0 it survives a power cut. */
int home_write(const char *dir, const char *spool, struct error *error);
/* What a node calls a spool that is not its first, on the disk with that id. */
void home_name(const char *node, const char *disk, char spool_r[MEMBER_ID_SIZE]);

enum home_step { HOME_FOLDER = 1, HOME_NOTE, HOME_MOVE, HOME_SYNC };
struct home_aside {
    const char *data_dir;           /* with `spool` in it; `copies` is made if missing */
    const struct mirror_note *note; /* of the copy that it becomes; its spool names the directory */
    enum home_step last;            /* for tests: what is done last, as if it crashed then. 0: all */
};
/* The spool in there may be open: what is written to it meanwhile goes with it. */
int home_set_aside(const struct home_aside *aside, struct error *error);

#endif
