/* Who may join: what is added, refused, changed and shown, on a store of a few keys in which somebody else
 * may be at work, and whose answers may be lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/members.h"
#include "cluster/view_store.h"

/* Public keys of the Z85 alphabet; what they are good for does not matter here. */
#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KEY_C "HelloWorldHelloWorldHelloWorldHelloWorld"

/* ---- the store ---- */

#define MAX_KEYS 16

struct entry {
    char key[MEMBER_PATH_SIZE], value[1024];
    size_t len;
    uint64_t revision;
};

struct fixture {
    struct entry entries[MAX_KEYS]; /* by key */
    size_t count;
    uint64_t revision;
    /* Somebody else's change, right before our next transaction. */
    const char *other_key, *other_value;
    bool lose_answer, away;
    struct members members;
    struct buffer said;
    struct error error;
};

static size_t find(const struct fixture *f, const char *key)
{
    size_t at = 0;
    while (at < f->count && strcmp(f->entries[at].key, key) < 0)
        at++;
    return at;
}

static bool is_at(const struct fixture *f, size_t at, const char *key)
{
    return at < f->count && strcmp(f->entries[at].key, key) == 0;
}

static void store(struct fixture *f, const char *key, const void *value, size_t len)
{
    size_t at = find(f, key);
    bool there = is_at(f, at, key);
    struct entry *entry = &f->entries[at];
    f->revision++;
    if (value == NULL) {
        if (there)
            memmove(entry, entry + 1, (--f->count - at) * sizeof *entry);
        return;
    }
    assert_true((there || f->count < MAX_KEYS) && len <= sizeof entry->value);
    if (!there)
        memmove(entry + 1, entry, (f->count++ - at) * sizeof *entry);
    snprintf(entry->key, sizeof entry->key, "%s", key);
    memcpy(entry->value, value, len);
    entry->len = len;
    entry->revision = f->revision;
}

static void range(struct fixture *f, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_pair pairs[MAX_KEYS];
    struct kv_result result = {.outcome = KV_DONE, .pairs = pairs, .revision = f->revision};
    for (size_t i = 0; i < f->count; i++) {
        const struct entry *entry = &f->entries[i];
        if (request->prefix ? strncmp(entry->key, request->key, strlen(request->key)) != 0
                            : strcmp(entry->key, request->key) != 0)
            continue;
        pairs[result.pair_count++] = (struct kv_pair){
            .key = entry->key, .value = entry->value, .len = entry->len, .revision = entry->revision};
    }
    done(arg, &result);
}

static void transact(struct fixture *f, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_result result = {.outcome = KV_DONE};
    if (f->other_key != NULL) {
        store(f, f->other_key, f->other_value, f->other_value == NULL ? 0 : strlen(f->other_value));
        f->other_key = NULL;
    }
    for (size_t i = 0; i < request->compare_count; i++) {
        const struct kv_compare *compare = &request->compares[i];
        size_t at = find(f, compare->key);
        if ((is_at(f, at, compare->key) ? f->entries[at].revision : 0) != compare->revision)
            result.outcome = KV_LOST;
    }
    for (size_t i = 0; result.outcome == KV_DONE && i < request->change_count; i++)
        store(f, request->changes[i].key, request->changes[i].value, request->changes[i].len);
    if (f->lose_answer)
        result = (struct kv_result){.outcome = KV_UNKNOWN, .why = "no answer from http://127.0.0.1:2379"};
    f->lose_answer = false;
    done(arg, &result);
}

static void answer(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct fixture *f = context;
    struct kv_result away = {.outcome = KV_UNKNOWN, .why = "nobody answers at http://127.0.0.1:2379"};
    if (f->away)
        done(arg, &away);
    else if (request->verb == KV_RANGE)
        range(f, request, done, arg);
    else
        transact(f, request, done, arg);
}

static int open_store(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.revision = 1};
    fixture.members = (struct members){{.context = &fixture, .request = answer}, "prod"};
    *state = &fixture;
    return 0;
}

static int close_store(void **state)
{
    struct fixture *f = *state;
    buffer_free(&f->said);
    return 0;
}

/* ---- what is asked of it ---- */

static struct member_spec spec(const char *name, const char *key)
{
    struct member_spec made = {0};
    snprintf(made.id, sizeof made.id, "%s", name);
    snprintf(made.public_key, sizeof made.public_key, "%s", key);
    return made;
}

static void done(struct fixture *f, int rc, const char *said)
{
    if (rc != 0)
        fail_msg("%s", f->error.text);
    assert_string_equal(buffer_text(&f->said), said);
    buffer_clear(&f->said);
}

