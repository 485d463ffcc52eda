/* sim - runs seeds through the simulated cluster and says what it found; see README.md here
 *
 * Each worker process runs its share of the seeds and sends figures and failures through a pipe. A core that
 * panics, crashes or never returns is a failed seed as well: its signal is caught and the next seed goes on.
 */
#include <getopt.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "tests/sim/coverage.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"

enum { SEED_SECONDS = 60, WORLD_SECONDS = 3600, MAX_JOBS = 64 };

struct options {
    struct sim_options sim;
    uint64_t from, to;
    bool hash, twice, mutant_expected, covered;
    int jobs;
    uint64_t failures; /* a worker stops after so many */
    const char *program;
    const char *faults; /* as they were named; null: each seed's own */
    const char *worlds; /* null: seeds as they are; else those of a group, fairness_world.h */
};

struct result {
    struct sim_counts counts;
    uint64_t passed, failed;
};

static sigjmp_buf escape;
static volatile sig_atomic_t escape_signal;

static void on_signal(int number)
{
    escape_signal = number;
    siglongjmp(escape, 1);
}

static void catch_signals(void)
{
    static const int caught[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER};
    for (size_t i = 0; i < sizeof caught / sizeof caught[0]; i++)
        sigaction(caught[i], &action, NULL);
}

static void report(const struct options *options, const struct sim *sim, const char *what)
{
    printf("\nseed %" PRIu64 " FAILED after %" PRIu64 " steps\n  %s\n", sim->seed, sim->steps, what);
    if (!options->sim.trace) {
        printf("the last lines of its story:\n");
        trace_print(&sim->trace);
    }
    printf("replay: %s --seed %" PRIu64 " --steps %" PRIu64 " --trace", options->program, sim->seed,
        options->sim.steps);
    if (options->sim.nodes > 0)
        printf(" --nodes %d", options->sim.nodes);
    if (options->sim.keys)
        printf(" --keys");
    if (options->sim.strict)
        printf(" --strict");
    if (options->sim.copies > 0)
        printf(" --copies %u", options->sim.copies);
    if (options->sim.no_takeover)
        printf(" --no-takeover");
    if (options->faults != NULL)
        printf(" --faults %s", options->faults);
    if (options->worlds != NULL)
        printf(" --%s --messages %u", options->worlds, options->sim.messages);
    if (options->sim.scale)
        printf(" --%s --messages %u --domains %u", options->sim.throughput ? "throughput" : "scale",
            options->sim.messages, options->sim.domains);
    printf("\n");
    fflush(stdout);
}

/* 1 passed, 0 failed; *hash_r is the trace's. */
static int run_once(const struct options *options, uint64_t seed, struct sim_counts *counts, uint64_t *hash_r)
{
    static struct sim *sim; /* survives the jump */
    static char what[80];
    sim = sim_new(seed, &options->sim, counts);
    if (sigsetjmp(escape, 1) != 0) {
        snprintf(what, sizeof what, "a core %s (signal %d)",
            escape_signal == SIGALRM ? "does not return" : "panicked: see above", (int)escape_signal);
        report(options, sim, what);
        return 0; /* what it owned is in an unknown state: left alone */
    }
    alarm(options->sim.world == NULL && !options->sim.scale ? SEED_SECONDS : WORLD_SECONDS);
    bool good = sim_run(sim);
    alarm(0);
    *hash_r = sim->trace.hash;
    if (!good)
        report(options, sim, sim->failure);
    sim_free(&sim);
    return good;
}

static bool run_seed(const struct options *options, uint64_t seed, struct sim_counts *counts)
{
    uint64_t first = 0, second = 0;
    if (!run_once(options, seed, counts, &first))
        return false;
    if (options->hash)
        printf("seed %" PRIu64 " trace %016" PRIx64 "\n", seed, first);
    if (!options->twice)
        return true;
    static struct sim_counts uncounted;
    if (!run_once(options, seed, &uncounted, &second))
        return false;
    if (first != second)
        printf("\nseed %" PRIu64 " FAILED: two runs differ (%016" PRIx64 ", %016" PRIx64 ")\n", seed, first,
            second);
    return first == second;
}

/* All worlds of the group with this seed. */
static bool run_worlds(const struct options *options, uint64_t seed, struct sim_counts *counts)
{
    struct options one = *options;
    bool good = true;
    while (good && (one.sim.world = fairness_next(options->worlds, one.sim.world)) != NULL)
        good = run_seed(&one, seed, counts);
    return good;
}

/* Clusters of several sizes with this seed. */
static bool run_rates(const struct options *options, uint64_t seed, struct sim_counts *counts)
{
    struct options one = *options;
    bool good = true;
    for (int turn = 0; good && rate_plan(&one.sim, turn); turn++)
        good = run_seed(&one, seed, counts);
    return good;
}

