"""Carries out a Dockerfile without an engine: each stage a folder, each RUN a chroot into it.

What a build does matters here, not how: layers and caches there are none. It takes root on Linux,
and a folder that stands for the base image.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SCRATCH = "scratch"
# Where the package index is and whom to trust: an engine hands them in as secrets.
HANDED_IN = ("PIP_CERT", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "SSL_CERT_FILE")
TRUST = "/etc/ssl/certs"


@dataclass(frozen=True)
class Step:
    """One instruction, such as ``COPY --from=build /a /b``."""

    word: str
    rest: str


@dataclass
class Stage:
    """A stage as it is written."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What the stage says under a word, in order."""
        return [step.rest for step in self.steps if step.word == word]

    def last(self, word: str) -> str:
        """What counts of what it says under a word."""
        return self.all(word)[-1]


def read(text: str) -> list[Stage]:
    """Read a Dockerfile; arguments before the first stage have their defaults."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = _filled(rest.strip(), arguments).partition(" AS ")
            stages.append(Stage(name or str(len(stages)), base))
        elif not stages:
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            stages[-1].steps.append(Step(word, rest.strip()))
    return stages


@dataclass
class Built:
    """A stage carried out."""

    root: Path
    environment: dict[str, str]
    folder: str = "/"
    said: dict[str, str] = field(default_factory=dict)


class Build:
    """Carries out stages, each once.

    Parameters
    ----------
    stages : list of Stage
        As `read` gives them.
    context : Path
        Where COPY takes files from; its `.dockerignore` is minded.
    base : Path
        The folder that stands for every image that is not a stage.
    folder : Path
        Where the stages' folders are made.
    """

    def __init__(self, stages: list[Stage], context: Path, base: Path, folder: Path) -> None:
        self._stages = {stage.name: stage for stage in stages}
        self._context = context
        self._base = base
        self._folder = folder
        self._built: dict[str, Built] = {}

    def stage(self, name: str) -> Built:
        """Carry out a stage and those it is made from."""
        if name not in self._built:
            stage = self._stages[name]
            built = self._begun(stage)
            for step in stage.steps:
                self._do(step, built)
            self._built[name] = built
        return self._built[name]

    def _begun(self, stage: Stage) -> Built:
        root = self._folder / stage.name
        if stage.base == SCRATCH:
            root.mkdir(parents=True)
            return Built(root, {})
        made_from = self.stage(stage.base) if stage.base in self._stages else None
        source = self._base if made_from is None else made_from.root
        subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", _made(root)], check=True)
        if made_from is None:
            return Built(root, {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/bin"})
        return Built(root, dict(made_from.environment), made_from.folder)

    def _do(self, step: Step, built: Built) -> None:
        if step.word == "ENV":
            pairs = shlex.split(_filled(step.rest, built.environment))
            built.environment |= dict(pair.split("=", 1) for pair in pairs)
        elif step.word == "WORKDIR":
            built.folder = step.rest
            (built.root / step.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word == "COPY":
            self._copy(step.rest, built)
        elif step.word == "RUN":
            run(built, step.rest)
        else:
            built.said[step.word] = step.rest

    def _copy(self, rest: str, built: Built) -> None:
        flag, sources, target = _copied(rest)
        into = built.root / os.path.join(built.folder, target).lstrip("/")
        for source in sources:
            if flag:
                found = self.stage(flag).root / source.lstrip("/")
            else:
                self.allow(source)
                found = self._context / source
            place = into / found.name if target.endswith("/") else into
            place.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                # Of a folder an engine copies what is in it.
                ignored = None if flag else shutil.ignore_patterns("__pycache__")
                folder = into if target.endswith("/") else place
                shutil.copytree(found, folder, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                shutil.copy2(found, place)

    def allow(self, source: str) -> None:
        """Refuse what `.dockerignore` keeps out: an engine would not find it."""
        allowed = False
        for line in (self._context / ".dockerignore").read_text().splitlines():
            pattern = line.removeprefix("!")
            if pattern and not line.startswith("#") and fnmatch.fnmatch(source, pattern):
                allowed = line.startswith("!")
        if not allowed:
            raise FileNotFoundError(f"{source} is kept out by .dockerignore")


def run(built: Built, command: str) -> None:
    """Do what RUN does: a shell in the stage, as root, with a network.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    root = built.root
    resolver = root / "etc" / "resolv.conf"
    resolver.unlink(missing_ok=True)
    resolver.write_text(Path("/etc/resolv.conf").read_text())
    handed_in = {name: os.environ[name] for name in HANDED_IN if name in os.environ}
    variables = [f"{name}={value}" for name, value in (built.environment | handed_in).items()]
    inside = ["/usr/bin/env", "-i", *variables, "/bin/sh", "-c", f"cd {built.folder} && {command}"]
    mounts = (
        f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && "
        f"mkdir -p {root}{TRUST} && mount --bind {TRUST} {root}{TRUST} && "
        f"exec chroot {root} {shlex.join(inside)}"
    )
    subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", mounts], check=True
    )


def arguments(command: str) -> list[str]:
    """The words of CMD, or of HEALTHCHECK after CMD, in their JSON form."""
    words: list[str] = json.loads(command[command.index("[") :])
    return words


def _copied(rest: str) -> tuple[str, list[str], str]:
    """The stage, the sources and the target of a COPY."""
    *words, target = rest.split()
    flag = ""
    if words[0].startswith("--from="):
        flag = words.pop(0).removeprefix("--from=")
    return flag, words, target


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values.get(found[1], ""), text)


def _made(folder: Path) -> str:
    folder.mkdir(parents=True)
    return str(folder)
