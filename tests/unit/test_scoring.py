import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from churn.bundle import Bundle, load
from churn.errors import RequestError, UnknownFeature
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Feed, Kind, customer_log
from churn.features import FAMILIES, FEATURE_NAMES, FEATURES, POSITION, Family, Feature, features
from churn.history import History
from churn.loss import CATEGORIES
from churn.manifest import Thresholds
from churn.policy.default import default_policy
from churn.registry import Registry
from churn.schema import LOOP
from churn.scoring import BANDS, STATUSES, CustomerScore, Scorer
from churn.value import SEGMENTS
from training.calendar import instant

AS_OF = instant(datetime(2024, 11, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def bundle(published: Path) -> Bundle:
    registry = Registry(published)
    return load(registry.path(registry.current() or ""))


@pytest.fixture(scope="module")
def scorer(bundle: Bundle) -> Scorer:
    return Scorer(bundle)


def history(seed: int = 1, silence: float = 20.0, purchases: int = 6) -> list[Event]:
    """Purchases about two weeks apart, with visits, a return and a resolved complaint."""
    rng = np.random.default_rng(seed)
    events = []
    t = AS_OF - int(silence * DAY)
    for n in range(purchases):
        amount = float(rng.integers(500, 3000))
        order = f"o{n}"
        events.append(Event(t, Kind.PURCHASE, order, amount, discount=amount / 10, category="tea"))
        events.append(Event(t - DAY, Kind.VISIT))
        t -= int(rng.integers(5, 25)) * DAY
    events.append(Event(t + 7 * DAY, Kind.RETURN, amount=100.0))
    events.append(Event(t + 8 * DAY, Kind.COMPLAINT, case_id="k"))
    events.append(Event(t + 9 * DAY, Kind.COMPLAINT_RESOLVED, case_id="k", value=4.0))
    events.append(Event(t + 9 * DAY, Kind.REVIEW, value=5.0))
    return events


def rows(scorer: Scorer, n: int = 60) -> np.ndarray:
    """Loop features of different customers, some of them lapsed or without a purchase."""
    logs = [
        customer_log("c", history(seed, silence=5.0 * seed, purchases=seed % 7))
        for seed in range(n)
    ]
    return np.vstack([features(log, AS_OF, scorer.settings) for log in logs])


def test_a_customer_is_scored(scorer: Scorer, bundle: Bundle) -> None:
    score = scorer.score_events("c-1", history(), AS_OF)
    assert (score.customer_id, score.status, score.as_of) == ("c-1", "scored", AS_OF)
    assert score.churn_probability is not None
    assert 0 < score.churn_probability < 1
    assert score.risk_band in BANDS
    assert score.horizon_days == bundle.manifest.horizon_days == 60
    assert score.model_version == bundle.version
    assert score.action is not None
    assert score.action.code in default_policy().actions
    assert score.policy_version == default_policy().version
    assert score.warnings == ()


def silent_for(scorer: Scorer, microseconds: int) -> CustomerScore:
    events = [Event(AS_OF - microseconds - back * 7 * DAY, Kind.PURCHASE) for back in range(3)]
    return scorer.score_events("c", events, AS_OF)


def test_the_status_turns_just_beyond_the_inactivity_limit(scorer: Scorer) -> None:
    assert scorer.bundle.manifest.inactivity_days == 180
    assert silent_for(scorer, 180 * DAY).status == "scored"
    assert silent_for(scorer, 180 * DAY + 1).status == "lapsed"
    assert silent_for(scorer, 1).status == "scored"


@pytest.mark.parametrize("status", ["lapsed", "insufficient_history"])
def test_only_the_scored_have_a_probability(scorer: Scorer, status: str) -> None:
    score = (
        silent_for(scorer, 181 * DAY)
        if status == "lapsed"
        else scorer.score_events("c", [Event(AS_OF - DAY, Kind.VISIT)], AS_OF)
    )
    assert score.status == status
    assert score.churn_probability is None
    assert score.risk_band is None
    assert score.reasons == ()
    assert score.action is None


def test_a_purchase_at_as_of_is_no_history(scorer: Scorer) -> None:
    score = scorer.score_events("c", [Event(AS_OF, Kind.PURCHASE)], AS_OF)
    assert score.status == "insufficient_history"


def test_a_purchase_before_the_observation_window_is_no_history(scorer: Scorer) -> None:
    window = scorer.bundle.manifest.observation_window_days * DAY
    first = scorer.score_events("c", [Event(AS_OF - window, Kind.PURCHASE)], AS_OF)
    before = scorer.score_events("c", [Event(AS_OF - window - 1, Kind.PURCHASE)], AS_OF)
    assert (first.status, before.status) == ("lapsed", "insufficient_history")


def test_events_that_are_not_seen_change_nothing_and_are_counted(scorer: Scorer) -> None:
    events = history()
    before = scorer.score_events("c", events, AS_OF)
    unseen = [
        Event(AS_OF, Kind.PURCHASE, amount=10.0),
        Event(AS_OF + DAY, Kind.COMPLAINT),
        Event(AS_OF - DAY, Kind.COMPLAINT, known_at=AS_OF),
    ]
    after = scorer.score_events("c", events + unseen, AS_OF)
    assert after.warnings == ("3 events at or after as_of, or known only then, were not seen",)
    assert after._replace(warnings=()) == before


def test_neither_order_nor_repeats_of_events_matter(scorer: Scorer) -> None:
    events = history()
    assert scorer.score_events("c", events[::-1] + events[:4], AS_OF) == scorer.score_events(
        "c", events, AS_OF
    )


def with_thresholds(bundle: Bundle, medium: float, high: float) -> Scorer:
    manifest = bundle.manifest.model_copy(
        update={"thresholds": Thresholds(medium=medium, high=high)}
    )
    return Scorer(replace(bundle, manifest=manifest))


def test_a_band_begins_at_its_threshold(bundle: Bundle) -> None:
    X = rows(Scorer(bundle))
    plain = Scorer(bundle).score_matrix(X)
    p = float(plain.probability[plain.status == 0][0])
    above, below = float(np.nextafter(p, 1)), float(np.nextafter(p, 0))
    for medium, high, band in (
        (p, 1.0, "medium"),
        (above, 1.0, "low"),
        (below, p, "high"),
        (below, above, "medium"),
    ):
        scores = with_thresholds(bundle, medium, high).score_matrix(X)
        assert BANDS[scores.band[plain.status == 0][0]] == band
    assert (plain.band[plain.status != 0] == -1).all()


def test_base_and_contributions_sum_to_the_margin(scorer: Scorer) -> None:
    scores = scorer.score_matrix(rows(scorer))
    assert scores.contributions is not None
    assert scores.base is not None
    scored = scores.status == STATUSES.index("scored")
    assert 0 < scored.sum() < len(scored)
    np.testing.assert_allclose(
        scores.base[scored] + scores.contributions[scored].sum(axis=1),
        scores.margin[scored],
        rtol=0,
        atol=1e-12,
    )
    assert np.isnan(scores.margin[~scored]).all()
    assert np.isnan(scores.probability[~scored]).all()
    assert (scores.contributions[~scored] == 0).all()


def test_without_contributions_the_probabilities_are_the_same_bits(scorer: Scorer) -> None:
    X = rows(scorer)
    explained, fast = scorer.score_matrix(X), scorer.score_matrix(X, contributions=False)
    assert fast.contributions is None
    assert fast.base is None
    assert fast.probability.tobytes() == explained.probability.tobytes()
    assert fast.band.tobytes() == explained.band.tobytes()


def test_every_familys_features_come_from_one_feed() -> None:
    for family, feed in zip(FAMILIES, LOOP.feeds, strict=True):
        assert {feature.feed for feature in FEATURES if feature.family is family} == {feed}


@pytest.mark.parametrize("absent", sorted(set(Feed) - {Feed.ORDERS}))
def test_an_absent_feed_contributes_exactly_nothing(scorer: Scorer, absent: Feed) -> None:
    X = rows(scorer)
    scores = scorer.score_matrix(X, feeds=frozenset(Feed) - {absent})
    assert scores.contributions is not None
    assert scores.base is not None
    at = [family for family, feed in enumerate(LOOP.feeds) if feed is absent]
    assert at
    assert (scores.contributions[:, at] == 0.0).all()
    scored = scores.status == STATUSES.index("scored")
    np.testing.assert_allclose(
        scores.base[scored] + scores.contributions[scored].sum(axis=1),
        scores.margin[scored],
        rtol=0,
        atol=1e-12,
    )
    silent = X.copy()
    silent[:, [feature.feed is absent for feature in FEATURES]] = np.nan
    assert scorer.score_matrix(silent).probability.tobytes() == scores.probability.tobytes()


def test_what_an_absent_feed_would_have_told_is_not_looked_at(scorer: Scorer) -> None:
    open_complaint = [*history(), Event(AS_OF - 2 * DAY, Kind.COMPLAINT, case_id="new")]
    feeds = frozenset(Feed) - {Feed.COMPLAINTS}
    told = scorer.score_events("c", open_complaint, AS_OF, feeds=feeds, max_reasons=8)
    assert told == scorer.score_events("c", history(), AS_OF, feeds=feeds, max_reasons=8)
    assert all(reason.family is not Family.COMPLAINTS for reason in told.reasons)
    assert told.action is not None
    assert told.action.situation != "open_complaint"
    seen = scorer.score_events("c", open_complaint, AS_OF)
    assert seen.action is not None
    assert seen.action.situation == "open_complaint"


def test_a_caller_without_orders_cannot_be_answered(scorer: Scorer) -> None:
    score = scorer.score_events("c", history(), AS_OF, feeds=frozenset({Feed.VISITS}))
    assert score.status == "insufficient_history"


def test_a_feed_that_the_model_never_saw_is_ignored(bundle: Bundle) -> None:
    manifest = bundle.manifest.model_copy(update={"feeds": [Feed.ORDERS, Feed.CHEQUES]})
    narrow = Scorer(replace(bundle, manifest=manifest))
    X = rows(narrow)
    given = narrow.score_matrix(X, feeds=frozenset(Feed)).probability
    assert given.tobytes() == narrow.score_matrix(X).probability.tobytes()


def test_an_open_complaint_is_acted_on_even_where_the_model_saw_none(bundle: Bundle) -> None:
    manifest = bundle.manifest.model_copy(update={"feeds": [Feed.ORDERS, Feed.CHEQUES]})
    narrow = Scorer(replace(bundle, manifest=manifest))
    complaint = Event(AS_OF - DAY, Kind.COMPLAINT, case_id="k")
    without = narrow.score_events("c", history(), AS_OF)
    score = narrow.score_events("c", [*history(), complaint], AS_OF)
    assert score.churn_probability == without.churn_probability
    assert score.reasons == without.reasons
    assert score.action is not None
    assert score.action.situation == "open_complaint"


def named(scorer: Scorer, events: list[Event]) -> dict[str, float | None]:
    (row,) = features(customer_log("c", events), AS_OF, scorer.settings)
    return {
        name: None if np.isnan(number) else float(number)
        for name, number in zip(FEATURE_NAMES, row, strict=True)
    }


def test_all_features_by_name_score_as_the_events_do(scorer: Scorer) -> None:
    by_name = scorer.score_features("c", named(scorer, history()), AS_OF)
    by_events = scorer.score_events("c", history(), AS_OF)
    assert by_name.churn_probability == by_events.churn_probability
    assert by_name.reasons == by_events.reasons
    assert by_name.action == by_events.action


def test_missing_features_are_missing_and_listed(scorer: Scorer) -> None:
    given = {"days_since_last_purchase": 41.0, "purchases_30d": 0.0}
    score = scorer.score_features("c", given, AS_OF)
    assert score.status == "scored"
    assert set(score.features_missing) == set(FEATURE_NAMES) - set(given)
    (warning,) = score.warnings
    assert warning.startswith("missing features: ")
    assert "purchases_90d" in warning
    as_null = scorer.score_features("c", given | {"purchases_90d": None}, AS_OF)
    assert as_null == score


def test_features_of_a_feed_that_the_caller_lacks_are_not_missed(scorer: Scorer) -> None:
    given = {"days_since_last_purchase": 41.0, "purchases_30d": 0.0}
    feeds = frozenset({Feed.ORDERS, Feed.CHEQUES})
    score = scorer.score_features("c", given, AS_OF, feeds=feeds)
    assert {FEATURES[POSITION[name]].feed for name in score.features_missing} == feeds


@pytest.mark.parametrize("given", [{}, {"days_since_last_purchase": 4.0}])
def test_fewer_features_than_the_least_are_too_few(
    scorer: Scorer, given: dict[str, float | None]
) -> None:
    assert scorer.bundle.manifest.minimum_features == 2
    score = scorer.score_features("c", given, AS_OF)
    assert score.status == "insufficient_history"
    assert score.churn_probability is None


def test_an_unknown_feature_is_an_error_that_names_the_nearest(scorer: Scorer) -> None:
    with pytest.raises(UnknownFeature) as error:
        scorer.score_features("c", {"purchases_30": 1.0}, AS_OF)
    assert "did you mean purchases_30d?" in str(error.value)
    assert error.value.pointer == "/features/purchases_30"
    assert error.value.code == "unknown_feature"


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_number_below_zero_is_an_error_where_no_history_could_give_it(
    scorer: Scorer, feature: Feature
) -> None:
    if feature.unit in ("rating", "log days"):
        scorer.score_features("c", {feature.name: -0.5}, AS_OF)
        return
    with pytest.raises(RequestError) as error:
        scorer.score_features("c", {feature.name: -0.5}, AS_OF)
    assert error.value.pointer == f"/features/{feature.name}"
    assert error.value.code == "too_small"


def test_a_pointer_escapes_what_json_pointers_must(scorer: Scorer) -> None:
    with pytest.raises(UnknownFeature) as error:
        scorer.score_features("c", {"a/b~c": 1.0}, AS_OF)
    assert error.value.pointer == "/features/a~1b~0c"
    assert "a/b" not in str(error.value)


def test_a_feature_that_the_model_does_not_use_is_ignored_and_told(bundle: Bundle) -> None:
    kept = [entry for entry in bundle.manifest.features if entry.feed is not Feed.VISITS]
    feeds = [feed for feed in bundle.manifest.feeds if feed is not Feed.VISITS]
    manifest = bundle.manifest.model_copy(update={"features": kept, "feeds": feeds})
    narrow = Scorer(replace(bundle, manifest=manifest))
    given = {"days_since_last_purchase": 41.0, "purchases_30d": 0.0}
    score = narrow.score_features("c", given | {"visits_7d": 3.0}, AS_OF)
    assert "features that this model does not use: visits_7d" in score.warnings
    without = narrow.score_features("c", given, AS_OF)
    assert score.churn_probability == without.churn_probability


def test_values_beyond_those_of_training_are_listed(scorer: Scorer) -> None:
    given = named(scorer, history()) | {"average_cheque": 1e9, "last_cheque": 0.0}
    score = scorer.score_features("c", given, AS_OF)
    assert {"average_cheque", "last_cheque"} <= set(score.features_out_of_range)
    assert "purchases_30d" not in score.features_out_of_range


def test_one_customer_has_the_bits_it_has_among_many(scorer: Scorer) -> None:
    X = rows(scorer)
    together = scorer.score_matrix(X)
    assert together.contributions is not None
    for at in range(len(X)):
        alone = scorer.score_matrix(X[at : at + 1])
        assert alone.contributions is not None
        assert alone.probability.tobytes() == together.probability[at : at + 1].tobytes()
        assert alone.contributions.tobytes() == together.contributions[at : at + 1].tobytes()
        assert alone.status[0] == together.status[at]
        assert alone.band[0] == together.band[at]


def test_the_rows_given_are_left_as_they_are(scorer: Scorer) -> None:
    X = rows(scorer)
    before = X.tobytes()
    scorer.score_matrix(X, feeds=frozenset({Feed.ORDERS}))
    assert X.tobytes() == before


def test_no_rows_give_no_scores(scorer: Scorer) -> None:
    scores = scorer.score_matrix(np.empty((0, len(FEATURES))))
    assert len(scores.status) == len(scores.probability) == 0


def test_threads_that_share_a_scorer_agree(scorer: Scorer) -> None:
    histories = [history(seed, silence=5.0 * seed) for seed in range(40)]

    def all_of_them(_: int) -> list[CustomerScore]:
        return [scorer.score_events(f"c{n}", known, AS_OF) for n, known in enumerate(histories)]

    expected = all_of_them(0)
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(all_of_them, range(8)))


def test_the_number_of_reasons_is_the_callers_choice(scorer: Scorer) -> None:
    events = history(silence=120.0)
    full = scorer.score_events("c", events, AS_OF, max_reasons=8)
    assert len(full.reasons) > 1
    for most in range(len(full.reasons)):
        score = scorer.score_events("c", events, AS_OF, max_reasons=most)
        assert score.reasons == full.reasons[:most]
        assert score.action == full.action


def test_reasons_come_in_the_language_asked_for(scorer: Scorer) -> None:
    events = history(silence=120.0)
    english = scorer.score_events("c", events, AS_OF)
    russian = scorer.score_events("c", events, AS_OF, language="ru")
    assert english.reasons
    assert [reason.code for reason in english.reasons] == [r.code for r in russian.reasons]
    for texts, is_russian in ((english, False), (russian, True)):
        assert texts.action is not None
        for text in (*(reason.text for reason in texts.reasons), texts.action.why):
            assert bool(re.search("[а-яё]", text)) == is_russian


def test_money_is_told_in_the_businesss_currency(scorer: Scorer) -> None:
    texts = [
        reason.text
        for seed in range(30)
        for reason in scorer.score_events(
            "c", history(seed, silence=4.0 * seed), AS_OF, max_reasons=8
        ).reasons
        if reason.family is Family.CHEQUE
    ]
    assert texts
    assert all("RUB" in text for text in texts)


SCORE_WITHOUT_NUMBA = """
import sys
from pathlib import Path
import numpy as np
from churn.bundle import load
from churn.compiled import HAS_NUMBA
from churn.scoring import Scorer
assert not HAS_NUMBA
scores = Scorer(load(Path(sys.argv[1]))).score_matrix(np.load(sys.argv[2]))
np.save(sys.argv[3], np.column_stack([scores.probability, scores.contributions]))
"""


def test_without_numba_the_scores_are_the_same_bits(
    scorer: Scorer, published: Path, tmp_path: Path
) -> None:
    X = rows(scorer, 12)
    np.save(tmp_path / "rows.npy", X)
    bundle = Registry(published).path(scorer.bundle.version)
    files = [str(path) for path in (bundle, tmp_path / "rows.npy", tmp_path / "scores.npy")]
    subprocess.run(
        [sys.executable, "-W", "error", "-c", SCORE_WITHOUT_NUMBA, *files],
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"KEEPWELL_NUMBA": "0"},
    )
    scores = scorer.score_matrix(X)
    expected = np.column_stack([scores.probability, scores.contributions])
    assert np.load(tmp_path / "scores.npy").tobytes() == expected.tobytes()


