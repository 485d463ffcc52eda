/* Which spool a node serves at its start: its own; another one, when its disk was lost or its spool taken over; and
 * that a start that crashed anywhere on the way leaves a state from which the next one goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/member_record.h"
#include "node/copy_note.h"
#include "node/home.h"
#include "node/keeper_uv.h"
#include "node/spool.h"
#include "node_help.h"

#define MOST 8
#define TOLD (((uint64_t)5 << 40) | 7) /* a frame whose event was told */

struct entry {
    char spool[MEMBER_ID_SIZE];
    struct spool_register reg;
};

struct store {
    struct entry entries[MOST];
    size_t count;
    int left;   /* claims until the process ends before its claim is heard; -1: none does */
    bool after; /* it ends after its claim was heard */
    uint64_t process, wished;
};

struct world {
    char dir[64], spool[128], copies[128], log[128];
    struct settings *settings;
    struct keyring *keyring;
    struct store store;
    struct keeper *keeper;
    struct error why;
};

/* ---- a register, as all agree ---- */

static struct spool_register *find(struct store *store, const char *spool)
{
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].spool, spool) == 0)
            return &store->entries[i].reg;
    return NULL;
}

static struct spool_register *make(struct store *store, const char *spool)
{
    assert_true(store->count < MOST);
    struct entry *entry = &store->entries[store->count++];
    *entry = (struct entry){.reg = {.epoch = 0}};
    snprintf(entry->spool, sizeof entry->spool, "%s", spool);
    return &entry->reg;
}

static int on_claim(
    void *context, const struct spool_wish *wish, struct spool_home *home_r, struct error *error)
{
    struct store *store = context;
    struct spool_register next, *reg = find(store, wish->spool);
    bool ends = store->left == 0;
    if (store->left >= 0)
        store->left--;
    store->wished = wish->epoch;
    if (ends && !store->after)
        return error_set(error, "crashed");
    if (spool_register_next(reg, "n1", wish->disk, store->process, &next, error) == SPOOL_REGISTER_REFUSED) {
        *home_r = (struct spool_home){.reg = *reg};
        return ends ? error_set(error, "crashed") : SPOOL_ELSEWHERE;
    }
    if (reg == NULL)
        reg = make(store, wish->spool);
    if (next.epoch <= wish->epoch)
        next.epoch = wish->epoch + 1;
    *reg = next;
    *home_r = (struct spool_home){.reg = next, .revision = 1, .process = store->process};
    return ends ? error_set(error, "crashed") : 0;
}

/* ---- the node ---- */

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char text[512];
    snprintf(world->dir, sizeof world->dir, "/tmp/keeper-home-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(world->spool, sizeof world->spool, "%s/spool", world->dir);
    snprintf(world->copies, sizeof world->copies, "%s/copies", world->dir);
    snprintf(world->log, sizeof world->log, "%s/log", world->dir);
    snprintf(text, sizeof text,
        "node:\n  id: n1\n  data_dir: %s\n  loops: 1\n  sources: [{address: 127.0.0.1, helo: a.example, "
        "pools: [a]}]\n"
        "pools:\n  a: {}\n",
        world->dir);
    world->settings = node_help_settings(text);
    world->keyring = keyring_load(world->settings, NULL, &world->why);
    assert_non_null(world->keyring);
    world->store.left = -1;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    char command[128];
    keeper_close(&world->keeper);
    keyring_drop(&world->keyring);
    settings_free(&world->settings);
    snprintf(command, sizeof command, "rm -r %s", world->dir);
    int status = system(command); // NOLINT(cert-env33-c): a directory of the test's own
    free(world);
    return status;
}

/* Whether the start came to its end; each is another process. */
static bool start(struct world *world)
{
    struct bus_local *bus = bus_local_new();
    struct keeper_claim face = {.context = &world->store, .claim = on_claim};
    world->store.process++;
    world->keeper = keeper_open(world->settings, world->keyring, bus, &face, &world->why);
    bool up = world->keeper != NULL;
    if (up)
        snprintf(world->why.text, sizeof world->why.text, "%s", keeper_spool(world->keeper));
    keeper_close(&world->keeper);
    bus_local_free(&bus);
    return up;
}

