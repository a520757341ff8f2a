"""`kill -9` at random moments: what was acknowledged is there once, and nothing else remains."""

from importlib import import_module

from benchmarks.report import Result

PARTS = ("kills_events", "kills_jobs", "kills_decisions", "kills_erasures")


def run() -> list[Result]:
    """Every part's tables."""
    return [result for part in PARTS for result in import_module(f"benchmarks.{part}").results()]
