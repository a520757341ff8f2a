"""Real servers under real load: one customer a request, lists, and both at once.

Each server is a process of its own (with all below it counted in), driven by wrk on the same
machine. A round starts every server once, one after the other; medians of three rounds.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.load import Load, begin, drive, finished, script, wrk
from benchmarks.report import REPEATS, Result, in_process, machine, median
from benchmarks.servers import Running, Server, keepwell, rival_python, running, uvicorn
from benchmarks.serving_models import BODIES_FILE, BOOSTER, CDNOW, FEATURES

CONNECTIONS = (1, 8, 64)
SECONDS, BATCH_SECONDS, MIXED_SECONDS = 3.0, 6.0, 5.0
CUSTOMERS, JOB_CUSTOMERS = 1000, 200_000
EVENTS = 10_000
ARROW = "application/vnd.apache.arrow.stream"

KEEPWELL, SMALL, MINIMAL = "Keepwell", "Keepwell, CDNOW model, events", "FastAPI + `pred_contrib`"
BENTO, MLSERVER = "BentoML + `pred_contrib`", "MLServer, no reasons"
BARE_MLSERVER = "MLServer, no reasons, no worker process, no log"
FLOOR = "bare ASGI, no model"


class Served(NamedTuple):
    """A server, and the requests that it is asked."""

    server: Server
    path: str
    load: Path


def run() -> list[Result]:
    wrk()
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        for kind in _kinds():
            (folder / kind).mkdir()
            command = [sys.executable, "-m", "benchmarks.serving_models", kind, str(folder / kind)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return [singles(folder), lists(folder), mixed(folder)]


def _kinds() -> list[str]:
    fetched = subprocess.run([sys.executable, CDNOW / "fetch.py"], capture_output=True, check=False)
    if fetched.returncode:
        sys.stderr.write("CDNOW cannot be fetched: its model is left out\n")
    return ["table"] if fetched.returncode else ["table", "events"]


def singles(folder: Path) -> Result:
    """One customer a request."""
    load_before = os.getloadavg()[0]
    served = _served(folder)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in served}
    for _ in range(REPEATS):
        for name, one in served.items():
            runs[name].append(_measured(one))
    middle = {
        name: {key: median([one[key] for one in found]) for key in found[0]}
        for name, found in runs.items()
    }
    most = CONNECTIONS[-1]
    base = middle[MINIMAL][f"rate {most}"]
    rows = [
        [
            name,
            told[f"rate {most}"] / base,
            *(" / ".join(_figure(told[f"{what} {c}"]) for c in CONNECTIONS)
              for what in ("rate", "p50", "p99", "cpu")),
            told["rss"],
            told["cold"],
        ]
        for name, told in middle.items()
    ]  # fmt: skip
    kernel = {
        kind: in_process("benchmarks.serving_kernel", str(folder / kind))["explain_us"]
        for kind in ("table", "events")
        if (folder / kind).exists()
    }
    floor = middle[FLOOR][f"cpu {most}"]
    return Result(
        title="Serving one customer a request, with three reasons",
        notes=(
            f"300 trees of 31 leaves over {FEATURES} numbers sent ready, unless said otherwise; "
            "the CDNOW model is our training's, its customers are sent as 3 to 10 purchases. "
            "Everything runs on one machine, wrk too, each library with one thread. Keepwell "
            "validates strictly, calibrates, words its reasons, counts metrics and logs each "
            "request. BentoML and MLServer run as they come, with one worker; FastAPI does nothing "
            "but the score. "
            f"Figures at {' / '.join(map(str, CONNECTIONS))} connections, medians of {REPEATS} "
            "rounds. The floor of a request is its kernel and the bare ASGI server: "
            + "; ".join(
                f"{kind} {us:.0f} + {floor:.0f} us of {middle[name][f'cpu {most}']:.0f}"
                for (kind, us), name in zip(kernel.items(), (KEEPWELL, SMALL), strict=False)
            )
            + "."
        ),
        columns=(
            "", f"requests/s against FastAPI, {most} connections", "requests/s", "p50 ms",
            "p99 ms", "CPU us a request", "memory MB", "cold start s",
        ),
        rows=rows,
        targets=_targets(middle),
        machine=machine(load_before),
    )  # fmt: skip


def _targets(middle: dict[str, dict[str, float]]) -> dict[str, str]:
    rate = {name: told["rate 64"] for name, told in middle.items()}
    mine = middle[KEEPWELL]
    told = {
        "7 times FastAPI + `pred_contrib`": f"{rate[KEEPWELL] / rate[MINIMAL]:.1f}",
        "p99 at most 10 ms at 8 connections": f"{mine['p99 8']:.1f} ms",
        "CPU at most 450 us a request": f"{mine['cpu 64']:.0f} us",
    }
    if SMALL in middle:
        told["at most 300 us with the CDNOW model"] = f"{middle[SMALL]['cpu 64']:.0f} us"
    if BENTO in middle:
        told["15 times BentoML + `pred_contrib`"] = f"{rate[KEEPWELL] / rate[BENTO]:.1f}"
    if MLSERVER in middle:
        told["1.5 times MLServer without reasons"] = f"{rate[KEEPWELL] / rate[MLSERVER]:.1f}"
    return told


def lists(folder: Path) -> Result:
    """Lists of a thousand customers, one after the other."""
    load_before = os.getloadavg()[0]
    asked = json.loads((folder / "table" / BODIES_FILE).read_text())
    customers = [{**asked[at % len(asked)], "customer_id": f"c-{at}"} for at in range(CUSTOMERS)]
    body = json.dumps({"customers": customers}, separators=(",", ":")).encode()
    as_json = script(folder / "batch-json", [body])
    as_arrow = script(folder / "batch-arrow", [_arrow(customers)], ARROW)
    own, minimal = _keepwell(folder, "table"), _minimal(folder)
    forms = {
        "Keepwell, Arrow": (own, as_arrow),
        "Keepwell, JSON": (own, as_json),
        MINIMAL: (minimal, as_json),
    }
    rates: dict[str, list[float]] = {name: [] for name in forms}
    cpu: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(REPEATS):
        for name, (server, load) in forms.items():
            with running(server) as up:
                url = f"{up.url}/v1/score/batch"
                drive(url, load, 1, 2.0)
                before = up.cpu_s()
                found = drive(url, load, 1, BATCH_SECONDS)
                rates[name].append(found.rate * CUSTOMERS)
                cpu[name].append((up.cpu_s() - before) / found.requests / CUSTOMERS * 1e6)
    rate = {name: median(found) for name, found in rates.items()}
    return Result(
        title=f"Serving lists of {CUSTOMERS:,} customers, with three reasons",
        notes=(
            "300 trees of 31 leaves over 40 numbers; `/v1/score/batch`, one connection, lists back "
            "to back, one thread each. Medians of three rounds."
        ),
        columns=("", "rows/s against FastAPI", "rows/s", "CPU us a row"),
        rows=[[name, rate[name] / rate[MINIMAL], rate[name], median(cpu[name])] for name in forms],
        targets={
            "10 times FastAPI + `pred_contrib`": f"{rate['Keepwell, JSON'] / rate[MINIMAL]:.1f}",
            "Arrow twice JSON": f"{rate['Keepwell, Arrow'] / rate['Keepwell, JSON']:.1f}",
        },
        machine=machine(load_before),
    )


def mixed(folder: Path) -> Result:
    """Single requests and probes, alone and while long work runs back to back."""
    load_before = os.getloadavg()[0]
    asked = json.loads((folder / "table" / BODIES_FILE).read_text())
    single = script(folder / "single", [json.dumps(one).encode() for one in asked])
    customers = [asked[at % len(asked)] for at in range(CUSTOMERS)]
    batch = script(folder / "batch", [json.dumps({"customers": customers}).encode()])
    rows, found = [], {}
    lists_of_many = partial(_asked, batch, "/v1/score/batch")
    beside: dict[str, tuple[str, Beside]] = {
        "idle": ("table", _nothing),
        f"lists of {CUSTOMERS:,} back to back": ("table", lists_of_many),
        f"a job of {JOB_CUSTOMERS:,} customers": ("table", partial(_job, customers)),
    }
    if (folder / "events").exists():
        history = script(folder / "history", [_long_history()])
        beside["idle, CDNOW model"] = ("events", _nothing)
        long = partial(_asked, history, "/score")
        beside[f"histories of {EVENTS:,} events back to back"] = ("events", long)
    for name, (kind, busy_with) in beside.items():
        one = single if kind == "table" else _requests(folder, kind)
        runs = [_beside(_keepwell(folder, kind), one, busy_with) for _ in range(REPEATS)]
        middle = [median([run[at] for run in runs]) for at in range(len(runs[0]))]
        found[name] = middle
        rows.append([name, *middle])
    idle, busy, job = (found[name] for name in list(beside)[:3])
    return Result(
        title="Single requests and probes beside long work",
        notes=(
            "One process of Keepwell; `/score` on one connection, on eight, then `/health/live` "
            "every 5 ms. wrk and the server share two cores. Medians of three rounds."
        ),
        columns=(
            "beside", "`/score` p50 ms, 1 connection", "p99 ms", "p50 ms, 8 connections", "p99 ms",
            "`/health/live` p50 ms", "p99 ms",
        ),
        rows=rows,
        targets={
            "single p99 at most 5 times its idle value": (
                f"{busy[1] / idle[1]:.1f} on one connection, {busy[3] / idle[3]:.1f} on eight"
            ),
            "the same beside a job": f"{job[1] / idle[1]:.1f}, {job[3] / idle[3]:.1f}",
            "`/health/live` p99 at most 20 ms": f"{busy[5]:.1f} ms, beside a job {job[5]:.1f}",
        },
        machine=machine(load_before),
    )  # fmt: skip


Beside = Callable[[Running], AbstractContextManager[None]]
"""What else a server is busy with."""


def _beside(server: Server, single: Path, busy_with: Beside) -> list[float]:
    told: list[float] = []
    with running(server) as up:
        drive(f"{up.url}/score", single, 1, 1.0)
        for connections in (1, 8):
            with busy_with(up):
                answered = drive(f"{up.url}/score", single, connections, MIXED_SECONDS)
            told += [answered.p50_ms, answered.p99_ms]
        with busy_with(up):
            probes = list(_probed(up.port, MIXED_SECONDS))
    return [*told, median(probes), statistics.quantiles(probes, n=100)[98]]


def _nothing(up: Running) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _asked(load: Path, path: str, up: Running) -> Iterator[None]:
    """One connection that asks for the same again and again."""
    long = begin(f"{up.url}{path}", load, 1, MIXED_SECONDS + 2.0)
    time.sleep(0.5)
    try:
        yield
    finally:
        finished(long)


@contextmanager
def _job(customers: list[Any], up: Running) -> Iterator[None]:
    """A list of many customers, worked on meanwhile."""
    block = b"".join(json.dumps(one).encode() + b"\n" for one in customers)
    list_of_many = block * (JOB_CUSTOMERS // len(customers))

    def ask(method: str, path: str, body: bytes | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", up.port)
        connection.request(method, path, body, {"Content-Type": "application/x-ndjson"})
        return json.loads(connection.getresponse().read() or b"null")

    job = f"/v1/jobs/{ask('POST', '/v1/jobs', list_of_many)['job_id']}"
    while ask("GET", job)["state"] == "queued":
        time.sleep(0.05)
    yield
    state = ask("GET", job)["state"]
    ask("DELETE", job)
    if state != "running":
        raise RuntimeError(f"the job was {state} before the requests were: give it more customers")


def _probed(port: int, seconds: float) -> Iterator[float]:
    """Milliseconds of each probe."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        connection.request("GET", "/health/live")
        connection.getresponse().read()
        yield (time.perf_counter() - started) * 1e3
        time.sleep(0.005)
    connection.close()


