import math
import re
from pathlib import Path

import pytest

from churn.errors import ConfigError
from service.settings import PREFIX, Settings, load, unknown_variables

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_a_setting_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPWELL_MODELS_DIR", "/srv/models")
    monkeypatch.setenv("KEEPWELL_PORT", "9000")
    settings = load()
    assert settings.models_dir == Path("/srv/models")
    assert settings.port == 9000


def test_an_override_wins_and_none_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPWELL_PORT", "9000")
    assert load(port=9001).port == 9001
    assert load(port=None).port == 9000


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("PORT", "70000"), ("MODELS_POLL_SECONDS", "0"), ("LOG_LEVEL", "LOUD")],
)
def test_a_wrong_setting_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ConfigError, match=PREFIX + name) as caught:
        load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("drain", "shutdown", "least"), [("5", "10", 11), ("30", "28", 36), ("0.5", "6", 6.5)]
)
def test_a_grace_that_leaves_no_time_to_end_is_refused(
    monkeypatch: pytest.MonkeyPatch, drain: str, shutdown: str, least: float
) -> None:
    monkeypatch.setenv("KEEPWELL_DRAIN_SECONDS", drain)
    monkeypatch.setenv("KEEPWELL_SHUTDOWN_SECONDS", shutdown)
    told = rf"^KEEPWELL_SHUTDOWN_SECONDS \({shutdown}\) must be {least:g} .*KEEPWELL_DRAIN_SECONDS"
    with pytest.raises(ConfigError, match=told) as caught:
        load()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("KEEPWELL_SHUTDOWN_SECONDS", str(math.ceil(least)))
    assert load().drain_seconds == float(drain)


def test_a_misspelt_variable_names_the_nearest() -> None:
    lines = unknown_variables({"KEEPWELL_MODEL_DIR": "x", "KEEPWELL_PORT": "1", "PATH": "/bin"})
    assert lines == ["KEEPWELL_MODEL_DIR is not a setting; did you mean KEEPWELL_MODELS_DIR?"]


def test_every_setting_is_documented_with_its_default() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        default = int(field.default) if isinstance(field.default, bool) else field.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        row = rf"^\| `{PREFIX}{name.upper()}` \| `?{re.escape(shown)}`? \| "
        assert re.search(row, page, re.MULTILINE), name
        assert field.description, name
