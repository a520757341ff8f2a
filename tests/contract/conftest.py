import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.contract.client import AppClient, build


@pytest.fixture(scope="session")
def stores_have_tables() -> bool:
    """The migrations have tests of their own: `tests/store`."""
    return True


@pytest.fixture
def models_dir(published: Path, tmp_path: Path) -> Path:
    """A registry of the test's own."""
    return Path(shutil.copytree(published, tmp_path / "models"))


@pytest.fixture(scope="session")
def client(published: Path) -> Iterator[AppClient]:
    with build(Settings(models_dir=published)) as client:
        yield client


@pytest.fixture
def empty_client(tmp_path: Path) -> Iterator[AppClient]:
    with build(Settings(models_dir=tmp_path / "nothing")) as client:
        yield client
