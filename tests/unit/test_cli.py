"""The command line by itself: what it accepts, how it refuses, what goes where."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress
from typer.main import get_command

from churn.errors import ConfigError
from churn.policy.default import DEFAULT, default_policy
from cli import progress
from cli.extras import TRAINING_ONLY
from cli.main import app, run
from cli.output import complain, plain, print_json
from service.policies import read as read_policy
from training.bulk import BulkResult
from training.config import load

COMMANDS = {
    "init", "simulate", "check", "train", "backtest", "score", "serve", "models", "store", "policy",
    "keys", "openapi",
}  # fmt: skip
STORE_COMMANDS = {"import", "export", "erase"}
KEY_COMMANDS = {"new", "list"}
MODEL_COMMANDS = {
    "list", "show", "verify", "sign", "promote", "shadow", "rollback", "keygen",
}  # fmt: skip


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr after checking that there is nothing else."""
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("keepwell: ")
    assert said.err.count("\n") == 1
    return said.err


def test_the_commands_are_the_promised_ones() -> None:
    commands = get_command(app).commands
    assert set(commands) == COMMANDS
    assert set(commands["models"].commands) == MODEL_COMMANDS
    assert set(commands["keys"].commands) == KEY_COMMANDS
    assert set(commands["store"].commands) == STORE_COMMANDS


def test_every_command_and_option_explains_itself() -> None:
    def explained(command: object, path: str) -> None:
        assert command.help, path
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{path} {parameter.name}"
        for name, child in getattr(command, "commands", {}).items():
            explained(child, f"{path} {name}")

    explained(get_command(app), "keepwell")


