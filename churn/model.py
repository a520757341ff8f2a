"""The parts that score, as bytes and back: `model.joblib`, and the rows of `golden.json`.

`model.joblib` holds built-ins and plain arrays only. The golden rows tell at every load whether
the model still gives here what it gave where it was trained.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from churn import plain_pickle
from churn.calibration import Calibration
from churn.compiled import Floats
from churn.errors import BundleCorrupt, BundleUnsupported
from churn.features import FAMILIES, FEATURE_NAMES
from churn.population import MODEL_COLUMNS, MODEL_FAMILIES, Population
from churn.trees import FlatTrees

GOLDEN_TOLERANCE = 1e-9  # libm may round a logarithm differently on another machine


@dataclass(frozen=True, slots=True)
class Model:
    """The parts that turn loop features into a probability and contributions.

    Attributes
    ----------
    lightgbm_text : str
        The booster as LightGBM writes it, for the analyst; never parsed online.
    trees, population, calibration
        The same model in the form that scores.
    """

    lightgbm_text: str
    trees: FlatTrees
    population: Population
    calibration: Calibration


def model_bytes(model: Model) -> bytes:
    """The content of `model.joblib`."""
    buffer = io.BytesIO()
    joblib.dump(
        {
            "lightgbm_text": model.lightgbm_text,
            "columns": list(MODEL_COLUMNS),
            "trees": model.trees.to_dict(),
            "population": model.population.to_dict(),
            "calibration": {
                "method": model.calibration.method,
                "slope": model.calibration.slope,
                "intercept": model.calibration.intercept,
            },
        },
        buffer,
    )
    return buffer.getvalue()


def golden_bytes(model: Model, X: Floats) -> bytes:
    """The content of `golden.json`: rows of loop features (n, n_loop) and what they must give."""
    margin, contributions = model.trees.explain(model.population.transform(X))
    rows = [
        {
            "features": [None if np.isnan(number) else float(number) for number in row],
            "probability": float(probability),
            "contributions": [float(number) for number in contribution],
        }
        for row, probability, contribution in zip(
            X, model.calibration.apply(margin), contributions, strict=True
        )
    ]
    return json.dumps({"columns": list(FEATURE_NAMES), "rows": rows}).encode()


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
        if parts["columns"] != list(MODEL_COLUMNS):
            raise BundleUnsupported(
                f"{file}: the model was trained on other features than this version computes; "
                "train again with this version"
            )
        trees = FlatTrees(**parts["trees"])
        families = [FAMILIES.index(family) for family in MODEL_FAMILIES]
        if trees.families.tolist() != families or trees.n_families != len(FAMILIES):
            raise BundleUnsupported(f"{file}: the model has other reason families; train again")
        return Model(
            lightgbm_text=str(parts["lightgbm_text"]),
            trees=trees,
            population=Population(**parts["population"]),
            calibration=Calibration(**parts["calibration"]),
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
        if golden["columns"] != list(FEATURE_NAMES):
            raise BundleUnsupported(
                f"{file}: other features than this version computes; train again"
            )
        rows = golden["rows"]
        X = np.array([row["features"] for row in rows], dtype=np.float64)
        expected = np.array([row["probability"] for row in rows], dtype=np.float64)
        explained = np.array([row["contributions"] for row in rows], dtype=np.float64)
        if X.shape != (len(rows), len(FEATURE_NAMES)) or not len(rows):
            raise ValueError
        if explained.shape != (len(rows), len(FAMILIES)):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleCorrupt(
            f"{file} holds no rows to check the model with; publish the bundle again"
        ) from None
    margin, contributions = model.trees.explain(model.population.transform(X))
    probability = model.calibration.apply(margin)
    off = max(
        float(np.max(np.abs(probability - expected))),
        float(np.max(np.abs(contributions - explained))),
    )
    if not off <= GOLDEN_TOLERANCE:
        raise BundleCorrupt(
            f"{file}: the model gives other results here than where it was trained "
            f"(off by {off:.3g}); do not serve it"
        )
