import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import faithfulness_gates, gates, grade, leakage_gates
from training.calibrate import Dated
from training.gates import beats_recency_gate, calibration_gates, stability_gates
from training.intervals import Interval
from training.verdicts import Gate, Grade, Outcome

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gates.md").read_text()
N = 4000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def outcomes(gates: tuple[Gate, ...]) -> dict[str, str]:
    return {gate.name: gate.outcome.value for gate in gates}


def test_a_model_that_knows_more_than_recency_passes(rng):
    truth = rng.uniform(0.1, 0.9, N)
    left = rng.random(N) < truth
    rule = np.clip(truth + rng.normal(0, 0.3, N), 0.05, 0.95)
    gate, differences = beats_recency_gate(left, truth, rule, seed=1)
    assert gate.passed
    assert gate.figure is not None
    assert gate.figure > 0
    assert differences["roc_auc"] is not None
    assert gate.figure == differences["roc_auc"].low


def test_a_model_no_better_than_recency_fails_and_so_does_a_worse_one(rng):
    truth = rng.uniform(0.1, 0.9, N)
    left = rng.random(N) < truth
    worse = np.clip(truth + rng.normal(0, 0.3, N), 0.05, 0.95)
    same = beats_recency_gate(left, truth, truth, seed=1)[0]
    assert not same.passed
    assert same.figure == same.limit == 0.0
    assert not beats_recency_gate(left, worse, truth, seed=1)[0].passed


def test_a_better_order_does_not_excuse_probabilities_worse_than_the_rules(rng):
    truth = rng.uniform(0.1, 0.9, N)
    left = rng.random(N) < truth
    rule = np.clip(truth + rng.normal(0, 0.15, N), 0.05, 0.95)
    overdone = truth**6
    gate, differences = beats_recency_gate(left, overdone, rule, seed=1)
    assert differences["roc_auc"] is not None
    assert differences["roc_auc"].low > 0
    assert not gate.passed


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, "passed"), (0.07, "warning"), (0.25, "failed")]
)
def test_probabilities_that_are_off_warn_and_useless_ones_fail(shift, expected, rng):
    truth = rng.uniform(0.1, 0.7, N)
    left = rng.random(N) < truth
    found = calibration_gates(left, truth + shift, rng.random(N) < 0.5, seed=1)
    assert outcomes(found)["calibration"] == expected
    assert [gate.name for gate in found] == [
        "calibration", "calibration_one_time", "calibration_repeat",
    ]  # fmt: skip


def test_one_stage_may_be_off_though_both_together_are_not(rng):
    truth = rng.uniform(0.3, 0.7, N)
    left = rng.random(N) < truth
    one_time = rng.random(N) < 0.5
    tilted = truth + np.where(one_time, 0.25, -0.25)
    found = calibration_gates(left, tilted, one_time, seed=1)
    assert outcomes(found)["calibration_one_time"] == "failed"
    assert outcomes(found)["calibration_repeat"] == "failed"


def test_a_stage_of_few_customers_is_not_judged_alone(rng):
    truth = rng.uniform(0.3, 0.7, N)
    one_time = np.arange(N) < gates.MIN_STAGE - 1
    found = calibration_gates(rng.random(N) < truth, truth, one_time, seed=1)
    assert "calibration_one_time" not in outcomes(found)


def ranked(
    separation: float, rng: np.random.Generator, n: int = N
) -> tuple[np.ndarray, np.ndarray]:
    left = rng.random(n) < 0.5
    return left, 1 / (1 + np.exp(-rng.normal(left * separation, 1.0)))


def dated(separation: float, rng: np.random.Generator, n: int = N) -> Dated:
    left, p = ranked(separation, rng, n)
    margin = np.log(p / (1 - p))
    return Dated(0, left, left, np.full(n, np.inf), margin, np.arange(n).astype(object))


@pytest.mark.parametrize(
    ("now", "before", "fall", "swing"),
    [
        (0.9, (0.9, 0.9), "passed", "passed"),
        (0.6, (0.9, 0.9), "warning", "passed"),
        (0.2, (0.9, 0.9), "failed", "failed"),
        (0.9, (0.3, 0.3), "passed", "failed"),
        (0.75, (0.3, 0.75), "passed", "warning"),
    ],
)
def test_quality_that_falls_or_swings_is_told(now, before, fall, swing, rng):
    left, p = ranked(now, rng)
    found = outcomes(stability_gates(left, p, [dated(one, rng) for one in before]))
    assert found == {"stability_fall": fall, "stability_swing": swing}


def test_what_few_customers_show_by_chance_is_no_fall(rng):
    left, p = ranked(0.5, rng, 60)
    found = stability_gates(left, p, [dated(0.9, rng, 60)])
    assert set(outcomes(found).values()) == {"passed"}


def test_without_an_earlier_date_nothing_is_said_of_stability(rng):
    left, p = ranked(0.9, rng)
    assert all(gate.passed and gate.figure is None for gate in stability_gates(left, p, []))


GOOD = Gate("calibration", "", 0.0, 0.15, Outcome.PASSED, "Fine.")
BETTER = {"roc_auc": Interval(0.02, 0.01, 0.03), "log_loss": Interval(-0.02, -0.03, -0.01)}
ALIKE = {"roc_auc": Interval(0.0, -0.01, 0.01), "log_loss": Interval(0.0, -0.01, 0.01)}
WORSE = {"roc_auc": Interval(-0.02, -0.03, -0.01), "log_loss": Interval(0.0, -0.01, 0.01)}


