"""compose.yaml and what it mounts: of its schema, hardened, open to this machine alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    ask = ("-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    return subprocess.run(
        [sys.executable, *ask, str(path)], capture_output=True, text=True, check=False
    )


def test_it_is_of_its_schema() -> None:
    done = checked(ROOT / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_a_name_that_the_schema_does_not_have_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(TEXT.replace("read_only:", "readonly:"))
    done = checked(tmp_path / "compose.yaml")
    assert done.returncode == 1
    assert "readonly" in done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_tagged_watched_and_open_to_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/]+:[0-9v][\w.-]+\}", service["image"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    if name == "keepwell":  # whose image brings its own
        assert "\nHEALTHCHECK " in (ROOT / "Dockerfile").read_text()
    else:
        assert "healthcheck" in service
    if name != "postgres":  # which becomes another user before it begins
        assert service["cap_drop"] == ["ALL"]


def test_keepwell_writes_nowhere_but_to_its_volume() -> None:
    keepwell = SERVICES["keepwell"]
    assert keepwell["read_only"] is True
    writable = [volume for volume in keepwell["volumes"] if not volume.endswith(":ro")]
    assert writable == ["keepwell:/var/lib/keepwell"]


def test_every_variable_of_keepwell_is_a_setting() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert SERVICES["keepwell"]["environment"].keys() <= settings


def test_the_file_of_keys_can_be_replaced() -> None:
    # A file that is mounted by itself stays the one that it was, whatever takes its name.
    place = SERVICES["keepwell"]["environment"]["KEEPWELL_KEYS_FILE"]
    folders = [volume.split(":") for volume in SERVICES["keepwell"]["volumes"]]
    assert ["./deploy/secrets/keys", str(Path(place).parent), "ro"] in folders


def test_no_secret_is_written_down_and_every_secret_is_a_file_that_git_leaves_alone() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == COMPOSE["secrets"].keys()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for secret in COMPOSE["secrets"].values():
        assert secret.keys() == {"file"}
        assert "/" + str(Path(secret["file"]).parent) + "/" in ignored
    named = re.findall(r"/run/secrets/([\w.-]+)", TEXT)
    prometheus = (ROOT / "deploy" / "prometheus" / "prometheus.yaml").read_text()
    named += re.findall(r"/run/secrets/([\w.-]+)", prometheus)
    assert set(named) == used


def test_what_is_mounted_from_here_exists() -> None:
    mounted = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith("./") and not volume.startswith("./deploy/secrets/")
    ]
    assert len(mounted) >= 4  # beside the secrets, which everybody makes
    for path in mounted:
        assert (ROOT / path).is_dir(), path


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (apt-get install prometheus)",
)
def test_prometheus_takes_its_configuration() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", "prometheus.yaml"],
        cwd=ROOT / "deploy" / "prometheus",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
