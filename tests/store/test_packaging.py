"""What is installed can migrate."""

import subprocess
import sys
import zipfile
from pathlib import Path

from service.store import migrate

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_every_migration(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    needed = {str(path.relative_to(ROOT)) for path in migrate.FOLDER.rglob("*.py")}
    assert len(needed) >= 4
    assert needed <= packed
