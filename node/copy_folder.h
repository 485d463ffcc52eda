/* copy_folder - the directories in which copies of other nodes' spools lie
 *
 * DIR/<spool>/ is a copy: the files of a spool (spool.h), its note (copy_note.h), and `home` if it was a home spool
 * once. DIR/<spool>~old/ is one that has made room for another, since it could not be brought up to date; it is kept until
 * that one is complete. DIR/<spool>~<n>/ was set aside: a person may look at it, nobody else does. DIR/<spool>~useless/ is on its way
 * out: a crash while it is deleted must not leave half a copy that has the name, and the disk id, of a whole one.
 * Only files that a spool or a note makes are deleted; whatever else is there stays, and the directory with it.
 *
 * Errors: a sentence. All of it blocks on the disk. Threads: any, one at a time for one directory. */
#ifndef NODE_COPY_FOLDER_H
#define NODE_COPY_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define COPY_FOLDER_OLD "~old"

/* Calls `found` for each copy in `dir`, in no order; `old`: it has made room. A directory that is not there holds none.
 * What is on its way out goes. -1: it can't be read. */
int copy_folder_list(const char *dir, void (*found)(void *context, const char *spool, bool old),
    void *context, struct error *error);
/* Deletes the copy in the directory of that name; nobody has it open. */
int copy_folder_delete(const char *dir, const char *name, struct error *error);
/* Renames it; the new path in `path_r`. */
int copy_folder_set_aside(const char *dir, const char *name, char *path_r, size_t size, struct error *error);
/* Renames <spool> to <spool>~old, which is not there. */
int copy_folder_make_room(const char *dir, const char *spool, struct error *error);
/* Bytes that are free where `dir`, or the directory above it, is; 0 if that can't be said. */
uint64_t copy_folder_free(const char *dir);

/* Which directory that is, whatever its name; `there` false: none. */
struct copy_folder_id {
    bool there;
    uint64_t device, inode;
};
struct copy_folder_id copy_folder_id(const char *path);

#endif
