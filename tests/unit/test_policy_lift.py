"""What campaigns were worth: by hand, at the edges, and as often right as they say."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.policy_world import Campaigns, made_up
from churn.errors import DataError
from churn.policy.default import DEFAULT
from churn.policy.policy import NONE, Policy, parse
from tests.decisions_table import row, table
from training.policy import clustered
from training.policy.decisions import COLUMNS, episodes, is_offer, of, read
from training.policy.lift import BY, Lift, lifts
from training.policy.verdict import Verdict, sentence
from training.policy.words import lift_lines

POLICY = parse(DEFAULT, Path("policy.toml"))


def ran(policy: Policy = POLICY, **rules: object) -> Policy:
    changed = policy.rules.model_copy(update=rules)
    return Policy.model_validate(policy.model_dump() | {"rules": changed.model_dump()})


def only(lines: list[Lift], action: str) -> Lift:
    (line,) = [line for line in lines if line.action == action and line.by is None]
    return line


def campaign(treated: tuple[int, int], withheld: tuple[int, int], **fields: object) -> pa.Table:
    """So many treated of whom so many were kept, and as many withheld."""
    rows = []
    for held, (n, kept) in ((False, treated), (True, withheld)):
        rows += [
            row(
                customer_id=f"{'w' if held else 't'}-{k}",
                withheld=held,
                propensity=0.1 if held else 0.9,
                purchased=k < kept,
                **fields,
            )
            for k in range(n)
        ]
    return table(rows)


def test_a_lift_is_what_it_is_by_hand() -> None:
    line = only(lifts(of(campaign((400, 240), (100, 50))), POLICY), "agent_call")
    assert (line.treated, line.withheld) == (400, 100)
    assert line.lift is not None
    assert line.lift.value == pytest.approx(0.1)
    deviation = np.sqrt(0.6 * 0.4 / 400 + 0.5 * 0.5 / 100)
    assert line.lift.high - line.lift.value == pytest.approx(1.984 * deviation, rel=0.01)
    assert line.margin is not None
    assert line.margin.value == pytest.approx(0.1 * 5000)
    assert line.cost == 250.0
    assert line.profit is not None
    assert line.profit.value == pytest.approx(0.1 * 5000 - 250)
    assert line.total_profit is not None
    assert line.total_profit.value == pytest.approx(400 * 250)


def test_a_customer_of_many_decisions_is_one_customer() -> None:
    rng = np.random.default_rng(3)
    cluster = np.repeat(np.arange(500), 4)
    treated = np.repeat(rng.random(500) < 0.5, 4)
    outcome = np.repeat(rng.random(500), 4)
    with_it, without = clustered.difference(outcome, treated, cluster)
    once = clustered.difference(outcome[::4], treated[::4], cluster[::4])
    assert (with_it - without).variance == pytest.approx((once[0] - once[1]).variance)
    as_if = clustered.difference(outcome, treated, np.arange(2000))
    assert (as_if[0] - as_if[1]).variance == pytest.approx(
        (with_it - without).variance / 4, rel=0.01
    )


def test_a_changed_holdout_share_passes_for_no_effect() -> None:
    # First hardly anybody was withheld and most stayed; then half were, and few stayed.
    early = campaign((900, 810), (10, 9), policy_version="early")
    late = campaign((100, 20), (100, 20), policy_version="late")
    ids = pa.array([f"late-{k}" for k in range(late.num_rows)])
    late = late.set_column(late.column_names.index("customer_id"), "customer_id", ids)
    line = only(lifts(of(pa.concat_tables([early, late])), POLICY), "agent_call")
    assert line.lift is not None
    assert line.lift.value == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("treated", "withheld", "fields", "verdict"),
    [
        ((4000, 2800), (1000, 500), {}, Verdict.EARNS),
        ((4000, 2400), (1000, 500), {"value": 2600.0}, Verdict.KEEPS),
        ((4000, 2100), (1000, 500), {"value": 100.0}, Verdict.LOSES),
        ((4000, 1000), (1000, 500), {}, Verdict.HARMS),
        ((40, 21), (40, 20), {}, Verdict.TOO_EARLY),
        ((400, 400), (5, 0), {}, Verdict.TOO_EARLY),
        ((400, 200), (0, 0), {}, Verdict.NOT_MEASURED),
        ((9_000, 4_500), (9_000, 4_500), {}, Verdict.LOSES),
        ((400, 200), (0, 0), {"action": "senior_call", "cost": 0.0}, Verdict.SERVICE),
    ],
)
def test_the_verdict_says_what_the_figures_allow(
    treated: tuple[int, int],
    withheld: tuple[int, int],
    fields: dict[str, object],
    verdict: Verdict,
) -> None:
    (line, *_) = lifts(of(campaign(treated, withheld, **fields)), POLICY)
    assert line.verdict is verdict
    said = "\n".join(lift_lines([line], "RUB"))
    assert sentence(line.verdict, line.needed) in said


def test_service_claims_no_lift() -> None:
    (line,) = lifts(of(campaign((400, 300), (0, 0), action="senior_call")), POLICY)
    assert (line.lift, line.profit, line.needed) == (None, None, None)


def test_too_early_says_how_many_more_it_takes() -> None:
    line = only(lifts(of(campaign((45, 24), (45, 22))), POLICY), "agent_call")
    # expected: (250 + 250) / 5000 = .1; 7.849 * .25 * 4 / .01 = 785 in all
    assert line.needed == pytest.approx(785 - 90, abs=2)
    assert f"{line.needed:,} more customers" in sentence(line.verdict, line.needed)


def test_certainty_does_not_come_from_few_who_all_stayed() -> None:
    line = only(lifts(of(campaign((400, 400), (3, 3))), POLICY), "agent_call")
    assert line.lift is not None
    assert line.lift.low < -0.1


def test_who_waits_is_counted_apart() -> None:
    known = campaign((50, 20), (50, 20))
    waiting = campaign((7, 0), (0, 0), situation="one_time")
    at = waiting.column_names.index("purchased")
    waiting = waiting.set_column(at, "purchased", pa.nulls(7, pa.bool_()))
    ids = pa.array([f"late-{k}" for k in range(7)])
    waiting = waiting.set_column(waiting.column_names.index("customer_id"), "customer_id", ids)
    line = only(lifts(of(pa.concat_tables([known, waiting])), POLICY), "agent_call")
    assert (line.treated, line.withheld, line.waiting) == (50, 50, 7)


def test_parts_are_told_where_there_are_several() -> None:
    first, second = campaign((90, 40), (90, 40)), campaign((80, 40), (80, 40), segment="B")
    ids = pa.array([f"b-{k}" for k in range(second.num_rows)])
    second = second.set_column(second.column_names.index("customer_id"), "customer_id", ids)
    lines = lifts(of(pa.concat_tables([first, second])), POLICY)
    assert [(line.by, line.part, line.treated) for line in lines] == [
        (None, None, 170),
        ("segment", "A", 90),
        ("segment", "B", 80),
    ]


def test_what_was_accepted_is_what_was_paid() -> None:
    rows = [
        row(customer_id=f"c-{k}", action="points", purchased=True, accepted_at=k < 25 or None)
        for k in range(100)
    ]
    rows += [
        row(customer_id=f"w-{k}", action="points", purchased=True, withheld=True)
        for k in range(100)
    ]
    line = only(lifts(of(table(rows)), POLICY), "points")
    assert line.cost == pytest.approx(1.5 + 0.25 * 150)


def test_a_decision_within_the_horizon_of_another_is_the_same_episode() -> None:
    rows = [row(customer_id="c", day=day) for day in (70, 0, 30, 59, 60)]
    rows += [row(customer_id="d", day=30), row(customer_id="c", day=-9, action=NONE)]
    found = of(table(rows))
    assert episodes(found, is_offer(found)).tolist() == [
        False, True, False, False, True, True, False,
    ]  # fmt: skip
    # Nothing done is an episode too where it counts.
    assert episodes(found, np.ones(7, dtype=np.bool_)).tolist() == [
        False, False, False, True, False, True, True,
    ]  # fmt: skip


def test_an_episode_lasts_until_the_end_of_the_horizon_which_the_lead_time_comes_before() -> None:
    led = {"lead_time_days": 7}
    found = of(table([row(customer_id="c", day=day, facts=led) for day in (0, 60, 66, 67)]))
    assert episodes(found, is_offer(found)).tolist() == [True, False, False, True]


def test_purchases_count_before_reports() -> None:
    rows = [
        row(purchased=True, lost_at=1),
        row(purchased=None, lost_at=1),
        row(purchased=None, retained_at=1),
        row(purchased=None),
    ]
    assert of(table(rows)).retained.tolist()[:3] == [1.0, 0.0, 1.0]
    assert np.isnan(of(table(rows)).retained[3])


def test_a_file_that_is_none_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="store export --decisions"):
        read(tmp_path / "nowhere.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(DataError, match="not a Parquet file"):
        read(tmp_path / "text.parquet")
    short = table([row()]).drop_columns(["propensity", "facts"])
    pq.write_table(short, tmp_path / "short.parquet")
    with pytest.raises(DataError, match="no column facts, propensity"):
        read(tmp_path / "short.parquet")
    pq.write_table(table([row(propensity=0.0)]), tmp_path / "zero.parquet")
    with pytest.raises(DataError, match="propensity is not in"):
        read(tmp_path / "zero.parquet")
    assert set(table([row()]).column_names) == set(COLUMNS)


def test_lifts_hold_the_truth_as_often_as_they_say() -> None:
    world = made_up(1, 3_000)
    campaigns = Campaigns(world, ran(holdout_share=0.3, exploration_rate=0.1))
    chosen = campaigns.best == "reorder_reminder"
    at = int(world.position(["reorder_reminder"])[0])
    true = float((world.kept[chosen, at] - world.kept[chosen, 0]).mean())
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(60):
        drawn, rows = campaigns.draw(rng, 2_000, twice=0.3)
        drawn = drawn.where(np.asarray(~drawn.explored & chosen[rows]))
        for name in BY:  # the whole is asked, not its parts
            getattr(drawn, name)[:] = None
        line = only(lifts(drawn, POLICY), "reorder_reminder")
        assert line.lift is not None
        held += line.lift.low <= true <= line.lift.high
    assert 52 <= held <= 60  # .95 less 3 deviations
