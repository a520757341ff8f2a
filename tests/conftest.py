from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

from service.store.database import Database
from tests.postgresql import Server
from tests.support import small_bundle

# The same examples on every run, and no time limit: the first one may have a kernel to compile.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

_stores = count()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one promoted model; shared, so left as it is."""
    root = tmp_path_factory.mktemp("models")
    small_bundle(root)
    return root


@pytest.fixture(scope="session", autouse=True)
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where services of the tests keep their stores: never the working folder."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEEPWELL_STORE_URL", f"sqlite:///{folder}/session.db")
        patch.setenv("KEEPWELL_JOBS_DIR", f"{folder}/session-jobs")
        yield folder


@pytest.fixture(autouse=True)
def own_store(stores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test's services a store of their own."""
    number = next(_stores)
    monkeypatch.setenv("KEEPWELL_STORE_URL", f"sqlite:///{stores}/{number}.db")
    monkeypatch.setenv("KEEPWELL_JOBS_DIR", f"{stores}/{number}-jobs")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A running server, for tests that leave it running."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that does not exist yet, in each of the two databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store/keepwell.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.url(server.new_database())


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """An empty store, in each of the two databases."""
    database = Database(store_url)
    yield database
    database.close()
