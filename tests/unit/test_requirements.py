"""Setup: uv looks where pip looks, and a stale lock is noticed without a network."""

import shutil
from pathlib import Path

import pytest

from requirements.check import asked, complaints
from requirements.install import uv_environment

ROOT = Path(__file__).resolve().parents[2]


def test_uv_looks_where_pip_looks() -> None:
    listed = """\
:env:.index-url='https://mirror.example/simple'
global.index-url='https://elsewhere.example/simple'
global.extra-index-url='https://a.example/simple https://b.example/simple'
global.find-links='/wheels'
global.cert='/etc/ca.pem'
"""
    assert uv_environment(listed, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": "/wheels",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_uv_is_told_already_stays() -> None:
    listed = "global.index-url='https://mirror.example/simple'\n"
    told = {"UV_DEFAULT_INDEX": "https://mine.example/simple", "UV_INDEX_STRATEGY": "first-index"}
    assert uv_environment(listed, told) == {}


def test_a_machine_without_pip_settings_adds_no_index() -> None:
    assert set(uv_environment("", {})) == {"UV_INDEX_STRATEGY"}


def test_the_lock_is_in_sync() -> None:
    assert complaints(ROOT / "requirements", asked(ROOT / "pyproject.toml")) == []


@pytest.mark.parametrize(
    ("lock", "change", "complaint"),
    [
        ("service", ("orjson==", "orjson-not=="), "service.txt lacks orjson"),
        ("service", ("orjson==3", "orjson==2"), "service.txt pins orjson 2"),
        ("train", ("orjson==3", "orjson==3.0"), "pin different versions of orjson"),
        ("dev", ("duckdb==", "duckdb-not=="), "dev.txt lacks duckdb"),
        ("rivals", ("catboost==", "catboost-not=="), "rivals.txt lacks catboost"),
        ("build", ("--hash=sha256:", "--no-hash="), "has no hash"),
        ("uv", ("uv==", "--index-url https://mirror.example\nuv=="), "holds an index address"),
    ],
)
def test_a_stale_lock_is_noticed(
    tmp_path: Path, lock: str, change: tuple[str, str], complaint: str
) -> None:
    folder = shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    file = folder / f"{lock}.txt"
    changed = file.read_text().replace(*change)
    assert changed != file.read_text()
    file.write_text(changed)
    said = complaints(folder, asked(ROOT / "pyproject.toml"))
    assert any(complaint in line for line in said), said
