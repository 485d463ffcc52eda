/* The drawer of tools: each tool does what its header says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"

static void a_buffer_grows_behind_and_is_eaten_in_front(void **state)
{
    (void)state;
    struct buffer b = {0};
    for (int i = 0; i < 1000; i++)
        buffer_printf(&b, "%03d,", i);
    assert_int_equal(buffer_len(&b), 4000);
    buffer_eat(&b, 3996);
    assert_string_equal(buffer_text(&b), "999,");
    size_t len;
    char *block = buffer_steal(&b, &len);
    assert_string_equal(block, "999,");
    assert_int_equal(len, 4);
    assert_int_equal(buffer_len(&b), 0);
    free(block);
}

static void a_heap_gives_back_in_order(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node nodes[500];
    memset(nodes, 0, sizeof nodes);
    struct random random = {7};
    for (int i = 0; i < 500; i++)
        heap_put(&heap, &nodes[i], (int64_t)random_below(&random, 100));
    for (int i = 0; i < 500; i += 3)
        heap_remove(&heap, &nodes[i]);
    for (int i = 1; i < 500; i += 3)
        heap_put(&heap, &nodes[i], (int64_t)random_below(&random, 100));
    int64_t last = -1;
    int count = 0;
    uint64_t order = 0;
    for (struct heap_node *n; (n = heap_pop(&heap, INT64_MAX)) != NULL; count++) {
        assert_true(n->key > last || (n->key == last && n->order > order));
        last = n->key;
        order = n->order;
    }
    assert_int_equal(count, 333);
    heap_free(&heap);
}

static void a_heap_keeps_what_is_not_due(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node node = {0};
    heap_put(&heap, &node, 10);
    assert_null(heap_pop(&heap, 9));
    assert_ptr_equal(heap_pop(&heap, 10), &node);
    assert_false(heap_has(&node));
    heap_free(&heap);
}

static void a_map_finds_what_was_put(void **state)
{
    (void)state;
    struct map map = {0};
    int values[100];
    char key[16];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_null(map_set_text(&map, key, &values[i]));
    }
    assert_ptr_equal(map_get_text(&map, "k42"), &values[42]);
    assert_ptr_equal(map_set_text(&map, "k42", &values[0]), &values[42]);
    assert_ptr_equal(map_remove_text(&map, "k42"), &values[0]);
    assert_null(map_get_text(&map, "k42"));
    struct map_entry *at = NULL;
    int seen = 0;
    for (int *v; (v = map_next(&map, &at)) != NULL; seen++) {
        snprintf(key, sizeof key, "k%d", (int)(v - values));
        assert_ptr_equal(map_remove_text(&map, key), v);
    }
    assert_int_equal(seen, 99);
    assert_int_equal(map_count(&map), 0);
}

struct thing {
    int n;
    struct list link;
};

static void a_list_keeps_its_order(void **state)
{
    (void)state;
    struct list list;
    struct thing things[5] = {{.n = 0}, {.n = 1}, {.n = 2}, {.n = 3}, {.n = 4}};
    list_init(&list);
    for (int i = 0; i < 5; i++)
        list_push_back(&list, &things[i].link);
    list_remove(&things[2].link);
    list_push_front(&list, &things[2].link);
    assert_int_equal(list_item(list_pop(&list), struct thing, link)->n, 2);
    int expect[] = {0, 1, 3, 4}, i = 0;
    list_each (at, &list)
        assert_int_equal(list_item(at, struct thing, link)->n, expect[i++]);
    assert_int_equal(i, 4);
    assert_false(list_linked(&things[2].link));
}

static void times_are_written_as_the_standards_say(void **state)
{
    (void)state;
    char text[40];
    usec_t when = 1795323852LL * USEC_SEC + 345 * USEC_MS;
    assert_string_equal(clock_rfc3339(when, text), "2026-11-22T05:04:12.345Z");
    assert_string_equal(clock_rfc5322(when, text), "Sun, 22 Nov 2026 05:04:12 +0000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_behind_and_is_eaten_in_front),
        cmocka_unit_test(a_heap_gives_back_in_order),
        cmocka_unit_test(a_heap_keeps_what_is_not_due),
        cmocka_unit_test(a_map_finds_what_was_put),
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(times_are_written_as_the_standards_say),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
