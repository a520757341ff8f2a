"""Whatever ails the store is one sentence that says what, which store and what to do."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from service.store import database as databases
from service.store import engine
from service.store import postgresql as drivers
from service.store.database import Database
from service.store.errors import BadStoreUrl, StoreReadOnly, StoreUnavailable
from service.store.tables import counters, secrets
from tests.postgresql import PASSWORD, USER, Server, other_account


@pytest.fixture(scope="session")
def stores_have_tables() -> bool:
    return False


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "PAUSE_SECONDS", 0.0)


def told(url: str, use: Callable[[Database], object] = Database.prepare) -> str:
    """What the user is told of a store that cannot be used."""
    database = Database(url)
    with pytest.raises(StoreUnavailable) as caught:
        use(database)
    assert not database.available
    database.close()
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD not in message
    assert "secret" not in message
    return message


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store in SQLite with one counter in it."""
    file = tmp_path / "keepwell.db"
    database = Database(f"sqlite:///{file}")
    with database.writing() as connection:
        connection.execute(counters.insert().values(name="n", value=7))
    database.close()
    return file


def read(database: Database) -> int:
    with database.reading() as connection:
        value: int = connection.execute(counters.select()).one().value
    return value


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("keepwell.db", "cannot be read; write sqlite:///keepwell.db or postgresql"),
        ("", "cannot be read"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///keepwell.db?mode=ro", "names no file"),
        ("mysql://me:secret@host/x", r"mysql://me:\*\*\*@host/x: mysql is not supported"),
        ("postgres://me:secret@host/x", r"postgres is not supported; write .*postgresql\+psycopg"),
        ("postgresql+asyncpg://me:secret@host/x", "asyncpg is not supported"),
        ("postgresql+psycopg://me:secret@host:port/x", "cannot be read"),
    ],
)
def test_a_url_that_can_never_work_is_refused_at_once(url: str, advice: str) -> None:
    with pytest.raises(BadStoreUrl, match=advice) as caught:
        Database(url)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service.store.postgresql", None)
    monkeypatch.delattr("service.store.postgresql")
    with pytest.raises(BadStoreUrl, match=r"pip install 'keepwell\[postgres\]'"):
        Database("postgresql+psycopg://me:secret@host/x")


def test_a_plain_url_of_postgresql_means_the_driver_there_is(postgresql: Server) -> None:
    url = postgresql.url(postgresql.new_database()).replace("+psycopg", "")
    database = Database(url)
    database.prepare()
    assert database.available
    database.close()


def test_making_a_store_opens_nothing(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/new/keepwell.db").close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_new_store_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a/b/keepwell.db")
    database.prepare()
    database.close()
    assert (tmp_path / "a" / "b" / "keepwell.db").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "check its folder" in told(f"sqlite:///{tmp_path}/file/keepwell.db")


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    assert "cannot be opened or made" in told(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "keepwell.db"
    file.write_bytes(b"customers,sales\n" * 1000)
    assert "is not a database" in told(f"sqlite:///{file}")
    assert file.read_bytes() == b"customers,sales\n" * 1000


def test_a_damaged_file_is_told_and_a_backup_taken_up_without_a_restart(file: Path) -> None:
    backup = shutil.copy(file, file.with_name("backup"))
    database = Database(f"sqlite:///{file}")
    assert read(database) == 7
    with file.open("r+b") as damaged:
        damaged.seek(100)
        damaged.write(os.urandom(file.stat().st_size - 100))
    database.close()  # forgets the pages it knew
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="damaged; put a backup in its place"):
            read(database)
        assert not database.available
    for beside in ("-wal", "-shm"):
        file.with_name(file.name + beside).unlink(missing_ok=True)
    os.replace(backup, file)
    assert read(database) == 7
    assert database.available
    database.close()


