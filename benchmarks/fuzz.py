"""Twenty thousand made-up requests, three times: is anything ever answered 5xx, or not at all?

    python -m benchmarks fuzz

By rules, to the parser and the schema; led by the code that is reached (atheris), to the same; by
rules, to every endpoint that takes a body.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks.fuzz_parser import both
from benchmarks.report import Result, machine
from benchmarks.servers import CACHE
from churn.events import Feed, Kind
from churn.features import FEATURE_NAMES
from service.contract import EXAMPLE_EVENTS, EXAMPLE_FEATURES
from service.problems import Problem
from service.settings import Settings
from service.validation import FIELD_NAMES
from tests.contract.client import AppClient, build
from tests.support import small_bundle

CASES = 20_000
SECONDS = 2.0
"""Longer than that is a hang."""

ATHERIS = "atheris==3.0.0"  # Apache-2.0; 35 MB, so not among what `make` installs
PATHS = {
    "/score": "one", "/v1/score": "one", "/v1/score/batch": "customers", "/v1/plan": "customers",
    "/v1/events": "events", "/v1/decisions/00000000000000000000000000000000/outcome": "outcome",
    "/v1/jobs": "lines",
}  # fmt: skip

_WORDS = [
    "c-1", "é", "", "\x00", "\ud800", "x" * 300, "9" * 40, "NaN", "true", "2026-10-02T10:11:00Z",
    "2026-02-30T00:00:00Z", "2026-10-02T10:11:00.1234567+23:59", "1969-12-31T23:59:59Z",
]  # fmt: skip
_NUMBERS = [
    "0", "-0.0", "1", "54.9", "-1", "1e400", "-1e-400", "NaN", "Infinity", "1" + "0" * 30,
    "9007199254740993", "0.1e1", "01", "+1", "1.", ".5", "true", "null", "1e15", "9" * 5000,
]  # fmt: skip
_NAMES = [*sorted(FIELD_NAMES), "budget", "capacity", "other", "", *FEATURE_NAMES[:8]]
_TOKEN = re.compile(rb'"[^"]*"|[-\d.eE+]+|[\[\]{}:,]|true|false|null')


class Fuzzed(NamedTuple):
    """What became of the cases of one way to make them up."""

    cases: int
    outcomes: Counter[str]
    faults: list[str]
    longest_s: float


def case(chance: Random) -> bytes:
    """One customer's JSON, most often nearly right: then one or a few things are changed."""
    sent = chance.choice((_history, _features, _anything))(chance)
    text = json.dumps(sent, ensure_ascii=chance.random() < 0.5, separators=_separators(chance))
    raw = text.encode("utf-8", "surrogatepass")
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2))):
        raw = _changed(raw, chance)
    return raw


def _separators(chance: Random) -> tuple[str, str]:
    return (",", ":") if chance.random() < 0.8 else (" ,\t", " :\n")


def _history(chance: Random) -> dict[str, Any]:
    events = [
        {
            "occurred_at": f"2026-{chance.randrange(1, 13):02}-2{chance.randrange(9)}T10:00:00Z",
            "kind": chance.choice(list(Kind)).value,
            "amount": chance.uniform(0.01, 500),
            "order_id": f"o-{chance.randrange(9)}",
        }
        for _ in range(chance.randrange(4))
    ]
    more = {
        "max_reasons": chance.randrange(9),
        "language": chance.choice(["en", "ru"]),
        "feeds": [chance.choice(list(Feed)).value],
        "record": chance.random() < 0.5,
    }
    kept = {name: value for name, value in more.items() if chance.random() < 0.3}
    return {**EXAMPLE_EVENTS, "events": events, **kept}


def _features(chance: Random) -> dict[str, Any]:
    names = chance.sample(FEATURE_NAMES, chance.randrange(6))
    return {**EXAMPLE_FEATURES, "features": {name: chance.uniform(0, 99) for name in names}}


def _anything(chance: Random, depth: int = 0) -> Any:
    kind = chance.randrange(6 if depth < 4 else 3)
    if kind == 0:
        return chance.choice(_WORDS)
    if kind == 1:
        return chance.choice([None, True, False, 0, -1, 1.5, 10**20])
    if kind == 2:
        return chance.choice([[], {}])
    if kind == 3:
        return [_anything(chance, depth + 1) for _ in range(chance.randrange(4))]
    members = range(chance.randrange(5))
    return {chance.choice(_NAMES): _anything(chance, depth + 1) for _ in members}


def _changed(raw: bytes, chance: Random) -> bytes:
    """Change a token, or bytes."""
    tokens = list(_TOKEN.finditer(raw))
    how = chance.randrange(6)
    if not tokens or how == 0:
        at = chance.randrange(len(raw) + 1)
        return raw[:at] + bytes([chance.randrange(256)]) + raw[at + chance.randrange(2) :]
    token = chance.choice(tokens)
    if how == 1:  # gone
        new = b""
    elif how == 2:  # twice
        new = token[0] + chance.choice((b"", b",", b":")) + token[0]
    elif how == 3:
        new = chance.choice(_NUMBERS).encode()
    elif how == 4:
        new = json.dumps(chance.choice(_WORDS + _NAMES)).encode("utf-8", "surrogatepass")
    else:  # another one of the same text
        new = chance.choice(tokens)[0]
    return raw[: token.start()] + new + raw[token.end() :]


