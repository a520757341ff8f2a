import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from service import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    out = io.StringIO()
    logs.configure("INFO", out)
    yield out
    root.handlers, root.level = before


def test_a_line_is_one_json_object_with_its_fields(stream: io.StringIO) -> None:
    logging.getLogger("keepwell.test").info("two\nlines", extra={"fields": {"rows": 3}})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["message"] == "two\nlines"
    assert (line["level"], line["logger"], line["rows"]) == ("info", "keepwell.test", 3)


def test_an_exception_is_told_without_its_message(stream: io.StringIO) -> None:
    try:
        float("a secret")
    except ValueError:
        logging.getLogger("keepwell.test").exception("failed")
    line = json.loads(stream.getvalue())
    assert line["exception"] == "ValueError"
    assert any("test_service_logs.py" in frame for frame in line["trace"])
    assert "secret" not in stream.getvalue()


def test_requests_of_a_turn_of_the_loop_are_written_together_and_in_order() -> None:
    class Pipe(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    out = Pipe()
    root = logging.getLogger()
    before = (root.handlers, root.level)
    logs.configure("INFO", out)
    logger = logging.getLogger("keepwell.test")

    async def turn() -> None:
        logs.request(logger, {"n": 1})
        logs.request(logger, {"n": 2})
        assert out.getvalue() == ""
        await asyncio.sleep(0)
        assert out.writes == 1
        logs.request(logger, {"n": 3})
        logger.warning("four", extra={"fields": {"n": 4}})
        logs.request(logger, {"n": 5})

    try:
        asyncio.run(turn())
        logging.shutdown([lambda: root.handlers[0]])  # as at the end of the process
    finally:
        root.handlers, root.level = before
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["n"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["message"] for line in lines] == [*["request"] * 3, "four", "request"]


def test_uvicorns_lines_come_out_as_ours(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("something")
    assert json.loads(stream.getvalue())["logger"] == "uvicorn.error"


@pytest.mark.parametrize("library", ["uvicorn.error", "alembic.runtime.migration"])
def test_libraries_say_only_what_went_wrong(stream: io.StringIO, library: str) -> None:
    logging.getLogger(library).info("set up")
    assert stream.getvalue() == ""
    logging.getLogger(library).warning("odd")
    assert json.loads(stream.getvalue())["message"] == "odd"


def test_what_goes_on_and_on_is_said_once_a_minute(stream: io.StringIO) -> None:
    times = iter([0.0, 1.0, 2.0, 59.0, 60.0])
    log = logs.Sparing(logging.getLogger("keepwell.test"), lambda: next(times))
    for message in ("away", "away", "full", "away", "away"):
        log.warning(message)
    said = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert said == ["away", "full", "away"]