static void run_share(const struct options *options, int job, struct result *result)
{
    hash_fix_process_key(1);
    log_set_level(LOG_LEVEL_ERROR);
    catch_signals();
    for (uint64_t seed = options->from + (uint64_t)job; seed <= options->to;
         seed += (uint64_t)options->jobs) {
        bool good = options->worlds != NULL   ? run_worlds(options, seed, &result->counts)
                    : options->sim.throughput ? run_rates(options, seed, &result->counts)
                                              : run_seed(options, seed, &result->counts);
        result->passed += good;
        result->failed += !good;
        if (!good && (options->mutant_expected || result->failed >= options->failures))
            return;
    }
}

/* All counters of the struct are uint64_t: added as an array. */
static void add(struct result *all, const struct result *part)
{
    uint64_t *to = (uint64_t *)all;
    const uint64_t *from = (const uint64_t *)part;
    for (size_t i = 0; i < sizeof *all / sizeof *to; i++)
        to[i] += from[i];
}

/* The share of one job in a process of its own; its result comes through the pipe. */
static pid_t start_job(const struct options *options, int job, int *read_end)
{
    int ends[2];
    if (pipe(ends) != 0) {
        perror("sim: pipe");
        exit(2);
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct result result = {0};
        close(ends[0]);
        run_share(options, job, &result);
        fflush(stdout);
        _exit(write(ends[1], &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
    }
    close(ends[1]);
    *read_end = ends[0];
    return pid;
}

static void run_all(const struct options *options, struct result *all)
{
    if (options->jobs == 1) {
        run_share(options, 0, all);
        return;
    }
    pid_t pids[MAX_JOBS];
    int ends[MAX_JOBS];
    for (int i = 0; i < options->jobs; i++)
        pids[i] = start_job(options, i, &ends[i]);
    for (int i = 0; i < options->jobs; i++) {
        struct result part = {0};
        if (read(ends[i], &part, sizeof part) == (ssize_t)sizeof part)
            add(all, &part);
        else
            all->failed++;
        close(ends[i]);
        waitpid(pids[i], NULL, 0);
    }
}

static void print_result(const struct options *options, const struct result *result, double seconds)
{
    const struct sim_counts *c = &result->counts;
    coverage_print(c);
    printf("%" PRIu64 " messages, %" PRIu64 " deliveries: %" PRIu64 " accepted, %" PRIu64 " bounced, %" PRIu64
           " expired, %" PRIu64 " doubled (all in doubt), %" PRIu64 " ended as logged, %" PRIu64
           " doubts told, %" PRIu64 " signed; %" PRIu64 " moves, %" PRIu64 " restarts, %" PRIu64
           " segments deleted, %" PRIu64 " views, %" PRIu64 " verdicts, %" PRIu64 " heads, %" PRIu64
           " joined late and took %" PRIu64 " messages, %" PRIu64 " with an empty disk; %" PRIu64
           " checkpoints with %" PRIu64 " messages at rest, %" PRIu64 " rows found by starts, %" PRIu64
           " brought back for their backlogs, %" PRIu64 " tables lost; %" PRIu64
           " turns of members told, %" PRIu64 " of them again\n",
        c->messages, c->deliveries, c->accepted, c->bounced, c->expired, c->doubled, c->ends_logged,
        c->doubts, c->sealed, c->moves, c->restarts, c->segments, c->views, c->verdicts, c->heads,
        c->joined_late, c->late_mail, c->wrong_disks, c->checkpoints, c->parked, c->rows_found, c->brought,
        c->tables_lost, c->turns_told, c->turns_twice);
    printf("%" PRIu64 " seeds, %" PRIu64 " steps and %" PRIu64
           " between members and store in %.1f s with %d jobs: %.2f million steps a minute and job\n",
        c->seeds, c->steps, c->aside, seconds, options->jobs,
        (double)c->steps / seconds * 60 / 1e6 / options->jobs);
}

static int usage(void)
{
    fprintf(stderr,
        "usage: sim [--seeds FROM..TO | --seed N] [--steps N] [--nodes N] [--keys] [--strict] [--trace] "
        "[--hash] [--twice]\n"
        "           [--copies N] [--no-takeover] [--faults NAME,NAME...] "
        "           [--jobs N] [--failures N] [--mutant-expected] [--covered]\n"
        "       sim --scale | --throughput [--nodes N] [--domains N] [--messages N] [--copies N] [--seeds "
        "FROM..TO | --seed N]\n"
        "       sim --fairness | --scheduling [--messages N] [--seeds FROM..TO | --seed N] [--trace]\n");
    return 2;
}

static int read_seeds(const char *text, struct options *options)
{
    return sscanf(text, "%" SCNu64 "..%" SCNu64, &options->from, &options->to) == 2 ? 0 : -1;
}

static int read_faults(const char *text, struct options *options)
{
    options->faults = text;
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, ",");
        int kind = 0;
        while (kind < FAULT_KINDS && (strlen(fault_name((enum fault_kind)kind)) != len ||
                                         strncmp(fault_name((enum fault_kind)kind), at, len) != 0))
            kind++;
        if (kind == FAULT_KINDS) {
            fprintf(stderr, "sim: there is no fault `%.*s`\n", (int)len, at);
            return -1;
        }
        options->sim.faults |= UINT64_C(1) << kind;
        at += len + (at[len] == ',');
    }
    return 0;
}

