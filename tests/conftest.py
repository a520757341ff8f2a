import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from psycopg.errors import LockNotAvailable

from service.store.database import Database
from service.store.tables import metadata
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


@pytest.fixture(scope="session")
def stores_have_tables() -> bool:
    """Whether a test's stores have their tables already: making them takes a tenth of a second."""
    return False


@pytest.fixture(scope="session")
def empty_file(stores: Path) -> Path:
    """An SQLite store with its tables and nothing in them, to be copied."""
    path = stores / "empty.db"
    _make_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def empty_databases() -> list[str]:
    """Names of databases with the tables and nothing in them, which tests hand on."""
    return []


def _make_tables(url: str) -> None:
    database = Database(url)
    database.prepare()
    database.close()


@pytest.fixture(autouse=True)
def own_store(
    request: pytest.FixtureRequest,
    stores: Path,
    stores_have_tables: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Give every test's services a store of their own."""
    number = next(_stores)
    if stores_have_tables:
        shutil.copyfile(request.getfixturevalue("empty_file"), stores / f"{number}.db")
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
def store_url(
    request: pytest.FixtureRequest, stores_have_tables: bool, tmp_path: Path
) -> Iterator[str]:
    """The URL of a store with nothing in it, in each of the two databases."""
    if request.param == "sqlite":
        file = tmp_path / "store" / "keepwell.db"
        if stores_have_tables:
            file.parent.mkdir()
            shutil.copyfile(request.getfixturevalue("empty_file"), file)
        yield f"sqlite:///{file}"
        return
    server: Server = request.getfixturevalue("postgresql")
    if not stores_have_tables:
        yield server.url(server.new_database())
        return
    empty: list[str] = request.getfixturevalue("empty_databases")
    if not empty:
        empty.append(server.new_database())
        _make_tables(server.url(empty[-1]))
    name = empty.pop()
    yield server.url(name)
    # Another one is made where somebody is still at work in this one.
    with suppress(LockNotAvailable):
        tables = ", ".join(metadata.tables)
        server.execute(f"SET lock_timeout = '1s'; TRUNCATE {tables}", name)
        empty.append(name)


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """An empty store, in each of the two databases."""
    database = Database(store_url)
    yield database
    database.close()