static void refused(struct fixture *f, int rc, const char *why)
{
    assert_int_equal(rc, -1);
    assert_string_equal(f->error.text, why);
    buffer_clear(&f->said);
}

static void add(struct fixture *f, const char *name, const char *key)
{
    struct member_spec wanted = spec(name, key);
    assert_int_equal(members_add(&f->members, &wanted, &f->said, &f->error), 0);
    buffer_clear(&f->said);
}

static void listed(struct fixture *f, const char *lines)
{
    done(f, members_list(&f->members, &f->said, &f->error), lines);
}

/* What another member's process, or a hand with etcdctl, has written. */
static void put(struct fixture *f, const char *what, const char *name, const char *text, size_t len)
{
    char key[MEMBER_PATH_SIZE];
    member_path(key, "prod", what, name);
    store(f, key, text, len);
}

static void put_live(struct fixture *f, const char *name, const char *key, uint64_t incarnation)
{
    struct member_live live = {.role = MEMBER_NODE,
        .wire = wire_ours,
        .process = 7,
        .incarnation = incarnation,
        .endpoint = "tcp://10.0.0.2:7101",
        .weight = 3,
        .disk = "d",
        .spool = "n.0"};
    struct buffer text = {0};
    snprintf(live.id, sizeof live.id, "%s", name);
    snprintf(live.public_key, sizeof live.public_key, "%s", key);
    member_live_write(&live, &text);
    put(f, "live", name, buffer_bytes(&text), buffer_len(&text));
    buffer_free(&text);
}

static void a_member_is_added_once(void **state)
{
    struct fixture *f = *state;
    struct member_spec n1 = spec("n1", KEY_A);
    n1.role = MEMBER_NODE;
    done(f, members_add(&f->members, &n1, &f->said, &f->error), "n1 may join the cluster prod\n");
    done(f, members_add(&f->members, &n1, &f->said, &f->error), "n1 is already a member\n");
    listed(f,
        "{\"name\":\"n1\",\"role\":\"node\",\"state\":\"not seen\",\"drain\":false,\"key\":\"" KEY_A "\"}\n");
}

static void another_key_is_refused_with_the_way(void **state)
{
    struct fixture *f = *state;
    struct member_spec other = spec("n1", KEY_B);
    add(f, "n1", KEY_A);
    refused(f, members_add(&f->members, &other, &f->said, &f->error),
        "n1 is a member with another key (" KEY_A
        "); if it has a new one: todoku members remove n1, then add it again");
    done(f, members_remove(&f->members, "n1", &f->said, &f->error),
        "n1 is no member any more: its process stops, and nobody talks to it\n"
        "if it is a node, the mail that it had accepted stays on its disk; to have it delivered, add it "
        "again:\n"
        "  todoku members add n1 '" KEY_A "'\n");
    done(f, members_add(&f->members, &other, &f->said, &f->error), "n1 may join the cluster prod\n");
}

static void a_key_is_one_members_alone(void **state)
{
    struct fixture *f = *state;
    struct member_spec n2 = spec("n2", KEY_A);
    add(f, "n1", KEY_A);
    refused(f, members_add(&f->members, &n2, &f->said, &f->error),
        "this is the key of n1 already; every member has its own: run `todoku keygen FILE` where n2 shall "
        "run");
}

static void another_role_is_refused(void **state)
{
    struct fixture *f = *state;
    struct member_spec c1 = spec("c1", KEY_A);
    c1.role = MEMBER_COORDINATOR;
    done(f, members_add(&f->members, &c1, &f->said, &f->error), "c1 may join the cluster prod\n");
    c1.role = MEMBER_NODE;
    refused(f, members_add(&f->members, &c1, &f->said, &f->error),
        "c1 is a member as coordinator; to change that: todoku members remove c1, then add it");
    done(f, members_remove(&f->members, "c1", &f->said, &f->error),
        "c1 is no member any more: its process stops, and nobody talks to it\n");
}

static void who_is_not_there_is_named(void **state)
{
    struct fixture *f = *state;
    struct members_change change = {.set_drain = true, .drain = true};
    add(f, "node-amber", KEY_A);
    refused(f, members_remove(&f->members, "node-anber", &f->said, &f->error),
        "there is no member `node-anber`; did you mean `node-amber`?");
    refused(f, members_set(&f->members, "zebra", &change, &f->said, &f->error),
        "there is no member `zebra`; `todoku members list` shows those of the cluster prod");
}

