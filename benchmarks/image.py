"""The image, built and run without an engine: `python -m benchmarks image`, as root, on Debian.

A minimal Debian with this machine's Python in /usr/local stands for the base image. The steps of
the Dockerfile itself are carried out in it; then its command runs as in a hardened container: a
user without privileges or capabilities, a root that is mounted read-only, models that are mounted
read-only, a loopback of its own. Once as the image is, and once with its kernels out of sight.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.image_steps import Build, Built, arguments, read
from benchmarks.report import Result, machine
from tests.support import small_bundle

ROOT = Path(__file__).parents[1]
USER = 10001
LIBRARIES = (
    "ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,"
    "libsqlite3-0,libssl3,libuuid1,zlib1g"
)
"""What Python's own modules need, as in the official image."""
NOT_IN_IT = ("gcc", "cc", "make", "pip", "pip3", "easy_install")
NOT_INSTALLED = ("pip", "setuptools", "lightgbm", "scikit_learn", "duckdb", "polars")


def run() -> Result:
    """Build, look at what is in it, start it twice."""
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(prefix="keepwell-image-"))
    try:
        build = Build(read((ROOT / "Dockerfile").read_text()), ROOT, _base(folder), folder)
        image = build.stage(read((ROOT / "Dockerfile").read_text())[-1].name)
        materials = json.loads((build.stage("sbom").root / "keepwell.cdx.json").read_text())
        small_bundle(folder / "models")
        subprocess.run(["chmod", "-R", "a+rX", str(folder / "models")], check=True)
        rows = [_row("kernels of the image", image, folder, {})]
        rows.append(_row("none kept", image, folder, {"NUMBA_CACHE_DIR": "/nothing"}))
        facts = _facts(image, materials)
    finally:
        shutil.rmtree(folder)
    return Result(
        title="The image: built step by step, run without privileges on a read-only root",
        notes="Seconds from the start of the process; `none kept` is how the image started before "
        "its kernels were compiled when it is built. The model is that of the tests.",
        columns=("start", "s to live", "s to ready", "s to the first score", "CPU s", "MB"),
        rows=rows,
        targets=facts,
        machine=machine(load),
    )


def _base(folder: Path) -> Path:
    base = folder / "base"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={LIBRARIES}", "bookworm", str(base)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    here, there = Path(sys.base_prefix), base / "usr" / "local"
    shutil.copy2(here / "bin" / version, there / "bin" / "python3")
    (there / "bin" / "python").symlink_to("python3")
    for library in (here / "lib").glob("libpython*"):
        shutil.copy2(library, there / "lib")
    ignored = shutil.ignore_patterns("site-packages", "test", "__pycache__")
    shutil.copytree(here / "lib" / version, there / "lib" / version, ignore=ignored)
    (there / "lib" / version / "site-packages").mkdir()
    subprocess.run(
        ["chroot", str(base), "sh", "-c", "ldconfig; python -m ensurepip --default-pip"], check=True
    )
    return base


def _row(name: str, image: Built, folder: Path, changes: dict[str, str]) -> list[Any]:
    data = folder / f"data {name}".replace(" ", "-")
    data.mkdir()
    os.chown(data, USER, USER)
    found = _run(image, folder / "models", data, changes)
    assert 0 < found["answer"]["churn_probability"] < 1
    assert found["user"] == USER
    assert found["capabilities"] == 0
    assert found["no new privileges"]
    assert found["healthcheck"] == 0
    assert found["exit code"] == 0, found["log"]
    writable = {"/var/lib/keepwell", "/tmp"}
    assert not writable & set(found["refused to write"])
    assert len(found["refused to write"]) == 5, found["refused to write"]
    return [
        name,
        *(found[f"seconds to {path}"] for path in ("/health/live", "/health/ready", "/score")),
        found["CPU seconds"],
        found["memory MB"],
    ]


def _run(image: Built, models: Path, data: Path, changes: dict[str, str]) -> dict[str, Any]:
    given = {
        "root": str(image.root),
        "models": str(models),
        "data": str(data),
        "environment": image.environment | {"KEEPWELL_ALLOW_ANONYMOUS": "1"} | changes,
        "command": arguments(image.said["CMD"]),
        "healthcheck": arguments(image.said["HEALTHCHECK"]),
    }
    alone = ("unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child")
    done = subprocess.run(
        [*alone, sys.executable, "-m", "benchmarks.image_inside", json.dumps(given)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _said(image: Built, code: str) -> str:
    """What the image's Python prints."""
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    return subprocess.run(
        ["chroot", str(image.root), "/usr/bin/env", "-i", *variables, "python", "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def _facts(image: Built, materials: dict[str, Any]) -> dict[str, str]:
    there = [
        name
        for name in NOT_IN_IT
        for place in ("usr/bin", "usr/local/bin", "opt/keepwell/bin")
        if (image.root / place / name).exists()
    ]
    environment = image.root / "opt" / "keepwell"
    packages = sorted(path.name for path in environment.glob("lib/*/site-packages/*.dist-info"))
    kernels = list((environment / "kernels").rglob("*.nbc"))
    size = sum(path.lstat().st_size for path in environment.rglob("*") if path.is_file())
    kept = sum(path.stat().st_size for path in (environment / "kernels").rglob("*.nb?"))
    there += [name for name in NOT_INSTALLED if any(one.startswith(f"{name}-") for one in packages)]
    assert not there, there
    assert "True" in _said(
        image,
        "import pathlib as p, churn.calibration as c; "
        "print(p.Path(c.sigmoid._cache.cache_path).is_dir())",
    ), "kernels are looked for elsewhere"
    listed = {part["name"].lower() for part in materials["components"]}
    return {
        "no compiler, no installer, no training library": "None of "
        f"{', '.join(NOT_IN_IT + NOT_INSTALLED)}; {len(packages)} packages, "
        f"{size / 1e6:.0f} MB beside the base",
        "kernels in the image": f"{len(kernels)} pieces of machine code, {kept / 1e6:.1f} MB",
        "every package in the bill of materials": f"CycloneDX {materials['specVersion']}, "
        f"{len(listed)} components",
        "no privilege needed": "uid 10001, no capability, no new privileges; of seven folders only "
        "/var/lib/keepwell and /tmp can be written",
    }
