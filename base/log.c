/* log - see log.h */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_MAX_BYTES = 2048 };

static _Atomic int threshold = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

static int write_prefix(char *line, enum log_level level)
{
    static const char *const word[] = {"", "", "", "error ", "warning ", "", "", "debug "};
    if (getenv("JOURNAL_STREAM") != NULL)
        return snprintf(line, LINE_MAX_BYTES, "<%d>", (int)level);
    char time[32];
    return snprintf(line, LINE_MAX_BYTES, "%s %s", clock_rfc3339(clock_now(), time), word[level & 7]);
}

void log_line(enum log_level level, const char *subject, const char *format, ...)
{
    if ((int)level > atomic_load(&threshold))
        return;
    char line[LINE_MAX_BYTES + 1];
    int used = write_prefix(line, level);
    used += snprintf(line + used, (size_t)(LINE_MAX_BYTES - used), "%.200s: ", subject);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + used, (size_t)(LINE_MAX_BYTES - used), format, args);
    va_end(args);
    used = more < 0 ? used : used + more;
    if (used > LINE_MAX_BYTES - 1)
        used = LINE_MAX_BYTES - 1;
    for (int i = 0; i < used; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 127)
            line[i] = '?';
    line[used++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)used);
    (void)ignored;
}
