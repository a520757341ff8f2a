"""Whoever waits for `train` sees every long stage move, from its first step to its last."""

import pytest

from tests.support import NOW
from training.boost import STAGES
from training.config import load
from training.pipeline import train
from training.simulate import simulate


class Recorder:
    """Keeps what a progress bar would show: each stage, its total and how far it came."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None, int]] = []
        self.notes: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total, 0))

    def advance(self, n: int = 1) -> None:
        name, total, done = self.stages[-1]
        self.stages[-1] = (name, total, done + n)

    def note(self, line: str) -> None:
        self.notes.append(line)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    folder = tmp_path_factory.mktemp("progress")
    simulate(400, 10, 7, folder / "shop")
    recorder = Recorder()
    train(load(folder / "shop" / "keepwell.toml"), folder / "models", now=NOW, progress=recorder)
    return recorder


def test_a_stage_with_a_total_reaches_it(seen: Recorder) -> None:
    with_total = [(name, total, done) for name, total, done in seen.stages if total is not None]
    assert len(with_total) >= 5
    for name, total, done in with_total:
        assert done == total, name


def test_reading_counts_the_rows_of_the_log(seen: Recorder) -> None:
    (read,) = [done for name, _, done in seen.stages if name == "reading events"]
    assert any(line.startswith(f"{read:,} rows: ") for line in seen.notes)


def test_every_baseline_is_a_step(seen: Recorder) -> None:
    assert ("fitting the baselines", 4, 4) in seen.stages


def test_every_tree_is_a_step(seen: Recorder) -> None:
    fitting = [name for name, total, _ in seen.stages if total and total % STAGES[-1] == 0]
    assert len(fitting) == 2
    assert fitting[0].startswith("fitting as of ")
    assert fitting[1] == "fitting the model to publish"
