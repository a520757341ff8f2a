"""A job keeps to the policy that it was submitted under, whatever becomes of the file."""

from pathlib import Path
from typing import Any

import pytest

from churn.policy.policy import Policy
from service.jobs.pinned import pin
from service.models import Loaded
from tests.contract.client import purchases
from tests.jobs import carried, ndjson, promoted, results, rows_of
from tests.policies import quiet

LATE = "2027-03-01T00:00:00Z"
ROWS: list[dict[str, Any]] = [
    {"customer_id": f"c-{at}", "as_of": LATE, "events": purchases(4 + at)} for at in range(6)
]


@pytest.fixture(scope="module")
def loaded(published: Path) -> Loaded:
    return promoted(published).with_policy(quiet())


def pinned(folder: Path, content: bytes, policy: Policy) -> None:
    folder.mkdir()
    (folder / "input").write_bytes(content)
    pin(folder, policy)


def test_a_job_keeps_to_the_policy_that_it_was_submitted_under(
    loaded: Loaded, tmp_path: Path
) -> None:
    other = quiet(holdout_share=0.99, holdout_salt="other")
    content = ndjson(ROWS)
    plain = rows_of(results(tmp_path / "plain", content, loaded))
    pinned(tmp_path / "j", content, other)
    stopped = carried(tmp_path / "j", content, loaded, chunk=2, keep_going=lambda done: done < 3)
    assert stopped is None
    changed = loaded.with_policy(quiet(cooldown_days=1))  # while it was down
    found = rows_of(results(tmp_path / "j", content, changed))
    assert {row["policy_version"] for row in found} == {other.version}
    assert {row["policy_version"] for row in plain} == {loaded.scorer.policy.version}
    assert sum(row["action"]["holdout"] for row in found) >= 4
    assert not any(row["action"]["holdout"] for row in plain)
    assert [path.name for path in (tmp_path / "j").iterdir()] == ["results.ndjson"]
