/* spools_list - all registers, and who of those that they name is there: see spools.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/map.h"
#include "cli/spools.h"

struct there {
    char name[MEMBER_ID_SIZE], spool[MEMBER_ID_SIZE];
    uint64_t process;
    bool ready;
};

struct listing {
    const struct members *members;
    struct map there; /* name -> struct there */
    struct buffer *lines;
};

static void take_live(void *arg, const struct kv_pair *pair)
{
    struct listing *listing = arg;
    struct member_live live;
    struct there *there = xcalloc(1, sizeof *there);
    snprintf(there->name, sizeof there->name, "%s", strrchr(pair->key, '/') + 1);
    if (member_live_read(pair->value, pair->len, &live, NULL) == 0) {
        memcpy(there->spool, live.spool, sizeof there->spool);
        there->process = live.process;
        there->ready = live.incarnation != 0 && !live.leaving;
        member_live_free(&live);
    }
    free(map_set_text(&listing->there, there->name, there));
}

static const char *what_is(const struct listing *listing, const char *node)
{
    const struct there *there = node[0] == '\0' ? NULL : map_get_text(&listing->there, node);
    return node[0] == '\0' ? "" : there == NULL ? "gone" : there->ready ? "up" : "starting";
}

/* Its process is the one that the register names; or another one, with another spool: the disk was lost. */
static const char *what_is_primary(
    const struct listing *listing, const char *spool, const struct spool_register *reg)
{
    const struct there *there = map_get_text(&listing->there, reg->node);
    const char *is = what_is(listing, reg->node);
    bool other =
        there != NULL && there->ready && there->process != reg->process && strcmp(there->spool, spool) != 0;
    return other ? "other" : is;
}

static const char *state_of(const struct listing *listing, const char *spool,
    const struct spool_register *reg, const char *primary, const char *mirror)
{
    const struct there *there = map_get_text(&listing->there, reg->node);
    if (reg->retired)
        return "retired";
    if (strcmp(primary, "up") == 0)
        return there != NULL && strcmp(there->spool, spool) != 0 ? "emptied"
               : reg->mirror[0] != '\0'                          ? "paired"
                                                                 : "alone";
    return strcmp(primary, "starting") == 0 || strcmp(mirror, "up") == 0 || reg->process == 0 ? "waits"
                                                                                              : "lost";
}

static void add_copy(
    struct buffer *out, const char *name, const char *node, const char *disk, const char *is, const char *key)
{
    char text[32];
    if (disk[0] == '\0')
        return;
    json_text(out, name, node[0] == '\0' ? "?" : node);
    snprintf(text, sizeof text, "%s_is", name);
    if (is[0] != '\0')
        json_text(out, text, is);
    json_text(out, key, disk);
}

static void add_row(struct listing *listing, const char *spool, const struct spool_register *reg)
{
    struct buffer *out = listing->lines;
    const char *primary = what_is_primary(listing, spool, reg), *mirror = what_is(listing, reg->mirror_node);
    json_begin(out, '{');
    json_text(out, "spool", spool);
    json_text(out, "state", state_of(listing, spool, reg, primary, mirror));
    json_number(out, "epoch", (int64_t)reg->epoch);
    add_copy(out, "node", reg->node, reg->disk, primary, "disk");
    add_copy(out, "mirror", reg->mirror_node, reg->mirror, mirror, "mirror_disk");
    add_copy(out, "old", reg->old_node, reg->old, what_is(listing, reg->old_node), "old_disk");
    if (reg->revived != 0) {
        json_number(out, "revived", (int64_t)reg->revived);
        json_text(out, "revived_by", reg->revived_by);
    }
    json_end(out, '}');
    buffer_add_text(out, "\n");
}

static void take_register(void *arg, const struct kv_pair *pair)
{
    struct listing *listing = arg;
    const char *spool = strrchr(pair->key, '/') + 1;
    struct spool_register reg;
    if (spool_register_read(pair->value, pair->len, &reg, NULL) == 0) {
        add_row(listing, spool, &reg);
        return;
    }
    json_begin(listing->lines, '{');
    json_text(listing->lines, "spool", spool);
    json_text(listing->lines, "state", "unreadable");
    json_end(listing->lines, '}');
    buffer_add_text(listing->lines, "\n");
}

int spools_list(const struct members *members, struct buffer *lines, struct error *error)
{
    struct listing listing = {.members = members, .lines = lines};
    char prefix[MEMBER_PATH_SIZE];
    member_path(prefix, members->cluster, "live", "");
    int rc = kv_list(&members->kv, prefix, take_live, &listing, error) == KV_DONE ? 0 : -1;
    member_path(prefix, members->cluster, "spool", "");
    if (rc == 0)
        rc = kv_list(&members->kv, prefix, take_register, &listing, error) == KV_DONE ? 0 : -1;
    struct map_entry *at = NULL;
    for (struct there *there; (there = map_next(&listing.there, &at)) != NULL;)
        free(there);
    map_free(&listing.there);
    return rc;
}