@pytest.mark.parametrize("seed", range(8))
def test_stored_events_score_as_the_same_events_sent(scorer: Scorer, seed: int) -> None:
    events = history(seed=seed, silence=-20.0 if seed % 2 else 30.0)
    stored, _ = History.empty().merged(events[::2], 1)
    stored, _ = stored.merged([*events[1::2], *events[:2]], 2)
    stored = History.decode(stored.encode())
    sent = scorer.score_events("c", events, AS_OF, max_reasons=8)
    (found,) = scorer.score_rows([scorer.rows.of_history("c", stored, AS_OF, max_reasons=8)])
    assert found == sent
    (before,) = scorer.score_rows([scorer.rows.of_history("c", stored, AS_OF, upto=1)])
    assert before == scorer.score_events("c", events[::2], AS_OF)


def test_a_scored_customer_has_a_value_a_segment_and_a_kind_of_loss(scorer: Scorer) -> None:
    score = scorer.score_events("c", history(), AS_OF)
    value = scorer.bundle.model.value
    assert value is not None
    assert score.customer_value is not None
    assert score.customer_value.amount > 0.0
    assert score.customer_value[1:] == (scorer.bundle.manifest.currency, value.days)
    assert score.value_segment in SEGMENTS
    assert score.loss_category in CATEGORIES
    assert scorer.score_events("c", history(purchases=1), AS_OF).loss_category == "one_time"


