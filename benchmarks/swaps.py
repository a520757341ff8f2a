"""Swaps under load, every other one to a bad bundle: what a client sees of it.

A service of its own process trusts one key and is asked without a break. Sound versions, each of
which gives another probability, are promoted in turn; between them `current` is pointed at bundles
that are cut, exchanged, unsigned, signed by a stranger, or hostile and signed with the trusted key
itself. Every answer is held against the version that it names.
"""

import http.client
import itertools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kills_events import serving
from benchmarks.publishing import published
from benchmarks.report import Result, machine
from churn.bundle import MODEL, SIGNATURE
from churn.manifest import Manifest
from churn.registry import Registry
from churn.scoring import Scorer
from churn.signing import Keys, SigningKey, TrustedKeys, shown
from service import instants
from service.answers import customer_row
from service.validation import score_body
from tests import hostile
from tests.hostile import Files
from tests.support import small_bundle

SWAPS, CLIENTS, PATIENCE = 200, 4, 120.0
SHIFTS = {"v-low": -1.0, "v-middle": 0.0, "v-high": 1.0}
"""Sound versions, and by how many log-odds they differ."""
BAD = "v-bad"
BODY = json.dumps(
    {
        "customer_id": "c-1042",
        "as_of": "2026-11-21T00:00:00Z",
        "events": [
            {"occurred_at": "2026-08-19T16:40:00Z", "kind": "purchase", "amount": 61.0},
            {"occurred_at": "2026-10-02T10:11:00Z", "kind": "purchase", "amount": 54.9},
        ],
    }
).encode()


@dataclass
class Seen:
    """What came of the swaps."""

    swaps: int = 0
    refused: int = 0
    requests: int = 0
    not_2xx: int = 0
    wrong: int = 0
    executed: int = 0
    by_version: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not (self.not_2xx or self.wrong or self.executed or self.by_version[BAD])


