"""The policy file of a service: read at the start, taken up when changed, refused when broken."""

import logging
from pathlib import Path

import pytest

from churn.errors import PolicyError
from churn.policy.default import DEFAULT, default_policy
from service.metrics import Metrics
from service.patience import RETRY_AFTER_POLLS
from service.policies import PolicyHolder, read

DEARER = DEFAULT.replace("contact_cost = 250.0", "contact_cost = 251.0")


def reloads(metrics: Metrics, result: str) -> float:
    found = metrics.registry.get_sample_value("churn_policy_reloads_total", {"result": result})
    return 0.0 if found is None else found


def replaced(path: Path, text: str) -> None:
    """As an editor saves: another file under the same name."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


def test_without_a_file_the_policy_of_the_package_serves() -> None:
    metrics = Metrics()
    holder = PolicyHolder(None, metrics)
    holder.refresh()
    assert holder.current is default_policy()
    assert reloads(metrics, "ok") == 0


@pytest.mark.parametrize("text", [DEFAULT.replace('["senior_call"]', '["senior_cal"]'), "[rules\n"])
def test_a_broken_file_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError, match=r"policy\.toml.*line \d+"):
        PolicyHolder(path, Metrics())


def test_what_is_no_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such file; `keepwell init DIR` writes one"):
        read(tmp_path / "policy.toml")
    with pytest.raises(PolicyError, match="cannot be read"):
        read(tmp_path)
    (tmp_path / "latin.toml").write_bytes("é".encode("latin-1"))
    with pytest.raises(PolicyError, match="not UTF-8"):
        read(tmp_path / "latin.toml")


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(DEFAULT, encoding="utf-8")
    metrics = Metrics()
    holder = PolicyHolder(path, metrics)
    first = holder.current
    assert first.version == default_policy().version
    holder.refresh()
    assert holder.current is first
    replaced(path, DEARER)
    holder.refresh()
    dearer = holder.current
    assert dearer.version != first.version
    assert reloads(metrics, "ok") == 2
    with caplog.at_level(logging.ERROR):
        for text in (DEARER.replace("mean = 0.15", "mean = 1.5"), None):
            if text is None:
                path.unlink()
            else:
                replaced(path, text)
            holder.refresh()
            holder.refresh()
            assert holder.current is dearer
    assert reloads(metrics, "error") == 2  # once for each change
    assert f"{dearer.version} keeps serving" in caplog.text
    replaced(path, DEFAULT)
    holder.refresh()
    assert holder.current.version == first.version
    assert reloads(metrics, "ok") == 3


def test_a_file_that_cannot_be_used_is_tried_again_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, metrics = tmp_path / "policy.toml", Metrics()
    path.write_text(DEFAULT, encoding="utf-8")
    holder = PolicyHolder(path, metrics)
    replaced(path, DEARER)
    with monkeypatch.context() as patched:
        # As where somebody else may read it: nothing of the file changes when that is mended.
        patched.setattr(Path, "read_text", unreadable)
        for _ in range(2 * RETRY_AFTER_POLLS):
            holder.refresh()
        assert reloads(metrics, "error") == 2
    for _ in range(RETRY_AFTER_POLLS):
        holder.refresh()
    assert holder.current.version != default_policy().version


def unreadable(*_: object, **__: object) -> str:
    raise PermissionError(13, "Permission denied")


def test_a_comment_changes_no_version(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(DEFAULT, encoding="utf-8")
    holder = PolicyHolder(path, Metrics())
    first = holder.current
    replaced(path, "# reviewed\n" + DEFAULT)
    holder.refresh()
    assert holder.current is first


def test_a_file_that_is_being_written_waits_for_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(DEFAULT, encoding="utf-8")
    holder = PolicyHolder(path, Metrics())
    first = holder.current
    replaced(path, DEARER)
    signatures = iter(((1, 1, 1), (1, 2, 1), (1, 3, 1), (1, 3, 1)))
    monkeypatch.setattr("service.followed._signature", lambda path: next(signatures))
    holder.refresh()
    assert holder.current is first
    holder.refresh()
    assert holder.current.version == read(path).version != first.version
