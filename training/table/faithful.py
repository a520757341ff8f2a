"""The reasons of a ready table's model, asked of rows that it has not learnt from.

A model of a table may know its own rows by heart; what its reasons are worth shows on others.
"""

from churn.bundle import Model
from churn.curve import RiskCurve
from churn.reliability import Reliability
from training.faithfulness import Faithfulness, faithfulness
from training.fit import predict
from training.table.calibrate import Decision
from training.table.config import TableConfig
from training.table.dates import window_of
from training.table.fit import boost
from training.table.folds import folds_of
from training.table.judged import Judged
from training.table.rows import Rows


def faithfulness_unseen(
    config: TableConfig, rows: Rows, judged: Judged, decision: Decision
) -> Faithfulness:
    """Ask a model made as the published one, without one fold or as of the last test date.

    Parameters
    ----------
    config : TableConfig
        The problem and the seed.
    rows : Rows
        Every labelled row.
    judged : Judged
        Has the test dates, where rows have dates.
    decision : Decision
        How the published model is made.
    """
    seed = config.training.seed
    if rows.as_of is None:
        there = folds_of(rows.group, rows.is_churn, seed) == 0
        known = ~there
    else:
        start = judged.as_of[-1]
        there, known = rows.as_of >= start, rows.as_of + window_of(config.problem) <= start
    learnt, unseen = rows.where(known), rows.where(there)
    boosted = boost(learnt, decision.capacity, seed)
    model = Model(
        lightgbm_text="",
        trees=boosted.flat(),
        population=None,
        calibration=decision.calibration,
        curve=RiskCurve.flat(config.problem.horizon_days),
        reliability=Reliability(),
        schema=boosted.schema.with_norms(learnt.X),
    ).against(learnt.X)
    return faithfulness(model, unseen.X, predict(model, unseen.X), frozenset(), seed)