static void must_start(struct world *world)
{
    if (!start(world))
        fail_msg("no start: %s", world->why.text);
}

/* ... and serves that spool. */
static void must_serve(struct world *world, const char *spool)
{
    must_start(world);
    assert_string_equal(world->why.text, spool);
}

static const char *disk_of(const char *dir)
{
    static char id[33];
    char path[256];
    snprintf(path, sizeof path, "%s/disk", dir);
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    assert_int_equal(fscanf(in, "todoku-disk 1\nid %32s", id), 1);
    fclose(in);
    return id;
}

static bool is_there(const char *dir, const char *name)
{
    char path[256];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &info) == 0;
}

/* What a node that served has left: a frame, here one that nobody understands. */
static void write_log(struct world *world, uint64_t seq)
{
    struct spool_settings settings = {.dir = world->spool};
    struct spool_listener listener = {.context = NULL};
    struct spool_recovery recovery = {.context = NULL};
    struct buffer record = {0};
    struct spool *spool = spool_open(&settings, &listener, &recovery, &world->why);
    assert_non_null(spool);
    buffer_add_text(&record, "?");
    spool_append(spool, seq, &record, NULL, true);
    spool_close(&spool);
    buffer_free(&record);
}

static uint64_t log_end(const char *dir)
{
    struct spool_settings settings = {.dir = dir};
    struct spool_listener listener = {.context = NULL};
    struct spool_recovery recovery = {.context = NULL};
    struct error why;
    struct spool *spool = spool_open(&settings, &listener, &recovery, &why);
    assert_non_null(spool);
    uint64_t end = spool_last_seq(spool);
    spool_close(&spool);
    return end;
}

/* How often the event log tells of that action. */
static int told(const struct world *world, const char *action)
{
    char path[256], line[4096], part[64];
    int count = 0;
    snprintf(path, sizeof path, "%s/events-00000001.log", world->log);
    snprintf(part, sizeof part, "\"action\":\"%s\"", action);
    FILE *in = fopen(path, "re");
    while (in != NULL && fgets(line, sizeof line, in) != NULL)
        count += strstr(line, part) != NULL;
    if (in != NULL)
        fclose(in);
    return count;
}

/* The node served once, mail is in its log; then n2 took the spool over. Its disk is returned. */
static const char *taken_over(struct world *world)
{
    must_serve(world, "n1.0");
    write_log(world, 100);
    struct spool_register *reg = find(&world->store, "n1.0");
    reg->epoch += 2;
    memcpy(reg->old, reg->disk, sizeof reg->old);
    snprintf(reg->disk, sizeof reg->disk, "ffffffffffffffffffffffffffffffff");
    snprintf(reg->node, sizeof reg->node, "n2");
    return disk_of(world->spool);
}

/* What must be after every way of coming back: the old log as a copy with its note, another spool, and the same one at
 * the next start. */
static void assert_came_back(struct world *world, const char *old_disk)
{
    char aside[192], fresh[MEMBER_ID_SIZE];
    struct mirror_note note;
    snprintf(aside, sizeof aside, "%s/n1.0", world->copies);
    assert_string_equal(disk_of(aside), old_disk);
    assert_int_equal(copy_note_load(aside, "n1.0", &note, &world->why), 0);
    assert_int_equal(note.newest, find(&world->store, "n1.0")->epoch);
    assert_int_equal(note.sealed + note.cut_count, 0);
    assert_int_equal(log_end(aside), 100);
    home_name("n1", disk_of(world->spool), fresh);
    assert_string_equal(world->why.text, fresh);
    assert_int_equal(log_end(world->spool), 0);
    assert_string_equal(find(&world->store, fresh)->disk, disk_of(world->spool));
    assert_string_equal(find(&world->store, "n1.0")->node, "n2"); /* as it was */
    write_log(world, 200);
    must_serve(world, fresh);
    assert_string_equal(disk_of(aside), old_disk);
    assert_int_equal(log_end(world->spool), 200);
}

