/* A view says the same after its way through the store; what is no view is refused before it costs memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/view_store.h"

enum { MANY_NODES = 1000, MANY_SOURCES = 10 };

static struct view *filled(void)
{
    static const char *const pools[] = {"main", "bulk"};
    struct view *view = view_new(7);
    strcpy(view->leader, "c1");
    struct view_node *node = view_add_node(view, "n1", "n1.0", 3, 100);
    node->process = UINT64_MAX;
    view_set_endpoint(node, "tcp://10.0.0.1:7101");
    node->rack = xstrdup("r1");
    view_add_source(node, "192.0.2.1", "m1.test", pools, 2);
    view_add_source(node, "2001:db8::1", "m2.test", pools + 1, 1);
    node->sources[1].public_address = xstrdup("2001:db8::ffff");
    node = view_add_node(view, "n2", "n2.0", 1, 0);
    node->draining = node->down = node->returns = true;
    node->turn = (struct view_turn){6, 1767225600 * USEC_SEC + 1, VIEW_REASON_LEASE};
    strcpy(view->teller, "n1");
    view->tells_from = 5;
    view_add_coordinator(view, "c1", 11, "tcp://10.0.0.9:7101")->turn = (struct view_turn){UINT64_MAX, 0, 99};
    view_add_coordinator(view, "c2", 12, NULL)->down = true;
    node->share = 700;
    view_add_hot(view, "huge.test", 0);
    view_add_hot(view, "large.test", 16);
    view_add_taken(view, "n2.0", "n1", 4);
    view_add_taken(view, "n7.0", "n1", UINT64_MAX);
    return view;
}

static struct view *through_the_store(const struct view *view, size_t *len_r)
{
    struct buffer bytes = {0};
    struct error error = {"nothing was said"};
    view_store_write(view, &bytes);
    struct view *read = view_store_read(buffer_bytes(&bytes), buffer_len(&bytes), &error);
    if (read == NULL)
        fail_msg("%s", error.text);
    if (len_r != NULL)
        *len_r = buffer_len(&bytes);
    buffer_free(&bytes);
    return read;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct view *view = filled(), *read = through_the_store(view, NULL), *empty = view_new(1);
    assert_true(view_store_same(view, read));
    assert_int_equal(read->epoch, 7);
    assert_string_equal(read->nodes[0].sources[1].pools[0], "bulk");
    assert_string_equal(read->nodes[0].sources[1].public_address, "2001:db8::ffff");
    assert_null(read->nodes[0].sources[0].public_address);
    assert_null(read->nodes[1].endpoint);
    assert_int_equal(read->nodes[1].turn.time, 1767225600 * USEC_SEC + 1);
    assert_int_equal(read->coordinators[0].turn.reason, 99); /* of a later version */
    assert_string_equal(read->teller, "n1");
    assert_int_equal(read->nodes[1].share, 700);
    assert_int_equal(view_hot(read, "large.test")->parts, 16);
    assert_null(view_hot(read, "small.test"));
    view_drop(&read);
    read = through_the_store(empty, NULL);
    assert_true(view_store_same(empty, read));
    view_drop(&read);
    view_drop(&empty);
    view_drop(&view);
}

/* Each turn changes one thing, which must be seen. */
static bool change(struct view *view, int what)
{
    struct view_node *node = &view->nodes[0];
    switch (what) {
    case 0:
        node->weight++;
        break;
    case 1:
        node->incarnation++;
        break;
    case 2:
        node->process--;
        break;
    case 3:
        node->draining = true;
        break;
    case 4:
        node->down = true;
        break;
    case 5:
        node->returns = true;
        break;
    case 6:
        node->spool[0] = 'x';
        break;
    case 7:
        node->id[0] = 'x';
        break;
    case 8:
        view_set_endpoint(node, NULL);
        break;
    case 9:
        node->rack[0] = 'x';
        break;
    case 10:
        node->sources[0].address[0] = '2';
        break;
    case 11:
        node->sources[0].helo[0] = 'x';
        break;
    case 12:
        node->sources[0].pools[1][0] = 'x';
        break;
    case 13:
        node->sources[1].public_address[0] = '3';
        break;
    case 14:
        view_add_source(node, "192.0.2.9", "m9.test", NULL, 0);
        break;
    case 15:
        view_add_node(view, "n3", "n3.0", 1, 1);
        break;
    case 16:
        view_add_coordinator(view, "c3", 1, NULL);
        break;
    case 17:
        view->coordinators[0].process++;
        break;
    case 18:
        view->coordinators[0].down = true;
        break;
    case 19:
        view->coordinators[1].id[0] = 'x';
        break;
    case 20:
        view->coordinators[0].endpoint[0] = 'x';
        break;
    case 21:
        view->leader[0] = 'x';
        break;
    case 22:
        node->turn.epoch++;
        break;
    case 23:
        node->turn.time++;
        break;
    case 24:
        view->coordinators[1].turn.reason++;
        break;
    case 25:
        view->teller[0] = 'x';
        break;
    case 26:
        view->tells_from++;
        break;
    case 27:
        node->share++;
        break;
    case 28:
        view->hot[1].parts = 32;
        break;
    case 29:
        view->hot[0].domain[0] = 'a';
        break;
    case 30:
        view_add_hot(view, "more.test", 2);
        break;
    case 31:
        view->taken[0].spool[0] = 'x';
        break;
    case 32:
        view->taken[0].node[0] = 'x';
        break;
    case 33:
        view->taken[1].incarnation--;
        break;
    case 34:
        view_add_taken(view, "n8.0", "n1", 1);
        break;
    default:
        return false;
    }
    return true;
}

