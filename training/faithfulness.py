"""Whether the reasons say what moves the risk: asked of customers at risk, by changing them.

Three questions of the reason that a customer is shown first. Does the risk fall when its family is
at its norm? Does it fall more than when another family is? And is it still the first when every
figure is off by a hundredth?

The norm is the customer's own where the reason names one (`training.norms`), and for the other
families then too, as far as the customer has one. Where it names none, or there is none, the
family's columns are those of customers at low risk, one donor after the other; the risk is the
mean over them. A donor's columns go together, whatever they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from churn.bundle import Model
from churn.compiled import Booleans, Floats, Integers
from churn.events import Feed
from churn.features import FEATURES, Family
from churn.reasons import Reason, reasons
from training.norms import NORMS, OWN_NORM_REASONS, has_own_norm, to_own_norm, told
from training.packing import thresholds

ASKED = 400
DONORS = 30
NOISE = 0.01


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """How often the first reason held, of the customers at risk who have one.

    Attributes
    ----------
    asked : int
        Customers at risk that were asked about.
    told : int
        Those of them who have a reason.
    lowers : float
        Share of these whose risk falls when the family of their first reason is at its norm.
    beats_others : float
        Share of the other families that lower the risk less when they are at theirs.
    steady : float
        Share of these whose first reason stays the first with 1% noise on every figure.
    by_family : tuple of (str, int, float, float)
        The most frequent family first: how many have it as their first reason, and the first two
        shares of these.
    """

    asked: int
    told: int
    lowers: float
    beats_others: float
    steady: float
    by_family: tuple[tuple[str, int, float, float], ...]

    def metrics(self) -> dict[str, float | None]:
        """The three shares, as a manifest's metrics have them; None where nobody could be asked."""
        shares = {
            "reason_lowers_risk": self.lowers,
            "reason_beats_others": self.beats_others,
            "reason_steady": self.steady,
        }
        return {name: None if np.isnan(share) else share for name, share in shares.items()}


def faithfulness(
    model: Model, X: Floats, probability: Floats, feeds: frozenset[Feed], seed: int
) -> Faithfulness:
    """Ask a model about a few hundred of its customers at medium and high risk.

    Parameters
    ----------
    model : Model
        The model.
    X : ndarray of float64, shape (n, n_inputs)
        Input columns of customers that it has not learnt from.
    probability : ndarray of float64, shape (n,)
        What it says of them.
    feeds : frozenset of Feed
        What the log has.
    seed : int
        Of the choice of customers and donors, and of the noise.
    """
    rng = np.random.default_rng(seed)
    at_risk = probability >= thresholds(probability).medium
    chosen = X[_some(at_risk, ASKED, rng)]
    donors = X[_some(~at_risk, DONORS, rng)]
    asked = _Asked(model, chosen, feeds)
    first = asked.first
    margins = asked.margins_at_norm(donors)
    noisy = _Asked(model, with_noise(model, chosen, rng), feeds).first
    rows = [at for at, reason in enumerate(first) if reason is not None]
    lowered, beaten, same = [], [], []
    for at in rows:
        own = model.schema.families.index(_family(first[at]))
        others = [f for f in asked.known_families(at) if f != own]
        lowered.append(bool(margins[at, own] < asked.margin[at]))
        beaten.append(_mean([bool(margins[at, own] < margins[at, f]) for f in others]))
        same.append(_code(noisy[at]) == _code(first[at]))
    families = [_family(first[at]) for at in rows]
    by_family = []
    for family in sorted(set(families), key=lambda one: (-families.count(one), one)):
        there = [at for at, one in enumerate(families) if one == family]
        by_family.append(
            (
                family,
                len(there),
                _mean([lowered[at] for at in there]),
                _mean([beaten[at] for at in there]),
            )
        )
    return Faithfulness(
        len(chosen), len(rows), _mean(lowered), _mean(beaten), _mean(same), tuple(by_family)
    )