def graded(*found: Gate, against=BETTER, customers=5000, churned=2000, dates=4) -> Grade:
    return grade.grade(
        found or (GOOD,),
        best_rule="BG/NBD",
        against_best=against,
        customers=customers,
        churned=churned,
        dates=dates,
    )


def test_the_grade_says_how_far_to_rely_and_why():
    best = graded()
    assert best.letter == "A"
    assert best.sentence == (
        "Rely on it: it is clearly better than the best simple rule (BG/NBD), its probabilities "
        "mean what they say and it ranks customers steadily on 4 dates."
    )
    little = graded(replace(GOOD, figure=0.002))
    assert little.letter == "A"
    assert "its probabilities almost mean what they say" in little.sentence
    off = replace(GOOD, outcome=Outcome.WARNING)
    assert graded(off).letter == "B"
    assert "but its probabilities were off" in graded(off).sentence
    failed = replace(GOOD, outcome=Outcome.FAILED, sentence="They say nothing.")
    assert graded(failed) == Grade("D", "Do not use it. They say nothing.")


@pytest.mark.parametrize(
    ("letter", "changes"),
    [
        ("B", {"against": ALIKE}),
        ("C", {"against": WORSE}),
        ("B", {"dates": 2}),
        ("B", {"customers": 900, "churned": 400}),
        ("B", {"churned": 150}),
        ("C", {"customers": 200, "churned": 100}),
        ("C", {"churned": 4990}),
        ("C", {"customers": 900, "churned": 400, "dates": 1}),
        ("A", {"customers": 1000, "churned": 200, "dates": 3}),
    ],
)
def test_each_thing_to_mind_costs_a_letter_and_grave_ones_two(letter, changes):
    assert graded(**changes).letter == letter


def test_a_suspicion_of_leakage_is_a_c_that_names_the_column():
    suspected = Gate("leakage_column", "", 0.66, 0.7, Outcome.WARNING, "It does.", "stars")
    assert graded(suspected).letter == "C"
    assert "(stars)" in graded(suspected).sentence


LIMITS = {
    "leakage_column": (leakage_gates.COLUMN_LIMIT, leakage_gates.COLUMN_WARNING),
    "leakage_unchanging": (leakage_gates.UNCHANGING_LIMIT, None),
    "leakage_time": (leakage_gates.TIME_LIMIT, leakage_gates.TIME_WARNING),
    "leakage_timing": (leakage_gates.TIMING_LIMIT, leakage_gates.TIMING_WARNING),
    "leakage_model": (leakage_gates.TIME_LIMIT, leakage_gates.MODEL_WARNING),
    "leakage_table_column": (
        leakage_gates.TABLE_COLUMN_LIMIT,
        leakage_gates.TABLE_COLUMN_WARNING,
    ),
    "beats_recency": (0.0, None),
    "calibration": (gates.CALIBRATION_LIMIT, gates.CALIBRATION_WARNING),
    "calibration_one_time": (gates.STAGE_LIMIT, gates.STAGE_WARNING),
    "calibration_repeat": (gates.STAGE_LIMIT, gates.STAGE_WARNING),
    "stability_fall": (gates.FALL_LIMIT, gates.FALL_WARNING),
    "stability_swing": (gates.SWING_LIMIT, gates.SWING_WARNING),
    "reason_lowers_risk": (faithfulness_gates.LOWERS_LIMIT, None),
    "reason_beats_others": (faithfulness_gates.BEATS_LIMIT, None),
    "reason_steady": (faithfulness_gates.STEADY_LIMIT, None),
    "not_worse_than_promoted": (0.0, None),
}


def test_the_page_about_the_gates_has_their_numbers():
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\d.]+) \| ([\d.]+|-) \|$", PAGE, re.MULTILINE)
    told = {
        name: (float(limit), None if warning == "-" else float(warning))
        for name, limit, warning in rows
    }
    assert told == LIMITS


def test_the_page_about_the_gates_has_the_numbers_of_the_grade():
    for number in (
        grade.GOOD_CUSTOMERS, grade.GOOD_OF_EACH_KIND,
        grade.FAIR_CUSTOMERS, grade.FAIR_OF_EACH_KIND, grade.STEADY_DATES,
    ):  # fmt: skip
        assert re.search(rf"\b{number:,}\b", PAGE), number
    for letter, opening in grade._OPENINGS.items():
        assert f"| {letter} | {opening}" in PAGE


def test_the_page_has_the_numbers_that_guard_against_chance():
    assert f"{leakage_gates.CHANCE:.2f}".lstrip("0") in PAGE
    assert f"{leakage_gates.SURE:.0f} standard errors" in PAGE
    assert f"{leakage_gates.TIME_MATTERS:.2f}".lstrip("0") in PAGE
    assert f"{leakage_gates.TIMING_ABOVE_PURCHASES:.2f}".lstrip("0") in PAGE
    assert f"{leakage_gates.TIMING_HONEST:.2f}".lstrip("0") in PAGE
    assert f"fewer than {gates.MIN_STAGE} customers" in PAGE