def _measured(one: Served) -> dict[str, Any]:
    told: dict[str, Any] = {}
    with running(one.server) as up:
        told["cold"] = up.cold_start_s
        url = up.url + one.path
        drive(url, one.load, 1, 1.0)
        for connections in CONNECTIONS:
            before = up.cpu_s()
            found: Load = drive(url, one.load, connections, SECONDS)
            told |= {
                f"rate {connections}": found.rate,
                f"p50 {connections}": found.p50_ms,
                f"p99 {connections}": found.p99_ms,
                f"cpu {connections}": (up.cpu_s() - before) / found.requests * 1e6,
            }
        told["rss"] = up.rss_mb()
    return told


def _served(folder: Path) -> dict[str, Served]:
    asked = _requests(folder, "table")
    served = {KEEPWELL: Served(_keepwell(folder, "table"), "/score", asked)}
    if (folder / "events").exists():
        served[SMALL] = Served(_keepwell(folder, "events"), "/score", _requests(folder, "events"))
    served[MINIMAL] = Served(_minimal(folder), "/score", asked)
    bento, mlserver = rival_python("BentoML"), rival_python("MLServer")
    if bento is not None:
        served[BENTO] = _bento(bento, folder, asked)
    if mlserver is not None:
        served[MLSERVER] = _mlserver(mlserver, folder, "mlserver")
        served[BARE_MLSERVER] = _mlserver(
            mlserver, folder, "mlserver-bare", parallel_workers=0, debug=False
        )
    served[FLOOR] = Served(uvicorn(FLOOR, "benchmarks.bare_app:app", "/"), "/score", asked)
    return served


