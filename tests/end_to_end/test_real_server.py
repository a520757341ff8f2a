"""The service as it runs: a process of its own, real sockets, real signals."""

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from churn.errors import ConfigError, KeepwellError
from churn.registry import Registry
from service.server import check_exposure, run
from service.settings import Settings

ROOT = Path(__file__).parents[2]
SERVE = "from service.server import run; from service.settings import load; run(load())"
PATIENCE = 120.0
CUSTOMER: dict[str, Any] = {
    "customer_id": "c-1042",
    "as_of": "2026-11-21T00:00:00Z",
    "events": [
        {"occurred_at": "2026-08-19T16:40:00Z", "kind": "purchase", "amount": 61.0},
        {"occurred_at": "2026-10-02T10:11:00Z", "kind": "purchase", "amount": 54.9},
    ],
}


@dataclass
class Server:
    process: subprocess.Popen[str]
    log: Path
    url: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE)

    def score(self) -> httpx.Response:
        return httpx.post(self.url + "/score", json=CUSTOMER, timeout=PATIENCE)

    def until_ready(self, version: str | None = None) -> None:
        for _ in waiting():
            answer = self.get("/health/ready")
            if answer.status_code == 200 and version in (None, answer.json()["model_version"]):
                return

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def waiting() -> Iterator[None]:
    """Give turns until patience ends."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        yield
        time.sleep(0.02)
    raise AssertionError("waited in vain")


@contextmanager
def serving(models_dir: Path, log: Path, code: str = SERVE, **settings: str) -> Iterator[Server]:
    environment = os.environ | {
        "KEEPWELL_MODELS_DIR": str(models_dir),
        "KEEPWELL_PORT": "0",
        "KEEPWELL_MODELS_POLL_SECONDS": "0.1",
        "KEEPWELL_DRAIN_SECONDS": "0",
        **settings,
    }
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code],
            cwd=ROOT,
            env=environment,
            stderr=stream,
            text=True,
        )
    try:
        url = ""
        for _ in waiting():
            assert process.poll() is None, log.read_text()
            url = next(
                (
                    json.loads(line)["url"]
                    for line in log.read_text().splitlines()
                    if '"url"' in line
                ),
                "",
            )
            if url:
                break
        yield Server(process, log, url)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(published, log) as server:
        server.until_ready()
        yield server


def test_a_customer_is_scored_over_a_real_connection(server: Server) -> None:
    answer = server.score()
    assert answer.status_code == 200
    assert 0 < answer.json()["churn_probability"] < 1
    assert answer.headers["x-model-version"] == answer.json()["model_version"]
    assert "server" not in answer.headers


def test_requests_at_the_same_time_get_their_own_answers(server: Server) -> None:
    def ask(name: str, answers: dict[str, Any]) -> None:
        body = CUSTOMER | {"customer_id": name}
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            answers[name] = [client.post("/score", json=body).json() for _ in range(20)]

    answers: dict[str, Any] = {}
    threads = [threading.Thread(target=ask, args=(f"c-{i}", answers)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    for name, own in answers.items():
        assert {answer["customer_id"] for answer in own} == {name}
        assert len({answer["churn_probability"] for answer in own}) == 1


def test_a_body_that_never_ends_is_refused_early(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(
            b"POST /score HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        answer = b""
        for _ in range(1000):
            if select.select([connection], [], [], 0)[0]:
                break
            try:
                connection.sendall(chunk)
            except ConnectionError:  # closed on us; the answer is already here
                break
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"/problems/too-large" in answer
    assert server.score().status_code == 200


def test_a_client_that_leaves_midway_harms_nobody(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(
            b"POST /score HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
            b'Content-Length: 100\r\n\r\n{"customer_id"'
        )
    for _ in waiting():
        if 'route="/score",status="499"' in server.get("/metrics").text:
            break
    assert server.score().status_code == 200
    assert not [line for line in server.lines if line["level"] == "error"]


def test_no_customer_is_in_the_log(server: Server) -> None:
    server.score()
    body = CUSTOMER | {"as_of": "c-1042"}
    httpx.post(server.url + "/score?who=c-1042", json=body, timeout=PATIENCE)
    text = server.log.read_text()
    assert '"route":"/score"' in text
    assert "c-1042" not in text


def test_a_promotion_is_taken_up_without_a_restart(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    with serving(root, tmp_path / "log") as server:
        assert server.get("/health/live").status_code == 200
        assert server.get("/health/ready").status_code == 503
        refused = server.score()
        assert refused.status_code == 503
        assert "keepwell train" in refused.json()["detail"]
        shutil.copytree(published, root)
        version = Registry(root).current()
        server.until_ready(version)
        assert server.score().json()["model_version"] == version


def test_sigterm_lets_an_open_request_finish(published: Path, tmp_path: Path) -> None:
    with serving(published, tmp_path / "log") as server:
        server.until_ready()
        host, port = server.url.removeprefix("http://").split(":")
        body = json.dumps(CUSTOMER).encode()
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(
                b"POST /score HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body[:20]
            )
            for _ in waiting():
                if "churn_http_requests_in_progress 2.0" in server.get("/metrics").text:
                    break
            server.process.send_signal(signal.SIGTERM)
            for _ in waiting():
                try:
                    socket.create_connection((host, int(port)), timeout=1).close()
                except OSError:
                    break
            assert server.process.poll() is None
            connection.sendall(body[20:])
            answer = b""
            while part := connection.recv(65_536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(PATIENCE) == 0
        assert server.lines[-1]["message"] == "stopped"


def test_sigterm_ends_an_idle_server_with_success(published: Path, tmp_path: Path) -> None:
    with serving(published, tmp_path / "log") as server:
        server.until_ready()
        assert server.stop() == 0


@pytest.fixture
def _own_logging() -> Iterator[None]:
    """Leave the test run's logging as it was: `run` takes it over."""
    root, uvicorns = logging.getLogger(), logging.getLogger("uvicorn")
    before = (root.handlers, root.level, uvicorns.level)
    yield
    root.handlers, root.level, uvicorns.level = before


@pytest.mark.usefixtures("_own_logging")
def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(KeepwellError, match=f"port {port} on 127.0.0.1 is in use") as caught:
            run(Settings(port=port))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.usefixtures("_own_logging")
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_keys_a_host_beyond_loopback_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="KEEPWELL_ALLOW_ANONYMOUS=1"):
        run(Settings(host=host, port=0))


@pytest.mark.usefixtures("_own_logging")
def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no address"):
        run(Settings(host="h" * 64, port=0))  # longer than any name may be


def test_it_may_be_allowed_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    check_exposure(Settings(host="0.0.0.0", allow_anonymous=True), "0.0.0.0")
    assert "no keys are configured" in caplog.text


def test_with_keys_any_host_will_do(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    check_exposure(Settings(host="0.0.0.0", keys_file=Path("keys.toml")), "0.0.0.0")
    assert caplog.text == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_needs_no_permission(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    check_exposure(Settings(), address)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "only this machine may call" in caplog.text
