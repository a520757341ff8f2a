"""What the kernel alone takes for one customer of a model that `benchmarks.serving` serves."""

import json
import sys
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.report import each_us
from benchmarks.shop import model_path
from churn.bundle import load

ROWS = 200


def measure(folder: Path) -> None:
    model = load(model_path(folder / "models")).model
    random = np.random.default_rng(7)
    columns = model.columns(np.abs(random.normal(size=(ROWS, len(model.schema)))))
    rows = cycle([columns[at : at + 1] for at in range(ROWS)])
    us = each_us(lambda: model.trees.explain(next(rows)), 2000)
    sys.stdout.write(json.dumps({"explain_us": us}))


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
