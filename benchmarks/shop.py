"""A simulated shop and the model learnt from it, for the benchmarks that need one."""

from datetime import UTC, datetime
from pathlib import Path

from churn.registry import Registry
from training import config as configuration
from training.config import Config
from training.pipeline import train
from training.simulate import simulate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = 18


def simulated(folder: Path, customers: int) -> Config:
    """The configuration of a simulated shop."""
    simulate(customers, MONTHS, 7, folder)
    return configuration.load(folder / "keepwell.toml")


def trained(folder: Path, customers: int) -> tuple[Config, Path]:
    """A shop's configuration and the folder of the model learnt from it."""
    config = simulated(folder / "shop", customers)
    train(config, folder / "models", now=NOW)
    return config, folder / "models"


def model_path(models: Path) -> Path:
    """The current model's folder."""
    registry = Registry(models)
    version = registry.current()
    assert version is not None
    return registry.path(version)
