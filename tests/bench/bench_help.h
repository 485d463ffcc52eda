/* bench_help - what the small benchmarks share */
#ifndef TESTS_BENCH_HELP_H
#define TESTS_BENCH_HELP_H

#include "base/clock.h"

/* Processor time of this process so far, user and system. */
usec_t bench_cpu(void);
/* A folder with plain files in it goes. */
void bench_remove(const char *path);

#endif
