import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from churn import bundle
from churn.bundle import MODEL
from churn.columns import RARE_ROWS, UNSEEN
from churn.errors import BundleCorrupt
from churn.events import Feed
from churn.features import FAMILIES, FEATURE_NAMES, FEATURES
from churn.plain_pickle import read
from churn.population import MODEL_COLUMNS
from churn.schema import LOOP, Schema
from churn.scoring import STATUSES, Scorer
from tests.own_columns import (
    CALLS,
    COLUMNS,
    PLAN,
    STARS,
    bundle_with_own_columns,
    fitted_with_own_columns,
)
from training.boost import _masked
from training.fit import predict

N = len(FEATURES)


def dumped(content: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(content, buffer)
    return buffer.getvalue()


def test_own_columns_come_after_the_loops_and_numbers_among_them_are_ranked() -> None:
    schema = Schema(COLUMNS)
    assert schema.names == (*FEATURE_NAMES, "plan", "support_calls", "stars")
    own = ("plan", "support_calls", "stars", "support_calls_rank", "stars_rank")
    assert schema.model_columns == (*MODEL_COLUMNS, *own)
    assert schema.ranked == (N + 1, N + 2)
    assert schema.families == (*FAMILIES, "plan", "service")
    told = [schema.families[at] for at in schema.model_families[len(MODEL_COLUMNS) :]]
    assert told == ["plan", "service", "satisfaction", "service", "satisfaction"]


def test_a_family_that_an_own_column_speaks_for_is_never_absent_with_its_feed() -> None:
    schema = Schema(COLUMNS)
    own = {"plan", "service", "satisfaction"}
    for family, feed in zip(schema.families, schema.feeds, strict=True):
        assert (feed is None) == (family in own)


def test_a_table_has_its_own_columns_only() -> None:
    schema = Schema((PLAN, STARS), loop=False)
    assert schema.names == schema.model_columns == ("plan", "stars")
    assert schema.families == ("plan", "satisfaction")
    assert schema.feeds == (None, None)
    assert schema.ranked == ()


def test_a_schema_comes_back_from_built_ins() -> None:
    for schema in (LOOP, Schema(COLUMNS), Schema(COLUMNS, loop=False)):
        assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema


@pytest.mark.parametrize("name", ["tenure_days", "gap_survival", "cheque_rank", "support_calls"])
def test_two_columns_of_one_name_are_refused(name: str) -> None:
    name = "average_cheque_rank" if name == "cheque_rank" else name
    with pytest.raises(ValueError, match="same name"):
        Schema((CALLS, PLAN.replaced(name=name)))


def test_what_a_model_learnt_of_categories_travels_with_it() -> None:
    fitted, snapshots, reference, *_ = fitted_with_own_columns()
    plan = fitted.model.schema.extras[0]
    assert plan.categories == ("basic", "gold", "trial")  # `odd` has three rows a date
    assert (snapshots.X[:, N] == 3.0).sum() < RARE_ROWS
    assert plan.norm in plan.categories
    assert fitted.model.schema.extras[1].norm == np.nanmedian(reference.X[:, N + 1])


def test_a_rare_category_scores_as_one_that_was_never_seen() -> None:
    fitted, _, reference, *_ = fitted_with_own_columns()
    X = np.array(reference.X)
    scores = {}
    for code in (UNSEEN, 3.0, 77.0, 4.0):
        X[:, N] = code
        scores[code] = predict(fitted.model, X).tobytes()
    assert scores[UNSEEN] == scores[3.0] == scores[77.0] != scores[4.0]


def test_own_columns_move_the_score_and_the_family_says_by_how_much(tmp_path: Path) -> None:
    scorer = Scorer(bundle.load(bundle_with_own_columns(tmp_path)))
    _, _, reference, *_ = fitted_with_own_columns()
    scores = scorer.score_matrix(reference.X)
    assert scores.contributions is not None
    assert scores.base is not None
    scored = scores.status == STATUSES.index("scored")
    assert scored.any()
    np.testing.assert_allclose(
        scores.base[scored] + scores.contributions[scored].sum(axis=1),
        scores.margin[scored],
        rtol=0,
        atol=1e-12,
    )
    service = scorer.schema.families.index("service")
    calls = reference.X[:, N + 1]
    many, few = scored & (calls >= 4), scored & (calls <= 1)
    assert scores.contributions[many, service].mean() > 0.2
    assert scores.contributions[few, service].mean() < -0.2


def test_own_columns_are_hidden_in_training_all_together_or_one_by_one() -> None:
    hidden = _masked(np.ones((2000, N + 3)), frozenset({Feed.ORDERS}), np.random.default_rng(1))
    gone = np.isnan(hidden)
    orders = [at for at, feature in enumerate(FEATURES) if feature.feed is Feed.ORDERS]
    only_own = gone[:, N:].all(axis=1) & ~gone[:, orders].any(axis=1)
    assert 0.2 < only_own.mean() < 0.3
    some = gone[:, N:].any(axis=1) & ~gone[:, N:].all(axis=1)
    assert 0.1 < some.mean() < 0.4


def test_the_bundle_says_what_may_be_sent(tmp_path: Path) -> None:
    manifest = bundle.load(bundle_with_own_columns(tmp_path)).manifest
    plan, calls, _ = manifest.features[-3:]
    assert (plan.name, plan.kind, plan.family, plan.feed) == ("plan", "categorical", "plan", None)
    assert plan.categories == ["basic", "gold", "trial"]
    assert plan.reference.p50 is None
    assert plan.reference.missing_share == pytest.approx(0.1, abs=0.05)
    assert (calls.kind, calls.categories, calls.unit) == ("numeric", None, "calls")
    assert calls.reference.p50 is not None


@pytest.mark.parametrize("part", ["a code twice", "a text that runs", "no ranks", "other columns"])
def test_a_schema_that_does_not_fit_is_refused(tmp_path: Path, part: str) -> None:
    *_, manifest, files = fitted_with_own_columns()
    content = read(files[MODEL])
    column = content["schema"]["extras"][0]
    if part == "a code twice":
        column["codes"][1] = column["codes"][0]
    elif part == "a text that runs":
        column["text"] = dict.fromkeys(("en", "ru"), "{value.__class__}")
    elif part == "no ranks":
        content["population"]["ranked"] = content["population"]["ranked"][:0]
        content["population"]["quantiles"] = content["population"]["quantiles"][:-2]
    else:
        content["schema"]["extras"] = content["schema"]["extras"][::-1]
    folder = tmp_path / "bundle"
    folder.mkdir()
    bundle.write(folder, manifest, files | {MODEL: dumped(content)})
    with pytest.raises((BundleCorrupt, bundle.BundleUnsupported)) as error:
        bundle.load(folder)
    assert str(folder / MODEL) in str(error.value)


def test_rows_without_own_columns_are_not_a_matter_of_the_model() -> None:
    _, snapshots, *_ = fitted_with_own_columns()
    assert replace(snapshots, columns=()).columns == ()
    assert snapshots.at(snapshots.dates[0]).columns == COLUMNS
