"""Is the new model clearly worse than the one that serves now? Asked only where it can be fair.

A model that has learnt what became of the test date's customers cannot be compared on them. So:

- the promoted model was made before the test date: both score the same customers;
- it was made later but judged on the same date and customers: its recorded figures are held
  against the intervals of the new ones;
- otherwise nothing fair can be said, and the gate says so.
"""

from datetime import date

from churn.bundle import Bundle
from churn.errors import BundleCorrupt, KeepwellError
from churn.manifest import Manifest, Verdict
from churn.model import Model
from churn.registry import Registry
from training.config import Problem
from training.fit import predict
from training.gates import Booleans, Floats, described, verdict
from training.intervals import compare, intervals
from training.snapshots import Snapshots
from training.verdicts import Gate, Outcome

NAME = "not_worse_than_promoted"
MEASURED = "upper end of the 95% interval of the gain in ROC AUC over the promoted model"
SAME_CHURN_RATE = 0.005


def promoted_gate(
    registry: Registry,
    problem: Problem,
    test: Snapshots,
    probability: Floats,
    test_date: date,
    *,
    seed: int,
) -> Gate:
    """Compare with the promoted model, if that can be fair.

    Parameters
    ----------
    registry : Registry
        Where the promoted model is.
    problem : Problem
        The question of the new model.
    test : Snapshots
        The test customers and their outcomes.
    probability : ndarray of float64, shape (n,)
        What the new model, as judged, gave them.
    test_date : date
        Their date.
    seed : int
        Of the bootstrap.
    """
    bundle = served(registry)
    if isinstance(bundle, Gate):
        return bundle
    current, manifest, record = bundle.version, bundle.manifest, bundle.manifest.verdict
    if _question(manifest) != (
        problem.horizon_days,
        problem.lead_time_days,
        problem.inactivity_days,
    ):
        return not_compared(
            f"Not compared with {current}: it answers another question (horizon, lead time or "
            "inactivity differ)."
        )
    if not _reads(bundle.model, test):
        return not_compared(f"Not compared with {current}: it reads other columns.")
    if record is None:
        return not_compared(f"Not compared with {current}: it was never judged by these gates.")
    if record.grade == "D":
        return not_compared(f"Not compared with {current}: it failed gates of its own.")
    if date.fromisoformat(record.made_at) > test_date:
        return by_record(
            current, manifest, record, test.is_churn, probability, str(test_date), seed
        )
    differences = compare(test.is_churn, probability, predict(bundle.model, test.X), seed=seed)
    better, worse = verdict(differences)
    auc = differences["roc_auc"]
    told = f"on the same {len(test):,} customers as {current} ({described(differences)})"
    return _gate(
        None if auc is None else auc.high, worse and not better, f"{told}, promoted before"
    )


def served(registry: Registry) -> Bundle | Gate:
    """The promoted model, or the gate where there is none that can be read."""
    try:
        current = registry.current()
    except BundleCorrupt as error:
        return not_compared(f"Not compared: which model is promoted cannot be read ({error}).")
    if current is None:
        return not_compared("No model is promoted yet: nothing to compare with.")
    try:
        return registry.load(current)
    except KeepwellError as error:
        return not_compared(f"Not compared with {current}: it cannot be loaded ({error}).")


def by_record(
    current: str,
    manifest: Manifest,
    record: Verdict,
    is_churn: Booleans,
    probability: Floats,
    judged_as_of: str,
    seed: int,
) -> Gate:
    """Hold the promoted model's recorded figures against the new ones, if of the same customers."""
    rate = float(is_churn.mean())
    if (
        record.judged_as_of != judged_as_of
        or record.judged_customers != len(is_churn)
        or abs(record.judged_churn_rate - rate) > SAME_CHURN_RATE
    ):
        return not_compared(
            f"Not compared with {current}: made as of {record.made_at}, it may know what became "
            f"of the customers of {judged_as_of}, and was itself judged on other ones "
            f"({record.judged_as_of})."
        )
    own = intervals(is_churn, probability, seed=seed)
    auc, loss = own["roc_auc"], own["log_loss"]
    old_auc, old_loss = manifest.metrics.get("roc_auc"), manifest.metrics.get("log_loss")
    worse = better = False
    told = []
    if auc is not None and old_auc is not None:
        worse, better = old_auc > auc.high, old_auc < auc.low
        told.append(f"ROC AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}], was {old_auc:.3f}")
    if loss is not None and old_loss is not None:
        worse, better = worse or old_loss < loss.low, better or old_loss > loss.high
        told.append(
            f"log loss {loss.value:.3f} [{loss.low:.3f}, {loss.high:.3f}], was {old_loss:.3f}"
        )
    figure = None if auc is None or old_auc is None else auc.high - old_auc
    return _gate(
        figure,
        worse and not better,
        f"than {current} as recorded on {judged_as_of} ({'; '.join(told)})",
    )


def _reads(model: Model, test: Snapshots) -> bool:
    """Whether the columns of these rows mean to this model what they mean here."""
    served = {column.name: column for column in model.schema.extras}
    here = {column.name: column for column in test.columns}
    if not model.schema.loop or list(served) != list(here):
        return False
    # A category's code is given log by log.
    return all(
        column.kind == here[name].kind
        and set(zip(column.categories, column.codes, strict=True))
        <= set(zip(here[name].categories, here[name].codes, strict=True))
        for name, column in served.items()
    )


def _question(manifest: Manifest) -> tuple[int, int, int]:
    return manifest.horizon_days, manifest.lead_time_days, manifest.inactivity_days


def not_compared(sentence: str) -> Gate:
    """The gate where nothing fair can be said, or there is nothing to compare with."""
    return Gate(NAME, MEASURED, None, 0.0, Outcome.PASSED, sentence)


def _gate(figure: float | None, worse: bool, told: str) -> Gate:
    if not worse:
        return Gate(NAME, MEASURED, figure, 0.0, Outcome.PASSED, f"It is not clearly worse {told}.")
    sentence = (
        f"It is clearly worse {told}. Look at what changed in the log or in the settings; the "
        "promoted model stays."
    )
    return Gate(NAME, MEASURED, figure, 0.0, Outcome.FAILED, sentence)