static void weight_and_drain_are_set_apart(void **state)
{
    struct fixture *f = *state;
    struct members_change weight = {.set_weight = true, .weight = 40},
                          drain = {.set_drain = true, .drain = true},
                          back = {.set_weight = true, .set_drain = true};
    add(f, "n1", KEY_A);
    done(f, members_set(&f->members, "n1", &weight, &f->said, &f->error), "n1: weight 40\n");
    done(f, members_set(&f->members, "n1", &drain, &f->said, &f->error), "n1: weight 40, gets no new mail\n");
    listed(f, "{\"name\":\"n1\",\"role\":\"any\",\"state\":\"not "
              "seen\",\"weight\":40,\"drain\":true,\"key\":\"" KEY_A "\"}\n");
    done(f, members_set(&f->members, "n1", &back, &f->said, &f->error), "n1: weight as its own file says\n");
}

static void put_view(struct fixture *f, const char *node, uint64_t process)
{
    struct view *view = view_new(5);
    struct buffer bytes = {0};
    view_add_node(view, node, "spool", 1, 1)->process = process;
    view_store_write(view, &bytes);
    put(f, "view", "current", buffer_bytes(&bytes), buffer_len(&bytes));
    buffer_free(&bytes);
    view_drop(&view);
}

/* Of the process that the view has; never of one that runs. */
static void one_process_is_declared_dead(void **state)
{
    struct fixture *f = *state;
    uint64_t process = 1;
    add(f, "n1", KEY_A);
    refused(f, members_find_dead(&f->members, "n1", &process, &f->error),
        "nobody has served in the cluster prod yet: there is nobody to be declared dead");
    put_view(f, "n1", UINT64_MAX);
    assert_int_equal(members_find_dead(&f->members, "n1", &process, &f->error), 0);
    assert_true(process == UINT64_MAX);
    refused(f, members_find_dead(&f->members, "c1", &process, &f->error),
        "no node c1 has served in this cluster");
    put_live(f, "n1", KEY_A, 0);
    refused(f, members_find_dead(&f->members, "n1", &process, &f->error),
        "n1 runs: /todoku/prod/live/n1 is there. End its process, and wait some seconds for its lease");
    struct members_change dead = {.set_dead = true, .dead = UINT64_MAX};
    assert_int_equal(members_set(&f->members, "n1", &dead, &f->said, &f->error), 0);
    assert_non_null(strstr(buffer_text(&f->said), "n1 is given up"));
    assert_non_null(
        strstr(f->entries[find(f, "/todoku/prod/spec/n1")].value, "\"dead\":\"18446744073709551615\""));
    buffer_clear(&f->said);
}

static void states_are_told_apart(void **state)
{
    struct fixture *f = *state;
    static const char newer[] = "{\"id\":\"n4\",\"role\":\"node\",\"wire\":9}";
    add(f, "n1", KEY_A);
    add(f, "n2", KEY_B);
    add(f, "n4", KEY_C);
    put_live(f, "n1", KEY_A, 9);
    put_live(f, "n2", KEY_A, 9);
    put_live(f, "n3", KEY_C, 9);
    put(f, "live", "n4", newer, sizeof newer - 1);
    listed(f,
        "{\"name\":\"n1\",\"role\":\"node\",\"state\":\"up\",\"wire\":\"1 to "
        "2\",\"weight\":3,\"drain\":false,"
        "\"endpoint\":\"tcp://10.0.0.2:7101\",\"key\":\"" KEY_A "\"}\n"
        "{\"name\":\"n2\",\"role\":\"node\",\"state\":\"other "
        "key\",\"wire\":\"1 to 2\",\"weight\":3,\"drain\":false,"
        "\"endpoint\":\"tcp://10.0.0.2:7101\",\"key\":\"" KEY_B "\"}\n"
        "{\"name\":\"n3\",\"role\":\"node\",\"state\":\"removed\",\"wire\":\"1 to 2\",\"weight\":3,\"drain\":"
        "false,"
        "\"endpoint\":\"tcp://10.0.0.2:7101\",\"key\":\"" KEY_C "\"}\n"
        "{\"name\":\"n4\",\"role\":\"node\",\"state\":\"wire "
        "9\",\"wire\":\"9\",\"drain\":false,\"key\":\"" KEY_C "\"}\n");
}

static void a_member_that_reads_its_log_is_starting(void **state)
{
    struct fixture *f = *state;
    add(f, "n1", KEY_A);
    put_live(f, "n1", KEY_A, 0);
    listed(f, "{\"name\":\"n1\",\"role\":\"node\",\"state\":\"starting\",\"wire\":\"1 to 2\",\"weight\":3,"
              "\"drain\":false,"
              "\"endpoint\":\"tcp://10.0.0.2:7101\",\"key\":\"" KEY_A "\"}\n");
}