static void test_same(void **state)
{
    (void)state;
    struct view *before = filled();
    for (int what = 0;; what++) {
        struct view *after = filled();
        after->epoch = 99;
        assert_true(view_store_same(before, after));
        bool changed = change(after, what);
        if (changed && view_store_same(before, after))
            fail_msg("change %d was not seen", what);
        view_drop(&after);
        if (!changed)
            break;
    }
    view_drop(&before);
}

/* What the version before turns were noted has written: nothing is known of them. */
static void test_without_turns(void **state)
{
    (void)state;
    struct error error;
    /* version 1, epoch 7, leader c1; a node n with spool s, incarnation 3, down; a coordinator c */
    static const char bytes[] = "\x08\x01\x10\x07\x1a\x02"
                                "c1\x2a\x0a\x0a\x01n\x12\x01s\x18\x03\x38\x01\x32\x03\x0a\x01"
                                "c";
    struct view *view = view_store_read(bytes, sizeof bytes - 1, &error);
    assert_non_null(view);
    assert_true(view->nodes[0].down);
    assert_int_equal(view->nodes[0].turn.epoch + view->coordinators[0].turn.epoch, 0);
    assert_string_equal(view->teller, "");
    view_drop(&view);
}

static void refused(const void *bytes, size_t len, const char *because)
{
    struct error error = {""};
    assert_null(view_store_read(bytes, len, &error));
    if (strstr(error.text, because) == NULL)
        fail_msg("wanted: %s, said: %s", because, error.text);
}

static void test_refusals(void **state)
{
    (void)state;
    /* version 9; version 1 and a node without a name; with a name and spool and a source of pool 0 */
    refused("\x08\x09", 2, "the view is of wire version 9, this program speaks 1 to 2: ");
    refused("", 0, "wire version 0");
    refused("\x08\x01\x2a\x00", 4, "no name");
    refused("\x08\x01\x2a\x0e\x0a\x01n\x12\x01n\x52\x06\x0a\x01s\x22\x01\x00", 18, "pool number 0 of 0");
    refused("\x08\x01\x2a\x06\x0a\x01n\x12\x01\x00", 10, "octet 0x00");
    refused("\x08\x01\x2a\x06\x0a\x01 \x12\x01n", 10, "octet 0x20");
    refused(
        "\x08\x01\xa2\x01\x03\x0a\x01z\xa2\x01\x03\x0a\x01y", 14, "does not stand where its name belongs");
    refused(
        "\x08\x01\xa2\x01\x03\x0a\x01y\xa2\x01\x03\x0a\x01y", 14, "does not stand where its name belongs");
    refused("\x08\x01\xa2\x01\x07\x0a\x01y\x10\x81\x80\x04", 12, "65537 parts");
    refused("\x08\x01\x2a\x0b\x0a\x01n\x12\x01n\xa0\x01\x81\x80\x04", 15, "the share of n is 65537");
    refused("\xff", 1, "no view of Todoku's");
    char *large = xcalloc(9, 1 << 20);
    refused(large, (size_t)9 << 20, "9437184 bytes");
    free(large);
}

static void refused_view(struct view *view, const char *because)
{
    struct buffer bytes = {0};
    view_store_write(view, &bytes);
    refused(buffer_bytes(&bytes), buffer_len(&bytes), because);
    buffer_free(&bytes);
    view_drop(&view);
}

