/* log - what the operator reads
 *
 * Lines go to stderr; under systemd's journal each carries its priority as a "<n>" prefix. A line names one
 * subject first (a message id, a source, a file), so that one grep follows one message:
 *     log_info("lane 192.0.2.10/google", "closed after %d messages", n);
 *
 * Threads: any; a line is one write(2). Memory: a line is cut at 2 KiB. Control characters become '?'. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

/* Lines above `level` are dropped; the start value is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(subject, ...) log_line(LOG_LEVEL_ERROR, subject, __VA_ARGS__)
#define log_warn(subject, ...) log_line(LOG_LEVEL_WARN, subject, __VA_ARGS__)
#define log_info(subject, ...) log_line(LOG_LEVEL_INFO, subject, __VA_ARGS__)
#define log_debug(subject, ...) log_line(LOG_LEVEL_DEBUG, subject, __VA_ARGS__)

#endif
