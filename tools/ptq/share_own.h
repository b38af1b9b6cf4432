/* share_own.h -- what the files of ptq share share: values and numbers (share_value.c), and the list of cells (share_cells.c). */
#ifndef PTQ_TOOL_SHARE_OWN_H
#define PTQ_TOOL_SHARE_OWN_H

#include <stdbool.h>
#include <stdint.h>

#include <ptq/ptq.h>

/* By enum ptq_cell_type; 0 is of any type. */
extern const char *const share_kind_names[];

/* What a word can be read as: each of them, if it is one. */
struct share_number {
    bool is_i64, is_u64, is_f64;
    int64_t i64;
    uint64_t u64;
    double f64;
};

struct share_number share_read_number(const char *text);

/* To standard output: numbers as a line; bytes as they are, `newline` behind them or not. */
enum ptq_err share_print_value(ptq_cell *cell, bool newline);

/* The cells of `share` by name, as a table or a JSON object a line.  An exit code; why it failed is said of `name`. */
int share_print_cells(ptq_share *share, const char *name, bool json);

#endif
