/* Joining in a storm: starts, crashes, leases that end, answers lost or late, for one name and one disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "base/random.h"
#include "join_help.h"

/* Starts, crashes, leases that end, answers lost or late, for one name and one disk. Whatever happens: every
 * joined process has an incarnation of its own, higher than all before; and when it is over, the last one is
 * a member with all that belongs to it. */
static void storm(uint64_t seed)
{
    struct random random = {seed};
    struct process *all = xcalloc(41, sizeof *all), *live = NULL;
    size_t count = 0;
    uint64_t last = 0;
    for (int step = 0; step < 400; step++) {
        if (live == NULL && count < 40) {
            live = &all[count];
            begin_node(live, "n1", 100 + count++, "disk-a");
        }
        if (live == NULL)
            break;
        unsigned dice = (unsigned)random_below(&random, 100);
        if (dice < 4)
            live = NULL; /* a crash; its requests may still happen */
        else if (dice < 8 && store->leases > 0)
            fake_end_lease(store, 1 + random_below(&random, store->leases));
        else if (dice < 12 && count > 1)
            fake_happen_late(&all[random_below(&random, count)].client);
        else if (dice < 30) {
            usec_t at = join_deadline(live->join);
            now = at > now && at < now + 3 * USEC_SEC ? at : now + 1;
            join_tick(live->join, now);
        } else {
            enum fate fates[] = {FATE_DONE, FATE_DONE, FATE_DONE, FATE_DONE, FATE_DONE, FATE_UNANSWERED,
                FATE_LOST, FATE_LATE_LATER};
            enum fate fate = fates[random_below(&random, 8)];
            if (random_below(&random, 4) == 0)
                fake_serve_newest(&live->client, fate);
            else
                fake_serve(&live->client, fate);
        }
        if (live != NULL && live->joined == 1) {
            if (live->incarnation <= last && live->incarnation != 0)
                fail_msg("seed %lu: incarnation %lu after %lu", seed, live->incarnation, last);
            last = live->incarnation;
            live->incarnation = 0;
            live->joined++;
            join_ready(live->join, now);
        }
        assert_true(live == NULL || live->ended == 0);
    }
    if (live == NULL) {
        live = &all[count++];
        begin_node(live, "n1", 999, "disk-a");
    }
    must(live != NULL);
    for (size_t i = 0; i < count; i++)
        if (&all[i] != live)
            fake_happen_late(&all[i].client);
    run(live, 15 * USEC_SEC, FATE_DONE);
    fake_happen_late(&live->client);
    if (live->joined == 1) {
        join_ready(live->join, now);
        run(live, USEC_SEC, FATE_DONE);
    }
    struct member_live said = read_live("n1");
    struct spool_register reg = read_register("n1.0");
    if (live->ended != 0 || !join_is_member(live->join) || said.incarnation != reg.incarnation ||
        reg.process != said.process || strcmp(holder_of("192.0.2.1"), "n1") != 0)
        fail_msg("seed %lu: ended %d, joined %d, says %lu, register %lu: %s", seed, live->ended, live->joined,
            said.incarnation, reg.incarnation, live->what);
    member_live_free(&said);
    for (size_t i = 0; i < count; i++)
        finish(&all[i]);
    free(all);
}

static void test_storm(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        tear_down(state);
        set_up(state);
        storm(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_storm, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
