"""What may come over a connection: a real service, real sockets, and clients that mean no good."""

import contextlib
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.end_to_end.test_real_server import CUSTOMER, PATIENCE, Server, serving, waiting

HEAD = b"POST /score HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
BODY = json.dumps(CUSTOMER).encode()
SCORE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LIVE = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"
RECEIVE_SECONDS = 1


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def server(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    limits = {
        "KEEPWELL_RECEIVE_SECONDS": str(RECEIVE_SECONDS),
        "KEEPWELL_KEEP_ALIVE_SECONDS": "2",
        "KEEPWELL_MAX_CONNECTIONS": "20",
    }
    with serving(published, log, **limits) as server:
        server.until_ready()
        yield server
        assert not [line for line in server.lines if line["level"] == "error"]


@contextlib.contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 20):
            received += part
    return received


def answers(received: bytes) -> list[Answer]:
    """Take what came over a connection apart."""
    found = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end, received
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        found.append(Answer(int(first.split()[1]), headers, rest[:length]))
        received = rest[length:]
    return found


def next_answer(connection: socket.socket) -> Answer:
    """Wait for one whole answer: it may come in parts."""
    received = b""
    while True:
        part = connection.recv(1 << 16)
        assert part, received
        received += part
        if b"\r\n\r\n" in received:
            (answer,) = answers(received)
            if len(answer.body) == int(answer.headers["content-length"]):
                return answer


def told(server: Server, sent: bytes) -> list[Answer]:
    """Send something, and nothing more, and wait for the end of the connection."""
    with connected(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        return answers(until_closed(connection))


def refused(server: Server, reason: str) -> float:
    found = re.search(
        rf'churn_connections_refused_total{{reason="{reason}"}} ([0-9.]+)',
        server.get("/metrics").text,
    )
    return float(found[1]) if found else 0.0


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "both lengths": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, chunked first": (
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "one length twice": HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "a signed length": HEAD + b"Content-Length: +3\r\n\r\nabc",
    "chunked and then something": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "nearly chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 3\r\n\r\nabc",
    "a folded line": HEAD + b"X: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /health/live HTTP/1.1\nHost: t\n\n",
    "a bare carriage return": HEAD + b"X: a\rContent-Length: 3\r\n\r\nabc",
    "a nul": HEAD + b"X: a\0b\r\n\r\n",
    "a chunk longer than numbers are": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nx",
    "a chunk that ends in a line feed": CHUNKED + b"1\nx\n0\n\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is none": b"GET /health/live HTTP/1.9\r\n\r\n",
    "a tunnel": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_what_two_readers_might_read_in_two_ways_is_400_and_the_end(
    server: Server, sent: bytes
) -> None:
    before = refused(server, "malformed")
    (answer,) = told(server, sent + SCORE)
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["type"] == "/problems/malformed-request"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert refused(server, "malformed") == before + 1


def test_another_coding_before_chunked_is_compression(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
        answer = next_answer(connection)
    assert answer.status == 415


def test_a_trailer_is_no_header(server: Server) -> None:
    with connected(server) as connection:
        chunk = b"%x\r\n%b\r\n0\r\nX-Request-Id: of-the-trailer\r\n\r\n" % (len(BODY), BODY)
        connection.sendall(CHUNKED + chunk)
        answer = next_answer(connection)
    assert answer.status == 200
    assert answer.headers["x-request-id"] != "of-the-trailer"


HEADERS = {
    "two megabytes in one header": b"X: " + b"a" * (2 << 20),
    "one header too many": b"X: a\r\n" * 99 + b"\r\n",
    "a megabyte of headers": b"X: a\r\n" * 200_000,
    "a path without end": None,
}


@pytest.mark.parametrize("sent", HEADERS.values(), ids=HEADERS)
def test_large_headers_are_431_and_the_end(server: Server, sent: bytes | None) -> None:
    before = refused(server, "headers")
    got = told(server, b"GET /" + b"a" * (2 << 20) if sent is None else HEAD + sent)
    assert [answer.status for answer in got] in ([431], [])  # what was not read may cost the answer
    assert refused(server, "headers") == before + 1


def test_a_trailer_without_end_and_chunks_of_a_byte_are_too_large(server: Server) -> None:
    before = refused(server, "headers")
    told(server, CHUNKED + b"1\r\n{\r\n0\r\nX: " + b"a" * (1 << 20))
    told(server, CHUNKED + b"1\r\n \r\n" * 20_000)
    assert refused(server, "headers") == before + 2


def test_many_headers_of_usual_size_are_fine(server: Server) -> None:
    more = {f"x-{at}": "a" * 150 for at in range(90)}
    assert httpx.get(server.url + "/health/live", headers=more).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /sc", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{", CHUNKED + b"1\r\n{\r\n"],
    ids=["nothing", "half a line", "half a head", "half a body", "no more chunks"],
)
def test_who_sends_slowly_is_told_and_left(server: Server, sent: bytes) -> None:
    started = time.monotonic()
    got = told(server, sent)
    assert time.monotonic() - started < RECEIVE_SECONDS + 5
    assert [answer.status for answer in got] == ([408] if sent else [])
    for answer in got:
        assert json.loads(answer.body)["type"] == "/problems/request-timeout"


