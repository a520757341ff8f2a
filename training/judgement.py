"""Everything that is asked of a trained model before it may be promoted, in one place."""

from dataclasses import dataclass

from churn.events import MICROSECONDS_PER_DAY, Feed
from churn.manifest import GateEntry, Verdict
from churn.registry import Registry
from training.backtest import MODEL, Judged
from training.calendar import date_of
from training.config import Config
from training.empc import CampaignProfit, expected_maximum_profit
from training.faithfulness import Faithfulness, faithfulness
from training.faithfulness_gates import faithfulness_gates
from training.findings import label
from training.gates import (
    RECENCY_RULE,
    beats_recency_gate,
    calibration_gates,
    stability_gates,
)
from training.grade import grade
from training.incumbent import promoted_gate
from training.intervals import compare
from training.leakage import inspect, inspect_model
from training.leakage_gates import leakage_gates
from training.metrics import evaluate
from training.snapshots import Snapshots
from training.verdicts import Gate, Grade


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was made of a model.

    Attributes
    ----------
    gates : tuple of Gate
    grade : Grade
    empc : dict of str to CampaignProfit
        Expected maximum profit with the model and with every baseline.
    faithfulness : Faithfulness
        How far the reasons hold.
    """

    gates: tuple[Gate, ...]
    grade: Grade
    empc: dict[str, CampaignProfit]
    faithfulness: Faithfulness

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that keep the model from being promoted."""
        return tuple(gate for gate in self.gates if not gate.passed)


def assess(
    config: Config,
    registry: Registry,
    judged: Judged,
    snapshots: Snapshots,
    feeds: frozenset[Feed],
) -> Judgement:
    """Ask every gate about a model that was judged out of time, and grade it.

    Parameters
    ----------
    config : Config
        The problem and the seed.
    registry : Registry
        Has the model that is promoted now.
    judged : Judged
        The model as judged, the baselines, and the earlier dates.
    snapshots : Snapshots
        Labelled rows of the test date and of earlier dates, to ask each column.
    feeds : frozenset of Feed
        What the log has.
    """
    test, p, seed = judged.test, judged.probabilities[MODEL], config.training.seed
    problem = config.problem
    date = test.dates[0]
    evidence = inspect(
        snapshots,
        date,
        window=(problem.lead_time_days + problem.horizon_days) * MICROSECONDS_PER_DAY,
        horizon_days=problem.horizon_days,
        seed=seed,
    )
    last = judged.earlier[0] if judged.earlier else None
    before = {} if last is None else {
        customer: (float(probability), bool(left))
        for customer, probability, left in zip(
            last.customer_id.tolist(), last.probability, last.is_churn, strict=True
        )
    }  # fmt: skip
    metrics = {name: evaluate(test.is_churn, q) for name, q in judged.probabilities.items()}
    recency, against_recency = beats_recency_gate(
        test.is_churn, p, judged.probabilities[RECENCY_RULE], seed=seed
    )
    faithful = faithfulness(judged.fitted.model, test.X, p, feeds, seed)
    gates = (
        *leakage_gates(evidence, inspect_model(test, p, before), metrics[MODEL].roc_auc),
        recency,
        *calibration_gates(test.is_churn, p, test.is_one_time, seed=seed),
        *stability_gates(test.is_churn, p, judged.earlier),
        *faithfulness_gates(faithful),
        promoted_gate(registry, problem, test, p, date_of(date, config.events.zone), seed=seed),
    )
    best = min((name for name in metrics if name != MODEL), key=lambda one: metrics[one].log_loss)
    against_best = (
        against_recency
        if best == RECENCY_RULE
        else compare(test.is_churn, p, judged.probabilities[best], seed=seed)
    )
    return Judgement(
        gates,
        grade(
            gates,
            best_rule=label(best),
            against_best=against_best,
            customers=len(test),
            churned=int(test.is_churn.sum()),
            dates=1 + len(judged.earlier),
        ),
        {
            name: expected_maximum_profit(test.is_churn, q, config.business)
            for name, q in judged.probabilities.items()
        },
        faithful,
    )


def verdict_entry(judgement: Judgement, judged: Judged, config: Config, made_at: int) -> Verdict:
    """The judgement as a manifest keeps it; `made_at` is up to when the model has learnt."""
    zone = config.events.zone
    return Verdict(
        grade=judgement.grade.letter,
        sentence=judgement.grade.sentence,
        gates=[GateEntry(**gate.to_dict()) for gate in judgement.gates],
        made_at=str(date_of(made_at, zone)),
        judged_as_of=str(date_of(judged.test.dates[0], zone)),
        judged_customers=len(judged.test),
        judged_churn_rate=float(judged.test.is_churn.mean()),
    )
