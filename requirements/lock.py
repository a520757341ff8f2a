"""Resolve pyproject.toml into the hash-locked files beside this one (``make lock``).

Each lock is resolved within the smaller one's versions, for every platform and Python at once.
Pass ``--upgrade`` to take newer versions; without it only what must change does.
"""

import os
import subprocess
import sys

from requirements.install import HERE, quiet, uv_environment

PROJECT = "pyproject.toml"
SERVICE = (PROJECT, "--extra", "postgres")
TRAIN = (*SERVICE, "--extra", "train")
DEV = (*TRAIN, "--extra", "otel", "--group", "dev", "--group", "bench")
LOCKS = (
    ("service.txt", *SERVICE),
    ("train.txt", *TRAIN, "-c", "requirements/service.txt"),
    ("dev.txt", *DEV, "-c", "requirements/train.txt"),
    ("rivals.txt", *DEV, "--group", "rivals", "-c", "requirements/dev.txt"),
    ("build.txt", "requirements/build.in", "-c", "requirements/dev.txt"),
    ("uv.txt", "requirements/uv.in"),
    ("audit.txt", "requirements/audit.in"),
)


def main() -> None:
    """Write every lock file."""
    pip_settings = quiet(sys.executable, "-m", "pip", "config", "list") or ""
    for target, *source in LOCKS:
        subprocess.run(
            [
                *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
                *("--generate-hashes", "--no-header", "--no-emit-index-url"),
                *("--no-emit-find-links", "--python-version", "3.11"),
                *sys.argv[1:],
                *source,
                *("-o", f"requirements/{target}"),
            ],
            env={**os.environ, **uv_environment(pip_settings, os.environ)},
            cwd=HERE.parent,
            check=True,
        )


if __name__ == "__main__":
    main()
