/* members_spec - add, remove, set: see members.h */
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "cli/members.h"

#define MAX_TRIES 5 /* somebody else changes the same record at the same time */
#define MAX_HINTS 1000

bool members_key_good(const char *key)
{
    static const char digits[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    size_t len = strlen(key);
    if (len != MEMBER_KEY_SIZE - 1 || strspn(key, digits) != len)
        return false;
    for (size_t i = 0; i < len; i += 5) {
        uint64_t word = 0;
        for (size_t j = 0; j < 5; j++)
            word = 85 * word + (uint64_t)(strchr(digits, key[i + j]) - digits);
        if (word > UINT32_MAX)
            return false;
    }
    return true;
}

/* One record as it stands; revision 0 = it is not there. KV_REFUSED with a revision: it is there, and can't
 * be read. */
static enum kv_outcome spec_get(const struct members *members, const char *name, struct member_spec *spec_r,
    uint64_t *revision_r, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    member_path(key, members->cluster, "spec", name);
    enum kv_outcome outcome = kv_get(&members->kv, key, &text, revision_r, error);
    if (outcome == KV_DONE && *revision_r != 0 &&
        member_spec_read(buffer_bytes(&text), buffer_len(&text), spec_r, error) != 0) {
        error_prefix(error, "%s in etcd can't be read", key);
        outcome = KV_REFUSED;
    }
    buffer_free(&text);
    return outcome;
}

/* Swaps the record's text; null deletes it. */
static enum kv_outcome spec_put(const struct members *members, const char *name, const void *text, size_t len,
    uint64_t expected, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    member_path(key, members->cluster, "spec", name);
    struct kv_compare compare = {.key = key, .revision = expected};
    struct kv_change change = {.key = key, .value = text, .len = len};
    enum kv_outcome outcome = kv_transact(&members->kv, &compare, 1, &change, 1, error);
    if (outcome == KV_UNKNOWN)
        error_prefix(error, "it may have been done, or not (the same command again is safe)");
    return outcome;
}

static enum kv_outcome spec_write(
    const struct members *members, const struct member_spec *spec, uint64_t expected, struct error *error)
{
    struct buffer text = {0};
    member_spec_write(spec, &text);
    enum kv_outcome outcome =
        spec_put(members, spec->id, buffer_bytes(&text), buffer_len(&text), expected, error);
    buffer_free(&text);
    return outcome;
}

/* ---- add ---- */

struct others {
    const struct member_spec *wanted;
    char owner[MEMBER_ID_SIZE]; /* who has the wanted key under another name, or "" */
};

static void look_for_key(void *arg, const struct kv_pair *pair)
{
    struct others *others = arg;
    struct member_spec spec;
    if (member_spec_read(pair->value, pair->len, &spec, NULL) == 0 &&
        strcmp(spec.id, others->wanted->id) != 0 && strcmp(spec.public_key, others->wanted->public_key) == 0)
        memcpy(others->owner, spec.id, sizeof others->owner);
}

/* The bus tells members apart by their keys. */
static int check_key_is_free(
    const struct members *members, const struct member_spec *spec, struct error *error)
{
    char prefix[MEMBER_PATH_SIZE];
    struct others others = {.wanted = spec};
    member_path(prefix, members->cluster, "spec", "");
    if (kv_list(&members->kv, prefix, look_for_key, &others, error) != KV_DONE)
        return -1;
    return others.owner[0] == '\0' ? 0
                                   : error_set(error,
                                         "this is the key of %s already; every member has its own: run "
                                         "`todoku keygen FILE` where "
                                         "%s shall run",
                                         others.owner, spec->id);
}

static int tell_present(const struct member_spec *wanted, const struct member_spec *present,
    struct buffer *said, struct error *error)
{
    if (strcmp(wanted->public_key, present->public_key) != 0)
        return error_set(error,
            "%s is a member with another key (%s); if it has a new one: todoku members remove %s, then add "
            "it "
            "again",
            present->id, present->public_key, present->id);
    buffer_printf(said, "%s is already a member\n", present->id);
    if (wanted->role != MEMBER_ANY && present->role != MEMBER_ANY && wanted->role != present->role)
        return error_set(error, "%s is a member as %s; to change that: todoku members remove %s, then add it",
            present->id, member_role_name(present->role), present->id);
    if (wanted->weight != 0 && wanted->weight != present->weight)
        buffer_printf(said, "its weight stays; to change it: todoku members set %s --weight %u\n",
            present->id, wanted->weight);
    return 0;
}

int members_add(
    const struct members *members, const struct member_spec *spec, struct buffer *said, struct error *error)
{
    struct member_spec present = {0};
    uint64_t revision;
    if (check_key_is_free(members, spec, error) != 0)
        return -1;
    for (int i = 0; i < MAX_TRIES; i++) {
        if (spec_get(members, spec->id, &present, &revision, error) != KV_DONE)
            return -1;
        if (revision != 0)
            return tell_present(spec, &present, said, error);
        enum kv_outcome outcome = spec_write(members, spec, 0, error);
        if (outcome == KV_DONE) {
            buffer_printf(said, "%s may join the cluster %s\n", spec->id, members->cluster);
            return 0;
        }
        if (outcome != KV_LOST)
            return -1;
    }
    return error_set(
        error, "somebody else changes %s at the same time; look at `todoku members list`", spec->id);
}

/* ---- those that are there ---- */

struct names {
    const char *wanted;
    size_t seen;
    char nearest[MEMBER_ID_SIZE];
};

static void look_for_name(void *arg, const struct kv_pair *pair)
{
    struct names *names = arg;
    const char *name = strrchr(pair->key, '/') + 1;
    if (names->nearest[0] == '\0' && names->seen++ < MAX_HINTS &&
        config_nearest(names->wanted, &name, 1) != NULL)
        snprintf(names->nearest, sizeof names->nearest, "%s", name);
}

static int not_there(const struct members *members, const char *name, struct error *error)
{
    char prefix[MEMBER_PATH_SIZE];
    struct names names = {.wanted = name};
    member_path(prefix, members->cluster, "spec", "");
    (void)kv_list(&members->kv, prefix, look_for_name, &names, error);
    if (names.nearest[0] != '\0')
        return error_set(error, "there is no member `%s`; did you mean `%s`?", name, names.nearest);
    return error_set(error, "there is no member `%s`; `todoku members list` shows those of the cluster %s",
        name, members->cluster);
}

/* Reads, decides, swaps; again if somebody else was in between. */
typedef void decider(struct member_spec *spec, const void *arg);

static int change(const struct members *members, const char *name, decider *decide, const void *arg,
    struct member_spec *spec, struct error *error)
{
    uint64_t revision;
    for (int i = 0; i < MAX_TRIES; i++) {
        enum kv_outcome got = spec_get(members, name, spec, &revision, error);
        bool spoilt = got == KV_REFUSED && revision != 0;
        if (got != KV_DONE && !(spoilt && decide == NULL))
            return -1;
        if (revision == 0)
            return not_there(members, name, error);
        if (decide != NULL)
            decide(spec, arg);
        enum kv_outcome outcome = decide == NULL ? spec_put(members, name, NULL, 0, revision, error)
                                                 : spec_write(members, spec, revision, error);
        if (outcome == KV_DONE)
            return 0;
        if (outcome != KV_LOST)
            return -1;
    }
    return error_set(error, "somebody else changes %s at the same time; look at `todoku members list`", name);
}

int members_remove(const struct members *members, const char *name, struct buffer *said, struct error *error)
{
    struct member_spec spec = {0};
    if (change(members, name, NULL, NULL, &spec, error) != 0)
        return -1;
    buffer_printf(said, "%s is no member any more: its process stops, and nobody talks to it\n", name);
    if (spec.role != MEMBER_COORDINATOR && spec.public_key[0] != '\0')
        buffer_printf(said,
            "if it is a node, the mail that it had accepted stays on its disk; to have it delivered, add it "
            "again:\n  todoku members add %s '%s'%s\n",
            name, spec.public_key, spec.role == MEMBER_NODE ? " --role node" : "");
    return 0;
}

static void decide_set(struct member_spec *spec, const void *arg)
{
    const struct members_change *change = arg;
    if (change->set_weight)
        spec->weight = change->weight;
    if (change->set_drain)
        spec->drain = change->drain;
    if (change->set_dead)
        spec->dead = change->dead;
}

int members_set(const struct members *members, const char *name, const struct members_change *asked,
    struct buffer *said, struct error *error)
{
    struct member_spec spec = {0};
    if (change(members, name, decide_set, asked, &spec, error) != 0)
        return -1;
    buffer_printf(said, "%s: weight ", name);
    if (spec.weight == 0)
        buffer_add_text(said, "as its own file says");
    else
        buffer_printf(said, "%u", spec.weight);
    buffer_add_text(said, spec.drain ? ", gets no new mail\n" : "\n");
    if (asked->set_dead)
        buffer_printf(said,
            "%s is given up: it is declared down although the node with the other copy of its mail may be "
            "gone as well. If it comes back, it serves as ever\n",
            name);
    return 0;
}