/* ---- the ways ---- */

static void test_own(void **state)
{
    struct world *world = *state;
    char said[MEMBER_ID_SIZE];
    must_serve(world, "n1.0");
    assert_int_equal(home_read(world->spool, said, &world->why), 0);
    assert_string_equal(said, "n1.0");
    write_log(world, 100);
    must_serve(world, "n1.0");
    assert_int_equal(find(&world->store, "n1.0")->incarnation, 2);
    assert_false(is_there(world->dir, "copies"));
    assert_int_equal(told(world, "new_spool") + told(world, "set_aside"), 0);
}

static void test_taken_over(void **state)
{
    struct world *world = *state;
    char old[33];
    memcpy(old, taken_over(world), sizeof old);
    must_start(world);
    assert_came_back(world, old);
    assert_int_equal(told(world, "set_aside"), 1);
}

/* ... and was moved on to the last message meanwhile: its register says that it is nobody's. */
static void test_retired(void **state)
{
    struct world *world = *state;
    char old[33];
    memcpy(old, taken_over(world), sizeof old);
    find(&world->store, "n1.0")->retired = true;
    must_start(world);
    assert_came_back(world, old);
}

/* It may happen to the next spool, too. */
static void test_twice(void **state)
{
    struct world *world = *state;
    char second[MEMBER_ID_SIZE];
    taken_over(world);
    must_start(world);
    snprintf(second, sizeof second, "%.62s", world->why.text);
    write_log(world, 50);
    snprintf(find(&world->store, second)->disk, 33, "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    must_start(world);
    assert_string_not_equal(world->why.text, second);
    assert_true(is_there(world->copies, "n1.0") && is_there(world->copies, second));
}

/* The process ends after each step of setting aside, and around each claim. */
static void test_crashes(void **state)
{
    for (int step = HOME_FOLDER; step <= HOME_SYNC; step++) {
        struct world *world = *state;
        struct mirror_note note = {.spool = "n1.0"};
        char old[33];
        memcpy(old, taken_over(world), sizeof old);
        note.newest = find(&world->store, "n1.0")->epoch;
        struct home_aside aside = {.data_dir = world->dir, .note = &note, .last = (enum home_step)step};
        assert_int_equal(home_set_aside(&aside, &world->why), 0);
        must_start(world);
        assert_came_back(world, old);
        assert_int_equal(tear_down(state), 0);
        set_up(state);
    }
    for (int claims = 0; claims < 3; claims++)
        for (int after = 0; after < 2; after++) {
            struct world *world = *state;
            char old[33];
            memcpy(old, taken_over(world), sizeof old);
            world->store.left = claims;
            world->store.after = after;
            assert_false(start(world));
            assert_string_equal(world->why.text, "crashed");
            must_start(world);
            assert_came_back(world, old);
            assert_int_equal(tear_down(state), 0);
            set_up(state);
        }
}

static void lose_disk(struct world *world)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", world->spool);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a directory of the test's own
}

/* An empty directory where a log was: another disk, another spool. What was told of the former one's frames is not
 * taken for this one's. */
static void test_disk_lost(void **state)
{
    struct world *world = *state;
    char line[256], path[256], fresh[MEMBER_ID_SIZE];
    must_serve(world, "n1.0");
    lose_disk(world);
    snprintf(path, sizeof path, "%s/events-00000001.log", world->log);
    FILE *out = fopen(path, "ae");
    snprintf(line, sizeof line, "{\"cursor\":\"1:0\",\"seq\":%llu,\"event\":\"delivered\"}\n",
        (unsigned long long)TOLD);
    fputs(line, out);
    fclose(out);
    must_start(world);
    home_name("n1", disk_of(world->spool), fresh);
    assert_string_equal(world->why.text, fresh);
    assert_int_equal(world->store.wished, TOLD >> 40);
    assert_int_equal(find(&world->store, fresh)->epoch, (TOLD >> 40) + 1);
    assert_int_equal(told(world, "new_spool"), 1);
    assert_false(is_there(world->dir, "copies"));
    must_serve(world, fresh);
    assert_int_equal(told(world, "new_spool"), 1); /* once */
    /* Once more, with nothing but the register to tell. */
    lose_disk(world);
    must_start(world);
    assert_string_not_equal(world->why.text, fresh);
}

