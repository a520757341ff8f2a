"""The loops over an ensemble: which way a row goes, its margin, what each family gives to it.

First all decisions are made, a word of bits for each group of them; then every part looks up its
line (`churn.tree_tables`). `explain_rows` takes one row at a time, `explain_block` goes through
all rows of a block with each decision and part: slower to begin, far faster for each row. They add
the same numbers in the same order, so that a row has the bits alone that it has among others.
"""

import numpy as np

from churn import tree_layout as layout
from churn.compiled import Floats, Integers, Unsigned, compiled, unsigned
from churn.prefetch import NUMBERS_A_LINE, prefetch
from churn.tree_dump import BITS
from churn.tree_layout import U0, U1, U2, U3
from churn.tree_parts import DIRECT

# How a node decides: a value up to the threshold goes left, and where NaN goes, and with it zero;
# or by a set of codes.
NAN_RIGHT, NAN_LEFT, ZERO_RIGHT, ZERO_LEFT, ONE_OF = 0, 1, 2, 3, 4

_LINE = unsigned(NUMBERS_A_LINE)
_ZERO = float(np.float32(1e-35))  # what LightGBM takes for zero, in the precision it does


@compiled
def goes_left(
    number: float, how: int, threshold: float, set_start: Integers, set_words: Integers
) -> bool:
    """LightGBM's decision: numerical, or by a set of codes."""
    if how == ONE_OF:
        first = set_start[int(threshold)]
        most = BITS * (set_start[int(threshold) + 1] - first)
        # As LightGBM truncates: -0.5 is code 0. NaN compares false, so that it is no code.
        if not (-1.0 < number < most):
            return False
        code = int(number)
        among: bool = (set_words[first + code // BITS] >> (code % BITS)) & 1 == 1
        return among
    if number != number:
        return how == NAN_LEFT or how == ZERO_LEFT
    if how >= ZERO_RIGHT and abs(number) <= _ZERO:
        return how == ZERO_LEFT
    return number <= threshold


@compiled
def margins(
    X: Floats, node_start: Integers, leaf_start: Integers, feature: Integers, how: Integers,
    threshold: Floats, left: Integers, right: Integers, leaf_value: Floats, set_start: Integers,
    set_words: Integers, out: Floats,
) -> None:  # fmt: skip
    """The margin of each row, without contributions."""
    for row in range(len(X)):
        total = 0.0
        for t in range(len(node_start) - 1):
            first = node_start[t]
            node = 0 if node_start[t + 1] > first else -1
            while node >= 0:
                at = first + node
                if goes_left(X[row, feature[at]], how[at], threshold[at], set_start, set_words):
                    node = left[at]
                else:
                    node = right[at]
            total += leaf_value[leaf_start[t] - 1 - node]
        out[row] = total


@compiled
def explain_rows(
    X: Floats, used: Unsigned, feature: Unsigned, how: Integers, threshold: Floats,
    set_start: Integers, set_words: Integers, groups: Unsigned, odd: Unsigned, runs: Unsigned,
    parts: Unsigned, conditions: Unsigned, slots: Unsigned, long: Unsigned, edges: Unsigned,
    table: Floats, margin: Floats, out: Floats,
) -> None:  # fmt: skip
    """Each row's margin, and each family's contributions added to `out`."""
    n_groups = unsigned(len(groups) - 1)
    x = np.empty(len(used))
    words = np.empty(len(groups) - 1, dtype=np.uint64)
    value = np.empty(len(groups) - 1)
    n_parts = len(parts) // layout.PART_COLUMNS
    line, masks = np.empty(n_parts, dtype=np.uint64), np.empty(n_parts, dtype=np.uint64)
    for row in range(len(X)):
        for j in range(unsigned(len(used))):
            x[j] = X[row][used[j]]
        for g in range(n_groups):
            first = groups[g]
            word = U0
            for k in range(groups[g + U1] - first):
                number, nan_left = x[feature[first + k]], how[first + k] == NAN_LEFT
                goes = (number <= threshold[first + k]) | ((number != number) & nan_left)
                word |= unsigned(goes) << k
            words[g] = word
            value[g] = 0.0
        for o in range(U0, unsigned(len(odd)), U2):
            g, k = odd[o], odd[o + U1]
            at = groups[g] + k
            goes = goes_left(x[feature[at]], how[at], threshold[at], set_start, set_words)
            words[g] = words[g] ^ (words[g] & (U1 << k)) | (unsigned(goes) << k)
        for run in range(U0, unsigned(len(runs)), layout.RUN_COLUMNS):
            _find(run, runs, parts, conditions, table, words, line, masks)
        for run in range(U0, unsigned(len(runs)), layout.RUN_COLUMNS):
            if runs[run + layout.KIND] == DIRECT:
                _direct(run, runs, parts, slots, table, line, value, out[row])
            else:
                _joined(run, runs, parts, slots, table, line, masks, value, out[row])
        for leaf in range(U0, unsigned(len(long)), layout.LONG_COLUMNS):
            integrate(
                leaf, x, feature, how, threshold, set_start, set_words, long, edges, slots, table,
                value, out[row],
            )  # fmt: skip
        total = 0.0
        for g in range(n_groups):
            total += value[g]
        margin[row] = total


@compiled
def _find(
    run: int, runs: Unsigned, parts: Unsigned, conditions: Unsigned, table: Floats,
    words: Unsigned, line: Unsigned, masks: Unsigned,
) -> None:  # fmt: skip
    """Where the line of each part lies, and which of the families apart are satisfied."""
    apart, shared = runs[run + layout.ABOVE], runs[run + layout.SHARED]
    within, lanes = runs[run + layout.WIDTH] - apart, runs[run + layout.LANES]
    own = (U1 << runs[run + layout.OWN]) - U1
    stride = U1 + within
    if lanes > U0:
        stride = U1 + lanes * (U1 + within)
    c = U2 * runs[run + layout.CONDITION]
    for part in range(runs[run + layout.FIRST], runs[run + layout.LAST]):
        p = part * layout.PART_COLUMNS
        word = unsigned(words[parts[p + layout.GROUP]])
        mask = U0
        for i in range(apart):
            mask |= unsigned((word & conditions[c]) == conditions[c + U1]) << i
            c += U2
        index = ((word >> parts[p + layout.SHIFT]) & own) << shared
        for i in range(shared):
            index |= unsigned((word & conditions[c]) == conditions[c + U1]) << i
            c += U2
        at = parts[p + layout.TABLE] + index * stride
        line[part] = at
        masks[part] = mask
        for ahead in range(U0, stride, _LINE):
            prefetch(table, at + ahead)
        prefetch(table, at + stride - U1)


@compiled
def _direct(
    run: int, runs: Unsigned, parts: Unsigned, slots: Unsigned, table: Floats, line: Unsigned,
    value: Floats, out: Floats,
) -> None:  # fmt: skip
    """Parts with one table: one line each, added up."""
    width, s = runs[run + layout.WIDTH], runs[run + layout.SLOT]
    for part in range(runs[run + layout.FIRST], runs[run + layout.LAST]):
        at = line[part]
        value[parts[part * layout.PART_COLUMNS + layout.GROUP]] += table[at]
        for i in range(width):
            out[slots[s]] += table[at + U1 + i]
            s += U1


@compiled
def _joined(
    run: int, runs: Unsigned, parts: Unsigned, slots: Unsigned, table: Floats, line: Unsigned,
    masks: Unsigned, value: Floats, out: Floats,
) -> None:  # fmt: skip
    """Parts with two tables, whose lines are multiplied."""
    apart = runs[run + layout.ABOVE]
    within, lanes = runs[run + layout.WIDTH] - apart, runs[run + layout.LANES]
    everything = (U1 << apart) - U1
    s = runs[run + layout.SLOT]
    for part in range(runs[run + layout.FIRST], runs[run + layout.LAST]):
        p = part * layout.PART_COLUMNS
        at, mask = line[part], masks[part]
        if mask == everything:
            value[parts[p + layout.GROUP]] += table[at]
        multiply(mask, at + U1, parts[p + layout.TOP], apart, within, lanes, s, slots, table, out)
        s += apart + within


@compiled
def multiply(
    mask: int, at: int, top: int, apart: int, within: int, lanes: int, s: int, slots: Unsigned,
    table: Floats, out: Floats,
) -> None:  # fmt: skip
    """Add what a joined part gives to its families.

    `mask` tells which of the `apart` families above it are satisfied, `at` where the lanes of
    what is within begin, `top` those of what is above.
    """
    products = top + apart + mask * lanes
    for i in range(apart):
        bit = (mask >> i) & U1
        without = products - ((bit * lanes) << i)
        total = 0.0
        for q in range(lanes):
            total += table[without + q] * table[at + q]
        out[slots[s + i]] += total * (table[top + i] if bit == U1 else -1.0)
    for i in range(within):
        at += lanes
        total = 0.0
        for q in range(lanes):
            total += table[products + q] * table[at + q]
        out[slots[s + apart + i]] += total


@compiled
def integrate(
    leaf: int, x: Floats, feature: Unsigned, how: Integers, threshold: Floats, set_start: Integers,
    set_words: Integers, long: Unsigned, edges: Unsigned, slots: Unsigned, table: Floats,
    value: Floats, out: Floats,
) -> None:  # fmt: skip
    """A leaf that has no table, integrated."""
    width, lanes = long[leaf + layout.LONG_WIDTH], long[leaf + layout.LONG_LANES]
    at, s = long[leaf + layout.LONG_TABLE], long[leaf + layout.LONG_SLOT]
    satisfied, before = np.ones(width), np.empty(width + U1)
    reached = True
    for e in range(long[leaf + layout.LONG_EDGE], long[leaf + layout.LONG_END]):
        d, place, left = edges[U3 * e], edges[U3 * e + U1], edges[U3 * e + U2]
        goes = goes_left(x[feature[d]], how[d], threshold[d], set_start, set_words)
        if unsigned(goes) != left:
            satisfied[place] = 0.0
            reached = False
    if reached:
        value[long[leaf + layout.LONG_GROUP]] += table[at]
    rule = at + U1 + width
    for q in range(lanes):
        t = table[rule + q]
        before[U0] = table[at] * table[rule + lanes + q]
        for i in range(width):
            before[i + U1] = before[i] * (t * satisfied[i] + (1.0 - t) * table[at + U1 + i])
        after = 1.0
        for j in range(width):
            i = width - U1 - j
            weight = table[at + U1 + i]
            out[slots[s + i]] += before[i] * after * (satisfied[i] - weight)
            after *= t * satisfied[i] + (1.0 - t) * weight
