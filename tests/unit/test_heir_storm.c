/* A spool that was taken over, under lost, doubled and late messages, refusals, silence, unreadable bodies and crashes of
 * the heir at any moment: whatever was not ended when its node died is held by exactly one node in the end, and never by
 * two. Most of them read the log a little at a time, some with hardly any memory.
 *
 *     test_heir_storm              the seeds of every run
 *     test_heir_storm 7 1000       1,000 seeds from 7 on */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heir_history.h"

enum { STEPS = 600 };

static uint64_t first_seed = 1, seeds = 400;
static unsigned doubtful;

/* ---- the storm ---- */

static void check_holders(uint64_t seed, bool at_the_end)
{
    for (unsigned number = 0; number < HISTORY_MAILS; number++)
        for (uint32_t i = 0; i < history.recipients[number]; i++) {
            unsigned holders = estate_holders(number, i);
            if (holders > 1 || (at_the_end && holders != (history.ended[number][i] ? 0 : 1)))
                fail_msg("seed %llu: mail %u, recipient %u (%s) is held by %u", (unsigned long long)seed,
                    number, i, history.ended[number][i] ? "ended" : "open", holders);
        }
}

static void check_end(uint64_t seed)
{
    struct map_entry *at = NULL;
    if (heir_figures(estate.heir).state == HEIR_WAITS)
        return;
    for (const struct held *held; (held = custody_next(heir_custody(estate.heir), &at)) != NULL;)
        for (uint32_t i = 0; i < held->count && held->open > 0; i++) {
            const struct delivery *delivery = held->deliveries[i];
            print_message("%u.%u: %s, hop %u, %s, %ssettled, mood %u\n",
                *(const unsigned *)held->mail->id.bytes, delivery->index,
                custody_state_name((enum custody_state)delivery->state), delivery->hop,
                delivery->peer == NULL ? "-" : delivery->peer, delivery->settled ? "" : "un", delivery->mood);
        }
    fail_msg("seed %llu: the spool is not empty", (unsigned long long)seed);
}

static void step(void)
{
    size_t at = estate.sent_count == 0 ? 0 : (size_t)random_below(&history.dice, estate.sent_count);
    switch (random_below(&history.dice, 18)) {
    case 16:
    case 17:
        estate_read_back((size_t)random_below(&history.dice, 12));
        break;
    case 0:
        estate.now += (usec_t)random_below(&history.dice, 300) * USEC_MS;
        heir_tick(estate.heir, estate.now);
        break;
    case 1:
        estate_b_words();
        break;
    case 2:
        if (history_one_in(8))
            estate_crash((size_t)random_below(&history.dice, 3));
        break;
    case 3:
        estate.h_shut = history_one_in(8);
        estate.b_shut = history_one_in(4);
        estate.bodies_fail = history_one_in(6);
        break;
    case 4:
        heir_set_silent(estate.heir, "b", history_one_in(4), estate.now);
        heir_set_paired(estate.heir, history_one_in(2));
        break;
    case 5:
    case 6:
    case 7:
        estate_commit_some((size_t)random_below(&history.dice, 4));
        break;
    case 8:
    case 9:
        estate_read();
        break;
    default:
        if (estate.sent_count > 0 && history_one_in(6))
            estate_drop(at);
        else if (estate.sent_count > 0)
            estate_deliver(at, history_one_in(5));
        break;
    }
}

static void calm(void)
{
    estate.h_shut = estate.b_shut = estate.bodies_fail = false;
    heir_set_silent(estate.heir, "b", false, estate.now);
    heir_set_paired(estate.heir, true);
    for (unsigned i = 0; i < 300 && heir_figures(estate.heir).state != HEIR_WAITS; i++)
        estate_run(1, 2 * USEC_SEC);
    estate_run(40, 2 * USEC_SEC); /* what b asks of it */
}

static void run(uint64_t seed)
{
    estate_begin();
    estate.reads_later = seed % 4 != 0;
    estate.at_hand = seed % 4 == 1 ? 8 : 0;
    history_make(seed);
    estate.window = 1 + (uint32_t)random_below(&history.dice, 8);
    estate.quarantine = 5 * USEC_SEC;
    estate_inherit(0);
    bool doubts = false;
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        check_holders(seed, false);
        doubts = doubts || heir_figures(estate.heir).in_doubt > 0;
    }
    doubtful += doubts;
    calm();
    check_end(seed);
    check_holders(seed, true);
    assert_int_equal(heir_figures(estate.heir).in_doubt, 0);
    estate_end();
}

static void test_storm(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        run(seed);
    assert_true(doubtful > seeds / 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storm)};
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
