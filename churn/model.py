"""The parts that score, as bytes and back: `model.joblib`, and the rows of `golden.json`.

`model.joblib` holds built-ins and plain arrays only. The golden rows tell at every load whether
the model still gives here what it gave where it was trained.
"""

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np

from churn import plain_pickle
from churn.calibration import Calibration
from churn.compiled import Floats
from churn.curve import RiskCurve
from churn.errors import BundleCorrupt, BundleUnsupported
from churn.linear import Linear
from churn.loss import LossRules
from churn.population import Population
from churn.reliability import Reliability
from churn.schema import LOOP, Schema
from churn.trees import FlatTrees
from churn.value import CustomerValue

MOST_USUAL = 20_000
GOLDEN_TOLERANCE = 1e-9  # libm may round a logarithm differently on another machine


@dataclass(frozen=True, slots=True)
class Model:
    """The parts that turn input columns into a probability and contributions.

    Attributes
    ----------
    lightgbm_text : str
        The booster as LightGBM writes it, for the analyst; never parsed online.
    trees, population, calibration
        The same model in the form that scores; no population where there is no loop.
    curve : RiskCurve
        From the margin to other horizons.
    reliability : Reliability
        How far a probability may be off.
    schema : Schema
        The columns it reads.
    linear : Linear, optional
        A linear part that the trees are averaged with.
    usual : ndarray of float64, shape (n_families,), or None
        What each reason family adds for the average customer that the model was made for;
        contributions are counted from there. None counts from the average training row.
    value : CustomerValue, optional
        What is at stake with a customer; none where no cheques are recorded.
    loss : LossRules, optional
        What kind of loss a customer would be; none where there is no loop.
    """

    lightgbm_text: str
    trees: FlatTrees
    population: Population | None
    calibration: Calibration
    curve: RiskCurve
    reliability: Reliability
    schema: Schema = LOOP
    linear: Linear | None = None
    usual: Floats | None = None
    value: CustomerValue | None = None
    loss: LossRules | None = None

    @property
    def expected_margin(self) -> float:
        """Log-odds of the average customer, which contributions are counted from."""
        expected = self.trees.expected_margin
        if self.linear is not None:
            share = self.linear.share
            expected = (1.0 - share) * expected + share * self.linear.expected
        return expected if self.usual is None else expected + float(self.usual.sum())

    def margin(self, columns: Floats) -> Floats:
        """Log-odds before calibration, shape (n,).

        Parameters
        ----------
        columns : ndarray of float64, shape (n, n_columns)
            As `columns` gives them.
        """
        margin = self.trees.margin(columns)
        return margin if self.linear is None else self.linear.blend(columns, margin)

    def explain(self, columns: Floats) -> tuple[Floats, Floats]:
        """Log-odds and what each reason family contributes to them.

        Parameters
        ----------
        columns : ndarray of float64, shape (n, n_columns)
            As `columns` gives them.

        Returns
        -------
        margin : ndarray of float64, shape (n,)
            As `margin` gives it.
        contributions : ndarray of float64, shape (n, n_families)
            Log-odds; with `expected_margin` they sum to the margin.
        """
        margin, contributions = self.trees.explain(columns)
        if self.linear is not None:
            self.linear.contribute(columns, contributions, self.trees.families)
            margin = self.linear.blend(columns, margin)
        if self.usual is not None:
            contributions -= self.usual
        return margin, contributions

    def against(self, X: Floats) -> "Model":
        """The same model, its contributions counted from the average of these customers.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns; at most `MOST_USUAL` rows, evenly spread, are looked at.
        """
        columns = self.columns(X[:: -(-len(X) // MOST_USUAL)])
        plain = replace(self, usual=None)
        return replace(self, usual=plain.explain(columns)[1].mean(axis=0))

    def columns(self, X: Floats) -> Floats:
        """The trees' columns for input columns of shape (n, n_inputs)."""
        settled = self.schema.settled(X)
        return settled if self.population is None else self.population.transform(settled)


def model_bytes(model: Model) -> bytes:
    """The content of `model.joblib`."""
    buffer = io.BytesIO()
    joblib.dump(
        {
            "lightgbm_text": model.lightgbm_text,
            "schema": model.schema.to_dict(),
            "columns": list(model.schema.model_columns),
            "trees": model.trees.to_dict(),
            "linear": None if model.linear is None else model.linear.to_dict(),
            "usual": model.usual,
            "population": None if model.population is None else model.population.to_dict(),
            "calibration": model.calibration.to_dict(),
            "curve": model.curve.to_dict(),
            "reliability": model.reliability.to_dict(),
            "value": None if model.value is None else model.value.to_dict(),
            "loss": None if model.loss is None else model.loss.to_dict(),
        },
        buffer,
    )
    return buffer.getvalue()


def golden_bytes(model: Model, X: Floats) -> bytes:
    """The content of `golden.json`: rows of input columns (n, n_inputs) and what they must give."""
    margin, contributions = model.explain(model.columns(X))
    p = model.calibration.apply(margin)
    value = _values(model, X)
    rows = [
        {
            "features": [None if np.isnan(number) else float(number) for number in row],
            "probability": float(probability),
            "curve": [float(number) for number in curve],
            "contributions": [float(number) for number in contribution],
            "value": None if np.isnan(worth) else float(worth),
        }
        for row, probability, curve, contribution, worth in zip(
            X, p, model.curve.probabilities(margin, p), contributions, value, strict=True
        )
    ]
    return json.dumps({"columns": list(model.schema.names), "rows": rows}).encode()


def parse_model(file: Path, content: bytes) -> Model:
    """What `model_bytes` wrote; `file` is where it lay, for the messages.

    Raises
    ------
    BundleCorrupt
        It is no model.
    BundleUnsupported
        A model of other features or reason families.
    """
    try:
        parts = plain_pickle.read(content)
        schema = Schema.from_dict(parts["schema"])
        if parts["columns"] != list(schema.model_columns):
            raise BundleUnsupported(
                f"{file}: the model was trained on other features than this version computes; "
                "train again with this version"
            )
        trees = FlatTrees(**parts["trees"])
        families = (list(schema.model_families), len(schema.families))
        if (trees.families.tolist(), trees.n_families) != families:
            raise BundleUnsupported(f"{file}: the model has other reason families; train again")
        population = None if parts["population"] is None else Population(**parts["population"])
        ranked = None if population is None else tuple(population.ranked.tolist())
        if ranked != (schema.ranked if schema.loop else None):
            raise BundleCorrupt("the model's population is not that of its columns")
        linear = parts.get("linear")  # older bundles have none
        linear = None if linear is None else Linear(**linear)
        if linear is not None and linear.column.max(initial=0) >= len(schema.model_columns):
            raise BundleCorrupt("the model's linear part reads columns that it does not have")
        usual = parts.get("usual")  # older bundles count from the average training row
        if usual is not None and not (
            isinstance(usual, np.ndarray)
            and usual.dtype == np.float64
            and usual.shape == (len(schema.families),)
            and np.isfinite(usual).all()
        ):
            raise BundleCorrupt("the model's usual contributions are damaged")
        value = parts.get("value")  # older bundles do not know what is at stake
        loss = parts.get("loss")
        if not schema.loop and (value is not None or loss is not None):
            raise BundleCorrupt("the model's customer value reads columns that it does not have")
        return Model(
            lightgbm_text=str(parts["lightgbm_text"]),
            trees=trees,
            population=population,
            calibration=Calibration(**parts["calibration"]),
            curve=RiskCurve(**parts["curve"]),
            reliability=Reliability(**parts["reliability"]),
            schema=schema,
            linear=linear,
            usual=usual,
            value=None if value is None else CustomerValue(**value),
            loss=None if loss is None else LossRules(**loss),
        )
    except BundleUnsupported:
        raise
    except BundleCorrupt as error:
        raise BundleCorrupt(f"{file}: {error}") from None
    except plain_pickle.NotPlain as error:
        raise BundleCorrupt(
            f"{file} holds {error}, which no bundle of Keepwell does; do not use it"
        ) from None
    except Exception as error:  # whatever a malformed pickle makes joblib raise
        raise BundleCorrupt(
            f"{file} cannot be read ({type(error).__name__}); publish the bundle again"
        ) from error


def check_golden(file: Path, content: bytes, model: Model) -> None:
    """Refuse a model that does not give what `golden_bytes` wrote down.

    Raises
    ------
    BundleCorrupt
        Other results, or no rows to compare.
    BundleUnsupported
        Rows of other features.
    """
    try:
        golden = json.loads(content)
        if golden["columns"] != list(model.schema.names):
            raise BundleUnsupported(
                f"{file}: other features than this version computes; train again"
            )
        rows = golden["rows"]
        X = np.array([row["features"] for row in rows], dtype=np.float64)
        expected = np.array([row["probability"] for row in rows], dtype=np.float64)
        curve = np.array([row["curve"] for row in rows], dtype=np.float64)
        explained = np.array([row["contributions"] for row in rows], dtype=np.float64)
        # Older bundles have none.
        worth = np.array([row.get("value") for row in rows], dtype=np.float64)
        if X.shape != (len(rows), len(model.schema)) or not len(rows):
            raise ValueError
        if explained.shape != (len(rows), len(model.schema.families)):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleCorrupt(
            f"{file} holds no rows to check the model with; publish the bundle again"
        ) from None
    margin, contributions = model.explain(model.columns(X))
    probability = model.calibration.apply(margin)
    off = float(
        np.max(
            [
                np.abs(probability - expected).max(),
                np.abs(model.curve.probabilities(margin, probability) - curve).max(),
                np.abs(contributions - explained).max(),
                _off(_values(model, X), worth).max(),
            ]
        )
    )
    if not off <= GOLDEN_TOLERANCE:
        raise BundleCorrupt(
            f"{file}: the model gives other results here than where it was trained "
            f"(off by {off:.3g}); do not serve it"
        )


def _values(model: Model, X: Floats) -> Floats:
    return np.full(len(X), np.nan) if model.value is None else model.value.value(X)[0]


def _off(found: Floats, expected: Floats) -> Floats:
    """How far amounts are from those expected, in parts of these; none where both are unknown."""
    off = np.abs(found - expected) / (1.0 + np.abs(expected))
    return np.where(np.isnan(found) & np.isnan(expected), 0.0, off)