static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"seeds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'o'}, {"steps", required_argument, NULL, 'n'},
        {"nodes", required_argument, NULL, 'k'}, {"jobs", required_argument, NULL, 'j'},
        {"failures", required_argument, NULL, 'f'}, {"trace", no_argument, NULL, 't'},
        {"keys", no_argument, NULL, 'y'}, {"strict", no_argument, NULL, 'x'},
        {"hash", no_argument, NULL, 'h'}, {"twice", no_argument, NULL, '2'},
        {"mutant-expected", no_argument, NULL, 'm'}, {"fairness", no_argument, NULL, 'F'},
        {"scheduling", no_argument, NULL, 'S'}, {"messages", required_argument, NULL, 'M'},
        {"copies", required_argument, NULL, 'c'}, {"faults", required_argument, NULL, 'w'},
        {"no-takeover", no_argument, NULL, 'T'}, {"covered", no_argument, NULL, 'C'},
        {"scale", no_argument, NULL, 'L'}, {"throughput", no_argument, NULL, 'R'},
        {"domains", required_argument, NULL, 'D'}, {NULL, 0, NULL, 0}};
    for (int letter; (letter = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (letter == 's' && read_seeds(optarg, options) != 0)
            return -1;
        if (letter == 'o')
            options->from = options->to = strtoull(optarg, NULL, 10);
        if (letter == 'n')
            options->sim.steps = strtoull(optarg, NULL, 10);
        if (letter == 'k')
            options->sim.nodes = (int)strtol(optarg, NULL, 10);
        if (letter == 'f')
            options->failures = strtoull(optarg, NULL, 10);
        if (letter == 'j')
            options->jobs = (int)strtol(optarg, NULL, 10);
        if (letter == 'M')
            options->sim.messages = (unsigned)strtoul(optarg, NULL, 10);
        if (letter == 'c')
            options->sim.copies = (unsigned)strtoul(optarg, NULL, 10);
        if (letter == 'w' && read_faults(optarg, options) != 0)
            return -1;
        if (letter == 'F' || letter == 'S')
            options->worlds = letter == 'F' ? "fairness" : "scheduling";
        options->sim.no_takeover |= letter == 'T';
        if (letter == 'D')
            options->sim.domains = (unsigned)strtoul(optarg, NULL, 10);
        options->sim.scale |= letter == 'L' || letter == 'R';
        options->sim.throughput |= letter == 'R';
        options->sim.keys |= letter == 'y';
        options->sim.strict |= letter == 'x';
        options->sim.trace |= letter == 't';
        options->hash |= letter == 'h';
        options->twice |= letter == '2';
        options->mutant_expected |= letter == 'm';
        options->covered |= letter == 'C';
        if (letter == '?')
            return -1;
    }
    if (options->to == 0)
        options->to = options->worlds == NULL && !options->sim.scale ? 100 : 1;
    if (options->sim.scale && options->sim.nodes == 0)
        options->sim.nodes = SIM_NODES;
    options->sim.story = options->hash || options->twice;
    bool sound = options->sim.copies <= 2 && options->jobs >= 1 && options->jobs <= MAX_JOBS &&
                 options->from <= options->to && options->sim.nodes <= SIM_NODES &&
                 (options->sim.nodes == 0 || options->sim.nodes >= 4 || options->sim.throughput) &&
                 options->sim.domains > 1 && options->sim.domains <= 10000000 && options->sim.messages > 0;
    return optind == argc && sound ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct options options = {.sim = {.steps = 2000, .messages = 20000, .domains = 1000000},
        .from = 1,
        .jobs = 1,
        .failures = 5,
        .program = argv[0]};
    if (read_options(argc, argv, &options) != 0)
        return usage();
    static struct result all;
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    run_all(&options, &all);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (options.worlds == NULL)
        print_result(&options, &all,
            (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    bool covered = !options.covered || coverage_complete(&all.counts);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", all.passed, all.failed);
    if (options.mutant_expected)
        return all.failed > 0 ? 0 : 1;
    return all.failed > 0 || !covered ? 1 : 0;
}
