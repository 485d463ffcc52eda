/* trace - the story of a run, line by line
 *
 * The last lines are kept in a ring for the report of a failure; all of them go into one hash, so that two
 * runs of a seed can be compared. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/sim.h"

void trace_start(struct trace *trace, bool aloud)
{
    trace->count = 0;
    trace->hash = 0;
    trace->aloud = aloud;
}

void trace_line(struct sim *sim, const char *who, const char *what, const char *format, ...)
{
    struct trace *trace = &sim->trace;
    if (trace->silent)
        return;
    char *line = trace->lines[trace->count++ % SIM_TRACE_LINES];
    usec_t at = sim->now - SIM_START;
    int used = snprintf(line, SIM_TRACE_WIDTH, "%6" PRId64 ".%06" PRId64 " %-5s %-9s ", at / USEC_SEC,
        at % USEC_SEC, who, what);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, SIM_TRACE_WIDTH - (size_t)used, format, args);
    va_end(args);
    trace->hash = hash64(trace->hash, line, strlen(line));
    if (trace->aloud)
        puts(line);
}

void trace_print(const struct trace *trace)
{
    uint64_t kept = trace->count < SIM_TRACE_LINES ? trace->count : SIM_TRACE_LINES;
    for (uint64_t i = trace->count - kept; i < trace->count; i++)
        puts(trace->lines[i % SIM_TRACE_LINES]);
}
