/* panic - the end of a process that found a bug in itself
 *
 * Three kinds of trouble are kept apart: a bug ends the process here, with a core; a hopeless start is said
 * and ends with exit(2) in cli/; the weather of the internet is a value that functions return.
 * A panic costs no accepted mail: what was answered with 250 is on the disk. */
#ifndef BASE_PANIC_H
#define BASE_PANIC_H

#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)
/* What must hold where this stands; checked in every build. */
#define must(condition) ((condition) ? (void)0 : panic_at(__FILE__, __LINE__, "must hold: %s", #condition))

_Noreturn void panic_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