def of_reader(cases: int, seed: int = 7) -> Fuzzed:
    """The quick reader against the strict one."""
    chance = Random(seed)
    outcomes: Counter[str] = Counter()
    faults, longest = [], 0.0
    for _ in range(cases):
        raw = case(chance)
        started = time.perf_counter()
        try:
            read = both(raw)
            outcomes[str(read.kind.status) if isinstance(read, Problem) else "taken"] += 1
        except Exception as error:
            faults.append(f"{error!r} of {raw[:200]!r}")
        took = time.perf_counter() - started
        longest = max(longest, took)
        if took > SECONDS:
            faults.append(f"{took:.1f} s of {raw[:200]!r}")
    return Fuzzed(cases, outcomes, faults, longest)


def of_endpoints(client: AppClient, cases: int, seed: int = 8) -> Fuzzed:
    """Every endpoint that takes a body, of a whole app without a server."""
    chance = Random(seed)
    outcomes: Counter[str] = Counter()
    faults, longest = [], 0.0
    for at in range(cases):
        path, form = list(PATHS.items())[at % len(PATHS)]
        raw = _wrapped(chance, form)
        kind = "application/x-ndjson" if form == "lines" else "application/json"
        started = time.perf_counter()
        status = client.post(path, raw, content_type=kind).status_code
        took = time.perf_counter() - started
        longest = max(longest, took)
        outcomes[str(status)] += 1
        if status >= 500 or took > SECONDS:
            faults.append(f"{status} of {path} in {took:.1f} s: {raw[:200]!r}")
    return Fuzzed(cases, outcomes, faults, longest)


def _wrapped(chance: Random, form: str) -> bytes:
    one = case(chance)
    if form == "one":
        return one
    if form == "lines":
        return b"\n".join([one, case(chance)])
    if form == "outcome":
        outcome = chance.choice(["delivered", "accepted", "lost", "x", "", "null"])
        told = b'{"outcome":"%b","occurred_at":"2026-11-21T12:00:00Z"}' % outcome.encode()
        return _changed(told, chance) if chance.random() < 0.8 else one
    listed = b"[%b]" % b",".join([one, case(chance)])
    return b'{"%b":%b}' % (form.encode(), listed) if chance.random() < 0.7 else listed


def of_atheris(cases: int, folder: Path) -> Fuzzed | None:
    """The readers again, by cases led to new lines of them; None where atheris cannot be had."""
    library = CACHE / "atheris"
    if not library.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        if subprocess.run([*command, "--target", library, ATHERIS], check=False).returncode:
            sys.stderr.write("atheris cannot be installed here: its part is left out\n")
            return None
    folder.mkdir()
    chance = Random(9)
    for at in range(200):
        (folder / f"{at}").write_bytes(case(chance))
    root = Path(__file__).parents[1]
    module = [sys.executable, "-m", "benchmarks.fuzz_atheris"]
    done = subprocess.run(
        [*module, str(cases), f"{SECONDS:.0f}", str(folder)],
        env=os.environ | {"PYTHONPATH": f"{library}:{root}"},
        cwd=folder.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = re.findall(r"cov: (\d+)", done.stderr)
    covered = Counter({f"{lines[-1]} places of the code reached": cases} if lines else {})
    faults = [] if done.returncode == 0 else [done.stderr[-2000:]]
    return Fuzzed(cases, covered, faults, 0.0)


def run() -> Result:
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        small_bundle(folder / "models")
        found = {"parser and schema, by rules": of_reader(CASES)}
        by_atheris = of_atheris(CASES, folder / "cases")
        if by_atheris is not None:
            found["parser and schema, by atheris"] = by_atheris
        settings = Settings(
            models_dir=folder / "models", store_url=f"sqlite:///{folder}/keepwell.db",
            jobs_dir=folder / "jobs", access_log=False,
        )  # fmt: skip
        with build(settings) as client:
            found["every endpoint with a body"] = of_endpoints(client, CASES)
    return _result(found, load_before)


def _result(found: dict[str, Fuzzed], load_before: float) -> Result:
    return Result(
        title="Made-up requests",
        notes=(
            "By rules: histories, features and other JSON, most of it nearly right, then tokens or "
            "bytes are changed. The quick reader must take what the strict one takes for the same, "
            f"and refuse what it refuses for the same reason. More than {SECONDS:g} s is a hang."
        ),
        columns=("", "cases", "outcomes", "faults", "longest ms"),
        rows=[
            [
                what, one.cases,
                ", ".join(f"{count:,} x {how}" for how, count in one.outcomes.most_common()),
                len(one.faults), one.longest_s * 1e3 if one.longest_s else "",
            ]
            for what, one in found.items()
        ],
        targets={
            "no answer of 5xx, no hang, no difference": "; ".join(
                fault for one in found.values() for fault in one.faults[:3]
            )
            or f"none in {sum(one.cases for one in found.values()):,} cases"
        },
        machine=machine(load_before),
    )  # fmt: skip
