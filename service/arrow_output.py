"""From scores by column to an Arrow IPC stream. Loaded only where pyarrow is installed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from churn.compiled import Booleans, Floats, Integers
from churn.events import MICROSECONDS_PER_DAY
from churn.loss import CATEGORIES
from churn.policy.advise_many import NO_DATE, ManyActions
from churn.policy.policy import SITUATIONS
from churn.reasons_by_column import ManyReasons
from churn.scores import BANDS, STATUSES
from churn.scoring import Scorer
from churn.value import SEGMENTS
from service.columns import Answers

_ENDS = pa.struct([("low", pa.float64()), ("high", pa.float64())])
_POINT = pa.struct([("days", pa.int64()), ("probability", pa.float64())])
_DATES = pa.struct([("median", pa.date32()), ("earliest", pa.date32()), ("latest", pa.date32())])
_NAME = pa.dictionary(pa.int16(), pa.string())
_REASON = pa.struct(
    [
        ("code", pa.string()),
        ("family", pa.string()),
        ("direction", pa.string()),
        ("contribution", pa.float64()),
        ("share", pa.float64()),
        ("feature", pa.string()),
        # Numbers; a category stands apart, for a column has one type.
        ("value", pa.float64()),
        ("norm", pa.float64()),
        ("category", pa.string()),
        ("usual_category", pa.string()),
        ("controllable", pa.bool_()),
        ("text", pa.string()),
    ]
)
_MONEY = pa.struct([("amount", pa.float64()), ("currency", pa.string()), ("days", pa.int64())])
_OPTION = pa.struct(
    [
        ("code", pa.string()),
        ("expected_value", pa.float64()),
        ("lower_bound", pa.float64()),
        ("cost", pa.float64()),
    ]
)
_ACTION = pa.struct(
    [
        ("code", pa.string()),
        ("channel", pa.string()),
        ("act_by", pa.date32()),
        ("expected_value", pa.float64()),
        ("lower_bound", pa.float64()),
        ("cost", pa.float64()),
        ("why", pa.string()),
        ("alternatives", pa.list_(_OPTION)),
        ("holdout", pa.bool_()),
        ("explored", pa.bool_()),
        ("propensity", pa.float64()),
        ("situation", pa.string()),
    ]
)

SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("status", _NAME),
        ("churn_probability", pa.float64()),
        ("probability_interval", _ENDS),
        ("risk_band", _NAME),
        ("risk_curve", pa.list_(_POINT)),
        ("next_purchase", _DATES),
        ("reasons", pa.list_(_REASON)),
        ("loss_category", _NAME),
        ("value_segment", _NAME),
        ("customer_value", _MONEY),
        ("action", _ACTION),
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("warnings", pa.list_(pa.string())),
    ]
)


def write(
    scorer: Scorer,
    customer_id: Sequence[str],
    as_of: Integers,
    answers: Answers,
    metadata: dict[str, str],
) -> bytes:
    """Render the scores of n customers as a stream of one record batch.

    Parameters
    ----------
    scorer : Scorer
        What gave them.
    customer_id : sequence of str
        In the order of the request.
    as_of : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    answers : Answers
        The scores.
    metadata : dict of str to str
        What is the same for all rows.
    """
    columns = columns_of(scorer, customer_id, as_of, answers, [()] * len(as_of))
    schema = SCHEMA.with_metadata(metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def columns_of(
    scorer: Scorer,
    customer_id: Sequence[str],
    as_of: Integers,
    answers: Answers,
    warnings: Sequence[Sequence[str]],
) -> list[Any]:
    """The columns of `SCHEMA` for n customers, of whose rows `warnings` are known already."""
    scores = answers.scores
    none = scores.band < 0
    return [
        pa.array(customer_id, pa.string()),
        _named(scores.status, STATUSES),
        pa.array(scores.probability, mask=none),
        _struct(_ENDS, list(scores.interval.T), np.isnan(scores.interval[:, 0])),
        _named(scores.band, BANDS),
        _curve(scorer, scores.curve, ~none),
        _struct(_DATES, [_dates(instants) for instants in answers.next_purchase.T], none),
        _reasons(answers.reasons, scorer.schema.families),
        _named(scores.category, CATEGORIES),
        _named(scores.segment, SEGMENTS),
        _money(scorer, scores.value),
        _action(answers.action, answers.why),
        pa.array(as_of, pa.timestamp("us", tz="UTC")),
        _warnings(answers, warnings),
    ]


def _named(codes: Any, names: Sequence[str]) -> Any:
    """Names by their positions; below 0 is none."""
    indices = pa.array(codes.astype(np.int16), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def _texts(names: Sequence[str | None], at: Integers) -> Any:
    return pa.array(names, pa.string()).take(pa.array(at))


def _struct(kind: Any, columns: Sequence[Any], none: Booleans) -> Any:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(np.ascontiguousarray(column))
        for column in columns
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind), mask=pa.array(none))


def _money(scorer: Scorer, value: Floats) -> Any:
    worth = scorer.bundle.model.value
    days = 0 if worth is None else worth.days
    currency = pa.array([scorer.bundle.manifest.currency]).take(pa.array(np.zeros(len(value), int)))
    columns = [value, currency, np.full(len(value), days)]
    return _struct(_MONEY, columns, np.isnan(value))


def _curve(scorer: Scorer, curve: Floats, scored: Booleans) -> Any:
    """The points that a score shows, an empty list where there is no score."""
    layer = scorer.bundle.model.curve
    shown = curve[scored][:, layer.shown]
    points = pa.StructArray.from_arrays(
        [pa.array(np.tile(layer.days[layer.shown], len(shown))), pa.array(shown.ravel())],
        fields=list(_POINT),
    )
    return _lists(scored * len(layer.shown), points)


def _lists(counts: Any, elements: Any) -> Any:
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), elements)


def _dates(instants: Floats) -> Any:
    """Days since 1970, as Arrow counts dates."""
    none = np.isnan(instants)
    days = np.where(none, 0.0, instants).astype(np.int64) // MICROSECONDS_PER_DAY
    return pa.array(days.astype(np.int32), mask=none).cast(pa.date32())


def _reasons(many: ManyReasons, families: Sequence[str]) -> Any:
    clues, clue = many.clues, many.clue
    is_named = np.array(
        [one.column is not None and one.column.kind == "categorical" for one in clues],
        dtype=np.bool_,
    )[clue]
    controllable = np.array([one.controllable for one in clues], dtype=np.bool_)
    reasons = pa.StructArray.from_arrays(
        [
            _texts([one.code for one in clues], clue),
            _texts([str(family) for family in families], many.family),
            _texts(["lowers", "raises"], (many.contribution > 0.0).astype(np.int64)),
            pa.array(many.contribution),
            pa.array(many.share),
            _texts([one.feature for one in clues], clue),
            pa.array(many.value, mask=is_named | np.isnan(many.value)),
            pa.array(many.norm, mask=is_named | np.isnan(many.norm)),
            _categories(many, many.value, is_named),
            _categories(many, many.norm, is_named),
            pa.array(controllable[clue]),
            pa.array(many.text, pa.string()),
        ],
        fields=list(_REASON),
    )
    return _lists(many.counts, reasons)


def _categories(many: ManyReasons, codes: Floats, is_named: Booleans) -> Any:
    """Names of the categories among the numbers, null elsewhere."""
    names: list[str | float | None] = [None] * len(codes)
    for at in np.flatnonzero(is_named).tolist():
        column = many.clues[many.clue[at]].column
        assert column is not None
        names[at] = column.decode(codes[at])
    return pa.array(names, pa.string())


def _action(many: ManyActions, why: Any) -> Any:
    none = many.code < 0
    code = np.maximum(many.code, 0)
    situation = np.maximum(many.situation, 0).astype(np.int64)
    undated = many.act_by == NO_DATE
    act_by = pa.array(np.where(undated, 0, many.act_by).astype(np.int32), mask=undated)
    return _struct(
        _ACTION,
        [
            _texts(many.codes, code),
            _texts(many.channels, code),
            act_by.cast(pa.date32()),
            pa.array(many.expected_value, mask=np.isnan(many.expected_value)),
            pa.array(many.lower_bound, mask=np.isnan(many.lower_bound)),
            many.cost,
            pa.nulls(len(none), pa.string()) if why is None else pa.array(why, pa.string()),
            _alternatives(many),
            many.holdout,
            many.explored,
            many.propensity,
            _texts(SITUATIONS, situation),
        ],
        none,
    )


def _alternatives(many: ManyActions) -> Any:
    others = many.alternatives
    assert others is not None
    options = pa.StructArray.from_arrays(
        [
            _texts(many.codes, others.code),
            *(
                pa.array(column, from_pandas=True)
                for column in (others.expected_value, others.lower_bound, others.cost)
            ),
        ],
        fields=list(_OPTION),
    )
    return _lists(others.counts, options)


def _warnings(answers: Answers, known: Sequence[Sequence[str]]) -> Any:
    unseen, lists = answers.unseen, [list(row) for row in known]
    for known_of_row, more in zip(lists, answers.warned or (), strict=False):
        known_of_row += more
    if any(rows.any() for rows in unseen.values()):
        for row in np.flatnonzero(np.any(list(unseen.values()), axis=0)).tolist():
            names = [name for name, rows in unseen.items() if rows[row]]
            lists[row].append(f"categories not seen in training: {', '.join(names)}")
    return pa.array(lists, pa.list_(pa.string()))
