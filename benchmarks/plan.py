"""Who gets what of a million customers, under a budget and so many places."""

import os
import sys
import time
from typing import Any

from benchmarks.report import REPEATS, Result, in_process, machine, median, tell

CUSTOMERS, ACTIONS = 1_000_000, 8
BUDGET = 2_000_000.0
CAPACITY = {"action_0": 5_000, "action_1": 20_000, "action_2": 60_000}
LIMITS = {
    "a budget and three capacities": (BUDGET, CAPACITY),
    "a budget": (BUDGET, {}),
    "three capacities": (float("inf"), CAPACITY),
}
SECONDS, GAP = 60.0, 1e-3


def run() -> Result:
    load = os.getloadavg()[0]
    rows: list[list[Any]] = []
    for name in LIMITS:
        runs = [in_process("benchmarks.plan", name) for _ in range(REPEATS)]
        middle = {key: median([run[key] for run in runs]) for key in runs[0]}
        rows.append(
            [
                name,
                *(middle[key] for key in ("wall_s", "cpu_s", "peak_gb")),
                *(int(middle[key]) for key in ("assigned", "withheld")),
                middle["value"],
                f"{middle['gap']:.1e}",
            ]
        )
    return Result(
        title=f"A plan for {CUSTOMERS:,} customers and {ACTIONS} actions",
        notes=(
            "From the expected value and cost of every action for every customer to who gets what, "
            f"with the worth of one more of each limit. The budget is {BUDGET:,.0f}, the places "
            f"{', '.join(f'{most:,}' for most in CAPACITY.values())}; a tenth are held out. "
            "Economics as in the policy that comes with the package, probabilities and values "
            "drawn. The gap is to the bound of the linear relaxation, as a share of it. Each run "
            "is a process of its own, compiled kernels cached; medians of three."
        ),
        columns=("limits", "wall s", "CPU s", "peak GB", "treated", "withheld", "value", "gap"),
        rows=rows,
        targets={
            f"at most {SECONDS:.0f} s and {GAP:.1%} below the bound": (
                f"{max(row[1] for row in rows):.1f} s, {max(float(row[-1]) for row in rows):.1e}"
            )
        },
        machine=machine(load),
    )


def planned(name: str) -> None:
    import numpy as np

    from service.plan.making import make
    from service.plan.options import NOBODY, Options

    rng = np.random.default_rng(7)
    p = rng.beta(2.0, 2.0, CUSTOMERS)
    stake = rng.lognormal(8.0, 1.2, CUSTOMERS)
    saved = np.linspace(0.16, 0.03, ACTIONS) * rng.uniform(0.8, 1.2, (CUSTOMERS, ACTIONS))
    contact = np.geomspace(250.0, 1.5, ACTIONS)
    incentive = np.where(np.arange(ACTIONS) % 2, 150.0, 0.0)
    cost = contact + incentive * (0.5 * (1.0 - p[:, None]) + p[:, None] * saved)
    value = (p * stake)[:, None] * saved - cost - (0.003 * (1.0 - p) * stake)[:, None]
    value[(value <= 0.0) | (rng.random(value.shape) < 0.2)] = -np.inf
    nothing = np.full(CUSTOMERS, np.nan)
    options = Options(
        codes=tuple(f"action_{at}" for at in range(ACTIONS)),
        value=value,
        cost=cost,
        services=(),
        owed=np.full(CUSTOMERS, NOBODY, dtype=np.int64),
        owed_value=nothing,
        owed_cost=nothing,
        stake=p * stake,
        held_out=rng.random(CUSTOMERS) < 0.1,
        situation=np.zeros(CUSTOMERS, dtype=np.int8),
        why=np.where((value > 0.0).any(axis=1), NOBODY, 0).astype(np.int8),
    )
    budget, capacity = LIMITS[name]
    make(options.taken(np.arange(1000)), budget=1000.0, capacity={"action_0": 5})  # compiles
    started = time.perf_counter()
    plan = make(options, budget=budget, capacity=capacity)
    tell(
        started,
        assigned=int(((plan.action != NOBODY) & ~plan.withheld).sum()),
        withheld=int(plan.withheld.sum()),
        value=plan.value,
        gap=1.0 - plan.value / plan.upper_bound,
    )


if __name__ == "__main__":
    planned(sys.argv[1])
