"""How the service ends, and who is answered until then."""

import contextlib
import json
import signal
import socket
import time
from pathlib import Path

import pytest

from benchmarks.drain import end_once, served
from tests.end_to_end.test_limits import HEAD, SCORE, answers, connected, next_answer, until_closed
from tests.end_to_end.test_real_server import PATIENCE, SERVE, Server, serving, waiting

HALF = HEAD + b"Content-Length: 100\r\n\r\n{"


def until_open(server: Server, requests: int = 1) -> None:
    """Wait until so many requests are being answered, beside the one that asks."""
    for _ in waiting():
        if f"churn_http_requests_in_progress {requests + 1}.0" in server.get("/metrics").text:
            return


def until_refused(server: Server) -> float:
    started = time.monotonic()
    for _ in waiting():
        try:
            with connected(server):
                pass
        except OSError:
            break
    return time.monotonic() - started


@pytest.mark.parametrize("load_seconds", [0.2, 0.5])
def test_sigterm_under_load_loses_no_request(published: Path, load_seconds: float) -> None:
    """A short form of `python -m benchmarks drain`."""
    ended = end_once(served(published, drain_seconds=0.5), load_seconds)
    assert ended.lost == []
    assert ended.code == 0
    assert set(ended.before + ended.after) == {200}
    assert ended.after.total() > 10
    assert ended.listened_s > 0.5
    assert ended.unready_ms < ended.listened_s * 1e3  # it said so while it still listened


def test_what_is_not_finished_is_told_and_what_hangs_ends_too(
    published: Path, tmp_path: Path
) -> None:
    hanging = "import threading, time; threading.Thread(target=time.sleep, args=(99,)).start(); "
    short = {"KEEPWELL_SHUTDOWN_SECONDS": "6"}
    with serving(published, tmp_path / "log", hanging + SERVE, **short) as server:
        server.until_ready()
        with connected(server) as connection:
            connection.sendall(HALF)
            until_open(server)
            server.process.send_signal(signal.SIGTERM)
            (answer,) = answers(until_closed(connection))
        assert answer.status == 503
        assert json.loads(answer.body)["type"] == "/problems/draining"
        assert answer.headers["connection"] == "close"
        assert server.process.wait(PATIENCE) == -signal.SIGALRM


def test_ctrl_c_leaves_the_grace_out_and_another_ends_at_once(
    published: Path, tmp_path: Path
) -> None:
    grace = {"KEEPWELL_DRAIN_SECONDS": "60", "KEEPWELL_SHUTDOWN_SECONDS": "100"}
    audit = {
        "KEEPWELL_AUDIT_FILE": str(tmp_path / "audit" / "audit.jsonl"),
        "KEEPWELL_AUDIT_KEY": "ab" * 32,
        "KEEPWELL_RECEIVE_SECONDS": "90",
    }
    with serving(published, tmp_path / "log", **grace, **audit) as server:
        server.until_ready()
        with connected(server) as connection, connected(server) as other:
            connection.sendall(HALF)
            other.sendall(SCORE[:-1])
            until_open(server, 2)
            server.process.send_signal(signal.SIGINT)
            assert until_refused(server) < 30
            assert server.process.poll() is None  # a request is open
            other.sendall(SCORE[-1:])
            assert next_answer(other).status == 200
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(PATIENCE) == 128 + signal.SIGINT
    (lines,) = (tmp_path / "audit").iterdir()
    assert json.loads(lines.read_text().splitlines()[-1])["kind"] == "score"


def test_in_the_grace_everything_is_answered_and_who_is_idle_may_ask_once_more_after_it(
    published: Path, tmp_path: Path
) -> None:
    live = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"
    grace = {"KEEPWELL_DRAIN_SECONDS": "3"}
    with serving(published, tmp_path / "log", **grace) as server, contextlib.ExitStack() as stack:
        server.until_ready()
        kept: list[socket.socket] = [stack.enter_context(connected(server)) for _ in range(3)]
        for connection in kept[:2]:
            connection.sendall(live)
            first = next_answer(connection)
            assert first.status == 200
            assert "connection" not in first.headers
        server.process.send_signal(signal.SIGTERM)
        for _ in waiting():
            ready = server.get("/health/ready")
            if ready.status_code == 503:
                break
        assert ready.json()["type"] == "/problems/draining"
        assert server.score().status_code == 200
        assert_last(kept[0], live)
        until_refused(server)
        assert_last(kept[1], live)
        assert until_closed(kept[2]) == b""
        assert server.process.wait(PATIENCE) == 0


def assert_last(connection: socket.socket, request: bytes) -> None:
    """Ask for something whose answer is the connection's last."""
    connection.sendall(request)
    (answer,) = answers(until_closed(connection))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
