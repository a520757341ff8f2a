"""The parts that score, as bytes and back: `model.joblib`, built-ins and plain arrays only."""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from churn import plain_pickle
from churn.bounds import are_sane
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


def parse_model(
    file: Path, content: bytes, passed: Callable[[str], None] = lambda check: None
) -> Model:
    """What `model_bytes` wrote; `file` is where it lay, for the messages.

    Parameters
    ----------
    file : Path
        Where it lay, for the messages.
    content : bytes
        Its bytes.
    passed : callable, optional
        Told of each check that came out well: "contents", "columns", "trees", "parts".

    Raises
    ------
    BundleCorrupt
        It is no model.
    BundleUnsupported
        A model of other features or reason families, or one that is too large.
    """
    try:
        parts = plain_pickle.read(content)
        passed("contents")
        schema = Schema.from_dict(parts["schema"])
        if parts["columns"] != list(schema.model_columns):
            raise BundleUnsupported(
                "the model was trained on other features than this version computes; "
                "train again with this version"
            )
        passed("columns")
        trees = FlatTrees(**parts["trees"])
        families = (list(schema.model_families), len(schema.families))
        if (trees.families.tolist(), trees.n_families) != families:
            raise BundleUnsupported("the model has other reason families; train again")
        passed("trees")
        model = _assembled(parts, schema, trees)
        passed("parts")
        return model
    except (BundleUnsupported, BundleCorrupt) as error:
        raise type(error)(f"{file}: {error}") from None
    except plain_pickle.NotPlain as error:
        raise BundleCorrupt(
            f"{file} holds {error}, which no bundle of Keepwell does; do not use it"
        ) from None
    except Exception as error:  # whatever a malformed pickle makes joblib raise
        raise BundleCorrupt(
            f"{file} cannot be read ({type(error).__name__}); publish the bundle again"
        ) from error


def _assembled(parts: dict[str, Any], schema: Schema, trees: FlatTrees) -> Model:
    """The model of a bundle's parts, each of which checks its own numbers."""
    if not isinstance(parts["lightgbm_text"], str):
        raise BundleCorrupt("the model's LightGBM text is none")
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
        and are_sane(usual)
    ):
        raise BundleCorrupt("the model's usual contributions are damaged")
    value = parts.get("value")  # older bundles do not know what is at stake
    loss = parts.get("loss")
    if not schema.loop and (value is not None or loss is not None):
        raise BundleCorrupt("the model's customer value reads columns that it does not have")
    return Model(
        lightgbm_text=parts["lightgbm_text"],
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
