"""How the service ends: not ready at once, then no new connections, then gone, in a known time.

After SIGTERM those who send requests need some seconds to hear that this process is no longer
ready. It goes on answering meanwhile, and tells each client to come back on another connection.
"""

import asyncio
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn

from service import logs
from service.drain import Drain
from service.settings import CLOSING_SECONDS, Settings
from service.traffic import SWEEP_SECONDS, Traffic

SIGNALS = (signal.SIGTERM, signal.SIGINT)

LAST_WORDS_SECONDS = 1
"""How long a process that is to end now may take for what would be lost with it."""

_log = logging.getLogger(f"{logs.ROOT}.server")


class Server(uvicorn.Server):
    """uvicorn's server, with an end in steps.

    Parameters
    ----------
    config : uvicorn.Config
        How it serves.
    traffic : Traffic
        What its connections share.
    settings : Settings
        Say how long the steps are.
    drain : Drain
        Told that the end has begun.
    last_words : callable, optional
        Called before a second signal ends the process; it may take `LAST_WORDS_SECONDS`.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        traffic: Traffic,
        settings: Settings,
        drain: Drain,
        last_words: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._traffic = traffic
        self._drain = drain
        self._last_words = last_words
        self._grace = settings.drain_seconds
        self._latest = settings.shutdown_seconds
        self._stop_at: float | None = None
        closes_at = self._latest - CLOSING_SECONDS
        config.timeout_graceful_shutdown = closes_at - math.ceil(self._grace)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; at a second signal, end now."""
        if self._stop_at is not None:
            # What is acknowledged is in the store; should the disk hang, the system ends it all.
            signal.alarm(LAST_WORDS_SECONDS)
            try:
                self._last_words()
            finally:
                os._exit(128 + sig)
        is_typed = sig == signal.SIGINT
        self._traffic.linger_seconds = 0.0 if is_typed else self._traffic.linger_seconds
        self._stop_at = time.monotonic() + (0.0 if is_typed else self._grace)
        # Should anything hang, the system ends the process: no thread of ours has to run for that.
        signal.alarm(self._latest)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and to look after the connections."""
        await super().startup(sockets)
        self._sweeping = asyncio.create_task(self._sweep())

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether to end."""
        if self._stop_at is not None:
            if not self._drain.has_begun:
                self._begin_to_drain()
            self.should_exit = self.should_exit or time.monotonic() >= self._stop_at
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, let requests finish, and end."""
        await self._take_the_last(sockets or ())
        await super().shutdown(sockets)

    def _begin_to_drain(self) -> None:
        _log.info("draining", extra={"fields": {"ends_within_seconds": self._latest}})
        self._drain.begin()
        self._traffic.draining = True
        for connection in list(self.server_state.connections):
            connection.drain()  # type: ignore[union-attr]

    async def _take_the_last(self, sockets: Sequence[socket.socket]) -> None:
        """Take the connections that the system has accepted for us: closing would reset them."""
        listeners = [listener.dup() for listener in sockets]
        for server in self.servers:
            server.close()
        await asyncio.sleep(0)  # so that the loop has let go of them, and none is open but ours
        taken = []
        for listener in listeners:
            with listener, suppress(OSError):  # there are no more, or there may be none
                listener.setblocking(False)
                # Without a pause, or more would come for ever.
                for _ in range(self.config.backlog):
                    taken.append(listener.accept()[0])
        loop = asyncio.get_running_loop()
        for connection in taken:
            await loop.connect_accepted_socket(self._connection, connection)

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                connections: set[Any] = self.server_state.connections
                self._traffic.sweep(connections, loop.time())
            except Exception:
                _log.exception("connections could not be looked at; the next look is soon")
