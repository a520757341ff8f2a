"""Hostile bundles by the thousand: every one refused, nothing executed, no crash and no hang.

All are loaded in one process of its own, which has to end well. Bytes are cut, flipped and
exchanged, with keys and without; content is made hostile with its digests made right; and numbers,
bytes and whole columns of the model are exchanged at random with their digests made right. Of the
last some are still models: those are scored, and every probability has to be one.
"""

import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.publishing import published
from benchmarks.report import Result, machine
from churn import bundle, plain_pickle
from churn.bundle import GOLDEN, MANIFEST, MODEL, SIGNATURE
from churn.errors import ModelError
from churn.scoring import Scorer
from churn.signing import SigningKey, TrustedKeys
from tests import hostile
from tests.support import small_bundle

CUTS, FLIPS, EDITS, NUMBERS, RAW = 500, 5_000, 2_000, 600, 1_000
PATIENCE = 3_600.0
ROWS = 500


@dataclass
class Count:
    """What became of one kind of bundle."""

    tried: int = 0
    refused: int = 0
    sound: int = 0
    wrong: int = 0
    slowest_s: float = 0.0
    by_check: Counter[str] = field(default_factory=Counter)


def run() -> Result:
    """Everything, in a process of its own."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bundles-") as folder:
        small_bundle(Path(folder) / "source")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bundles", str(Path(folder) / "source"), folder],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            sys.exit(f"the process that loaded hostile bundles ended with {done.returncode}")
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        executed = (Path(folder) / "it-ran").exists()
    rows = [
        [kind, count["tried"], count["refused"], count["sound"], count["wrong"],
         count["slowest_s"], ", ".join(f"{name} {n}" for name, n in count["by_check"].items())]
        for kind, count in told["kinds"].items()
    ]  # fmt: skip
    tried = sum(count["tried"] for count in told["kinds"].values())
    wrong = sum(count["wrong"] for count in told["kinds"].values())
    return Result(
        "Hostile bundles",
        "Each is loaded as the service loads it, all in one process. Sound: digests were made "
        "right, the golden rows come out, and 500 rows at random all get a probability: another "
        "bundle, which is what signatures are for. Wrong: served although it should not be, or "
        "without a probability. The last column: the check that refused.",
        ("bundles", "tried", "refused", "sound", "wrong", "slowest s", "refused by"),
        rows,
        {
            "100% refused, process alive, 0 code executed": f"{wrong} of {tried:,} wrong, ended "
            f"well, {int(executed)} executed, {told['peak_gb']:.2f} GB at most"
        },
        machine(before),
    )


def swept(source: Path, folder: Path, scale: float = 1.0, seed: int = 7) -> dict[str, Count]:
    """Load every hostile bundle that there is, and so many random ones."""
    sweep = _Sweep(source, folder, random.Random(seed))

    def times(n: int) -> int:
        return max(1, round(n * scale))

    def some(bundles: Iterator[tuple[Path, bool, bool]]) -> Iterator[tuple[Path, bool, bool]]:
        return itertools.islice(bundles, 0, None, max(1, round(0.1 / scale)))

    kinds: dict[str, Callable[[], Iterator[tuple[Path, bool, bool]]]] = {
        "prefixes of each file": lambda: sweep.cuts(times(CUTS)),
        "flipped bits of files": lambda: sweep.flips(times(FLIPS), (MODEL, GOLDEN), False),
        "flipped bits, signed": lambda: sweep.flips(times(FLIPS), (MANIFEST, SIGNATURE), True),
        "bytes exchanged, length kept": lambda: sweep.edits(times(EDITS)),
        "signatures": sweep.signatures,
        "hostile content, digests right": lambda: some(sweep.contents(None)),
        "hostile content, signed": lambda: some(sweep.contents(sweep.key)),
        "hostile content, not signed": lambda: some(sweep.contents(None, asked=True)),
        "numbers of the trees at random, digests right": lambda: sweep.numbers(times(NUMBERS)),
        "bytes of the pickle at random, digests right": lambda: sweep.raw(times(RAW)),
    }
    found = {}
    for kind, bundles in kinds.items():
        found[kind] = sweep.count(bundles())
    return found


class _Sweep:
    """Makes bundles, one at a time in one place, and loads them."""

    def __init__(self, source: Path, folder: Path, chosen: random.Random) -> None:
        self.manifest, self.files = published(source)
        self.key = SigningKey.generate()
        self.trusted = TrustedKeys(frozenset([self.key.public]))
        self.chosen = chosen
        self.marker = folder / "it-ran"
        self.folder = folder
        self.place = folder / "place" / self.manifest.model_version
        hostile.written(self.place, self.manifest, self.files, self.key)
        self.sound = {entry.name: entry.read_bytes() for entry in self.place.iterdir()}
        self.X = np.random.default_rng(7).normal(50.0, 100.0, size=(ROWS, 300))

    def count(self, bundles: Iterator[tuple[Path, bool, bool]]) -> Count:
        """Load bundles: where one lies, whether keys are asked for, whether it may be sound."""
        seen = Count()
        for path, asked, may_be in bundles:
            passed: list[str] = []
            started = time.perf_counter()
            seen.tried += 1
            try:
                loaded = bundle.load(
                    path, self.trusted if asked else None, path.name, passed.append
                )
            except ModelError:
                seen.refused += 1
                skipped = () if asked else ("signature",)
                failed = (name for name in bundle.CHECKS if name not in (*passed, *skipped))
                seen.by_check[next(failed)] += 1
            else:
                good = may_be and self.is_sane(loaded)
                seen.sound += good
                seen.wrong += not good
            seen.slowest_s = max(seen.slowest_s, time.perf_counter() - started)
        return seen

    def is_sane(self, loaded: bundle.Bundle) -> bool:
        """Whether rows at random get probabilities, and explanations that are numbers."""
        scorer = Scorer(loaded)
        X = self.X[:, : len(scorer.schema)].copy()
        X[self.X[:, : len(scorer.schema)] < 0] = np.nan
        X[:, 0] = np.abs(self.X[:, 0])
        scores = scorer.score_matrix(X)
        asked = scores.status == 0
        p = scores.probability[asked]
        assert scores.contributions is not None
        numbers = (scores.curve[asked], scores.contributions[asked])
        return bool(((p >= 0) & (p <= 1)).all() and all(np.isfinite(n).all() for n in numbers))

    def with_file(self, name: str, content: bytes) -> Path:
        """The sound bundle with other bytes in one file."""
        for other, sound in self.sound.items():
            (self.place / other).write_bytes(content if other == name else sound)
        return self.place

    def rewritten(self, content: bytes) -> Path:
        """The sound bundle with another model, and digests that agree with it."""
        bundle.write(self.place, self.manifest, self.files | {MODEL: content})
        return self.place

    def cuts(self, n: int) -> Iterator[tuple[Path, bool, bool]]:
        for name, content in self.sound.items():
            for _ in range(n):
                # But for its last line's end a manifest is whole.
                kept = self.chosen.randrange(len(content) - 1)
                yield self.with_file(name, content[:kept]), name == SIGNATURE, False

    def flips(
        self, n: int, names: tuple[str, ...], asked: bool
    ) -> Iterator[tuple[Path, bool, bool]]:
        files = {name: self.sound[name] for name in names}
        for name, at, bit in hostile.bit_flips(files, n):
            content = bytearray(files[name])
            content[at] ^= 1 << bit
            yield self.with_file(name, bytes(content)), asked, False

    def edits(self, n: int) -> Iterator[tuple[Path, bool, bool]]:
        for _ in range(n):
            name = self.chosen.choice(sorted(self.sound))
            content = bytearray(self.sound[name])
            at = self.chosen.randrange(len(content))
            put = self.chosen.randbytes(min(len(content) - at, self.chosen.randint(1, 64)))
            if content[at : at + len(put)] == put:
                continue
            content[at : at + len(put)] = put
            yield self.with_file(name, bytes(content)), True, False

    def signatures(self) -> Iterator[tuple[Path, bool, bool]]:
        manifest = self.sound[MANIFEST]
        good = self.sound[SIGNATURE]
        other = SigningKey.generate()
        for content in (
            b"", b"\n", good[:-2], good * 2, good.upper(), b"\xff" * 100, b"x" * 10_000,
            other.sign(manifest), self.key.sign(manifest + b"\n"), self.key.sign(b""),
            good.replace(good[8:52], other.sign(manifest)[8:52]),
        ):  # fmt: skip
            yield self.with_file(SIGNATURE, content), True, False
        self.with_file("", b"")
        (self.place / SIGNATURE).unlink()
        yield self.place, True, False

    def contents(
        self, signing: SigningKey | None, asked: bool = False
    ) -> Iterator[tuple[Path, bool, bool]]:
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            for _, path in hostile.with_digests_right(
                Path(place), self.manifest, self.files, self.marker, signing
            ):
                yield path, asked or signing is not None, False

    def numbers(self, n: int) -> Iterator[tuple[Path, bool, bool]]:
        absurd = [np.nan, np.inf, -np.inf, 1e300, 0.0, -1.0, 5e-324]
        odd = [0, 1, -1, 2**31, -(2**31), 2**63 - 1, -(2**63), 7, 10**6]
        for _ in range(n):
            parts = plain_pickle.read(self.files[MODEL])
            trees = parts["trees"]
            for _ in range(self.chosen.randint(1, 3)):
                names = [name for name, array in trees.items() if np.size(array) > 1]
                array = trees[self.chosen.choice(names)]
                at = self.chosen.randrange(len(array))
                if array.dtype == np.float64:
                    array[at] = self.chosen.choice(absurd)
                elif array.dtype == np.bool_:
                    array[at] = not array[at]
                else:
                    array[at] = self.chosen.choice([*odd, array[self.chosen.randrange(len(array))]])
            yield self.rewritten(hostile.dumped(parts)), False, True

    def raw(self, n: int) -> Iterator[tuple[Path, bool, bool]]:
        for _ in range(n):
            content = bytearray(self.files[MODEL])
            for _ in range(self.chosen.randint(1, 4)):
                content[self.chosen.randrange(len(content))] = self.chosen.randrange(256)
            yield self.rewritten(bytes(content)), False, True


if __name__ == "__main__":
    found = swept(Path(sys.argv[1]), Path(sys.argv[2]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    kinds = {kind: count.__dict__ for kind, count in found.items()}
    print(json.dumps({"kinds": kinds, "peak_gb": peak}))
