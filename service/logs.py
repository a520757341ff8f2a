"""Structured log lines: one JSON object each, without customer data.

An exception's message may quote what it choked on, so only its type and the places it passed
through are written.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import TextIO

import orjson

ROOT = "keepwell"


class JsonFormatter(logging.Formatter):
    """One line per record: time, level, logger, message and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render the record as one line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return orjson.dumps(line, default=str).decode()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines, uvicorn's too, to one stream (standard error by default)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    # Its lines of start and stop say nothing that ours do not.
    logging.getLogger("uvicorn").setLevel(max(logging.getLevelName(level), logging.WARNING))
