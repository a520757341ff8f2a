"""`churn.tree_kernel.explain_rows` for many rows: each decision and part for all rows of a block.

The loops over rows are innermost, so that they compile to vector instructions and a part's table
stays in the nearest cache. Measured by `python -m benchmarks kernel`.
"""

import numpy as np

from churn import tree_layout as layout
from churn.compiled import Floats, Integers, Unsigned, compiled, unsigned
from churn.prefetch import NUMBERS_A_LINE, prefetch
from churn.tree_kernel import NAN_LEFT, goes_left, integrate, multiply
from churn.tree_layout import U0, U1, U2
from churn.tree_parts import DIRECT

ROWS = 64
AHEAD = 4
"""Parts whose lines are asked for before the first of them is read."""
_AHEAD, _LINE = unsigned(AHEAD), unsigned(NUMBERS_A_LINE)


@compiled
def explain_blocks(
    X: Floats, used: Unsigned, feature: Unsigned, how: Integers, threshold: Floats,
    set_start: Integers, set_words: Integers, groups: Unsigned, odd: Unsigned, runs: Unsigned,
    parts: Unsigned, conditions: Unsigned, slots: Unsigned, long: Unsigned, edges: Unsigned,
    table: Floats, margin: Floats, out: Floats,
) -> None:  # fmt: skip
    """Each row's margin, and each family's contributions."""
    n_groups = unsigned(len(groups) - 1)
    x = np.empty((ROWS, len(used)))
    columns = np.empty((len(used), ROWS))
    words = np.empty((len(groups) - 1, ROWS), dtype=np.uint64)
    value = np.empty((len(groups) - 1, ROWS))
    by_family = np.empty((out.shape[1], ROWS))
    line = np.empty((AHEAD, ROWS), dtype=np.uint64)
    mask = np.empty((AHEAD, ROWS), dtype=np.uint64)
    for start in range(0, len(X), ROWS):
        begin = unsigned(start)
        n = unsigned(min(ROWS, len(X) - start))
        for r in range(n):
            for j in range(unsigned(len(used))):
                x[r, j] = X[begin + r, used[j]]
                columns[j, r] = x[r, j]
        by_family[:] = 0.0
        value[:] = 0.0
        for g in range(n_groups):
            first = groups[g]
            word = words[g]
            for r in range(n):
                word[r] = U0
            for k in range(groups[g + U1] - first):
                column, limit = columns[feature[first + k]], threshold[first + k]
                if how[first + k] == NAN_LEFT:
                    for r in range(n):
                        word[r] |= unsigned((column[r] <= limit) | (column[r] != column[r])) << k
                else:
                    for r in range(n):
                        word[r] |= unsigned(column[r] <= limit) << k
        for o in range(U0, unsigned(len(odd)), U2):
            g, k = odd[o], odd[o + U1]
            at = groups[g] + k
            column, word = columns[feature[at]], words[g]
            for r in range(n):
                goes = goes_left(column[r], how[at], threshold[at], set_start, set_words)
                word[r] = word[r] ^ (word[r] & (U1 << k)) | (unsigned(goes) << k)
        n_runs = unsigned(len(runs))
        for run in range(U0, n_runs, layout.RUN_COLUMNS):
            if runs[run + layout.KIND] == DIRECT:
                _direct(
                    n, run, runs, parts, conditions, slots, table, words, value, line, by_family
                )
        # Direct parts come first among the runs, so that a row's sums keep their order.
        for r in range(n):
            for family in range(unsigned(out.shape[1])):
                out[begin + r, family] = by_family[family, r]
        for run in range(U0, n_runs, layout.RUN_COLUMNS):
            if runs[run + layout.KIND] != DIRECT:
                _joined(
                    begin, n, run, runs, parts, conditions, slots, table, words, value, line,
                    mask, out,
                )  # fmt: skip
        for leaf in range(U0, unsigned(len(long)), layout.LONG_COLUMNS):
            for r in range(n):
                integrate(
                    leaf, x[r], feature, how, threshold, set_start, set_words, long, edges, slots,
                    table, value[:, r], out[begin + r],
                )  # fmt: skip
        for r in range(n):
            total = 0.0
            for g in range(n_groups):
                total += value[g, r]
            margin[begin + r] = total


