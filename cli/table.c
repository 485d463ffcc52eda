/* table - see table.h */
#include "cli/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

#define BOLD "\033[1m"
#define PLAIN "\033[0m"

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->columns; i++)
        free(table->heads[i]);
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->heads);
    free(table->cells);
    free(table->numbers);
    *table = (struct table){0};
}

bool table_colour(FILE *out)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(fileno(out)) == 1 && (none == NULL || none[0] == '\0') && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

/* Sorting: the order of rows is found first, then everything is moved once. */

struct order {
    const struct table *table;
    size_t column;
    int sign;
};

static int compare(const void *left, const void *right, void *context)
{
    const struct order *order = context;
    size_t a = *(const size_t *)left, b = *(const size_t *)right, columns = order->table->columns;
    double x = order->table->numbers[a * columns + order->column];
    double y = order->table->numbers[b * columns + order->column];
    int result;
    if (!isnan(x) && !isnan(y))
        result = (x > y) - (x < y);
    else if (isnan(x) != isnan(y))
        result = isnan(x) ? 1 : -1;
    else
        result = strcmp(order->table->cells[a * columns + order->column],
            order->table->cells[b * columns + order->column]);
    /* Equal rows keep their order. */
    return result != 0 ? result * order->sign : (a > b) - (a < b);
}

bool table_sort(struct table *table, const char *by)
{
    struct order order = {table, 0, by[0] == '-' ? -1 : 1};
    by += by[0] == '-';
    while (order.column < table->columns && strcmp(table->heads[order.column], by) != 0)
        order.column++;
    if (order.column == table->columns)
        return false;
    size_t count = table->rows * table->columns, *rows = xmalloc((table->rows + 1) * sizeof *rows);
    for (size_t i = 0; i < table->rows; i++)
        rows[i] = i;
    qsort_r(rows, table->rows, sizeof *rows, compare, &order);
    char **cells = xmalloc((count + 1) * sizeof *cells);
    double *numbers = xmalloc((count + 1) * sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        size_t from = rows[i / table->columns] * table->columns + i % table->columns;
        cells[i] = table->cells[from];
        numbers[i] = table->numbers[from];
    }
    free(rows);
    free(table->cells);
    free(table->numbers);
    table->cells = cells;
    table->numbers = numbers;
    return true;
}

/* Printing */

static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* C0, DEL and, as UTF-8, C1 controls become '?'. */
static void put_safe(const char *text, FILE *out)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at < 0x20 || *at == 0x7f) {
            putc('?', out);
        } else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
            putc('?', out);
            at++;
        } else {
            putc(*at, out);
        }
    }
}

static const char *colour_of(const char *text)
{
    static const struct {
        const char *word, *colour;
    } words[] = {
        {"ok", "\033[32m"},
        {"running", "\033[32m"},
        {"delivered", "\033[32m"},
        {"deferred", "\033[33m"},
        {"warning", "\033[33m"},
        {"stopping", "\033[33m"},
        {"bounced", "\033[31m"},
        {"expired", "\033[31m"},
        {"full", "\033[31m"},
        {"blocked", "\033[31m"},
        {"critical", "\033[31m"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, text) == 0)
            return words[i].colour;
    return NULL;
}

static void put_cell(const char *text, bool colour, FILE *out)
{
    const char *paint = colour ? colour_of(text) : NULL;
    if (paint != NULL)
        fputs(paint, out);
    put_safe(text, out);
    if (paint != NULL)
        fputs(PLAIN, out);
}

static void pad(size_t count, FILE *out)
{
    while (count-- > 0)
        putc(' ', out);
}

static void print_heads(const struct table *table, const size_t *widths, const bool *right, FILE *out)
{
    for (size_t c = 0; c < table->columns; c++) {
        size_t gap = widths[c] - width_of(table->heads[c]);
        bool last = c + 1 == table->columns;
        pad(right[c] ? gap : 0, out);
        put_safe(table->heads[c], out);
        pad(last ? 0 : (right[c] ? 0 : gap) + 2, out);
    }
}

static void print_row(
    const struct table *table, size_t row, const size_t *widths, const bool *right, bool colour, FILE *out)
{
    for (size_t c = 0; c < table->columns; c++) {
        const char *cell = table->cells[row * table->columns + c];
        size_t gap = widths[c] - width_of(cell);
        bool last = c + 1 == table->columns;
        pad(right[c] ? gap : 0, out);
        put_cell(cell, colour, out);
        pad(last ? 0 : (right[c] ? 0 : gap) + 2, out);
    }
    putc('\n', out);
}

void table_print(const struct table *table, size_t limit, bool colour, FILE *out)
{
    size_t rows = limit > 0 && limit < table->rows ? limit : table->rows;
    size_t *widths = xcalloc(table->columns + 1, sizeof *widths);
    bool *right = xcalloc(table->columns + 1, sizeof *right);
    for (size_t c = 0; c < table->columns; c++) {
        widths[c] = width_of(table->heads[c]);
        right[c] = rows > 0;
        for (size_t r = 0; r < rows; r++) {
            size_t width = width_of(table->cells[r * table->columns + c]);
            widths[c] = width > widths[c] ? width : widths[c];
            right[c] = right[c] && !isnan(table->numbers[r * table->columns + c]);
        }
    }
    fputs(colour ? BOLD : "", out);
    print_heads(table, widths, right, out);
    fputs(colour ? PLAIN "\n" : "\n", out);
    for (size_t r = 0; r < rows; r++)
        print_row(table, r, widths, right, colour, out);
    free(widths);
    free(right);
}

void table_print_upright(const struct table *table, size_t limit, bool colour, FILE *out)
{
    size_t rows = limit > 0 && limit < table->rows ? limit : table->rows;
    size_t width = 0;
    for (size_t c = 0; c < table->columns; c++)
        width = width_of(table->heads[c]) > width ? width_of(table->heads[c]) : width;
    for (size_t i = 0; i < rows * table->columns; i++) {
        size_t c = i % table->columns;
        if (c == 0 && i > 0)
            putc('\n', out);
        /* What a row does not have is left out. */
        if (table->cells[i][0] == '\0')
            continue;
        fputs(colour ? BOLD : "", out);
        put_safe(table->heads[c], out);
        fputs(colour ? PLAIN : "", out);
        pad(width - width_of(table->heads[c]) + 2, out);
        put_cell(table->cells[i], colour, out);
        putc('\n', out);
    }
}