def _keepwell(folder: Path, kind: str) -> Server:
    return keepwell(folder / kind / "models")


def _minimal(folder: Path) -> Server:
    model = str(folder / "table" / BOOSTER)
    return uvicorn(MINIMAL, "benchmarks.minimal_app:app", "/health/live", BENCHMARK_MODEL=model)


def _bento(python: Path, folder: Path, asked: Path) -> Served:
    command = (str(python.with_name("bentoml")), "serve", "benchmarks.bento_app:Churn")
    environment = {"BENCHMARK_MODEL": str(folder / "table" / BOOSTER), "PYTHONPATH": ""}
    options = ("--port", "PORT", "--host", "127.0.0.1")
    return Served(Server(BENTO, command + options, "/readyz", environment), "/score", asked)


def _mlserver(python: Path, folder: Path, name: str, **options: Any) -> Served:
    home = folder / name
    home.mkdir()
    settings = {"host": "127.0.0.1"} | options
    (home / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": "churn",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": str(folder / "table" / BOOSTER)},
    }
    (home / "model-settings.json").write_text(json.dumps(model))
    rows = json.loads((folder / "table" / BODIES_FILE).read_text())
    bodies = [
        {
            "inputs": [
                {
                    "name": "features",
                    "shape": [1, FEATURES],
                    "datatype": "FP64",
                    "data": list(row["features"].values()),
                }
            ]
        }
        for row in rows
    ]
    load = script(folder / "mlserver-requests", [json.dumps(body).encode() for body in bodies])
    environment = {
        "MLSERVER_HTTP_PORT": "PORT", "MLSERVER_GRPC_PORT": "0", "MLSERVER_METRICS_PORT": "0",
        "PYTHONPATH": "",
    }  # fmt: skip
    command = (str(python.with_name("mlserver")), "start", str(home))
    server = Server(name, command, "/v2/models/churn/ready", environment, home)
    return Served(server, "/v2/models/churn/infer", load)


