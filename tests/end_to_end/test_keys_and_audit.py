"""Keys and the audit log of a running service, and what its log has of who called."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from service.access.keys import KeyScope
from tests import keys
from tests.contract.planting import HEADERS, MARK, TRACES
from tests.end_to_end.test_real_server import CUSTOMER, PATIENCE, Server, serving, waiting

KEY = "ab" * 32
GARBAGE = (
    f"GET /{MARK} HTTP/9.{MARK}\r\n\r\n",
    f"{MARK}\r\n\r\n",
    f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: {MARK}\r\n\r\n",
    f"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}\r\n",
    f"GET /{MARK} HTTP/1.1\r\n{MARK}\r\n\r\n",
)


def called(server: Server, method: str, path: str, key: str | None, **given: object) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    answer = httpx.request(method, server.url + path, headers=headers, timeout=PATIENCE, **given)  # type: ignore[arg-type]
    return answer.status_code


def new_key(path: Path, *scopes: str) -> str:
    told = ("--scopes", ",".join(scopes), "--client", "crm", "--file", str(path))
    made = subprocess.run(
        [sys.executable, "-m", "cli.main", "keys", "new", *told],
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


def shout(server: Server, text: str) -> None:
    """Send what is no request."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as connection:
        connection.sendall(text.encode())
        connection.recv(1 << 16)


def test_a_running_service_asks_for_keys_and_tells_the_audit_log(
    published: Path, tmp_path: Path
) -> None:
    path, log = tmp_path / "keys.toml", tmp_path / "log"
    first = new_key(path, "score")
    with serving(
        published,
        log,
        KEEPWELL_HOST="0.0.0.0",
        KEEPWELL_KEYS_FILE=str(path),
        KEEPWELL_AUDIT_FILE=str(tmp_path / "audit" / "audit.jsonl"),
        KEEPWELL_AUDIT_KEY=KEY,
        KEEPWELL_LOG_LEVEL="DEBUG",
    ) as server:
        server.url = server.url.replace("0.0.0.0", "127.0.0.1")
        server.until_ready()
        asked = CUSTOMER | {"customer_id": f"{MARK}_who", "record": True}
        assert called(server, "POST", "/score", None, json=asked) == 401
        assert called(server, "POST", "/score", first, json=asked) == 200
        assert called(server, "POST", "/score", first, json=asked | {MARK: 1}) == 422
        assert called(server, "GET", "/metrics", first) == 403
        assert called(server, "GET", f"/v1/customers/{MARK}_who/scores", first) == 200
        for header in HEADERS:
            httpx.get(f"{server.url}/{MARK}?{MARK}", headers={header: f"{MARK} !"})
        for text in GARBAGE:
            shout(server, text)
        second = new_key(path, "score", "metrics")
        for _ in waiting():
            if called(server, "GET", "/metrics", second) == 200:
                break
        told = httpx.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {second}"})
        assert 'churn_auth_failures_total{reason="missing"} ' in told.text
        keys.write(path, keys.key("third", {KeyScope.SCORE}))
        for _ in waiting():
            if called(server, "GET", "/v1/model", first) == 401:
                break
        assert server.stop() == 0
    (audit,) = (tmp_path / "audit").iterdir()
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "start"
    assert kinds[-1] == "stop"
    assert {"model_change", "score", "scores_read"} <= set(kinds)
    told_of = [line for line in lines if line["kind"] == "keys_change"]
    ids = [first.split("_")[1], second.split("_")[1]]
    assert [[one["id"] for one in line["before"]] for line in told_of] == [ids[:1], sorted(ids)]
    assert [one["id"] for one in lines[0]["keys"]] == ids[:1]
    (scored,) = [line for line in lines if line["kind"] == "score"]
    assert scored["client"] == "crm"
    assert first.split("_")[1] == scored["key"]
    whole = log.read_text() + audit.read_text() + told.text
    assert not TRACES.search(whole)
    for key in (first, second):
        assert key.split("_")[2] not in whole + path.read_text()


def test_a_broken_file_of_keys_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("[keys.a1]\nclient = 7\n")
    refused = subprocess.run(
        [sys.executable, "-m", "cli.main", "serve", "--port", "0"],
        env={"KEEPWELL_KEYS_FILE": str(path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert refused.returncode == 2
    assert "keys.toml: [keys.a1] " in refused.stderr.splitlines()[-1]
