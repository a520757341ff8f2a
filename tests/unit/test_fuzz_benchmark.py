"""A short form of `python -m benchmarks fuzz`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzz import PATHS, of_endpoints, of_reader
from benchmarks.fuzz_parser import Differ, both
from service import quick, validation
from service.settings import Settings
from tests.contract.client import AppClient, build


@pytest.fixture
def client(published: Path) -> Iterator[AppClient]:
    with build(Settings(models_dir=published)) as client:
        yield client


def test_the_quick_reader_takes_what_the_strict_one_takes_for_the_same() -> None:
    found = of_reader(2_000)
    assert found.faults == []
    assert found.cases == found.outcomes.total() == 2_000
    assert min(found.outcomes[how] for how in ("taken", "400", "422")) > 200


def test_a_difference_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(raw: bytes) -> quick.Checked | None:
        taken = quick.quick_body(raw)
        return None if taken is None else taken._replace(max_reasons=8)

    monkeypatch.setattr(validation, "quick_body", careless)
    with pytest.raises(Differ):
        both(b'{"customer_id":"c","events":[]}')
    assert len(of_reader(200).faults) > 10


def test_no_endpoint_answers_5xx(client: AppClient) -> None:
    found = of_endpoints(client, 20 * len(PATHS))
    assert found.faults == []
    assert {"200", "400", "422"} <= set(found.outcomes)