@pytest.mark.parametrize("silence", [181.0, 400.0])
def test_a_lapsed_customer_has_no_value_to_keep(scorer: Scorer, silence: float) -> None:
    score = scorer.score_events("c", history(silence=silence), AS_OF)
    assert score.status == "lapsed"
    assert score.customer_value is score.value_segment is score.loss_category is None


def test_without_cheques_the_value_is_not_known_but_the_kind_of_loss_is(scorer: Scorer) -> None:
    feeds = frozenset({Feed.ORDERS})
    score = scorer.score_events("c", history(purchases=1), AS_OF, feeds=feeds)
    assert score.status == "scored"
    assert score.customer_value is score.value_segment is None
    assert score.loss_category == "one_time"


def test_values_by_column_have_the_bits_of_values_one_by_one(scorer: Scorer) -> None:
    X = rows(scorer)
    many = scorer.score_matrix(X)
    assert (np.isnan(many.value) == (many.segment < 0)).all()
    assert ((many.category >= 0) == (many.status == 0)).all()
    assert set(many.segment.tolist()) > {-1}
    for at in range(len(X)):
        one = scorer.score_matrix(X[at : at + 1])
        assert one.value.tobytes() == many.value[at : at + 1].tobytes()
        assert one.segment[0] == many.segment[at]
        assert one.category[0] == many.category[at]


def test_a_model_without_values_says_nothing_of_them(bundle: Bundle) -> None:
    older = Scorer(replace(bundle, model=replace(bundle.model, value=None, loss=None)))
    score = older.score_events("c", history(), AS_OF)
    assert score.churn_probability is not None
    assert score.customer_value is score.value_segment is score.loss_category is None
    many = older.score_matrix(rows(older))
    assert np.isnan(many.value).all()
    assert (many.segment == -1).all()
    assert (many.category == -1).all()
