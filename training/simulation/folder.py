"""The folder of a simulated shop: whole or not there at all, and never somebody's other work."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn.errors import ConfigError

EVENTS_FILE, TRUTH_FILE, CONFIG_FILE = "events.parquet", "truth.parquet", "keepwell.toml"

MARK = b"keepwell.simulation"
"""Key of the Parquet metadata that tells a simulated log from a real one."""

_TOML = """\
# A simulated shop: {customers} customers, {months} months, seed {seed}.
# Written by `keepwell simulate`, which writes here again as long as nothing is changed.
# truth.parquet, beside this file, holds what no real shop knows: the true churn probabilities.

[events]
# SQL that maps your tables to the event log; paths are relative to this file. The simulated log
# has the names Keepwell expects already, so nothing needs mapping.
query = "SELECT * FROM 'events.parquet'"

timezone = "UTC"             # of timestamps that name none
complete_until = {complete_until}  # the log is complete until this date (exclusive)

[problem]
horizon_days = 60            # churn = no purchase for this long after the lead time
lead_time_days = 0
inactivity_days = 180        # no purchase for longer: already lapsed, not scored
observation_window_days = 730

[training]
seed = 7

[business]
currency = "RUB"
margin_rate = 0.30
value_horizon_days = 365

# The last date that leaves a whole horizon inside the log is {last_as_of}; truth.parquet knows
# it, so a model can be judged there against the truth itself.
"""


def config_text(customers: int, months: int, seed: int, complete_until: date) -> str:
    """Return the shop's keepwell.toml."""
    return _TOML.format(
        customers=customers,
        months=months,
        seed=seed,
        complete_until=complete_until,
        last_as_of=complete_until - timedelta(days=60),
    )


def marked(schema: pa.Schema, customers: int, months: int, seed: int) -> pa.Schema:
    """Mark a schema as simulated, with the arguments that make the same shop again."""
    arguments = {"customers": customers, "months": months, "seed": seed}
    return schema.with_metadata({MARK: json.dumps(arguments).encode()})


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside `out` that takes its place when all went well.

    Raises
    ------
    ConfigError
        `out` is a file, holds something that no simulation wrote, or cannot be written.
    """
    target = out.resolve()
    _refuse_others_work(out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}; choose another") from None
    try:
        fresh, old = draft / "new", draft / "old"
        fresh.mkdir()
        try:
            yield fresh
        except OSError as error:
            raise ConfigError(f"{out}: cannot be written: {error}; choose another") from None
        _refuse_others_work(out)
        try:
            if target.exists():
                os.rename(target, old)
            os.rename(fresh, target)
        except OSError as error:
            if old.exists():
                os.rename(old, target)
            raise ConfigError(
                f"{out}: cannot be replaced: {error.strerror}; choose another"
            ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _refuse_others_work(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is not a folder; choose another")
    if not out.exists():
        return
    present = {path.name for path in out.iterdir()}
    foreign = sorted(present - {EVENTS_FILE, TRUTH_FILE, CONFIG_FILE})
    if foreign:
        raise ConfigError(
            f"{out}: holds {foreign[0]}, which no simulation wrote; choose an empty folder, or "
            "move it away"
        )
    if present and not _is_simulated(out):
        raise ConfigError(
            f"{out}: holds files that no simulation wrote, or that were changed since; choose an "
            "empty folder, or delete it"
        )


def _is_simulated(folder: Path) -> bool:
    """Whether the log carries our mark and the configuration is as it was written."""
    try:
        schema = pq.read_schema(folder / EVENTS_FILE)
        arguments = json.loads((schema.metadata or {})[MARK])
        present = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        until = date.fromisoformat(
            present.partition("complete_until = ")[2].partition(" ")[0].strip()
        )
        return present == config_text(**arguments, complete_until=until)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return False
