"""One row from input columns to the numbers of its score, in one compiled call.

`churn.matrix` takes rows through the same loops, each over a whole block. For one row most of that
is not the loops but the way to them: a dozen calls, and an array for each result. Here compiled
code calls them, so a row has the bits alone that it has among others, in a third of the time.
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
from churn.tree_kernel import explain_rows
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
    """Scores single rows with one model.

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
        """Whether single rows can be scored here: compiled, with a calibration of one formula."""
        return HAS_NUMBA and bundle.model.calibration.method != "isotonic"

    def score(self, X: Floats, missing: Integers, silenced: Integers) -> RowNumbers:
        """Score a row that has a probability.

        Parameters
        ----------
        X : ndarray of float64, shape (1, n_inputs)
            Input columns.
        missing : ndarray of int64
            Positions of the columns that the model or the caller does not have.
        silenced : ndarray of int64
            Families whose feed is absent: they contribute nothing.
        """
        out = np.empty(self._size, dtype=np.float64)
        _score(self._schema.settled(X), missing, silenced, *self._constants, out)
        numbers = out.tolist()
        after_curve = _FIRST + self._k
        after_days = after_curve + self._m
        return RowNumbers(
            numbers[0],
            numbers[3],
            int(numbers[4]),
            int(numbers[5]),
            (numbers[1], numbers[2]),
            numbers[_FIRST:after_curve],
            numbers[after_curve:after_days],
            numbers[after_days:],
        )


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
    known = X.copy()
    for at in range(len(missing)):
        known[0, missing[at]] = np.nan
    columns = known
    if has_population:
        columns = np.empty((1, n_columns))
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
            own = np.empty((1, len(ranked)))
            for at in range(len(ranked)):
                own[0, at] = known[0, ranked[at]]
            rank(own, quantiles[_N_RANKED:], columns[:, end + n_extras :])
    margin = np.empty(1)
    contributions = np.zeros((1, len(usual)))
    explain_rows(
        columns, used, feature, how, threshold, set_start, set_words, groups, odd, runs, parts,
        conditions, slots, long, edges, table, margin, contributions,
    )  # fmt: skip
    if share > 0.0:
        contribute_into(
            columns, column, center, scale, absent, average, weight, share, families,
            contributions,
        )  # fmt: skip
        blend_into(columns, column, center, scale, absent, weight, linear_intercept, share, margin)
    for family in range(len(usual)):
        contributions[0, family] -= usual[family]
    for at in range(len(silenced)):
        contributions[0, silenced[at]] = 0.0
    probability = np.empty(1)
    sigmoid(margin, above, below, intercept, probability)
    curve = np.empty((1, len(days)))
    write_curve(margin, low, high, probability, horizon, curvature, slope, curve_intercept, curve)
    until = np.empty((1, len(silent)))
    write_days_until(curve, days, silent, until)
    is_one_time = np.zeros(1, dtype=np.bool_)
    if is_loop:
        is_one_time[0] = known[0, _ONE_TIME] == 1.0
    ends = np.empty((1, 2))
    write_interval(probability, is_one_time, one_time, repeat, ends)
    out[0] = probability[0]
    out[1] = ends[0, 0]
    out[2] = ends[0, 1]
    out[3] = np.nan
    out[4] = -1.0
    out[5] = -1.0
    segment = np.empty(1, dtype=np.int8)
    if has_value:
        write_value(
            known, value_column, value_table, value_parts, margin_rate, cheque, cheque_weight,
            limits, out[3:4], segment,
        )  # fmt: skip
        out[4] = segment[0]
    if has_loss:
        write_categories(known, late, high_cheque, active, segment)
        out[5] = segment[0]
    first = _FIRST + len(days)
    out[_FIRST:first] = curve[0]
    out[first : first + len(silent)] = until[0]
    out[first + len(silent) :] = contributions[0]