def test_no_command_shows_the_help_and_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "simulate" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["scor"], "'score'"),
        (["train", "--horizon", "3"], "--horizon"),
        (["models"], "Missing command"),
        (["models", "promote"], "VERSION"),
        (["simulate"], "--out"),
        (["simulate", "--out", "x", "--customers", "0"], "--customers"),
        (["score", "--out", "scores.xlsx"], ".parquet, .csv, .ndjson"),
        (["score", "--out", "scores.csv", "--as-of", "yesterday"], "'yesterday'"),
        (["backtest", "--as-of", "2011-13-01"], "'2011-13-01'"),
        (["check", "-c", "nowhere.toml", "--json"], "nowhere.toml"),
        (["train", "-c", "nowhere.toml"], "nowhere.toml"),
        (["serve", "--port", "70000"], "--port"),
    ],
)
def test_wrong_use_is_one_line_that_names_it_and_exit_code_2(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert named in refusal(capsys)


def test_a_server_does_not_load_what_only_training_needs() -> None:
    refused = """
import sys
from cli.main import run
run(["serve", "--host", "192.0.2.1"])
print("numba" in sys.modules, any(name.startswith("scipy.") for name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", refused], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_failure_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "show", "--json", "--models-dir", str(tmp_path)]) == 1
    assert "keepwell train" in refusal(capsys)
    assert run(["models", "promote", "../outside", "--models-dir", str(tmp_path)]) == 1
    assert "../outside" in refusal(capsys)


def test_a_surprise_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = tmp_path / ("x" * 300)
    assert run(["models", "list", "--models-dir", str(endless)]) == 1
    said = refusal(capsys)
    assert f"{endless}: File name too long" in said
    assert "--debug" in said


def test_debug_gives_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    missing = str(tmp_path / "keepwell.toml")
    for arguments in (["--debug", "check", "-c", missing], ["check", "-c", missing, "--debug"]):
        with pytest.raises(ConfigError):
            run(arguments)


def test_an_error_of_many_lines_is_said_in_one(capsys: pytest.CaptureFixture[str]) -> None:
    complain("Parser Error:\n  SELEC\n  ^")
    assert refusal(capsys) == "keepwell: Parser Error: SELEC ^\n"


def test_init_writes_a_configuration_and_a_policy_that_load(tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "shop")]) == 0
    assert load(tmp_path / "shop" / "keepwell.toml").problem.horizon_days == 60
    assert read_policy(tmp_path / "shop" / "policy.toml").version == default_policy().version


def test_init_leaves_an_existing_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keepwell.toml").write_text("mine")
    assert run(["init", str(tmp_path)]) == 0
    assert f"wrote {tmp_path / 'policy.toml'}" in capsys.readouterr().out
    (tmp_path / "policy.toml").write_text("mine too")
    assert run(["init", str(tmp_path)]) == 2
    assert "keepwell.toml" in refusal(capsys)
    assert (tmp_path / "keepwell.toml").read_text() == "mine"
    assert (tmp_path / "policy.toml").read_text() == "mine too"


def test_init_names_a_file_that_stands_where_the_folder_should(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop").write_text("a file")
    assert run(["init", str(tmp_path / "shop")]) == 2
    assert str(tmp_path / "shop") in refusal(capsys)


def test_an_empty_folder_of_models_lists_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["models", "list", "--json", "--models-dir", str(tmp_path)]) == 0
    nothing: dict[str, object] = {"versions": [], "current": None, "shadow": None}
    assert json.loads(capsys.readouterr().out) == nothing | {"grades": {}, "failed_gates": {}}


def test_the_models_folder_may_come_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPWELL_MODELS_DIR", str(tmp_path / "elsewhere"))
    assert run(["models", "list"]) == 0
    assert "elsewhere" in capsys.readouterr().out


def without_training(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that has none of the training extra."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({sorted(TRAINING_ONLY)!r})); "
    return subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["check", "train", "backtest", "score --out x.csv"])
def test_without_the_training_extra_a_command_says_how_to_get_it(command: str) -> None:
    done = without_training(f"from cli.main import run; sys.exit(run({command.split()!r}))")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.endswith("pip install '.[train]'\n")
    assert done.stderr.count("\n") == 1


def test_without_the_training_extra_the_rest_works(tmp_path: Path) -> None:
    code = f"""
from cli.main import run
for arguments in (["--help"], ["init", {str(tmp_path)!r}], ["models", "list"]):
    assert run(arguments) == 0, arguments
"""
    done = without_training(code)
    assert done.returncode == 0, done.stderr


def test_a_policy_that_cannot_work_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(DEFAULT.replace("cooldown_days", "cooldown_day"), encoding="utf-8")
    config = tmp_path / "keepwell.toml"
    config.write_text('[events]\nquery = "SELECT 1"\n')
    score = ["score", "-c", str(config), "--out", "scores.csv", "--policy"]
    assert run([*score, str(policy)]) == 2
    said = refusal(capsys)
    assert f"{policy}, line 6:" in said
    assert "cooldown_days" in said
    assert run([*score, str(tmp_path / "none.toml")]) == 2
    assert "no such file" in refusal(capsys)
    serve = "from cli.main import run; raise SystemExit(run(['serve', '--port', '0']))"
    env = dict(os.environ, KEEPWELL_POLICY_FILE=str(policy))
    done = subprocess.run([sys.executable, "-c", serve], capture_output=True, text=True, env=env)
    assert done.returncode == 2
    assert f"{policy}, line 6:" in done.stderr.splitlines()[-1]


def test_a_date_without_a_zone_is_one_of_the_log_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "keepwell.toml"
    config.write_text('[events]\nquery = "SELECT 1"\ntimezone = "Asia/Tokyo"\n')
    asked: list[datetime] = []

    def score(*_: object, as_of: datetime, out: Path, **__: object) -> BulkResult:
        asked.append(as_of)
        return BulkResult(0, out, 0.0)

    monkeypatch.setattr("training.bulk.score", score)
    for given in ("2011-10-10", "2011-10-10T00:00:00+03:00"):
        assert run(["score", "-c", str(config), "--as-of", given, "--out", "scores.csv"]) == 0
    assert asked == [
        datetime(2011, 10, 9, 15, tzinfo=UTC),
        datetime(2011, 10, 9, 21, tzinfo=UTC),
    ]


@dataclasses.dataclass
class Sample:
    """Everything that a result may hold."""

    path: Path
    on: date
    numbers: np.ndarray
    missing: float
    feeds: frozenset[str]


def test_json_never_holds_nan_and_keeps_letters(capsys: pytest.CaptureFixture[str]) -> None:
    sample = Sample(
        Path("a/b"), date(2011, 10, 10), np.array([1.5, np.nan]), float("inf"), frozenset("ба")
    )
    print_json({"sample": sample, "count": np.int64(3)})
    text = capsys.readouterr().out
    assert json.loads(text) == {
        "sample": {
            "path": "a/b",
            "on": "2011-10-10",
            "numbers": [1.5, None],
            "missing": None,
            "feeds": ["а", "б"],
        },
        "count": 3,
    }
    assert "б" in text


def test_plain_values_stay_what_they_are() -> None:
    assert plain([None, True, 1, 0.5, "x", (2, 3)]) == [None, True, 1, 0.5, "x", [2, 3]]


def test_lines_name_each_stage_and_seldom_more(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress.Lines()
    lines.stage("reading", 1000)
    for _ in range(1000):
        lines.advance()
    lines.stage("fitting")
    lines.note("240 trees")
    assert capsys.readouterr().err.splitlines() == ["reading", "fitting", "240 trees"]


def test_lines_count_when_a_stage_lasts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    lines = progress.Lines()
    lines.stage("reading", 2000)
    lines.advance(1500)
    assert capsys.readouterr().err.splitlines() == ["reading", "reading: 1,500 of 2,000"]


def test_lines_say_that_a_silent_stage_is_still_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    lines = progress.Lines(lambda: now[0])
    now[0] = 200.0
    lines.tick()
    lines.stage("sorting", 64)
    for moment in (204.0, 209.9, 210.5, 215.0, 221.0):
        now[0] = moment
        lines.tick()
    lines.advance(3)
    now[0] = 235.0
    lines.tick()
    said = [
        "sorting",
        "sorting: 10 s so far",
        "sorting: 21 s so far",
        "sorting: 3 of 64, 35 s so far",
    ]
    assert capsys.readouterr().err.splitlines() == said


def test_lines_tick_only_as_long_as_the_work_lasts() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with progress.Lines().ticking():
        assert "progress" in {thread.name for thread in threading.enumerate()}
    assert {thread.name for thread in threading.enumerate()} == before


def test_bars_close_a_stage_when_the_next_begins() -> None:
    screen = io.StringIO()
    with Progress(console=Console(file=screen, force_terminal=True, width=80)) as drawn:
        bars = progress.Bars(drawn)
        bars.advance()
        bars.stage("reading [1/2]", 10)
        bars.advance(4)
        bars.stage("fitting")
        bars.note("240 [trees]")
        bars.finish()
        assert all(task.finished for task in drawn.tasks)
    assert "reading [1/2]" in screen.getvalue()
    assert "240 [trees]" in screen.getvalue()


def test_progress_away_from_a_terminal_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress() as listener:
        listener.stage("reading")
    assert capsys.readouterr() == ("", "reading\n")
