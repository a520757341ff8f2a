"""`keepwell store import` of a large log into SQLite and into PostgreSQL, and out again."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import made_up_log
from benchmarks.report import Result, machine
from tests.postgresql import Server

EVENTS = 20_000_000
TARGET = 100_000
PRODUCTION = ("shared_buffers=2GB", "max_wal_size=4GB", "checkpoint_timeout=15min")
MEASURED = """
import json, resource, sys
from cli.main import run
code = run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "mb": used.ru_maxrss / 1024}))
sys.exit(code)
"""


def run() -> Result:
    load_before = os.getloadavg()[0]
    rows: list[list[Any]] = []
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        made_up_log.write(folder / "events.parquet", EVENTS)
        config = folder / "keepwell.toml"
        config.write_text("[events]\nquery = \"SELECT * FROM 'events.parquet'\"\n")
        for title, url in _stores(folder):
            for what, command, count in (
                ("import", ("import", "-c", str(config)), "rows"),
                ("the same again", ("import", "-c", str(config)), "rows"),
                ("export", ("export", "--out", str(folder / "out.parquet")), "events"),
            ):
                told, used = _keepwell(*command, "--store-url", url)
                rate = told[count] / told["seconds"]
                rates.setdefault(f"{title}: {what}", rate)
                rows.append([f"{title}, {what}", told["seconds"], rate, used["cpu"], used["mb"]])
    return Result(
        title="A log into the store and out again",
        notes=(
            f"{EVENTS:,} events of {EVENTS // 20:,} customers, reading and judging included; the "
            "database waits for the disk. CPU is the command's alone, without PostgreSQL's."
        ),
        columns=("", "s", "events/s", "CPU s", "MB"),
        rows=rows,
        targets={
            f"{title}: {TARGET:,} events a second": f"{rates[f'{title}: import']:,.0f}"
            for title in ("SQLite", "PostgreSQL")
        },
        machine=machine(load_before),
    )


def _stores(folder: Path) -> Iterator[tuple[str, str]]:
    yield "SQLite", f"sqlite:///{folder}/keepwell.db"
    server = Server(PRODUCTION, durable=True)
    try:
        server.start()
        yield "PostgreSQL", server.url(server.new_database())
    finally:
        server.remove()


def _keepwell(*arguments: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Run `keepwell store`; what it told, and what it used."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "store", *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    told, _, used = done.stdout.strip().rpartition("\n")
    return json.loads(told), json.loads(used)
