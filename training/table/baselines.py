"""What any analyst would try first on a ready table, and what a model has to beat."""

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from churn.compiled import Floats
from churn.schema import Schema
from training.table.rows import Rows

LOGISTIC = "logistic"
LIGHTGBM = "lightgbm_default"


def predict_baselines(train: Rows, test: Rows, seed: int) -> dict[str, Floats]:
    """Churn probabilities of every baseline for the test rows, each of shape (n_test,)."""
    schema = Schema(train.columns, loop=False).learnt(train.X)
    X, there = schema.settled(train.X), schema.settled(test.X)
    coded = [at for at, column in enumerate(schema.extras) if column.kind == "categorical"]
    rule = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    rule.fit(_one_hot(X, schema), train.is_churn)
    trees = LGBMClassifier(random_state=seed, n_jobs=2, verbose=-1)
    trees.fit(X, train.is_churn, categorical_feature=coded)
    return {
        LOGISTIC: np.asarray(rule.predict_proba(_one_hot(there, schema))[:, 1]),
        # The booster itself: the scikit-learn wrapper warns of names on plain arrays.
        LIGHTGBM: np.asarray(trees.booster_.predict(there, num_threads=2)),
    }


def _one_hot(X: Floats, schema: Schema) -> Floats:
    """Numbers, whether each is missing, and a column for each category."""
    out = []
    for at, column in enumerate(schema.extras):
        numbers = X[:, at]
        out.append(np.isnan(numbers).astype(np.float64))
        if column.kind == "numeric":
            out.append(numbers)
        else:
            out += [(numbers == code).astype(np.float64) for code in column.codes]
    return np.column_stack(out)
