"""A service with a policy.toml: what it suggests, lists, and takes up while it runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.errors import PolicyError
from churn.policy.default import DEFAULT, default_policy
from service.app import create_app
from service.settings import Settings
from tests.contract.client import AppClient, build, customer

ONLY_SURVEYS = """
[rules]
exploration_rate = 0.0
holdout_share = {share}
[actions.none]
channel = "none"
text = {{ en = "leave alone", ru = "не трогать" }}
[actions.ask]
channel = "post"
text = {{ en = "write a letter", ru = "написать письмо" }}
[actions.answer]
channel = "phone"
service = true
within_hours = 10
text = {{ en = "call back", ru = "перезвонить" }}
[table.unknown.any]
A = ["ask"]
B = ["ask"]
C = ["ask"]
[table.open_complaint.any]
A = ["answer"]
B = ["answer"]
C = ["answer"]
"""
COMPLAINT = {"occurred_at": "2026-11-20T20:00:00Z", "kind": "complaint", "case_id": "k"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(ONLY_SURVEYS.format(share=0.0), encoding="utf-8")
    return path


@pytest.fixture
def surveying(published: Path, path: Path) -> Iterator[AppClient]:
    with build(Settings(models_dir=published, policy_file=path)) as client:
        yield client


def action_of(client: AppClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/score", risky(**changes))
    assert answer.status_code == 200
    action: dict[str, Any] = answer.json()["action"]
    return action


def risky(**changes: Any) -> dict[str, Any]:
    """Someone who is not left alone for a low risk."""
    return customer(as_of="2027-03-01T00:00:00Z", **changes)


def test_its_actions_are_listed_and_suggested(surveying: AppClient) -> None:
    listed = surveying.get("/v1/actions").json()
    assert [entry["code"] for entry in listed["actions"]] == ["none", "ask", "answer"]
    assert listed["actions"][1]["text"] == "write a letter"
    assert listed["actions"][2]["service"] is True
    body = surveying.post("/score", risky()).json()
    assert body["risk_band"] in {"medium", "high"}
    assert (body["action"]["code"], body["action"]["channel"]) == ("ask", "post")
    assert body["action"]["why"].endswith(": write a letter")
    assert body["policy_version"] == listed["policy_version"] != default_policy().version


def test_a_changed_file_is_taken_up_without_a_restart(surveying: AppClient, path: Path) -> None:
    before = surveying.post("/score", risky()).json()
    new = path.with_name("new.toml")
    new.write_text(ONLY_SURVEYS.format(share=0.0).replace("letter", "card"), encoding="utf-8")
    new.rename(path)
    surveying.refresh()
    after = surveying.post("/score", risky()).json()
    assert after["action"]["why"].endswith(": write a card")
    assert after["policy_version"] != before["policy_version"]
    assert after["model_version"] == before["model_version"]
    assert surveying.metric("policy_reloads_total", result="ok") == 2
    path.write_text("[rules]\ncooldown_day = 3\n", encoding="utf-8")
    surveying.refresh()
    assert surveying.post("/score", risky()).json()["policy_version"] == after["policy_version"]
    assert surveying.metric("policy_reloads_total", result="error") == 1


def test_a_broken_file_is_refused_before_anything_is_served(published: Path, path: Path) -> None:
    path.write_text(DEFAULT.replace("cooldown_days", "cooldown_day"), encoding="utf-8")
    with pytest.raises(PolicyError, match=r"line 6.*did you mean 'cooldown_days'"):
        create_app(Settings(models_dir=published, policy_file=path))


def test_only_the_channels_that_a_customer_allows_are_used(surveying: AppClient) -> None:
    assert action_of(surveying, channels=["post", "phone"])["code"] == "ask"
    assert action_of(surveying, channels=None)["code"] == "ask"
    for none in ([], ["phone"]):
        action = action_of(surveying, channels=none)
        assert action["code"] == "none"
        assert "allows no channel" in action["why"]


def test_service_asks_for_no_consent_and_has_its_own_term(surveying: AppClient) -> None:
    events = [*customer()["events"], COMPLAINT]
    answer = surveying.post("/score", customer(events=events, channels=[]))
    action = answer.json()["action"]
    # needs_consent is the default, and service is owed all the same
    assert (action["code"], action["situation"]) == ("answer", "open_complaint")
    assert action["act_by"] == "2026-11-21"


def test_a_channel_of_no_action_is_warned_of(surveying: AppClient) -> None:
    body = surveying.post("/score", risky(channels=["pots"])).json()
    assert body["warnings"] == [
        "channels of no action change nothing; GET /v1/actions has those of all"
    ]
    assert surveying.post("/score", risky(channels=["post"])).json()["warnings"] == []


@pytest.mark.parametrize(
    ("channels", "pointer", "code"),
    [
        ("post", "/channels", "not_an_array"),
        ([1], "/channels/0", "not_a_string"),
        (["post", ""], "/channels/1", "empty"),
        (["a\n"], "/channels/0", "control_character"),
        (["x" * 129], "/channels/0", "too_long"),
        (["a"] * 65, "/channels", "too_many"),
        ({}, "/channels", "not_an_array"),
    ],
)
def test_channels_are_checked_as_all_else_is(
    surveying: AppClient, channels: Any, pointer: str, code: str
) -> None:
    answer = surveying.post("/score", risky(channels=channels))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]


def test_a_lapsed_customers_complaint_is_answered_and_nothing_else(surveying: AppClient) -> None:
    late = {"as_of": "2027-11-21T00:00:00Z"}
    body = surveying.post("/score", customer(**late)).json()
    assert (body["status"], body["action"]) == ("lapsed", None)
    events = [*customer()["events"], COMPLAINT]
    body = surveying.post("/score", customer(events=events, **late)).json()
    assert body["status"] == "lapsed"
    assert body["action"]["code"] == "answer"
    assert body["reasons"] == []


def test_a_contact_in_the_events_starts_the_cooldown(surveying: AppClient) -> None:
    def contacted(days_before: int) -> str:
        day = f"2027-02-{28 - days_before + 1:02}T00:00:00Z"
        event = {"occurred_at": day, "kind": "contact", "channel": "post"}
        code: str = action_of(surveying, events=[*customer()["events"], event])["code"]
        return code

    assert contacted(3) == "none"
    assert contacted(13) == "none"
    assert contacted(15) == "ask"


def test_who_is_held_out_is_counted_apart(published: Path, path: Path) -> None:
    path.write_text(ONLY_SURVEYS.format(share=0.5), encoding="utf-8")
    with build(Settings(models_dir=published, policy_file=path)) as client:
        rows = [risky(customer_id=f"c-{at}") for at in range(40)]
        results = client.post("/v1/score/batch", rows).json()["results"]
        held = sum(row["action"]["holdout"] for row in results)
        assert 5 < held < 35
        assert client.metric("actions_total", action="ask", holdout="true") == held
        assert client.metric("actions_total", action="ask", holdout="false") == 40 - held
        again = client.post("/v1/score/batch", rows).json()["results"]
        assert [row["action"] for row in again] == [row["action"] for row in results]