def test_a_file_put_in_the_place_of_an_open_one_is_taken_up(file: Path, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{file}")
    assert read(database) == 7
    other = Database(f"sqlite:///{tmp_path}/other.db")
    with other.writing() as connection:
        connection.execute(counters.insert().values(name="n", value=8))
    other.close()
    os.replace(tmp_path / "other.db", file)
    assert read(database) == 8
    with database.writing() as connection:
        connection.execute(counters.update().values(value=9))
    database.close()
    with sqlite3.connect(file) as plain:
        assert plain.execute("SELECT value FROM counters").fetchall() == [(9,)]
    plain.close()


def test_a_file_that_is_deleted_is_made_anew(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    assert read(database) == 7
    file.unlink()
    with pytest.raises(StoreUnavailable, match="lacks tables"), database.reading() as connection:
        connection.execute(counters.select())
    with database.writing() as connection:
        connection.execute(counters.insert().values(name="n", value=1))
    assert read(database) == 1
    database.close()


def test_no_space_left_is_told_and_nothing_stays(file: Path) -> None:
    database = Database(f"sqlite:///{file}")

    def write_too_much() -> None:
        with database.writing() as connection:
            connection.execute(counters.update().values(value=8))
            connection.execute(text("PRAGMA max_page_count=1"))
            connection.execute(secrets.insert().values(name="large", value=bytes(1 << 20)))

    with pytest.raises(StoreUnavailable, match="no space left on its disk; make room"):
        write_too_much()
    assert database.available
    assert read(database) == 7
    database.close()


READ_ONLY = """
import os, sys
from service.store.database import Database
from service.store.errors import StoreReadOnly
from service.store.tables import counters
url, *account = sys.argv[1:]
if account:
    os.setgroups([])
    os.setgid(int(account[1]))
    os.setuid(int(account[0]))
database = Database(url)
with database.reading() as connection:
    print(connection.execute(counters.select()).one().value)
try:
    with database.writing() as connection:
        connection.execute(counters.update().values(value=8))
except StoreReadOnly as error:
    print(error)
print(database.available)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every account may read; those of tests are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_read_only_file_is_read_and_writing_is_refused(file: Path, open_folder: Path) -> None:
    file = Path(shutil.copy(file, open_folder))
    url = f"sqlite:///{file}"
    # The log's files stay where they are while another process has the store open.
    keeper = Database(url)
    assert read(keeper) == 7
    for inside in open_folder.iterdir():
        inside.chmod(0o444)
    other = other_account()  # root may write anything: be somebody else
    numbers = [] if other is None else [str(other.pw_uid), str(other.pw_gid)]
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, url, *numbers],
        capture_output=True,
        text=True,
        check=False,
    )
    keeper.close()
    assert done.stderr == ""
    value, message, available = done.stdout.splitlines()
    assert (value, available) == ("7", "True")
    assert "its file or folder is read-only; what is stored can still be read" in message


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"password": "secret"}, "does not let this user in; check user and password"),
        ({"username": "nobody"}, "does not let this user in; check user and password"),
        ({"database": "elsewhere"}, "has no such database; create it"),
        ({"host": "keepwell.invalid"}, "no such host; check its name"),
    ],
)
def test_a_wrong_url_of_postgresql_says_what_is_wrong(
    postgresql: Server, change: dict[str, str], advice: str
) -> None:
    _, parsed = engine.parse(postgresql.url())
    url = parsed.set(**change).render_as_string(hide_password=False)  # type: ignore[arg-type]
    assert advice in told(url)


def test_a_port_where_nothing_listens_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "nothing listens there; start the server" in told(
            f"postgresql+psycopg://{USER}:secret@127.0.0.1:{port}/x"
        )


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "CONNECT_SECONDS", 2)  # the client library takes no less
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "does not answer; check host, port and firewall" in told(
            f"postgresql+psycopg://{USER}:secret@127.0.0.1:{port}/x"
        )


def test_a_user_who_may_not_create_tables_is_told(postgresql: Server) -> None:
    name = postgresql.new_database()
    postgresql.execute("CREATE ROLE guest LOGIN PASSWORD 'secret'")
    url = postgresql.url(name, password="secret").replace(f"{USER}:", "guest:")
    assert "grant it the rights to create and change tables" in told(url)


def test_a_server_that_takes_no_writes_is_read(postgresql: Server) -> None:
    name = postgresql.new_database()
    database = Database(postgresql.url(name))
    with database.writing() as connection:
        connection.execute(counters.insert().values(name="n", value=7))
    database.close()
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert read(database) == 7
    with (
        pytest.raises(StoreReadOnly, match="replica or set to read-only"),
        database.writing() as connection,
    ):
        connection.execute(counters.update().values(value=8))
    assert database.available
    database.close()


def test_a_statement_that_takes_too_long_is_ended(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "STATEMENT_SECONDS", 0.2)
    database = Database(postgresql.url(postgresql.new_database()))
    with (
        pytest.raises(StoreUnavailable, match="a statement took too long"),
        database.reading() as connection,
    ):
        connection.execute(text("SELECT pg_sleep(60)"))
    database.close()


def test_after_a_failed_attempt_others_are_told_without_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(databases, "PAUSE_SECONDS", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        database = Database(f"postgresql+psycopg://{USER}:secret@127.0.0.1:{port}/x")
        listener.close()
        with pytest.raises(StoreUnavailable, match="nothing listens"):
            database.prepare()
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setblocking(False)
        with pytest.raises(StoreUnavailable, match="nothing listens"):
            database.prepare()
        with pytest.raises(BlockingIOError):
            listener.accept()
    database.close()
