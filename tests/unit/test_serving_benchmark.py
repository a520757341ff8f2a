"""The parts of the serving benchmark that tell how a server did."""

from typing import Any

import pytest

from benchmarks.load import drive, finished, script
from benchmarks.servers import running, uvicorn

SAID = """Running 2s test @ http://127.0.0.1:8000/score
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.02ms    2.11ms  41.21ms   93.90%
    Req/Sec     2.05k   310.00     2.48k    72.50%
  Latency Distribution
     50%  950.00us
     75%    4.22ms
     90%    5.12ms
     99%    1.25s
  4098 requests in 2.00s, 5.11MB read
Requests/sec:   2047.96
Transfer/sec:      2.55MB
"""


class Finished:
    """A wrk that has ended and said this."""

    returncode = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def communicate(self) -> tuple[str, None]:
        return self.text, None


def said(text: str) -> Any:
    return finished(Finished(text))  # type: ignore[arg-type]


def test_what_wrk_says_is_read_in_milliseconds() -> None:
    assert said(SAID) == pytest.approx((4098, 2047.96, 0.95, 1250.0))


@pytest.mark.parametrize(
    "trouble",
    [
        "  Non-2xx or 3xx responses: 3\n",
        "  Socket errors: connect 0, read 1, write 0, timeout 0\n",
    ],
)
def test_a_run_with_refused_requests_does_not_count(trouble: str) -> None:
    with pytest.raises(RuntimeError, match="not every request"):
        said(SAID + trouble)


def test_without_wrk_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="apt-get install wrk"):
        drive("http://127.0.0.1:1/", script(tmp_path / "s", [b"{}"]), 1, 0.1)


def test_a_server_is_started_measured_and_ended() -> None:
    with running(uvicorn("floor", "benchmarks.bare_app:app", "/")) as up:
        assert up.cold_start_s > 0
        assert up.cpu_s() > 0
        assert up.rss_mb() > 5
        process = up.process
    assert process.poll() is not None
