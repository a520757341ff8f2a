"""A few rows from input columns to the numbers of their scores, in one compiled call.

`churn.matrix` takes rows through the same loops, one after the other over a whole block. For one
row, or a few, most of that is not the loops but the way to them: a dozen calls, and an array for
each result. Here compiled code calls them, so a row has the bits that it has there, in a third of
the time.
"""

from typing import NamedTuple

import numpy as np

from churn.bundle import Bundle
from churn.calibration import sigmoid
from churn.compiled import HAS_NUMBA, Floats, Integers, Unsigned, compiled
from churn.curve import write_curve, write_days_until
from churn.features import POSITION
from churn.linear import blend_into, contribute_into
from churn.loss import write_categories
from churn.population import N_LOOP, UNRANKED, rank
from churn.reliability import write_interval
from churn.rhythm import INPUTS, shrink
from churn.tree_block import explain_blocks
from churn.tree_kernel import explain_rows
from churn.trees import FEW
from churn.value import PARTS, write_value

_ONE_TIME = POSITION["is_one_time_buyer"]
_N_RANKED = len(UNRANKED)
_NO_PLACES = np.empty(0, dtype=np.int64)
_NO_NUMBERS = np.empty(0, dtype=np.float64)
_NO_TABLE = np.empty((0, 0), dtype=np.float64)
_NO_VALUE = (
    _NO_PLACES,
    np.empty((0, 3 + len(PARTS))),
    np.zeros((3, len(PARTS))),
    *(0.0,) * 3,
    np.zeros(2),
)
_FIRST = 6
"""Where the curve begins, after the probability, its interval, value, segment and category."""


class RowNumbers(NamedTuple):
    """A customer's row of `churn.scores.MatrixScores`, and the days until the next purchase."""

    probability: float
    value: float
    segment: int
    category: int
    interval: tuple[float, float]
    curve: list[float]
    until: list[float]
    contributions: list[float]


class RowScorer:
    """Scores a few rows at a time with one model.

    Parameters
    ----------
    bundle : Bundle
        A verified model for which `is_for` holds.
    silent : sequence of float
        Probabilities of no purchase: the day is told by which each is reached.
    """

    def __init__(self, bundle: Bundle, silent: tuple[float, ...]) -> None:
        model = bundle.model
        linear, population, curve = model.linear, model.population, model.curve
        value, loss = model.value, model.loss
        widths = (model.reliability.one_time, model.reliability.repeat)
        one_time, repeat = (np.nan if width is None else width for width in widths)
        rhythm = None if population is None else population.rhythm
        self._schema = model.schema
        self._k, self._m = len(curve.days), len(silent)
        self._size = _FIRST + self._k + self._m + model.trees.n_families
        self._constants = (
            rhythm is not None,
            _NO_NUMBERS if rhythm is None else rhythm.gaps,
            *((0.0,) * 4 if rhythm is None else rhythm.constants),
            _NO_TABLE if population is None else population.quantiles,
            _NO_PLACES if population is None else population.ranked,
            len(model.schema.model_columns),
            *model.trees.program,
            0.0 if linear is None else linear.share,
            0.0 if linear is None else linear.intercept,
            _NO_PLACES if linear is None else linear.column,
            *((_NO_NUMBERS,) * 5 if linear is None else linear.tables),
            model.trees.families,
            np.zeros(model.trees.n_families) if model.usual is None else model.usual,
            model.calibration.above,
            model.calibration.below,
            model.calibration.intercept,
            curve.low,
            curve.high,
            curve.horizon,
            curve.curvature,
            curve.slope,
            curve.intercept,
            curve.days,
            np.array(silent),
            model.schema.loop,
            one_time,
            repeat,
            value is not None,
            *(_NO_VALUE if value is None else value.tables),
            loss is not None,
            *((np.inf,) * 3 if loss is None else (loss.late, loss.high_cheque, loss.active)),
        )

    @staticmethod
    def is_for(bundle: Bundle) -> bool:
        """Whether rows can be scored here: compiled, with a calibration of one formula."""
        return HAS_NUMBA and bundle.model.calibration.method != "isotonic"

    def score(self, X: Floats, missing: Integers, silenced: Integers) -> list[RowNumbers]:
        """Score rows that have a probability.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns.
        missing : ndarray of int64
            Positions of the columns that the model or the caller does not have.
        silenced : ndarray of int64
            Families whose feed is absent: they contribute nothing.
        """
        out = np.empty((len(X), self._size), dtype=np.float64)
        _score(self._schema.settled(X), missing, silenced, *self._constants, out)
        after_curve = _FIRST + self._k
        after_days = after_curve + self._m
        return [
            RowNumbers(
                numbers[0],
                numbers[3],
                int(numbers[4]),
                int(numbers[5]),
                (numbers[1], numbers[2]),
                numbers[_FIRST:after_curve],
                numbers[after_curve:after_days],
                numbers[after_days:],
            )
            for numbers in out.tolist()
        ]


