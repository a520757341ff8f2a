"""Structured log lines: one JSON object each, without customer data.

An exception's message may quote what it choked on, so only its type and the places it passed
through are written.
"""

import asyncio
import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TextIO

import orjson

ROOT = "keepwell"


class JsonFormatter(logging.Formatter):
    """One line per record: time, level, logger, message and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record as one line of JSON."""
        fields = dict(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
            fields["trace"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        level = record.levelname.lower()
        return _line(record.created, level, record.name, record.getMessage(), fields)


def request(logger: logging.Logger, fields: Mapping[str, object]) -> None:
    """Write the line of one request.

    To the stream of `configure`, with the lines of the others that end in this turn of the event
    loop: a record of the library's, which finds out about thread, process and caller, takes five
    times as long as the line itself, and who reads a pipe is woken by every write.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    handlers = logging.getLogger().handlers
    handler = handlers[0] if len(handlers) == 1 else None
    if not isinstance(handler, _Lines):
        logger.info("request", extra={"fields": fields})
        return
    handler.put(_line(time.time(), "info", logger.name, "request", fields))


def _line(
    seconds: float, level: str, logger: str, message: str, fields: Mapping[str, object]
) -> str:
    second, millisecond = divmod(int(seconds * 1000), 1000)
    return orjson.dumps(
        {
            "time": f"{_second(second)}.{millisecond:03}+00:00",
            "level": level,
            "logger": logger,
            "message": message,
            **fields,
        },
        default=str,
    ).decode()


@lru_cache(maxsize=1)  # the lines of a second share it
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")


class Sparing:
    """Warns of what goes on and on, the same at most once a minute.

    Parameters
    ----------
    logger : logging.Logger
        Where to.
    clock : callable, optional
        Seconds that only grow.
    """

    SECONDS = 60.0

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._said: dict[str, float] = {}

    def warning(self, message: str) -> None:
        """Write a line, unless it was written a moment ago."""
        now = self._clock()
        last = self._said.get(message)
        if last is None or now - last >= self.SECONDS:
            self._said = {text: at for text, at in self._said.items() if now - at < self.SECONDS}
            self._said[message] = now
            self._logger.warning(message)


class _Lines(logging.StreamHandler[TextIO]):
    """The handler that `configure` sets up: lines may wait for the end of a turn of the loop."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._waiting: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, line: str) -> None:
        """Write a line when the event loop has done what is to be done now."""
        loop = asyncio.get_running_loop()
        with self.lock or contextlib.nullcontext():  # a thread's record may write them meanwhile
            self._waiting.append(line)
            is_first = len(self._waiting) == 1 or loop is not self._loop  # one that ended is mute
            self._loop = loop
        if is_first:
            loop.call_soon(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record behind the lines that wait."""
        self._write()
        super().emit(record)

    def flush(self) -> None:
        """Write the lines that wait, and have the stream pass everything on."""
        self._write()
        super().flush()

    def _write(self) -> None:
        with self.lock or contextlib.nullcontext():
            lines, self._waiting = self._waiting, []
            if lines:
                self.stream.write("\n".join([*lines, ""]))


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines, uvicorn's too, to one stream (standard error by default)."""
    handler = _Lines(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # Lines of start, stop and set-up that say nothing that ours do not.
    for name in ("uvicorn", "alembic"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))