def headline(found: Faithfulness) -> str:
    """The three shares in one sentence."""
    return (
        f"Of {found.told:,} customers at risk, the risk of {found.lowers:.0%} falls when their "
        f"first reason is at its norm, in {found.beats_others:.0%} of comparisons more than by "
        f"another one, and {found.steady:.0%} keep it with 1% noise on every figure."
    )


def with_noise(model: Model, X: Floats, rng: np.random.Generator) -> Floats:
    """The same customers, every figure off by a hundredth of itself (one standard deviation).

    A whole number stays whole: nobody has 2.02 orders, and who bought once has bought all of it
    on one weekday. A category stays what it is.
    """
    noisy = X * rng.normal(1.0, NOISE, X.shape)
    noisy = np.where(np.rint(X) == X, np.rint(noisy), noisy)
    for at, column in enumerate(model.schema.extras):
        if column.kind == "categorical":
            noisy[:, model.schema.first_extra + at] = X[:, model.schema.first_extra + at]
    return noisy


class _Asked:
    """Customers, what the model says of them, and the reason that each is shown first."""

    def __init__(self, model: Model, X: Floats, feeds: frozenset[Feed]) -> None:
        self.model = model
        self.X = X
        schema = model.schema
        self.margin, self.contributions = model.explain(model.columns(X))
        for at, feed in enumerate(schema.feeds):
            if feed is not None and feed not in feeds:
                self.contributions[:, at] = 0.0
        self.used = np.abs(self.contributions).max(axis=0, initial=0.0) > 0.0
        self.first: list[Reason | None] = [
            next(iter(reasons(row, numbers, schema=schema, max_reasons=1)), None)
            for row, numbers in zip(
                (dict(zip(schema.names, row, strict=True)) for row in X.tolist()),
                self.contributions.tolist(),
                strict=True,
            )
        ]
        self.columns_of = [
            [at for at, name in enumerate(schema.names) if self._family_of(name) == family]
            for family in schema.families
        ]

    def _family_of(self, name: str) -> str:
        at = self.model.schema.position[name]
        if at >= self.model.schema.first_extra:
            return self.model.schema.extras[at - self.model.schema.first_extra].family
        return FEATURES[at].family

    def known_families(self, row: int) -> list[int]:
        """The families that the trees look at and that something is known of."""
        return [
            family
            for family, columns in enumerate(self.columns_of)
            if self.used[family] and not np.isnan(self.X[row, columns]).all()
        ]

    def margins_at_norm(self, donors: Floats) -> Floats:
        """Log-odds of each customer with each family in turn at its norm, (n, n_families)."""
        named = np.array([_code(reason) in OWN_NORM_REASONS for reason in self.first], dtype=bool)
        out = np.empty((len(self.X), len(self.model.schema.families)))
        for at, family in enumerate(self.model.schema.families):
            own = np.zeros(len(self.X), dtype=np.bool_)
            if self.model.schema.loop and family in NORMS:
                own = named & has_own_norm(self.X, Family(family))
            out[:, at] = self._mean_margin(self.columns_of[at], donors)
            if own.any():
                out[own, at] = self._own_margin(Family(family), own)
        return out

    def _own_margin(self, family: Family, own: Booleans) -> Floats:
        population = self.model.population
        assert population is not None
        X = self.X[own]
        changed = to_own_norm(X, family, told(X, family), population.horizon_days)
        return self.model.margin(self.model.columns(changed))

    def _mean_margin(self, columns: Sequence[int], donors: Floats) -> Floats:
        total = np.zeros(len(self.X))
        for donor in donors:
            changed = self.X.copy()
            changed[:, columns] = donor[columns]
            total += self.model.margin(self.model.columns(changed))
        return total / max(len(donors), 1)


def _some(chosen: Booleans, most: int, rng: np.random.Generator) -> Integers:
    return np.sort(rng.permutation(np.flatnonzero(chosen))[:most])


def _family(reason: Reason | None) -> str:
    return "" if reason is None else reason.family


def _code(reason: Reason | None) -> str:
    return "" if reason is None else reason.code


def _mean(numbers: Sequence[float]) -> float:
    known = [number for number in numbers if number == number]
    return float(np.mean(known)) if known else float("nan")
