"""`kill -9` in the middle of publishing, and a disk that fills up: nothing is ever half there.

A process publishes and promotes one version after another and is killed at a random moment, a
thousand times. After each kill every version that is there is loaded, and so is `current`. A disk
of a few megabytes is filled by publishing until it can hold no more.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.report import Result, machine
from churn.bundle import read_manifest
from churn.errors import ModelError
from churn.manifest import Manifest
from churn.registry import CURRENT, Registry
from tests.hostile import Files, with_version
from tests.support import small_bundle

KILLS = 1_000
MOST_TURNS = 2.0
"""How long a publisher goes on after its first version until it is killed, in such times."""
DISK_BYTES = 2_000_000


def run() -> list[Result]:
    """Both tables."""
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-kills-") as folder:
        small_bundle(Path(folder) / "source")
        killed = in_process(Path(folder) / "source", Path(folder), KILLS, seed=7)
        full = filled(Path(folder) / "source")
    return [
        Result(
            "Publishing through kills",
            "A process that publishes (and, after each, repoints `current`) without end is killed "
            "by `kill -9` up to two publications' time after its first; then everything there is "
            "loaded and checked. "
            "Torn: a version that does not load; lost: `current` names what does not load. The "
            "remains are names that no reader looks at; the next publisher removes them a day "
            "later.",
            ("kills", "in a publication", "in a repointing", "versions published and loaded",
             "torn", "lost"),
            [[killed[name] for name in ("kills", "publishing", "pointing", "versions", "torn",
                                        "lost")]],
            {"0 torn, `current` always loads": f"{killed['torn']} torn, {killed['lost']} lost"},
            machine(before),
        ),
        Result(
            "Publishing on a full disk",
            f"A tmpfs of {DISK_BYTES:,} bytes, versions published and promoted until it is full.",
            ("versions", "refused publications", "left over", "current loads", "published after "
             "room was made", "said"),
            [] if full is None else [list(full.values())],
            {} if full is None else {"clear error, nothing torn": str(full["said"])},
            machine(before),
        ),
    ]  # fmt: skip


def in_process(source: Path, folder: Path, kills: int, seed: int) -> dict[str, int]:
    """`killed` in a process of its own: one of many threads must not be forked."""
    given = (str(source), str(folder), str(kills), str(seed))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.publishing", *given],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        check=True,
    )
    told: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return told


def killed(source: Path, folder: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill those who publish the model of a registry again and again; count what they left."""
    chosen = random.Random(seed)
    manifest, files = published(source)
    registry = Registry(folder / "models")
    registry.publish(with_version(manifest, "v-first"), files)
    registry.promote("v-first")
    seen = Counter(kills=kills, versions=0, torn=0, lost=0, publishing=0, pointing=0)
    known: set[str] = set()
    for at in range(kills):
        reading, writing = os.pipe()
        started = time.perf_counter()
        publisher = os.fork()
        if publisher == 0:
            publish_for_ever(registry, manifest, files, f"v-{at}", writing)
        os.close(writing)  # so that the end of a publisher is heard
        # One is whole: the next takes as long, however busy the machine is.
        assert os.read(reading, 1)
        time.sleep(chosen.uniform(0, MOST_TURNS) * (time.perf_counter() - started))
        os.kill(publisher, signal.SIGKILL)
        os.waitpid(publisher, 0)
        os.close(reading)
        left = {entry.name for entry in registry.root.iterdir() if entry.name.startswith(".")}
        seen["publishing"] += any(name.startswith(".publishing-") for name in left)
        seen["pointing"] += any(name.startswith(".current-") for name in left)
        visible = {entry.name for entry in registry.root.iterdir()} - left - {CURRENT}
        seen["torn"] += len(visible - set(registry.versions()))
        current = None
        with suppress(ModelError):
            current = registry.current()
        for version in set(registry.versions()) - known:
            known.add(version)
            try:
                registry.load(version)
                seen["versions"] += version != "v-first"
            except ModelError:
                seen["torn"] += 1
                seen["lost"] += version == current
        seen["lost"] += current not in visible
        tidy(registry, left | visible - {current})
    return dict(seen)


def publish_for_ever(
    registry: Registry, manifest: Manifest, files: Files, prefix: str, told: int
) -> None:
    """Publish and repoint until killed; the verifying in between would take most of the time."""
    at = 0
    while True:
        version = f"{prefix}-{at}"
        registry.publish(with_version(manifest, version), files)
        registry._write_current([version])
        os.write(told, b".")
        at += 1


def tidy(registry: Registry, names: set[str]) -> None:
    """Remove versions and remains, so that each kill has a small folder to look through."""
    for name in names:
        entry = registry.root / name
        if entry.is_dir():
            for file in entry.iterdir():
                file.unlink()
            entry.rmdir()
        else:
            entry.unlink()


def published(source: Path) -> tuple[Manifest, Files]:
    """The current model of a registry, and its files."""
    registry = Registry(source)
    folder = registry.path(registry.current() or "")
    manifest = read_manifest(folder)
    return manifest, {name: (folder / name).read_bytes() for name in manifest.files}


def filled(source: Path) -> dict[str, Any] | None:
    """Publish until a small disk is full; None where none can be mounted."""
    manifest, files = published(source)
    with tempfile.TemporaryDirectory(prefix="keepwell-full-") as place:
        with small_disk(Path(place)) as mounted:
            if not mounted:
                return None
            registry = Registry(Path(place) / "models")
            there, refused, said = [], 0, ""
            for at in range(100):
                version = f"v-{at}"
                try:
                    registry.publish(with_version(manifest, version), files)
                    registry.promote(version)
                    there.append(version)
                except ModelError as error:
                    refused, said = refused + 1, str(error).replace(place, "")
                    if refused == 3:
                        break
            names = {entry.name for entry in registry.root.iterdir()}
            current = registry.current()
            assert current is not None
            loads = registry.load(current).version == there[-1]
            tidy(registry, {there[0]})
            registry.publish(with_version(manifest, "v-after"), files)
            registry.promote("v-after")
            return {
                "versions": len(there),
                "refused": refused,
                "left": len(names - {*there, CURRENT}),
                "loads": str(loads),
                "after": str(registry.current() == "v-after"),
                "said": said,
            }


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of `DISK_BYTES` on a folder; only whoever may mount has one."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = not subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    source, folder, kills, seed = sys.argv[1:]
    print(json.dumps(killed(Path(source), Path(folder), int(kills), int(seed))))
