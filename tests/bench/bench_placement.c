/* bench_placement - how long it takes to find an owner, and to take in another view
 *
 *   bench_placement [NODES [SOURCES_A_NODE]]      1000 and 10 if not said
 *
 * Prints the processor's time of a look-up with and without memory, the bytes of the view, and the
 * milliseconds from those bytes to a coordinator and a node (with an empty queue) that work by it. Exit: 0, 1
 * when an answer was wrong (however long it took), 2 wrong usage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cluster/placement.h"
#include "cluster/view_store.h"
#include "coordinator/route.h"
#include "node/node.h"

enum { DOMAINS = 20000, CACHED_ROUNDS = 50, VIEWS = 20 };

static char domains[DOMAINS][32];
static size_t wrong;

static void check(bool right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "wrong: %s\n", what);
    wrong++;
}

static struct view *make_view(uint64_t epoch, unsigned nodes, unsigned sources, bool weighted)
{
    static const char *const pools[] = {"transactional", "marketing", "warmup"};
    struct view *view = view_new(epoch);
    for (unsigned i = 0; i < nodes; i++) {
        char id[32], spool[40], text[64];
        snprintf(id, sizeof id, "sender-%04u.dc1", i);
        snprintf(spool, sizeof spool, "%s.0", id);
        struct view_node *node = view_add_node(view, id, spool, i + 1, weighted ? 50 + i % 7 * 25 : 100);
        node->process = UINT64_MAX - i;
        snprintf(text, sizeof text, "tcp://10.1.%u.%u:7101", i / 250, i % 250);
        view_set_endpoint(node, text);
        for (unsigned j = 0; j < sources; j++) {
            char address[32];
            snprintf(address, sizeof address, "10.%u.%u.%u", i % 250, i / 250, j % 250 + 1);
            snprintf(text, sizeof text, "mta-%u-%u.sending.example.com", i, j);
            view_add_source(node, address, text, pools, 1 + j % 3);
        }
    }
    view_add_coordinator(view, "c1", 1, "tcp://10.0.0.1:7100");
    view_add_coordinator(view, "c2", 2, "tcp://10.0.0.2:7100");
    return view;
}

/* The processor's time of this thread: what others do on the machine does not count. */
static usec_t cpu_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * USEC_SEC + now.tv_nsec / 1000;
}

static double each(usec_t since, size_t count)
{
    return (double)(cpu_now() - since) * 1000 / (double)count;
}

static void measure_lookups(struct view *view, const char *what)
{
    struct placement *placement = placement_new();
    placement_set_view(placement, view);
    const struct view_node **owners = calloc(DOMAINS, sizeof *owners), *ranked[PLACEMENT_MAX_RANKS];
    usec_t since = cpu_now();
    for (size_t i = 0; i < DOMAINS; i++)
        owners[i] = placement_owner(placement, "marketing", NULL, domains[i], NULL);
    double fresh = each(since, DOMAINS);
    since = cpu_now();
    for (size_t round = 0; round < CACHED_ROUNDS; round++)
        for (size_t i = 0; i < DOMAINS; i++)
            if (placement_owner(placement, "marketing", NULL, domains[i], NULL) != owners[i])
                wrong++;
    double cached = each(since, (size_t)CACHED_ROUNDS * DOMAINS);
    since = cpu_now();
    for (size_t i = 0; i < DOMAINS; i++)
        check(
            placement_rank(placement, "marketing", NULL, domains[i], NULL, ranked, PLACEMENT_MAX_RANKS) > 0 &&
                ranked[0] == owners[i],
            domains[i]);
    double ranks = each(since, DOMAINS);
    since = cpu_now();
    for (size_t i = 0; i < DOMAINS; i += 10)
        check(place_owner(view, "marketing", NULL, domains[i], NULL) == owners[i], domains[i]);
    printf("%-9s owner, remembered %7.0f ns   owner, new %7.0f ns   16 ranks %7.0f ns   place() %7.0f ns\n",
        what, cached, fresh, ranks, each(since, DOMAINS / 10));
    since = cpu_now();
    for (unsigned i = 0; i < DOMAINS; i++) {
        struct mail_id id = {{(uint8_t)i, (uint8_t)(i >> 8)}};
        owners[i] = placement_owner(placement, "marketing", NULL, "huge.example", &id);
    }
    printf("%-9s owner of a message of a domain that is split to the last %7.0f ns\n", what,
        each(since, DOMAINS));
    free(owners);
    placement_free(&placement);
}