static void test_disk_lost_crashes(void **state)
{
    for (int claims = 0; claims < 2; claims++)
        for (int after = 0; after < 2; after++) {
            struct world *world = *state;
            char fresh[MEMBER_ID_SIZE];
            must_serve(world, "n1.0");
            lose_disk(world);
            world->store.left = claims;
            world->store.after = after;
            assert_false(start(world));
            must_start(world);
            home_name("n1", disk_of(world->spool), fresh);
            assert_string_equal(world->why.text, fresh);
            assert_int_equal(world->store.count, 2);
            assert_int_equal(tear_down(state), 0);
            set_up(state);
        }
}

/* The former disk is brought back: it still has its own spool, if nobody took that over. */
static void test_disk_back(void **state)
{
    struct world *world = *state;
    char away[256];
    must_serve(world, "n1.0");
    write_log(world, 100);
    snprintf(away, sizeof away, "%s/away", world->dir);
    assert_int_equal(rename(world->spool, away), 0);
    must_start(world);
    lose_disk(world);
    assert_int_equal(rename(away, world->spool), 0);
    must_serve(world, "n1.0");
    assert_int_equal(log_end(world->spool), 100);
}

/* A log of which nothing says whose it is may be another node's: it is not touched. */
static void test_unknown_log(void **state)
{
    struct world *world = *state;
    char path[256];
    taken_over(world);
    snprintf(path, sizeof path, "%s/" HOME_FILE, world->spool);
    assert_int_equal(unlink(path), 0);
    assert_false(start(world));
    assert_non_null(
        strstr(world->why.text, "the spool is on disk ffffffffffffffffffffffffffffffff of node n2"));
    assert_int_equal(log_end(world->spool), 100);
    assert_false(is_there(world->dir, "copies"));
}

/* Another node's disk in this one: it goes on with the spool that the disk has. */
static void test_other_nodes_disk(void **state)
{
    struct world *world = *state;
    must_serve(world, "n1.0");
    write_log(world, 100);
    struct spool_register *reg = make(&world->store, "n7.0");
    snprintf(reg->disk, sizeof reg->disk, "%s", disk_of(world->spool));
    assert_int_equal(home_write(world->spool, "n7.0", &world->why), 0);
    must_serve(world, "n7.0");
}

static void test_file(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *text;
        int status;
    } rows[] = {{"todoku-home 1\nspool n1.ab\n", 0}, {"todoku-home 1\nspool n1.ab", -1}, {"", -1},
        {"todoku-home 1\nspool \n", -1}, {"todoku-home 2\nspool n1.ab\n", -1},
        {"todoku-home 1\nspool ../x\n", -1}, {"todoku-home 1\nspool n1\nn2\n", -1}};
    char path[256], spool[MEMBER_ID_SIZE];
    snprintf(path, sizeof path, "%s/" HOME_FILE, world->dir);
    assert_int_equal(home_read(world->dir, spool, &world->why), 0);
    assert_string_equal(spool, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        FILE *out = fopen(path, "we");
        fputs(rows[i].text, out);
        fclose(out);
        assert_int_equal(home_read(world->dir, spool, &world->why), rows[i].status);
        assert_string_equal(spool, rows[i].status == 0 ? "n1.ab" : "");
    }
    char longest[MEMBER_ID_SIZE];
    memset(longest, 'x', 60);
    longest[60] = '\0';
    home_name(longest, "0123456789abcdef", spool);
    assert_true(member_name_good(spool));
    assert_non_null(strstr(spool, "x.01234567"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_retired, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk_lost_crashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disk_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_nodes_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
