"""One customer at one `as_of`: every family in turn, written into one row.

The same source runs compiled over many customers, compiled for one, and as plain Python where
Numba is absent; the sums run in the log's canonical order, so the bits agree.
"""

from typing import Any

import numpy as np

from churn.compiled import Codes, Floats, Integers, compiled
from churn.features.assortment import assortment
from churn.features.cheque import cheque
from churn.features.collect import collect
from churn.features.complaints import complaints
from churn.features.discount import discount
from churn.features.engagement import engagement
from churn.features.frequency import frequency
from churn.features.returns import returns
from churn.features.satisfaction import satisfaction
from churn.features.silence import silence
from churn.features.tenure import tenure


@compiled
def write_row(
    time: Integers, known_at: Integers, kind: Codes, amount: Floats, value: Floats,
    discounts: Floats, order: Integers, case: Integers, category: Integers, start: int, stop: int,
    as_of: int, window: int, horizon: int, row: int, order_time: Integers, order_amount: Floats,
    order_discount: Floats, purchase_day: Integers, sorted_gap: Integers, counts: Integers,
    case_row: Integers, case_opened: Integers, category_row: Integers, category_lines: Integers,
    category_recent: Integers, out: Floats,
) -> None:  # fmt: skip
    """Write the features of the customer who owns events `start:stop` into `out`.

    `window` and `horizon` are in microseconds; `row` is any number that no earlier call with the
    same scratch has used.
    """
    begin = as_of - window
    n_orders, n_days = collect(
        time, known_at, kind, amount, discounts, order, start, stop, begin, as_of,
        order_time, order_amount, order_discount, purchase_day,
    )  # fmt: skip
    at = 0
    for number in silence(
        order_time, n_orders, purchase_day, n_days, as_of, horizon, sorted_gap
    ):  # fmt: skip
        out[at] = number
        at += 1
    for number in frequency(order_time, n_orders, purchase_day, n_days, as_of, horizon, counts):
        out[at] = number
        at += 1
    for number in tenure(order_time, n_orders, n_days, as_of):
        out[at] = number
        at += 1
    for number in cheque(order_time, order_amount, n_orders, as_of):
        out[at] = number
        at += 1
    for number in complaints(
        time, known_at, kind, value, case, start, stop, begin, as_of, n_orders, row,
        case_row, case_opened,
    ):  # fmt: skip
        out[at] = number
        at += 1
    for number in returns(
        time, known_at, kind, amount, start, stop, begin, as_of, order_time, order_amount, n_orders
    ):  # fmt: skip
        out[at] = number
        at += 1
    for number in engagement(
        time, known_at, kind, start, stop, begin, as_of, order_time, n_orders
    ):  # fmt: skip
        out[at] = number
        at += 1
    for number in satisfaction(time, known_at, kind, value, start, stop, begin, as_of):
        out[at] = number
        at += 1
    for number in discount(order_time, order_amount, order_discount, n_orders, as_of):
        out[at] = number
        at += 1
    for number in assortment(
        time, known_at, kind, category, start, stop, begin, as_of, row,
        category_row, category_lines, category_recent,
    ):  # fmt: skip
        out[at] = number
        at += 1


@compiled
def write_rows(
    time: Integers, known_at: Integers, kind: Codes, amount: Floats, value: Floats,
    discounts: Floats, order: Integers, case: Integers, category: Integers, offsets: Integers,
    customers: Integers, as_ofs: Integers, window: int, horizon: int, out: Any,
) -> None:  # fmt: skip
    """Write one row of `out` for each pair of `customers` (positions) and `as_ofs`."""
    longest = 1
    for customer in customers:
        longest = max(longest, offsets[customer + 1] - offsets[customer] + 1)
    # Codes are those of the whole log that a customer may have been taken from.
    n_cases, n_categories = _n_codes(case), _n_codes(category)
    order_time = np.zeros(longest, np.int64)
    order_amount = np.zeros(longest)
    order_discount = np.zeros(longest)
    purchase_day = np.zeros(longest, np.int64)
    sorted_gap = np.zeros(longest, np.int64)
    counts = np.zeros(31, np.int64)
    # The row that last used a case or a category: none.
    case_row = np.full(n_cases, -1, np.int64)
    case_opened = np.zeros(n_cases, np.int64)
    category_row = np.full(n_categories, -1, np.int64)
    category_lines = np.zeros(n_categories, np.int64)
    category_recent = np.zeros(n_categories, np.int64)
    for row in range(len(customers)):
        customer = customers[row]
        write_row(
            time, known_at, kind, amount, value, discounts, order, case, category,
            offsets[customer], offsets[customer + 1], as_ofs[row], window, horizon, row,
            order_time, order_amount, order_discount, purchase_day, sorted_gap, counts,
            case_row, case_opened, category_row, category_lines, category_recent,
            out[row],
        )  # fmt: skip


@compiled
def _n_codes(codes: Integers) -> int:
    n = 0
    for code in codes:
        n = max(n, code + 1)
    return n
