/* keeper_home_uv - which spool a node serves: the one whose log it has, unless that was taken over, or its disk is lost
 *
 *   the directory says its spool, or it is NODE.0 (home.h)
 *     -> claimed: it is served
 *     -> on another disk, and nothing is here: the disk was lost, and this is a new one: served under another name
 *     -> on another disk, and its log is here, as the directory says: it was taken over. Set aside as a copy, and a new
 *        directory is begun
 *     -> on another disk, and nothing says whose log this is: refused; it may be another node's
 *
 * Nothing on the way is remembered: a start that ended half-way finds by the directory and the register what is to be
 * done next. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "base/log.h"
#include "cluster/member_record.h"
#include "node/home.h"
#include "node/keeper_state_uv.h"

#define EPOCH_SHIFT 40 /* of a frame's number (cluster/copies.h) */
#define TRIES 8

static int find_home(struct keeper *k, struct error *error)
{
    char spool[MEMBER_ID_SIZE];
    if (home_read(k->spool_dir, spool, error) != 0)
        return -1;
    k->home_said = spool[0] != '\0';
    if (!k->home_said)
        member_home_spool(k->member, spool);
    if (strcmp(spool, k->spool_name) != 0) { /* the core knows its spool from the beginning on */
        memcpy(k->spool_name, spool, sizeof k->spool_name);
        keeper_remake_node(k);
    }
    return 0;
}

/* Frames are numbered by the register's epoch, and events are told once by that number: a register that is made anew
 * begins above all that this log, or the events of a former one, have seen. */
static uint64_t epoch_seen(const struct keeper *k)
{
    uint64_t told = event_log_last_seq(k->events), last = spool_last_seq(k->spool);
    return (told > last ? told : last) >> EPOCH_SHIFT;
}

/* As an event, and in the log. */
static void tell(struct keeper *k, const char *action, const char *spool, const char *former, const char *why)
{
    struct buffer out = {0};
    char time[32];
    json_begin(&out, '{');
    json_text(&out, "time", clock_rfc3339(clock_now(), time));
    json_text(&out, "event", "node");
    json_text(&out, "action", action);
    json_text(&out, "role", "node");
    json_text(&out, "member", k->member);
    json_text(&out, "spool", spool);
    if (former != NULL)
        json_text(&out, "former", former);
    json_text(&out, "reason", why);
    json_text(&out, "node", k->member);
    json_end(&out, '}');
    event_log_append(k->events, 0, buffer_text(&out), buffer_len(&out), NULL);
    buffer_free(&out);
    log_warn(k->member, "%s", why);
}

/* ---- the disk was lost ---- */

static void where_it_is(const struct keeper *k, char *out, size_t size)
{
    const struct spool_register *reg = &k->home.reg;
    if (reg->retired)
        snprintf(out, size, "node %s took it over and moved all of it on", reg->node);
    else if (strcmp(reg->node, k->member) != 0)
        snprintf(out, size, "node %s took it over, and sends what it holds", reg->node);
    else if (reg->mirror[0] != '\0')
        snprintf(out, size, "its mirror%s%s (disk %s) takes it over, and sends what it holds",
            reg->mirror_node[0] == '\0' ? "" : " on node ", reg->mirror_node, reg->mirror);
    else
        snprintf(out, size,
            "nobody else has it: if that disk is not lost, stop this node, bring its directory back as "
            "%.200s, "
            "and start again",
            k->spool_dir);
}

/* An empty disk is another one. It gets a name of its own, which stands in it from now on. */
static int begin_anew(struct keeper *k, bool was_lost, struct error *error)
{
    char where[512], former[MEMBER_ID_SIZE], fresh[MEMBER_ID_SIZE];
    struct error why;
    memcpy(former, k->spool_name, sizeof former);
    home_name(k->member, spool_disk_id(k->spool), fresh);
    if (home_write(k->spool_dir, fresh, error) != 0)
        return -1;
    where_it_is(k, where, sizeof where);
    error_set(&why,
        "this disk (%s) is empty, and spool %s is on disk %s: %s. This node takes new mail as spool %s",
        spool_disk_id(k->spool), former, k->home.reg.disk, where, fresh);
    if (was_lost)
        tell(k, "new_spool", fresh, former, why.text);
    keeper_close_spool(k);
    keeper_table_remove(k);
    return 0;
}

/* ---- it was taken over ---- */

static int set_aside(struct keeper *k, struct error *error)
{
    const struct spool_register *reg = &k->home.reg;
    struct mirror_note note = {.newest = reg->epoch, .told = event_log_last_seq(k->events)};
    char data_dir[PATH_MAX];
    struct error why;
    snprintf(note.spool, sizeof note.spool, "%s", k->spool_name);
    snprintf(data_dir, sizeof data_dir, "%.4000s", k->settings->node.data_dir);
    struct home_aside aside = {.data_dir = data_dir, .note = &note};
    if (home_set_aside(&aside, error) != 0) /* the directory is locked by us meanwhile */
        return -1;
    error_set(&why,
        "spool %s was taken over by node %s (disk %s, epoch %llu): its directory here (disk %s) is "
        "%.200s/copies/%s "
        "from now on, and goes when nobody needs it. This node begins another",
        k->spool_name, reg->node, reg->disk, (unsigned long long)reg->epoch, spool_disk_id(k->spool),
        k->settings->node.data_dir, k->spool_name);
    tell(k, "set_aside", k->spool_name, NULL, why.text);
    keeper_close_spool(k);
    keeper_table_remove(k);
    return 0;
}

/* The core begins no attempt any more; who opened the keeper has it closed, and set aside at the next opening. */
void keeper_deposed(void *context, uint64_t epoch, const char *heir)
{
    struct keeper *k = context;
    struct error why;
    error_set(&why,
        "spool %s was taken over%s%s in epoch %llu, while this node served it: no attempt begins any more, "
        "those under "
        "way end",
        k->spool_name, heir[0] == '\0' ? "" : " by node ", heir, (unsigned long long)epoch);
    tell(k, "deposed", k->spool_name, NULL, why.text);
    if (k->claim.deposed != NULL)
        k->claim.deposed(k->claim.context);
}

/* ---- a start ---- */

static int claim(struct keeper *k, struct error *error)
{
    struct spool_wish wish = {
        .spool = k->spool_name, .disk = spool_disk_id(k->spool), .epoch = epoch_seen(k)};
    int result = k->claim.claim(k->claim.context, &wish, &k->home, error);
    if (result != 0)
        return result;
    node_set_incarnation(k->node, k->home.reg.incarnation);
    return k->home_said ? 0 : home_write(k->spool_dir, k->spool_name, error);
}

int keeper_open_home(struct keeper *k, struct error *error)
{
    bool was_lost = true; /* if the directory is empty */
    for (int i = 0; i < TRIES; i++) {
        if (find_home(k, error) != 0 || keeper_open_spool(k, error) != 0)
            return -1;
        int result = claim(k, error);
        if (result != SPOOL_ELSEWHERE)
            return result;
        if (k->home_said) {
            result = set_aside(k, error);
            was_lost = false;
        } else if (spool_last_seq(k->spool) == 0)
            result = begin_anew(k, was_lost, error);
        else
            result = -1; /* as the register says */
        if (result != 0)
            return -1;
    }
    return error_set(error,
        "the store has another disk for each spool that this node (%s) asked for; look at the keys under "
        "spool/ "
        "in etcd",
        k->member);
}
