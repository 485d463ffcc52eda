/* members_adopt - an operator takes the store as it is: see members.h, and cluster/store_age.h for what members do */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"
#include "cli/at_store.h"
#include "cluster/config_record.h"
#include "cluster/store_age.h"
#include "cluster/view_store.h"

_Static_assert(AT_STORE_BY_SIZE <= STORE_BY_SIZE, "whose word it is has room");

#define MAX_NAMES 200 /* bytes of them that are shown */

struct survey {
    size_t members;
    char names[MAX_NAMES];
    size_t len;
};

static void take_member(void *arg, const struct kv_pair *pair)
{
    struct survey *survey = arg;
    const char *name = strrchr(pair->key, '/') + 1;
    survey->members++;
    size_t room = sizeof survey->names - survey->len;
    int len = snprintf(
        survey->names + survey->len, room, "%s%s", survey->members > 1 ? ", " : "", room > 80 ? name : "...");
    if (len > 0 && (size_t)len < room && room > 80)
        survey->len += (size_t)len;
}

/* The view's epoch, 0: there is none, or it can't be read. */
static int view_epoch(const struct members *members, uint64_t *epoch_r, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer bytes = {0};
    uint64_t revision;
    member_path(key, members->cluster, "view/current", NULL);
    int rc = kv_get(&members->kv, key, &bytes, &revision, error) == KV_DONE ? 0 : -1;
    struct view *view =
        rc != 0 || revision == 0 ? NULL : view_store_read(buffer_bytes(&bytes), buffer_len(&bytes), NULL);
    *epoch_r = view == NULL ? 0 : view->epoch;
    view_drop(&view);
    buffer_free(&bytes);
    return rc;
}

static int config_number(const struct members *members, uint64_t *number_r, struct error *error)
{
    static struct config_record record;
    char key[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    uint64_t revision;
    member_path(key, members->cluster, "config", "current");
    int rc = kv_get(&members->kv, key, &text, &revision, error) == KV_DONE ? 0 : -1;
    bool known = rc == 0 && revision != 0 &&
                 config_record_read(buffer_bytes(&text), buffer_len(&text), &record, NULL) == 0;
    *number_r = known ? record.number : 0;
    buffer_free(&text);
    return rc;
}

int members_survey(const struct members *members, struct buffer *said, struct error *error)
{
    struct survey survey = {0};
    char path[MEMBER_PATH_SIZE];
    uint64_t etcd, revision, epoch, config;
    member_path(path, members->cluster, "adopted", NULL);
    if (kv_where(&members->kv, path, &etcd, &revision, error) != KV_DONE)
        return -1;
    member_path(path, members->cluster, "spec", "");
    if (kv_list(&members->kv, path, take_member, &survey, error) != KV_DONE ||
        view_epoch(members, &epoch, error) != 0 || config_number(members, &config, error) != 0)
        return -1;
    if (survey.members == 0)
        return error_set(error,
            "this etcd (cluster %" PRIx64 ", revision %" PRIu64
            ") knows no member of %s, and all of them would end: let them in first with `todoku members add "
            "NAME KEY`, "
            "apply the configuration, then adopt it",
            etcd, revision, members->cluster);
    buffer_printf(said,
        "etcd's cluster %" PRIx64 " at revision %" PRIu64 " has %zu member%s of %s (%s), view %" PRIu64
        ", configuration %" PRIu64 "\n",
        etcd, revision, survey.members, survey.members == 1 ? "" : "s", members->cluster, survey.names, epoch,
        config);
    return 0;
}

int members_adopt(const struct members *members, struct buffer *said, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    struct store_word word = {.at = (int64_t)time(NULL)};
    uint64_t before;
    member_path(key, members->cluster, "adopted", NULL);
    enum kv_outcome outcome = kv_where(&members->kv, key, &word.etcd, &word.revision, error);
    if (outcome == KV_DONE)
        outcome = kv_get(&members->kv, key, &text, &before, error);
    if (outcome == KV_DONE) {
        while (word.id == 0)
            random_secret(&word.id, sizeof word.id);
        at_store_who(word.by);
        buffer_clear(&text);
        store_word_write(&word, &text);
        outcome = kv_swap(&members->kv, key, before, buffer_bytes(&text), buffer_len(&text), error);
    }
    buffer_free(&text);
    if (outcome == KV_UNKNOWN)
        error_prefix(error, "it may have been done, or not (the same command again is safe)");
    if (outcome != KV_DONE)
        return -1;
    buffer_add_text(said,
        "it is the store of the cluster from now on: members that run take it within seconds, "
        "others when they start\n");
    return 0;
}
