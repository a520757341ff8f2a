"""Check that the lock files still say what pyproject.toml asks for.

Works offline: every requirement must be met by a pinned, hashed version; each larger lock must
repeat the smaller one's versions; and no index address may be written down.
"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent


def pins(text: str) -> dict[str, str]:
    """Return the version of each package of a lock file's text."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def complaints(folder: Path, project: dict[str, list[str]]) -> list[str]:
    """Return what is wrong with the lock files of a folder, one line each.

    Parameters
    ----------
    folder : Path
        Holds ``service.txt``, ``train.txt``, ``dev.txt``, ``rivals.txt``, ``build.txt``, ``uv.txt``
        and ``audit.txt``.
    project : dict of str to list of str
        Requirements that each but the last must meet.
    """
    wrong: list[str] = []
    texts = {path.stem: path.read_text() for path in sorted(folder.glob("*.txt"))}
    locked = {name: pins(text) for name, text in texts.items()}
    for name, text in texts.items():
        if "://" in text or re.search(r"^\s*(-i|--index-url|--extra-index-url)\b", text, re.M):
            wrong.append(f"{name}.txt holds an index address")
        blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
        wrong += [
            f"{name}.txt: {block.split()[0]} has no hash"
            for block in blocks
            if "==" in block and "--hash=sha256:" not in block
        ]
    for name, requirements in project.items():
        for requirement in map(Requirement, requirements):
            version = locked[name].get(canonicalize_name(requirement.name))
            if version is None:
                wrong.append(f"{name}.txt lacks {requirement}")
            elif not requirement.specifier.contains(version, prereleases=True):
                wrong.append(f"{name}.txt pins {requirement.name} {version}, not {requirement}")
    contained = (("service", "train"), ("train", "dev"), ("dev", "rivals"))
    for small, large in (*contained, ("build", "dev")):
        for package in locked[small].keys() & locked[large].keys():
            if locked[small][package] != locked[large][package]:
                wrong.append(f"{small}.txt and {large}.txt pin different versions of {package}")
    for small, large in contained:
        missing = locked[small].keys() - locked[large].keys()
        wrong += [f"{large}.txt lacks {package} of {small}.txt" for package in sorted(missing)]
    return wrong


def asked(pyproject: Path) -> dict[str, list[str]]:
    """Return what pyproject.toml asks of each lock file."""
    settings = tomllib.loads(pyproject.read_text())
    extras = settings["project"]["optional-dependencies"]
    base = settings["project"]["dependencies"] + extras["postgres"]
    train = base + extras["train"]
    groups = settings["dependency-groups"]
    dev = train + extras["otel"] + groups["dev"] + groups["bench"]
    return {
        "service": base,
        "train": train,
        "dev": dev,
        "rivals": dev + groups["rivals"],
        "build": settings["build-system"]["requires"],
    }


if __name__ == "__main__":
    problems = complaints(HERE, asked(HERE.parent / "pyproject.toml"))
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit("the lock is out of date: run `make lock`" if problems else 0)
