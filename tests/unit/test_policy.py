"""policy.toml: what is taken, and what is refused with its line."""

from pathlib import Path

import pytest

from churn.errors import PolicyError
from churn.policy.default import DEFAULT
from churn.policy.economics import Belief
from churn.policy.policy import Policy, parse

PATH = Path("policy.toml")


def test_the_default_policy_is_a_policy() -> None:
    policy = parse(DEFAULT, PATH)
    assert policy.actions["none"].contact_cost == 0.0
    assert policy.table["one_time"].of("high", "A") == ["second_order_guide", "free_delivery"]
    assert policy.table["quality"].of("medium", "C") == ["apology"]
    assert set(policy.table) == set(Policy.model_fields["table"].annotation.__args__[0].__args__)  # type: ignore[union-attr]


def test_its_version_is_of_what_it_says() -> None:
    policy = parse(DEFAULT, PATH)
    assert len(policy.version) == 12
    assert parse("# another comment\n" + DEFAULT, PATH).version == policy.version
    dearer = DEFAULT.replace("contact_cost = 250.0", "contact_cost = 251.0")
    assert parse(dearer, PATH).version != policy.version


@pytest.mark.parametrize(
    ("before", "after", "line", "says"),
    [
        ("weight = 50.0", "weight = -1.0", "weight = -1.0", "weight must be more than 0"),
        ("contact_cost = 250.0", "contact_cost = -250.0", "= -250.0", "must be at least 0"),
        ("cooldown_days", "cooldown_day", "cooldown_day ", "did you mean 'cooldown_days'?"),
        ("[table.quality.any]", "[table.qualiti.any]", "qualiti", "'quality'"),
        ('["senior_call"]', '["senior_cal"]', "senior_cal", "did you mean 'senior_call'?"),
        ('["senior_call"]', '["points"]', '["points"]', "while a complaint is open"),
        ("[table.unknown.any]\nA", "[table.unknown.low]\nA", "unknown.low", "unknown key"),
        ("holdout_share = 0.10", "holdout_share = 1.0", "holdout_share", "must be less than 1"),
        ("holdout_share = 0.10", 'holdout_share = "0.10"', "holdout_share", "must be a number"),
        (
            "redeemed = { mean = 0.5, weight = 20.0 }\n",
            "",
            "free_delivery",
            "has an incentive_cost",
        ),
        ("mean = 0.03, weight", "mean = 1.03, weight", "reorder_reminder", "at most 1"),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(
    before: str, after: str, line: str, says: str
) -> None:
    assert before in DEFAULT
    text = DEFAULT.replace(before, after, 1)
    with pytest.raises(PolicyError) as refused:
        parse(text, PATH)
    message = str(refused.value)
    assert says in message
    assert "\n" not in message
    number = int(message.split("line ")[1].split(":")[0])
    near = "\n".join(text.splitlines()[max(0, number - 1) : number + 3])
    assert line in near, (message, near)


def test_doing_nothing_must_be_possible() -> None:
    start, end = DEFAULT.index("[actions.none]"), DEFAULT.index("[actions.senior_call]")
    without = DEFAULT[:start] + DEFAULT[end:]
    with pytest.raises(PolicyError, match=r"no \[actions.none\]"):
        parse(without, PATH)
    costly = DEFAULT.replace('channel = "none"', 'channel = "none"\ncontact_cost = 1.0')
    with pytest.raises(PolicyError, match="does nothing"):
        parse(costly, PATH)


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(PolicyError, match="not valid TOML"):
        parse("rules = [", PATH)


def test_the_line_is_that_of_the_cell_not_of_the_first_mention() -> None:
    text = DEFAULT.replace('B = ["ticket_compensation"]', 'B = ["points"]')
    moved = text.index("[table.open_complaint.any]")
    later = text[:moved] + text[text.index("[table.one_time.high]") :]
    later += text[moved : text.index("[table.one_time.high]")]
    for given in (text, later):
        with pytest.raises(PolicyError) as refused:
            parse(given, PATH)
        number = int(str(refused.value).split("line ")[1].split(":")[0])
        assert given.splitlines()[number - 1] == 'B = ["points"]'
        assert given.splitlines()[number - 3] == "[table.open_complaint.any]"


def test_doing_nothing_is_no_service() -> None:
    text = DEFAULT.replace('channel = "none"', 'channel = "none"\nservice = true')
    with pytest.raises(PolicyError, match="does nothing"):
        parse(text, PATH)


def test_a_changed_copy_has_a_version_and_a_table_of_its_own() -> None:
    policy = parse(DEFAULT, PATH)
    before = policy.version, policy.considered["one_time", "high", "A"]
    rules = policy.rules.model_copy(update={"cooldown_days": 3})
    changed = policy.model_copy(
        update={"rules": rules, "table": {"unknown": policy.table["unknown"]}}
    )
    assert changed.version != before[0]
    assert changed.considered["one_time", "high", "A"] != before[1]
    assert (policy.version, policy.considered["one_time", "high", "A"]) == before


def test_the_table_is_told_for_every_situation_band_and_segment() -> None:
    considered = parse(DEFAULT, PATH).considered
    assert len(considered) == 11 * 3 * 3
    assert considered["open_complaint", "low", "A"] == ("senior_call", ())
    assert considered["one_time", "low", "A"] == (None, ())
    assert considered["one_time", "high", "A"] == (None, ("second_order_guide", "free_delivery"))
    assert considered["cheque_decline", "high", "C"] == (None, ())


def test_what_saves_may_differ_by_situation_and_risk() -> None:
    text = DEFAULT.replace(
        "saved = { mean = 0.15, weight = 30.0 }",
        "saved = { mean = 0.15, weight = 30.0 }\n"
        "saved_in.active_shift.high = { mean = 0.02, weight = 300.0 }",
    )
    call = parse(text, PATH).actions["agent_call"]
    assert call.economics_in["active_shift", "high"].saved == Belief(0.02, 300.0)
    assert call.economics_in["active_shift", "medium"] == call.economics
    assert (
        call.economics_in["active_shift", "high"].harm
        == call.economics_in["active_shift", "medium"].harm
    )
    with pytest.raises(PolicyError, match="has saved_in but no saved"):
        parse(text.replace("saved = { mean = 0.15, weight = 30.0 }\n", ""), PATH)
    with pytest.raises(PolicyError, match="active_shft"):
        parse(text.replace("saved_in.active_shift", "saved_in.active_shft"), PATH)
