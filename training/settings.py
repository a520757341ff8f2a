"""keepwell.toml, whichever it is: of an event log, or of a ready table."""

from pathlib import Path

from churn.errors import ConfigError
from training.config import Config, checked, tables_of, text_of
from training.table.config import TableConfig


def read(path: Path) -> Config | TableConfig:
    """Read and check a keepwell.toml.

    Raises
    ------
    ConfigError
        As `training.config.load`; or it has both an event log and a ready table, or neither.
    """
    text = text_of(path)
    tables = tables_of(text, path)
    if "table" not in tables:
        if "events" not in tables:
            raise ConfigError(
                f"{path}: needs [events] with a query that gives events, or [table] with one that "
                "gives ready features and a label"
            )
        return checked(Config, tables, path, text)
    for other in ("events", "features"):
        if other in tables:
            raise ConfigError(
                f"{path}: has both [{other}] and [table]; keep [table] if every feature is in it "
                "already, else give its columns by [features] beside [events]"
            )
    return checked(TableConfig, tables, path, text)
