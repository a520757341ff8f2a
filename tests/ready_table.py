"""A small ready table that somebody might have, and a model of it, made once per process."""

import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from training.pipeline import TrainResult
from training.settings import read
from training.table.config import TableConfig
from training.table.train import train

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
HEAD = "client,left_us,made,home,plan,calls,spend,noise"
QUERY = """
SELECT client AS customer_id, left_us AS is_churn, plan, calls, spend, noise FROM 'table.csv'
"""
COLUMNS = """
[table.columns.calls]
family = "service"
direction = 1
label = {en = "calls to support", ru = "звонки в поддержку"}
text = {en = "{value} calls; others make {norm}", ru = "звонков {value}; обычно {norm}"}
"""


def lines(n: int = 400, seed: int = 3) -> list[str]:
    """Rows as CSV: many calls and the plan "trial" go with leaving; some values are empty."""
    rng = np.random.default_rng(seed)
    out = []
    for at in range(n):
        leaves = rng.random() < 0.3
        plan = rng.choice(
            ["trial", "basic", "gold"], p=[0.6, 0.3, 0.1] if leaves else [0.2, 0.5, 0.3]
        )
        calls = rng.poisson(4 if leaves else 1)
        spend = "" if rng.random() < 0.1 else f"{rng.gamma(2.0, 20.0):.2f}"
        made = date(2025, 1, 1) + timedelta(days=int(rng.integers(0, 500)))
        out.append(
            f"c{at},{'yes' if leaves else 'no'},{made},h{at // 2},{plan},{calls},{spend},"
            f"{rng.normal():.6f}"
        )
    return out


def write(folder: Path, rows: list[str], query: str = QUERY, more: str = COLUMNS) -> TableConfig:
    """Write table.csv and a keepwell.toml beside it, and read the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    # What comes before the first header of `more` belongs to [table].
    (folder / "keepwell.toml").write_text(f'[table]\nquery = """{query}"""\n{more}')
    config = read(folder / "keepwell.toml")
    assert isinstance(config, TableConfig)
    return config


@cache
def _trained() -> tuple[Path, TrainResult]:
    folder = Path(tempfile.mkdtemp(prefix="keepwell-test-"))
    return folder, train(write(folder, lines()), folder / "models", now=NOW)


def trained(root: Path) -> TrainResult:
    """Copy keepwell.toml, table.csv and the promoted model in models/ to `root`."""
    folder, result = _trained()
    shutil.copytree(folder, root, dirs_exist_ok=True)
    return result
