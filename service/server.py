"""Runs the service under uvicorn: one process, one event loop."""

import errno
import ipaddress
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from churn.errors import ConfigError, KeepwellError
from service import logs
from service.access.table import ACCESS
from service.app import create_app
from service.connections import Connection
from service.ending import SIGNALS, Server
from service.memory import return_large, settle
from service.settings import Settings, unknown_variables
from service.store.database import Database
from service.store.errors import StoreTooNew, StoreUnavailable, WrongErasureKey
from service.traffic import Traffic

SPARE_FILES = 200
"""Files that the service has open beside its connections, at most."""

ACCEPTED_AT_ONCE = 16
"""New connections that a turn of the event loop takes: it takes one for each handle of a listener,
and under load a turn lasts as long as the answers of a whole block."""

SWITCH_SECONDS = 0.0002
"""How soon the event loop gets the interpreter back from the thread of long work; 5 ms by default,
which each turn of the loop would have to wait for."""

_log = logging.getLogger(f"{logs.ROOT}.server")


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; open requests are finished first.

    Raises
    ------
    ConfigError
        The host is not loopback although nobody would have to show a key, or is unknown.
    WrongErasureKey
        The store has tombstones of another key.
    KeepwellError
        The port is taken.
    """
    logs.configure(settings.log_level)
    for line in unknown_variables():
        _log.warning(line)
    family, address = _resolve(settings)
    check_exposure(settings, str(address[0]))
    sys.setswitchinterval(SWITCH_SECONDS)
    return_large()
    app = create_app(settings)
    state = app.state.keepwell
    state.models.after_swap = settle
    _check_key(state.store)
    paths = {endpoint.partition(" ")[2] for endpoint in ACCESS if "{" not in endpoint}
    traffic = Traffic(app, settings, state.metrics, paths, state.together.waiting)
    http: Any = partial(Connection, traffic)
    config = uvicorn.Config(
        app,
        http=http,
        ws="none",
        loop="auto",
        lifespan="on",
        access_log=False,
        proxy_headers=False,  # nothing here asks who called
        server_header=False,
        log_config=None,
    )
    last_words = [] if state.audit is None else [state.audit.flush]
    server = Server(config, traffic, settings, state.drain, *last_words)
    _allow_files(settings.max_connections + SPARE_FILES)
    with _listen(settings, family, address) as listener, _signals_end(server):
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        _log.info("listening", extra={"fields": {"url": f"http://{shown}:{port}"}})
        server.run(sockets=handles(listener))
        _log.info("stopped")


def handles(listener: socket.socket) -> list[socket.socket]:
    """A listener, and copies of it, for an event loop to watch each."""
    return [listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]


def _allow_files(wanted: int) -> None:
    """Let the process have so many files open, connections among them, if the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    if granted < wanted:
        _log.warning(
            "the system lets this process have %d files open, fewer than %d: raise the limit "
            "(ulimit -n), or lower KEEPWELL_MAX_CONNECTIONS",
            granted,
            wanted,
        )


def _check_key(store: Database) -> None:
    """Refuse to go on with another erasure key than the store's.

    Raises
    ------
    WrongErasureKey
        It is another one.
    """
    try:
        store.prepare()
    except WrongErasureKey:
        raise
    except (StoreUnavailable, StoreTooNew):
        pass  # the service starts without its store


def check_exposure(settings: Settings, address: str) -> None:
    """Refuse to answer strangers unless that was asked for.

    Raises
    ------
    ConfigError
        The address is not loopback and anonymous callers are not allowed.
    """
    if settings.keys_file is not None:
        return
    if ipaddress.ip_address(address).is_loopback:
        _log.info("no keys are configured: only this machine may call, without any")
        return
    if not settings.allow_anonymous:
        raise ConfigError(
            f"host {settings.host} is reachable from other machines and no keys are configured; "
            "make some with `keepwell keys new` and name their file in KEEPWELL_KEYS_FILE, listen "
            "on 127.0.0.1, or set KEEPWELL_ALLOW_ANONYMOUS=1 if something in front of the service "
            "checks who calls"
        )
    _log.warning(
        "anyone who reaches this address may use the service: no keys are configured and "
        "KEEPWELL_ALLOW_ANONYMOUS is set"
    )


def _resolve(settings: Settings) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise ConfigError(
            f"host {settings.host} has no address on this machine's network; try 127.0.0.1"
        ) from None
    family, _, _, _, address = found[0]
    return family, address


def _listen(
    settings: Settings, family: socket.AddressFamily, address: tuple[Any, ...]
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        where = f"port {settings.port} on {settings.host}"
        if error.errno == errno.EADDRINUSE:
            raise KeepwellError(f"{where} is in use; stop what uses it or choose --port") from None
        raise KeepwellError(f"cannot listen on {where}: {error.strerror}") from None
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


@contextmanager
def _signals_end(server: Server) -> Iterator[None]:
    """Let signals end the service also before uvicorn listens to them, and after."""
    before = [signal.signal(number, server.handle_exit) for number in SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
