import os
import shutil
import subprocess
import sys
from pathlib import Path

import churn.compiled

CALLED = """
from shop.compiled import compiled

@compiled
def price(n):
    return n * {factor}
"""
KERNEL = """
from shop.compiled import compiled
from shop.called import price

@compiled
def total(n):
    return price(n) + 1

if __name__ == "__main__":
    print(total(10), len(total.stats.cache_hits))
"""


def run(folder: Path, module: str = "kernel", **settings: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-m", f"shop.{module}"],
        cwd=folder, env=kept | settings, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def shop(folder: Path) -> Path:
    package = folder / "shop"
    package.mkdir()
    shutil.copy(churn.compiled.__file__, package / "compiled.py")
    (package / "called.py").write_text(CALLED.format(factor=2))
    (package / "kernel.py").write_text(KERNEL)
    return package


def test_machine_code_is_kept_until_any_kernel_of_the_package_changes(tmp_path: Path) -> None:
    package = shop(tmp_path)
    kept = tmp_path / "kept"
    assert run(tmp_path, NUMBA_CACHE_DIR=str(kept)) == ["21", "0"]
    assert list(kept.rglob("*.nbi"))
    assert run(tmp_path, NUMBA_CACHE_DIR=str(kept)) == ["21", "1"]
    (package / "called.py").write_text(CALLED.format(factor=3))
    assert run(tmp_path, NUMBA_CACHE_DIR=str(kept)) == ["31", "0"]


READ_ONLY = """
import os

really = os.access
os.access = lambda path, mode: mode != os.W_OK and really(path, mode)
from shop.kernel import total

print(total(10), len(total.stats.cache_hits), total(1.5))
"""


def test_kernels_in_a_folder_that_cannot_be_written_are_used_and_nothing_is_added(
    tmp_path: Path,
) -> None:
    shop(tmp_path)
    # Written first: the folder of the kernels depends on every source.
    (tmp_path / "shop" / "guarded.py").write_text(READ_ONLY)
    (tmp_path / "shop" / "warm.py").write_text("from shop.kernel import total; print(total(10))")
    kept = tmp_path / "kept"
    assert run(tmp_path, "warm", NUMBA_CACHE_DIR=str(kept)) == ["21"]
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.nb?")}
    assert before
    assert run(tmp_path, "guarded", NUMBA_CACHE_DIR=str(kept)) == ["21", "1", "4.0"]
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.nb?")} == before


def test_without_a_place_to_keep_it_the_kernel_still_runs(tmp_path: Path) -> None:
    shop(tmp_path)
    (tmp_path / "file").touch()
    assert run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "file")) == ["21", "0"]
