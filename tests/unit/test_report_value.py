import re
from dataclasses import replace

import numpy as np
import pytest

from churn.loss import CATEGORIES
from tests.report_example import example, value_check
from training import model_card, report
from training.empc import expected_maximum_profit
from training.plots import money, value
from training.report.quality import whom
from training.report.value import at_stake, meaning
from training.report_data import ReportData
from training.value.worth import WORDS, best_campaign


@pytest.fixture(scope="module")
def data() -> ReportData:
    return example(2_000)


def test_a_model_without_values_has_no_section_on_them() -> None:
    bare = example(worth=None)
    assert at_stake(bare) == ""
    assert "What is at stake" not in report.render(bare)
    assert "## Value" not in model_card.render(bare)


def test_the_page_says_what_a_value_is_and_how_far_it_was_seen(data: ReportData) -> None:
    assert data.worth is not None
    told = meaning(data.worth)
    assert "bring in 365 days if they buy within 60 days, less" in told
    assert "30% of what is paid" in told
    assert "counted over 180 days" in told
    assert "too short" not in meaning(replace(data.worth, window_days=365))
    for page in (report.render(data), model_card.render(data)):
        assert told.strip() in re.sub("&#x27;", "'", page)


def test_every_segment_and_every_kind_of_loss_is_judged_by_itself(data: ReportData) -> None:
    assert data.worth is not None
    found = data.findings
    assert [part.name for part in found.segments] == ["segment A", "segment B", "segment C"]
    assert [part.name for part in found.losses] == [WORDS[name] for name in CATEGORIES]
    assert sum(part.metrics.n for part in found.losses) == len(data.is_churn)
    known = int((~np.isnan(data.worth.value)).sum())
    assert sum(part.metrics.n for part in found.segments) == known
    section = whom(data)
    for part in (*found.segments, *found.losses):
        assert part.name in section
        assert f"{part.metrics.ece:.3f}" in section


def test_a_customer_kept_is_worth_the_mean_of_their_part(data: ReportData) -> None:
    worth, economics = data.worth, data.economics
    assert worth is not None
    assert economics is not None
    (a, *_) = worth.segments
    e = worth.economics(a, economics)
    assert e.retained_value == pytest.approx(worth.value[a.rows].mean())
    y, p = data.is_churn[a.rows], data.probabilities["keepwell"][a.rows]
    profit = best_campaign(y, p, e)
    assert profit == expected_maximum_profit(y, p, e)
    assert f"{profit.per_customer:,.2f}" in at_stake(data)


def test_nobody_is_given_more_than_they_are_worth(data: ReportData) -> None:
    assert data.worth is not None
    assert data.economics is not None
    (a, *_) = data.worth.segments
    poor = replace(data.worth, value=0.03 * data.worth.value)
    e = poor.economics(a, data.economics)
    assert e.retained_value < e.incentive_cost
    profit = best_campaign(data.is_churn, data.probabilities["keepwell"], e)
    assert (profit.per_customer, profit.contacted_share) == (0.0, 0.0)
    parts = [
        money.Judged(part.name, data.is_churn[part.rows],
                     data.probabilities["keepwell"][part.rows], e)
        for part in poor.segments
    ]  # fmt: skip
    assert money.profit_by(parts, "segment", "EUR").title.endswith(
        "no campaign pays at these costs"
    )


def test_the_check_stands_beside_its_rivals(data: ReportData) -> None:
    section = at_stake(data)
    for name, rank in value_check().ranks.items():
        assert f"{rank.value:.3f} [{rank.low:.3f}, {rank.high:.3f}]" in section, name
    for words in ("BG/NBD x Gamma-Gamma", "own average", "bought within the horizon", "did not"):
        assert words in section


def test_the_title_counts_what_came_of_what_was_expected() -> None:
    check = value_check()
    half = replace(check, realised=0.5 * check.realised)
    title = value.tenths(half, "EUR").title
    assert title.startswith(f"Of each 100 expected, {100 * half.ratio('keepwell').value:.0f} came")
    assert "10 of 10 tenths" in title