def run() -> Result:
    """Two hundred swaps."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-swaps-") as folder:
        small_bundle(Path(folder) / "source")
        seen = swapped(Path(folder) / "source", Path(folder), SWAPS)
    return Result(
        "Swaps under load",
        f"A serving process that trusts one key, {CLIENTS} connections that ask `/score` without "
        "a break. Every other swap points `current` at a bundle that is damaged, not signed, "
        "signed by a stranger, or hostile and signed with the trusted key. Wrong: the probability "
        "is not that of the version that the answer names, or the header names another.",
        ("swaps", "of them refused", "requests", "not 2xx", "wrong", "code executed", "answers by "
         + ", ".join(SHIFTS)),
        [[seen.swaps, seen.refused, seen.requests, seen.not_2xx, seen.wrong, seen.executed,
          ", ".join(str(seen.by_version[version]) for version in SHIFTS)]],
        {"0 non-2xx, 0 answers of a wrong version": f"{seen.not_2xx}, {seen.wrong}"},
        machine(before),
    )  # fmt: skip


def swapped(source: Path, folder: Path, swaps: int) -> Seen:
    """Serve the model of a registry and variants of it, swapping so often."""
    key = SigningKey.generate()
    registry = Registry(folder / "models", Keys(TrustedKeys(frozenset([key.public])), key))
    manifest, files = published(source)
    for version, shift in SHIFTS.items():
        registry.publish(*hostile.shifted(files, manifest, version, shift))
    registry.promote("v-middle")
    expected = {version: _probability(registry, version) for version in SHIFTS}
    assert len(set(expected.values())) == len(SHIFTS)  # else a wrong one would not be noticed
    seen, done = Seen(), threading.Event()
    settings = {
        "KEEPWELL_TRUSTED_KEYS": shown(key.public),
        "KEEPWELL_MODELS_POLL_SECONDS": "0.05",
    }
    with serving(f"sqlite:///{folder}/keepwell.db", folder, **settings) as (process, port):
        _until(lambda: _ready(port) == "v-middle")
        counts = [Seen() for _ in range(CLIENTS)]
        clients = [
            threading.Thread(target=_ask, args=(port, expected, done, count)) for count in counts
        ]
        for client in clients:
            client.start()
        try:
            bad = _bad(registry, folder, hostile.with_version(manifest, BAD), files, key)
            good = itertools.cycle(SHIFTS)
            for at in range(swaps):
                if at % 2:
                    _swap_to_bad(registry, port, next(bad), seen)
                else:
                    _swap_to(registry, port, next(good))
                seen.swaps += 1
            assert process.poll() is None
        finally:
            done.set()
            for client in clients:
                client.join()
    for count in counts:
        seen.requests += count.requests
        seen.not_2xx += count.not_2xx
        seen.wrong += count.wrong
        seen.by_version += count.by_version
    seen.executed = int((folder / "it-ran").exists())
    return seen


def _swap_to(registry: Registry, port: int, version: str) -> None:
    registry.promote(version)
    _until(lambda: _ready(port) == version)


def _swap_to_bad(registry: Registry, port: int, bundle: Path, seen: Seen) -> None:
    """Put a bad bundle there and point at it, as somebody would who may write there."""
    refused = _refused(port)
    serving = _ready(port)
    shutil.rmtree(registry.root / BAD, ignore_errors=True)
    bundle.rename(registry.root / BAD)
    registry._write_current([BAD])
    _until(lambda: _refused(port) > refused)
    assert _ready(port) == serving
    seen.refused += 1


def _bad(
    registry: Registry, folder: Path, manifest: Manifest, files: Files, key: SigningKey
) -> Iterator[Path]:
    """Bad bundles without end."""
    for turn in itertools.count():
        root = folder / f"bad-{turn}"

        def sound(name: str, signing: SigningKey | None, root: Path = root) -> Path:
            return hostile.written(root / name / BAD, manifest, files, signing)

        yield sound("unsigned", None)
        yield sound("a stranger's", SigningKey.generate())
        cut = sound("cut", key)
        (cut / MODEL).write_bytes(files[MODEL][: len(files[MODEL]) // 2])
        yield cut
        changed = sound("changed", key)
        raw = bytearray(files[MODEL])
        raw[len(raw) // 3] ^= 1
        (changed / MODEL).write_bytes(raw)
        yield changed
        renamed = sound("renamed", key)
        shutil.rmtree(renamed)
        shutil.copytree(registry.path("v-low"), renamed)
        yield renamed
        piped = sound("a pipe", key)
        (piped / SIGNATURE).unlink()
        os.mkfifo(piped / SIGNATURE)
        yield piped
        marker = folder / "it-ran"
        for _, path in hostile.with_digests_right(root, manifest, files, marker, key):
            yield path


def _ask(port: int, expected: dict[str, float], done: threading.Event, seen: Seen) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json"}
    while not done.is_set():
        seen.requests += 1
        try:
            connection.request("POST", "/score", BODY, headers)
            answer = connection.getresponse()
            told: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            seen.not_2xx += 1
            connection.close()
            continue
        if answer.status != 200:
            seen.not_2xx += 1
            continue
        version = told["model_version"]
        seen.by_version[version] += 1
        seen.wrong += (
            told["churn_probability"] != expected.get(version)
            or answer.headers["X-Model-Version"] != version
        )
    connection.close()


def _probability(registry: Registry, version: str) -> float:
    """What a version gives the customer, scored here rather than there."""
    scorer = Scorer(registry.load(version))
    names = frozenset(scorer.schema.names)
    checked = score_body(BODY, max_events=100, feature_names=names, has_store=False)
    row = customer_row(scorer.rows, checked, instants.now())
    probability = scorer.score_rows([row])[0].churn_probability
    assert probability is not None
    return probability


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _ready(port: int) -> str | None:
    status, text = _get(port, "/health/ready")
    return json.loads(text)["model_version"] if status == 200 else None


def _refused(port: int) -> float:
    name = 'churn_model_reloads_total{result="error"}'
    lines = _get(port, "/metrics")[1].splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(name)), 0.0)


def _until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > until:
            sys.exit("the service did not take notice of a swap")
        time.sleep(0.02)