def test_a_byte_now_and_then_buys_no_time(server: Server) -> None:
    with connected(server) as connection:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in SCORE:
                connection.sendall(bytes([byte]))
                time.sleep(0.1)
                if time.monotonic() - started > RECEIVE_SECONDS + 5:
                    break
        assert time.monotonic() - started < RECEIVE_SECONDS + 5


def test_what_follows_an_answer_without_end_is_not_read_for_ever(server: Server) -> None:
    before = refused(server, "unread_body")
    with connected(server) as connection:
        connection.sendall(CHUNKED.replace(b"/score", b"/nowhere"))
        chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(chunk)
            pytest.fail("all of it was read")
    assert refused(server, "unread_body") == before + 1


def test_an_idle_connection_is_closed(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(LIVE)
        started = time.monotonic()
        (answer,) = answers(until_closed(connection))
        assert answer.status == 200
        assert "connection" not in answer.headers
        assert 1.5 < time.monotonic() - started < 10


def test_requests_sent_at_once_are_answered_in_their_order_and_garbage_after_them(
    server: Server,
) -> None:
    got = told(server, LIVE + SCORE + LIVE + b"garbage\r\n\r\n")
    assert [answer.status for answer in got] == [200, 200, 200]
    assert "churn_probability" in json.loads(got[1].body)
    assert got[2].headers["connection"] == "close"


def test_what_is_wrong_behind_others_costs_them_no_answer(server: Server) -> None:
    got = told(server, SCORE + LIVE + CHUNKED + b"zz\r\n")
    assert [answer.status for answer in got] == [200, 200]
    assert "churn_probability" in json.loads(got[0].body)
    assert [answer.headers.get("connection") for answer in got] == [None, "close"]


@pytest.mark.parametrize("sent", [b"X-Request-Id: r-77\r\n", b""], ids=["the client's", "ours"])
def test_a_body_is_refused_under_the_id_of_its_request(server: Server, sent: bytes) -> None:
    (answer,) = told(server, HEAD + sent + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    identity = answer.headers["x-request-id"]
    assert json.loads(answer.body)["request_id"] == identity
    assert identity == "r-77" or not sent
    for _ in waiting():  # the request is logged as it ends
        if [line for line in server.lines if line.get("request_id") == identity]:
            break


def test_no_more_than_some_requests_at_once(server: Server) -> None:
    got = told(server, LIVE * 1_000)
    assert {answer.status for answer in got} == {200}
    assert len(got) < 50
    assert got[-1].headers["connection"] == "close"


def test_another_protocol_is_not_taken_up(server: Server) -> None:
    upgrade = b"GET /health/live HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
    for protocol in (b"h2c", b"websocket"):
        (answer,) = told(server, upgrade % protocol + LIVE)
        assert answer.status == 200
        assert answer.headers["connection"] == "close"


def test_slow_ones_beyond_the_number_of_connections_make_room_for_others(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for at in range(60):
            connection = stack.enter_context(connected(server))
            connection.sendall(HEAD if at % 2 else SCORE[:-1])
        assert server.get("/health/live").status_code == 200
        assert server.score().status_code == 200
        assert refused(server, "crowded") > 20
    for _ in waiting():
        if server.score().status_code == 200:
            break


def test_a_body_that_comes_in_time_makes_no_room_for_the_idle(server: Server) -> None:
    head = HEAD.replace(b"/score", b"/v1/score/batch")
    body = b"[" + b" " * (4 << 20) + BODY + b"]"
    with contextlib.ExitStack() as stack:
        upload = stack.enter_context(connected(server))
        upload.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        before = refused(server, "crowded")
        for _ in range(40):
            stack.enter_context(connected(server))
        assert refused(server, "crowded") > before
        upload.sendall(body[-1:])
        assert next_answer(upload).status == 200


def test_what_is_too_much_may_come_later_and_probes_are_answered(
    published: Path, tmp_path: Path
) -> None:
    with (
        serving(published, tmp_path / "log", KEEPWELL_MAX_WAITING="1") as server,
        contextlib.ExitStack() as stack,
    ):
        server.until_ready()
        some = [stack.enter_context(connected(server)) for _ in range(48)]
        probing = stack.enter_context(connected(server))
        statuses: Counter[int] = Counter()
        for _ in range(3):
            for connection in some:
                connection.sendall(SCORE)
            probing.sendall(LIVE)
            assert next_answer(probing).status == 200
            for connection in some:
                answer = next_answer(connection)
                statuses[answer.status] += 1
                if answer.status == 429:
                    assert answer.headers["retry-after"] == "1"
                    assert json.loads(answer.body)["type"] == "/problems/overloaded"
                    assert "connection" not in answer.headers
        assert set(statuses) == {200, 429}
        told = server.get("/metrics").text
        shed = float(statuses[429])
        assert f'churn_requests_shed_total{{reason="waiting"}} {shed}' in told
        refused = 'churn_http_requests_total{method="POST",route="/score",status="429"}'
        assert f"{refused} {shed}" in told
        time.sleep(1.1)
        for connection in some:  # one after the other there is nothing to wait for
            connection.sendall(SCORE)
            assert next_answer(connection).status == 200