@compiled
def _score(
    X: Floats, missing: Integers, silenced: Integers,
    has_population: bool, gaps: Floats, log_mean: float, log_deviation: float, mean: float,
    horizon_days: float, quantiles: Floats, ranked: Integers, n_columns: int,
    used: Unsigned, feature: Unsigned, how: Integers, threshold: Floats, set_start: Integers,
    set_words: Integers, groups: Unsigned, odd: Unsigned, runs: Unsigned, parts: Unsigned,
    conditions: Unsigned, slots: Unsigned, long: Unsigned, edges: Unsigned, table: Floats,
    share: float, linear_intercept: float, column: Integers, center: Floats, scale: Floats,
    absent: Floats, average: Floats, weight: Floats, families: Integers, usual: Floats,
    above: float, below: float, intercept: float, low: float, high: float, horizon: int,
    curvature: Floats, slope: Floats, curve_intercept: Floats, days: Integers, silent: Floats,
    is_loop: bool, one_time: float, repeat: float,
    has_value: bool, value_column: Integers, value_table: Floats, value_parts: Floats,
    margin_rate: float, cheque: float, cheque_weight: float, limits: Floats,
    has_loss: bool, late: float, high_cheque: float, active: float, out: Floats,
) -> None:  # fmt: skip
    """Write probability, interval, value, segment, category, curve, days until, contributions."""
    n = len(X)
    known = X.copy()
    for row in range(n):
        for at in range(len(missing)):
            known[row, missing[at]] = np.nan
    columns = known
    if has_population:
        columns = np.empty((n, n_columns))
        end = 2 * _N_RANKED
        n_extras = known.shape[1] - N_LOOP
        columns[:, :N_LOOP] = known[:, :N_LOOP]
        shrink(
            known, gaps, log_mean, log_deviation, mean, horizon_days,
            columns[:, N_LOOP:_N_RANKED], *INPUTS,
        )  # fmt: skip
        rank(columns[:, :_N_RANKED], quantiles[:_N_RANKED], columns[:, _N_RANKED:end])
        if n_extras > 0:
            columns[:, end : end + n_extras] = known[:, N_LOOP:]
            own = np.empty((n, len(ranked)))
            for row in range(n):
                for at in range(len(ranked)):
                    own[row, at] = known[row, ranked[at]]
            rank(own, quantiles[_N_RANKED:], columns[:, end + n_extras :])
    margin = np.empty(n)
    contributions = np.zeros((n, len(usual)))
    if n < FEW:
        explain_rows(
            columns, used, feature, how, threshold, set_start, set_words, groups, odd, runs, parts,
            conditions, slots, long, edges, table, margin, contributions,
        )  # fmt: skip
    else:
        explain_blocks(
            columns, used, feature, how, threshold, set_start, set_words, groups, odd, runs, parts,
            conditions, slots, long, edges, table, margin, contributions,
        )  # fmt: skip
    if share > 0.0:
        contribute_into(
            columns, column, center, scale, absent, average, weight, share, families,
            contributions,
        )  # fmt: skip
        blend_into(columns, column, center, scale, absent, weight, linear_intercept, share, margin)
    for row in range(n):
        for family in range(len(usual)):
            contributions[row, family] -= usual[family]
        for at in range(len(silenced)):
            contributions[row, silenced[at]] = 0.0
    probability = np.empty(n)
    sigmoid(margin, above, below, intercept, probability)
    curve = np.empty((n, len(days)))
    write_curve(margin, low, high, probability, horizon, curvature, slope, curve_intercept, curve)
    until = np.empty((n, len(silent)))
    write_days_until(curve, days, silent, until)
    is_one_time = np.zeros(n, dtype=np.bool_)
    if is_loop:
        for row in range(n):
            is_one_time[row] = known[row, _ONE_TIME] == 1.0
    ends = np.empty((n, 2))
    write_interval(probability, is_one_time, one_time, repeat, ends)
    worth = np.full(n, np.nan)
    segment, category = np.full(n, -1, dtype=np.int8), np.full(n, -1, dtype=np.int8)
    if has_value:
        write_value(
            known, value_column, value_table, value_parts, margin_rate, cheque, cheque_weight,
            limits, worth, segment,
        )  # fmt: skip
    if has_loss:
        write_categories(known, late, high_cheque, active, category)
    first = _FIRST + len(days)
    for row in range(n):
        out[row, 0] = probability[row]
        out[row, 1] = ends[row, 0]
        out[row, 2] = ends[row, 1]
        out[row, 3] = worth[row]
        out[row, 4] = segment[row]
        out[row, 5] = category[row]
        out[row, _FIRST:first] = curve[row]
        out[row, first : first + len(silent)] = until[row]
        out[row, first + len(silent) :] = contributions[row]