static void test_named_twice(void **state)
{
    (void)state;
    struct view *view = filled();
    strcpy(view->nodes[1].id, "n1");
    refused_view(view, "the node n1 twice");
    view = filled();
    strcpy(view->nodes[1].spool, "n1.0");
    refused_view(view, "the spool n1.0 twice");
    view = filled();
    strcpy(view->coordinators[1].id, "c1");
    refused_view(view, "the coordinator c1 twice");
    view = filled();
    char helo[400] = "";
    memset(helo, 'x', sizeof helo - 1);
    view_add_source(&view->nodes[0], "192.0.2.3", helo, NULL, 0);
    refused_view(view, "HELO name of n1 has 399 characters");
    view = filled();
    view->nodes[1].turn.time = -1;
    refused_view(view, "the turn of n2 is at no time");
}

/* Many tiny messages must not become much memory. */
static void test_bomb(void **state)
{
    (void)state;
    size_t len = (size_t)8 << 20;
    char *bytes = xcalloc(len, 1);
    for (size_t i = 0; i + 1 < len; i += 2)
        bytes[i] = 0x2a; /* a node of no bytes */
    refused(bytes, len, "no view of Todoku's");
    free(bytes);
}

static struct view *large(void)
{
    struct view *view = view_new(1);
    for (unsigned i = 0; i < MANY_NODES; i++) {
        char id[32], spool[32], endpoint[64];
        snprintf(id, sizeof id, "sender-%03u.dc1", i);
        snprintf(spool, sizeof spool, "sender-%03u.dc1.0", i);
        snprintf(endpoint, sizeof endpoint, "tcp://10.1.%u.%u:7101", i / 250, i % 250);
        struct view_node *node = view_add_node(view, id, spool, i + 1, 100);
        node->process = UINT64_MAX - i;
        view_set_endpoint(node, endpoint);
        for (unsigned j = 0; j < MANY_SOURCES; j++) {
            static const char *const pools[] = {"transactional", "marketing", "warmup"};
            char address[32], helo[64];
            snprintf(address, sizeof address, "203.0.%u.%u", i / 25, i % 25 * 10 + j);
            snprintf(helo, sizeof helo, "mta-%u-%u.sending.example.com", i, j);
            view_add_source(view->nodes + i, address, helo, pools, 1 + j % 3);
        }
    }
    return view;
}

static void test_large(void **state)
{
    (void)state;
    size_t len;
    struct view *view = large(), *read = through_the_store(view, &len);
    assert_true(view_store_same(view, read));
    assert_true(len <= (size_t)1 << 20);
    print_message("%d nodes with %d sources: %zu bytes\n", MANY_NODES, MANY_NODES * MANY_SOURCES, len);
    for (size_t i = 0; i < view->node_count; i++) {
        assert_ptr_equal(view_node(read, view->nodes[i].id), &read->nodes[i]);
        assert_ptr_equal(view_spool(read, view->nodes[i].spool, NULL), &read->nodes[i]);
        assert_null(view_node(read, view->nodes[i].spool));
        assert_ptr_equal(view_spool(view, view->nodes[i].spool, NULL), &view->nodes[i]); /* never sealed */
    }
    view_drop(&read);
    view_drop(&view);
}

static void assert_served(const struct view *view, const char *spool, const char *by, uint64_t as)
{
    uint64_t incarnation = 99;
    const struct view_node *node = view_spool(view, spool, &incarnation);
    assert_string_equal(node == NULL ? "nobody" : node->id, by);
    assert_true(incarnation == as);
}

/* What was taken over is its heir's, whoever's home it was; sealed or not. */
static void test_taken(void **state)
{
    (void)state;
    struct view *view = filled(), *read = through_the_store(view, NULL);
    for (int sealed = 0; sealed < 2; sealed++) {
        const struct view *either = sealed ? read : view;
        assert_served(either, "n1.0", "n1", 3);
        assert_served(either, "n2.0", "n1", 4);
        assert_served(either, "n7.0", "n1", UINT64_MAX);
        assert_served(either, "n3.0", "nobody", 0);
        assert_null(view_taken(either, "n1.0"));
        assert_non_null(view_taken(either, "n2.0"));
    }
    view_drop(&read);
    view_add_taken(view, "n9.0", "gone", 1); /* nobody that the view has */
    assert_null(view_spool(view, "n9.0", NULL));
    view_add_taken(view, "n9.0", "n1", 1);
    struct error error;
    assert_int_equal(view_seal(view, &error), -1);
    assert_non_null(strstr(error.text, "taken spool n9.0 twice"));
    view_drop(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_without_turns),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_named_twice),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
