"""`keepwell policy`, on a file of decisions."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.policy_world import Campaigns, made_up
from churn.policy.default import DEFAULT
from churn.policy.policy import parse
from cli.main import run
from tests.decisions_table import row, table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("policy")
    text = DEFAULT.replace("exploration_rate = 0.05", "exploration_rate = 0.40")
    (where / "policy.toml").write_text(text)
    (where / "other.toml").write_text(text.replace("mean = 0.15", "mean = 0.30"))
    policy = parse(text, where / "policy.toml")
    drawn, _ = Campaigns(made_up(3, 1_000), policy).draw(np.random.default_rng(1), 3_000)
    rows = []
    for at in range(len(drawn)):
        rows.append(
            row(
                facts={
                    "alternatives": drawn.facts[at]["alternatives"],
                    "contacts": [list(one) for one in drawn.facts[at]["contacts"]],
                },
                **{
                    name: getattr(drawn, name)[at]
                    for name in (
                        "decision_id", "customer_id", "action", "situation", "segment", "band",
                        "policy_version", "propensity", "probability", "value", "expected_value",
                        "cost", "withheld", "explored",
                    )
                },
                purchased=bool(drawn.retained[at]),
            )
        )  # fmt: skip
    decisions = table(rows)
    at = decisions.column_names.index("as_of")
    times = pa.array(drawn.as_of, pa.timestamp("us", tz="UTC"))
    pq.write_table(decisions.set_column(at, "as_of", times), where / "decisions.parquet")
    return where


def told(folder: Path, *arguments: str) -> int:
    return run(["policy", *(word.replace("@", f"{folder}/") for word in arguments)])


def test_the_report_is_told_in_words_and_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("report", "--decisions", "@decisions.parquet", "--policy", "@policy.toml")
    assert told(folder, *asked) == 0
    words = capsys.readouterr().out
    assert "lift" in words
    assert "withheld" in words
    assert told(folder, *asked, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["actions"]) == len(document["sentences"]) > 5
    assert {"action", "treated", "lift", "profit", "needed", "verdict"} <= set(
        document["actions"][0]
    )


def test_another_policy_is_valued(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (
        "evaluate", "--decisions", "@decisions.parquet", "--policy", "@other.toml",
        "--ran", "@policy.toml",
    )  # fmt: skip
    assert told(folder, *asked) == 0
    assert "doubly robust" in capsys.readouterr().out
    assert told(folder, *asked, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["dr"]["low"] < document["dr"]["value"] < document["dr"]["high"]


def test_decisions_of_an_unknown_policy_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("evaluate", "--decisions", "@decisions.parquet", "--policy", "@other.toml")
    assert told(folder, *asked, "--ran", "@other.toml") == 1
    assert "a policy that is not given" in capsys.readouterr().err


def test_a_proposal_goes_to_a_file_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "policy.toml").read_text()
    asked = ("learn", "--decisions", "@decisions.parquet", "--policy", "@policy.toml")
    assert told(folder, *asked, "--out", "@new.toml") == 0
    assert "saved:" in capsys.readouterr().out.replace(", saved", " saved")
    assert (folder / "policy.toml").read_text() == before
    new = parse((folder / "new.toml").read_text(), folder / "new.toml")
    assert new.version != parse(before, folder / "policy.toml").version
    assert told(folder, *asked, "--out", "@new.toml") == 2
    assert "replaces nothing" in capsys.readouterr().err
    assert told(folder, *asked, "--out", "@json.toml", "--json") == 0
    assert json.loads(capsys.readouterr().out)["changes"]


def test_a_policy_that_is_not_there_is_wrong_use(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("report", "--decisions", "@decisions.parquet", "--policy", "@nowhere.toml")
    assert told(folder, *asked) == 2
    assert "nowhere.toml" in capsys.readouterr().err