static void a_record_spoilt_by_hand_is_shown_and_not_overwritten(void **state)
{
    struct fixture *f = *state;
    struct member_spec n1 = spec("n1", KEY_A);
    put(f, "spec", "n1", "{", 1);
    listed(f, "{\"name\":\"n1\",\"role\":\"any\",\"state\":\"unreadable\",\"drain\":false,\"key\":\"\"}\n");
    assert_int_equal(members_add(&f->members, &n1, &f->said, &f->error), -1);
    assert_non_null(strstr(f->error.text, "/todoku/prod/spec/n1 in etcd can't be read"));
}

static void a_spoilt_record_can_be_removed(void **state)
{
    struct fixture *f = *state;
    put(f, "spec", "n1", "{", 1);
    done(f, members_remove(&f->members, "n1", &f->said, &f->error),
        "n1 is no member any more: its process stops, and nobody talks to it\n");
    listed(f, "");
}

static void two_operators_at_once_do_not_undo_each_other(void **state)
{
    struct fixture *f = *state;
    struct members_change weight = {.set_weight = true, .weight = 40};
    add(f, "n1", KEY_A);
    f->other_key = "/todoku/prod/spec/n1";
    f->other_value =
        "{\"id\":\"n1\",\"public_key\":\"" KEY_A "\",\"role\":\"any\",\"weight\":0,\"drain\":true}";
    done(
        f, members_set(&f->members, "n1", &weight, &f->said, &f->error), "n1: weight 40, gets no new mail\n");
    f->other_key = "/todoku/prod/spec/n1";
    f->other_value = NULL;
    refused(f, members_remove(&f->members, "n1", &f->said, &f->error),
        "there is no member `n1`; `todoku members list` shows those of the cluster prod");
}

static void a_name_that_somebody_else_took_meanwhile_is_seen(void **state)
{
    struct fixture *f = *state;
    struct member_spec n1 = spec("n1", KEY_A);
    f->other_key = "/todoku/prod/spec/n1";
    f->other_value =
        "{\"id\":\"n1\",\"public_key\":\"" KEY_B "\",\"role\":\"any\",\"weight\":0,\"drain\":false}";
    refused(f, members_add(&f->members, &n1, &f->said, &f->error),
        "n1 is a member with another key (" KEY_B
        "); if it has a new one: todoku members remove n1, then add it again");
}

static void an_answer_that_is_lost_may_be_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct member_spec n1 = spec("n1", KEY_A);
    f->lose_answer = true;
    refused(f, members_add(&f->members, &n1, &f->said, &f->error),
        "it may have been done, or not (the same command again is safe): no answer from "
        "http://127.0.0.1:2379");
    done(f, members_add(&f->members, &n1, &f->said, &f->error), "n1 is already a member\n");
}

static void a_store_that_is_away_is_named(void **state)
{
    struct fixture *f = *state;
    struct member_spec n1 = spec("n1", KEY_A);
    static const char why[] = "nobody answers at http://127.0.0.1:2379";
    f->away = true;
    refused(f, members_add(&f->members, &n1, &f->said, &f->error), why);
    refused(f, members_remove(&f->members, "n1", &f->said, &f->error), why);
    refused(f, members_list(&f->members, &f->said, &f->error), why);
}

static void keys_are_forty_digits_of_z85(void **state)
{
    (void)state;
    assert_true(members_key_good(KEY_A));
    assert_true(members_key_good("0000000000000000000000000000000000000000"));
    assert_false(members_key_good("HelloWorldHelloWorldHelloWorldHelloWorl"));
    assert_false(members_key_good(KEY_C "0"));
    assert_false(members_key_good("HelloWorldHelloWorldHelloWorldHelloWorl~"));
    assert_false(members_key_good("HelloWorldHelloWorldHelloWorldHello#####"));
}

#define ON_STORE(test) cmocka_unit_test_setup_teardown(test, open_store, close_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STORE(a_member_is_added_once),
        ON_STORE(another_key_is_refused_with_the_way),
        ON_STORE(a_key_is_one_members_alone),
        ON_STORE(another_role_is_refused),
        ON_STORE(who_is_not_there_is_named),
        ON_STORE(weight_and_drain_are_set_apart),
        ON_STORE(one_process_is_declared_dead),
        ON_STORE(states_are_told_apart),
        ON_STORE(a_member_that_reads_its_log_is_starting),
        ON_STORE(a_record_spoilt_by_hand_is_shown_and_not_overwritten),
        ON_STORE(a_spoilt_record_can_be_removed),
        ON_STORE(two_operators_at_once_do_not_undo_each_other),
        ON_STORE(a_name_that_somebody_else_took_meanwhile_is_seen),
        ON_STORE(an_answer_that_is_lost_may_be_asked_for_again),
        ON_STORE(a_store_that_is_away_is_named),
        cmocka_unit_test(keys_are_forty_digits_of_z85),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
