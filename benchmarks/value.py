"""What customers are said to bring against what they then brought, beside two simple rules.

    python -m benchmarks.value cdnow 1998-05-02 1997-11-02 1998-01-02
    python -m benchmarks.value path/to/keepwell.toml 2026-01-01 2025-05-01

First the log, of which what comes from the first date on is not looked at; then the dates to judge
at, each fitted on what was known by then. The names are those of `benchmarks.real_logs`.
"""

import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from benchmarks.real_logs import config_of
from training.backtest import MODEL, judge
from training.calendar import Calendar, instant
from training.config import Config
from training.ingest import ingest
from training.progress import Silent
from training.value.check import NAMES, ValueCheck, check_at, longest_window


def main() -> None:
    """Print, for each date, ranks, ratios and tenths."""
    log, until, *days = sys.argv[1:]
    config = cut(config_of(log), date.fromisoformat(until))
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(datetime.now(UTC)))
        calendar = Calendar.of(config, ingested)
        for day in days:
            as_of = instant(datetime.fromisoformat(day).replace(tzinfo=config.events.zone))
            window = longest_window(config, calendar, as_of, ingested.complete_until)
            judged = judge(config, ingested, calendar, as_of, Silent())
            customers = judged.test.customer_id.tolist()
            p = dict(zip(customers, judged.probabilities[MODEL].tolist(), strict=True))
            check = check_at(config, ingested, calendar, as_of, window, p)
            if check is not None:
                _print(check)


def cut(config: Config, until: date) -> Config:
    """The same log without what comes from a date on."""
    query = config.events.query.strip().rstrip(";")
    events = config.events.model_copy(
        update={
            "query": f"SELECT * FROM ({query}) WHERE occurred_at < TIMESTAMP '{until}'",
            "complete_until": until,
        }
    )
    shorter = config.model_copy(update={"events": events})
    shorter._path = config._path
    return shorter


def _print(check: ValueCheck) -> None:
    n, back = len(check.realised), check.came_back.mean()
    print(f"\n{check.as_of}, {check.days} days, {n:,} customers, {back:.1%} came back")
    for name in check.expected:
        rank, ratio = check.ranks[name], check.ratio(name)
        print(
            f"{NAMES[name]:28} rank {rank.value:.3f} [{rank.low:.3f}, {rank.high:.3f}]  realised/"
            f"expected {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]  tenths off by "
            f"{check.miss(name):.1%}"
        )
    for name, customers, ratio in check.parts:
        print(
            f"{name:28} {customers:6,}  realised/expected {ratio.value:.3f} "
            f"[{ratio.low:.3f}, {ratio.high:.3f}]"
        )
    for tenth in check.tenths(MODEL):
        came = tenth.realised
        print(f"{tenth.expected:10.2f} {came.value:10.2f} [{came.low:.2f}, {came.high:.2f}]")


if __name__ == "__main__":
    main()
