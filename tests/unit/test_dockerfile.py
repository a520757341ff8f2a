"""The Dockerfile, as it is written; `python -m benchmarks image` carries it out."""

import re
import tomllib
from pathlib import Path

import pytest

from benchmarks.image_steps import Build, Stage, arguments, read
from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
STAGES = {stage.name: stage for stage in read(TEXT)}
BUILD, IMAGE = STAGES["build"], list(STAGES.values())[-1]


def variables(stage: Stage) -> dict[str, str]:
    return dict(pair.split("=", 1) for line in stage.all("ENV") for pair in line.split())


def test_every_stage_begins_with_the_image_that_an_argument_names() -> None:
    assert re.search(r"^ARG PYTHON_IMAGE=\S+$", TEXT, re.MULTILINE)
    begun = re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)
    assert set(begun) == {"${PYTHON_IMAGE}", "build", "scratch"}


def test_the_image_runs_without_privileges_and_is_watched() -> None:
    uid, gid = IMAGE.last("USER").split(":")
    assert int(uid) > 10_000
    assert int(gid) > 10_000
    assert IMAGE.last("STOPSIGNAL") == "SIGTERM"
    assert "/health/live" in arguments(IMAGE.last("HEALTHCHECK"))[-1]
    assert arguments(IMAGE.last("CMD"))[:2] == ["keepwell", "serve"]


def test_the_image_takes_nothing_but_the_finished_environment() -> None:
    assert IMAGE.all("COPY") == ["--from=build /opt/keepwell /opt/keepwell"]
    (prepared,) = IMAGE.all("RUN")
    assert "pip uninstall --yes setuptools wheel pip" in prepared
    assert not re.search(r"apt-get|pip install|curl|wget", prepared)


def test_everything_that_is_installed_is_pinned_by_hash() -> None:
    installs = [
        command
        for stage in STAGES.values()
        for line in stage.all("RUN")
        for command in line.split("&&")
        if " install " in command and "pip" in command
    ]
    assert len(installs) == 4
    own = [command for command in installs if "--no-index" in command and "dist/*.whl" in command]
    assert len(own) == 1
    assert all("--require-hashes" in command for command in installs if command not in own)


def test_kernels_are_looked_for_where_and_as_they_were_compiled() -> None:
    (warmed,) = [line for line in BUILD.all("RUN") if "service.warm_up" in line]
    kept = variables(IMAGE)
    for name in ("NUMBA_CACHE_DIR", "NUMBA_CPU_NAME"):
        assert f"{name}={kept[name]} " in warmed
    assert kept["NUMBA_CACHE_DIR"].startswith("/opt/keepwell/")
    # Without -P the sources in the working folder would be compiled, not what is installed.
    assert "/opt/keepwell/bin/python -P -m service.warm_up" in warmed


def test_every_variable_of_the_image_is_a_setting() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    named = {name for name in variables(IMAGE) if name.startswith(PREFIX)}
    assert named
    assert named <= settings


def test_every_package_of_the_wheel_is_in_what_the_image_is_built_from(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = {line.split()[0] for line in BUILD.all("COPY")}
    assert copied >= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    # Only files that .dockerignore lets in can be copied, and no others are needed.
    build = Build([], ROOT, tmp_path, tmp_path)
    for stage in STAGES.values():
        for line in stage.all("COPY"):
            if not line.startswith("--from"):
                for source in line.split()[:-1]:
                    build.allow(source)
    with pytest.raises(FileNotFoundError, match="tests is kept out"):
        build.allow("tests")