@compiled
def _match(n: int, c: int, bit: int, conditions: Unsigned, word: Unsigned, found: Unsigned) -> None:
    """Set a bit for the rows that satisfy a family above a part."""
    asked, wanted = conditions[c], conditions[c + U1]
    for r in range(n):
        found[r] |= unsigned((word[r] & asked) == wanted) << bit


@compiled
def _direct(
    n: int, run: int, runs: Unsigned, parts: Unsigned, conditions: Unsigned, slots: Unsigned,
    table: Floats, words: Unsigned, value: Floats, line: Unsigned, by_family: Floats,
) -> None:  # fmt: skip
    above, width = runs[run + layout.SHARED], runs[run + layout.WIDTH]
    own = (U1 << runs[run + layout.OWN]) - U1
    c, s = U2 * runs[run + layout.CONDITION], runs[run + layout.SLOT]
    end = runs[run + layout.LAST]
    for start in range(runs[run + layout.FIRST], end, _AHEAD):
        some = min(_AHEAD, end - start)
        for ahead in range(some):
            p = (start + ahead) * layout.PART_COLUMNS
            word, index = words[parts[p + layout.GROUP]], line[ahead]
            shift, first = parts[p + layout.SHIFT], parts[p + layout.TABLE]
            for r in range(n):
                index[r] = ((word[r] >> shift) & own) << above
            for i in range(above):
                _match(n, c, i, conditions, word, index)
                c += U2
            _ask(n, first, width + U1, table, index)
        for ahead in range(some):
            p = (start + ahead) * layout.PART_COLUMNS
            reached, index = value[parts[p + layout.GROUP]], line[ahead]
            for r in range(n):
                reached[r] += table[index[r]]
            for i in range(width):
                total = by_family[slots[s]]
                for r in range(n):
                    total[r] += table[index[r] + U1 + i]
                s += U1


@compiled
def _ask(n: int, first: int, stride: int, table: Floats, index: Unsigned) -> None:
    """Make indices of lines the places of their numbers, and have these fetched."""
    for r in range(n):
        index[r] = first + index[r] * stride
        for at in range(U0, stride, _LINE):
            prefetch(table, index[r] + at)
        prefetch(table, index[r] + stride - U1)


@compiled
def _joined(
    begin: int, n: int, run: int, runs: Unsigned, parts: Unsigned, conditions: Unsigned,
    slots: Unsigned, table: Floats, words: Unsigned, value: Floats, line: Unsigned,
    masks: Unsigned, out: Floats,
) -> None:  # fmt: skip
    apart, shared = runs[run + layout.ABOVE], runs[run + layout.SHARED]
    within, lanes = runs[run + layout.WIDTH] - apart, runs[run + layout.LANES]
    own = (U1 << runs[run + layout.OWN]) - U1
    everything = (U1 << apart) - U1
    c, s = U2 * runs[run + layout.CONDITION], runs[run + layout.SLOT]
    end = runs[run + layout.LAST]
    for start in range(runs[run + layout.FIRST], end, _AHEAD):
        some = min(_AHEAD, end - start)
        for ahead in range(some):
            p = (start + ahead) * layout.PART_COLUMNS
            word, index, mask = words[parts[p + layout.GROUP]], line[ahead], masks[ahead]
            shift, first = parts[p + layout.SHIFT], parts[p + layout.TABLE]
            for r in range(n):
                index[r] = ((word[r] >> shift) & own) << shared
                mask[r] = U0
            for i in range(apart):
                _match(n, c, i, conditions, word, mask)
                c += U2
            for i in range(shared):
                _match(n, c, i, conditions, word, index)
                c += U2
            _ask(n, first, U1 + lanes * (U1 + within), table, index)
        for ahead in range(some):
            p = (start + ahead) * layout.PART_COLUMNS
            reached, index, mask = value[parts[p + layout.GROUP]], line[ahead], masks[ahead]
            for r in range(n):
                if mask[r] == everything:
                    reached[r] += table[index[r]]
                multiply(
                    mask[r], index[r] + U1, parts[p + layout.TOP], apart, within, lanes, s, slots,
                    table, out[begin + r],
                )  # fmt: skip
            s += apart + within