static void no_frame(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    (void)context, (void)seq, (void)record, (void)body, (void)base;
}

static void no_release(void *context, uint64_t seq)
{
    (void)context, (void)seq;
}

static void no_send(void *context, struct bus_msg *msg)
{
    (void)context;
    bus_msg_free(&msg);
}

static struct settings *node_settings(void)
{
    static const char text[] =
        "pools: { marketing: {} }\n"
        "node: { sources: [{ address: 127.0.0.1, helo: m.test, pools: [marketing] }] }\n"
        "tenants: [{ id: t, pools: [marketing], domains: ['*'] }]\n";
    struct fault *faults = NULL;
    size_t count = 0;
    struct settings *settings = settings_parse(text, sizeof text - 1, "bench", &faults, &count);
    free(faults);
    return settings;
}

struct times {
    double read, coordinator, node, lookup;
};

static double millis(usec_t since)
{
    return (double)(cpu_now() - since) / 1000;
}

/* From bytes to members that work by them. */
static void apply(const struct buffer *bytes, struct route *route, struct node *node,
    struct placement *placement, struct times *sum, const struct view *expected)
{
    struct error why = {""};
    usec_t since = cpu_now();
    struct view *view = view_store_read(buffer_bytes(bytes), buffer_len(bytes), &why);
    sum->read += millis(since);
    check(view != NULL && view_store_same(view, expected), why.text);
    if (view == NULL)
        return;
    since = cpu_now();
    route_set_view(route, view);
    sum->coordinator += millis(since);
    since = cpu_now();
    node_set_view(node, view, clock_now());
    sum->node += millis(since);
    placement_set_view(placement, view);
    since = cpu_now();
    const struct view_node *owner = placement_owner(placement, "marketing", NULL, "first.example", NULL);
    sum->lookup += millis(since);
    check(owner == place_owner(view, "marketing", NULL, "first.example", NULL), "the first look-up");
    view_drop(&view);
}

static void measure_views(unsigned nodes, unsigned sources)
{
    struct settings *settings = node_settings();
    struct route_ports route_ports = {.send = no_send};
    struct node_ports node_ports = {.append = no_frame, .release = no_release, .send = no_send};
    struct route *route = route_new("c1", &route_ports);
    struct node *node = node_new("sender-0001.dc1", "sender-0001.dc1.0", 2, settings, &node_ports, 1);
    struct placement *placement = placement_new();
    node_recovered(node, clock_now());
    struct times sum = {0};
    size_t len = 0;
    for (uint64_t epoch = 1; epoch <= VIEWS; epoch++) {
        struct view *view = make_view(epoch, nodes, sources, true);
        struct buffer bytes = {0};
        view_store_write(view, &bytes);
        len = buffer_len(&bytes);
        apply(&bytes, route, node, placement, &sum, view);
        buffer_free(&bytes);
        view_drop(&view);
    }
    printf(
        "view      %u nodes, %u sources: %zu bytes; read %.2f ms, coordinator %.2f ms, node %.2f ms, first "
        "look-up of a pool %.2f ms\n",
        nodes, nodes * sources, len, sum.read / VIEWS, sum.coordinator / VIEWS, sum.node / VIEWS,
        sum.lookup / VIEWS);
    if (nodes <= 1000 && sources <= 10)
        check(len <= (size_t)1 << 20, "the view is larger than 1 MiB");
    placement_free(&placement);
    node_free(&node);
    route_free(&route);
    settings_free(&settings);
}

int main(int argc, char **argv)
{
    unsigned nodes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    unsigned sources = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 10;
    if (argc > 3 || nodes < 1 || nodes > VIEW_MAX_NODES || sources < 2 || sources > 1000) {
        fprintf(stderr, "usage: %s [NODES [SOURCES_A_NODE]]: 1 to %d, 2 to 1000\n", argv[0], VIEW_MAX_NODES);
        return 2;
    }
    for (size_t i = 0; i < DOMAINS; i++)
        snprintf(domains[i], sizeof domains[i], "domain%zu.example", i);
    struct view *even = make_view(1, nodes, sources, false), *weighted = make_view(1, nodes, sources, true);
    view_add_hot(even, "huge.example", 0);
    view_add_hot(weighted, "huge.example", 0);
    measure_lookups(even, "even");
    measure_lookups(weighted, "weighted");
    view_drop(&even);
    view_drop(&weighted);
    measure_views(nodes, sources);
    printf("%zu wrong\n", wrong);
    return wrong == 0 ? 0 : 1;
}
