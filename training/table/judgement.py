"""What is asked of a model of a ready table before it may be promoted."""

from datetime import UTC, datetime

from churn.manifest import GateEntry, Verdict
from churn.registry import Registry
from training.backtest import MODEL
from training.calendar import date_of
from training.config import Problem
from training.empc import expected_maximum_profit
from training.faithfulness import Faithfulness
from training.faithfulness_gates import faithfulness_gates
from training.findings import label
from training.gates import calibration_gates
from training.grade import grade
from training.incumbent import by_record, not_compared, served
from training.intervals import compare
from training.judgement import Judgement
from training.leakage_gates import table_leakage_gate
from training.metrics import evaluate
from training.table.config import TableConfig
from training.table.judged import Judged
from training.verdicts import Gate


def assess_model(
    config: TableConfig, registry: Registry, judged: Judged, faithful: Faithfulness
) -> Judgement:
    """Ask every gate that needs no purchases and no other dates, and grade the model.

    Parameters
    ----------
    config : TableConfig
        The problem, the economics and the seed.
    registry : Registry
        Has the model that is promoted now.
    judged : Judged
        Rows predicted by models that had not seen them.
    faithful : Faithfulness
        How far the reasons hold.
    """
    test, p, seed = judged.test, judged.probabilities[MODEL], config.training.seed
    names = [column.name for column in test.columns]
    gates = (
        table_leakage_gate(test.X, names, test.is_churn),
        *calibration_gates(test.is_churn, p, None, seed=seed),
        *faithfulness_gates(faithful),
        _promoted_gate(registry, config.problem, judged, seed),
    )
    losses = {name: evaluate(test.is_churn, q).log_loss for name, q in judged.probabilities.items()}
    best = min((name for name in losses if name != MODEL), key=lambda name: losses[name])
    return Judgement(
        gates,
        grade(
            gates,
            best_rule=label(best),
            against_best=compare(test.is_churn, p, judged.probabilities[best], seed=seed),
            customers=len(test),
            churned=int(test.is_churn.sum()),
            dates=len(judged.as_of) or None,
        ),
        {
            name: expected_maximum_profit(test.is_churn, q, config.business)
            for name, q in judged.probabilities.items()
        },
        faithful,
    )


def verdict_entry(judgement: Judgement, judged: Judged, now: datetime) -> Verdict:
    """The judgement as a manifest keeps it."""
    return Verdict(
        grade=judgement.grade.letter,
        sentence=judgement.grade.sentence,
        gates=[GateEntry(**gate.to_dict()) for gate in judgement.gates],
        made_at=str(now.astimezone(UTC).date()),
        judged_as_of=_judged_as_of(judged),
        judged_customers=len(judged.test),
        judged_churn_rate=float(judged.test.is_churn.mean()),
    )


def _promoted_gate(registry: Registry, problem: Problem, judged: Judged, seed: int) -> Gate:
    """Compare with the promoted model's record: it may have learnt these very rows."""
    bundle = served(registry)
    if isinstance(bundle, Gate):
        return bundle
    current, manifest, record = bundle.version, bundle.manifest, bundle.manifest.verdict
    names = tuple(column.name for column in judged.test.columns)
    asked = (problem.horizon_days, problem.lead_time_days)
    if (manifest.horizon_days, manifest.lead_time_days) != asked:
        return not_compared(f"Not compared with {current}: it answers another question.")
    if bundle.model.schema.names != names:
        return not_compared(f"Not compared with {current}: it reads other columns.")
    if record is None or record.grade == "D":
        return not_compared(f"Not compared with {current}: it passed no gates of its own.")
    test, p = judged.test, judged.probabilities[MODEL]
    return by_record(current, manifest, record, test.is_churn, p, _judged_as_of(judged), seed)


def _judged_as_of(judged: Judged) -> str:
    return str(date_of(judged.as_of[-1], UTC)) if judged.as_of else "in folds"