def _requests(folder: Path, kind: str) -> Path:
    asked = json.loads((folder / kind / BODIES_FILE).read_text())
    bodies = [json.dumps(one, separators=(",", ":")).encode() for one in asked]
    return script(folder / f"{kind}-requests", bodies)


def _long_history() -> bytes:
    events = [
        {
            "occurred_at": f"1998-{1 + at % 5:02}-{1 + at % 28:02}T{at % 24:02}:{at % 60:02}:00Z",
            "kind": "purchase",
            "amount": 10.0 + at % 90,
            "order_id": f"o-{at}",
        }
        for at in range(EVENTS)
    ]
    asked = {"customer_id": "c", "as_of": "1998-06-01T00:00:00Z", "events": events}
    return json.dumps(asked, separators=(",", ":")).encode()


def _arrow(customers: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa

    table = pa.table(
        {"customer_id": [one["customer_id"] for one in customers]}
        | {name: [one["features"][name] for one in customers] for name in customers[0]["features"]}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


PARTS: dict[str, Callable[[Path], Result]] = {"singles": singles, "lists": lists, "mixed": mixed}

if __name__ == "__main__":
    # One part alone, of a folder with what `run` prepares.
    print(PARTS[sys.argv[1]](Path(sys.argv[2])).markdown())
