"""The Kubernetes manifests: of their schemas, of each other, and of what the service is."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import ValidationError, latest_version, validate

from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "k8s"
MANIFESTS: dict[str, dict[str, Any]] = {
    f"{path.name}/{document['metadata']['name']}": document
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
}
OF_KUBERNETES = [name for name in MANIFESTS if not name.startswith("servicemonitor")]
OLDEST = "1.31"
DEPLOYMENT = MANIFESTS["deployment.yaml/keepwell"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("version", [OLDEST, latest_version()])
@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_a_manifest_is_of_its_schema(name: str, version: str) -> None:
    validate(MANIFESTS[name], version, strict=True)


def test_a_name_that_the_schema_does_not_have_is_noticed() -> None:
    wrong = copy.deepcopy(DEPLOYMENT)
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(ValidationError, match="readinesProbe"):
        validate(wrong, latest_version(), strict=True)


def test_every_manifest_is_applied() -> None:
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted({name.partition("/")[0] for name in MANIFESTS})


def test_the_pod_asks_for_no_more_than_the_restricted_profile_allows() -> None:
    pod, container = POD["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD.keys()
    assert not [port for port in CONTAINER["ports"] if "hostPort" in port]
    kinds = {kind for volume in POD["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"persistentVolumeClaim", "secret", "emptyDir"}
    assert POD["automountServiceAccountToken"] is False
    enforced = MANIFESTS["namespace.yaml/keepwell"]["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_pod_runs_as_the_images_user_and_listens_where_the_image_does() -> None:
    user, group = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)[0]
    context = POD["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
    assert context["fsGroup"] == int(group)
    (port,) = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": int(port)}]


def test_every_variable_is_a_setting_and_what_holds_a_secret_comes_from_one() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    given = {variable["name"]: variable for variable in CONTAINER["env"]}
    assert given.keys() <= settings
    for name in ("KEEPWELL_STORE_URL", "KEEPWELL_ERASURE_KEY"):
        assert "secretKeyRef" in given[name]["valueFrom"]


def test_what_the_service_reads_and_writes_is_mounted_and_nothing_else_is_written() -> None:
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == {
        volume["name"] for volume in POD["volumes"]
    }
    (models,) = re.findall(r"KEEPWELL_MODELS_DIR=(\S+)", DOCKERFILE)
    (jobs,) = re.findall(r"KEEPWELL_JOBS_DIR=(\S+)", DOCKERFILE)
    assert mounts[models]["readOnly"]
    assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {jobs, "/tmp"}
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in POD["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {name.partition("/")[2] for name in MANIFESTS if name.startswith("storage")}


def test_probes_ask_what_the_service_answers() -> None:
    paths = json.loads((ROOT / "openapi" / "openapi.json").read_text())["paths"]
    asked = {
        probe: CONTAINER[f"{probe}Probe"]["httpGet"]
        for probe in ("startup", "liveness", "readiness")
    }
    assert {request["port"] for request in asked.values()} == {"http"}
    assert {request["path"] for request in asked.values()} <= set(paths)
    assert asked["readiness"]["path"] == "/health/ready"
    # A pod without a model waits for one: nothing that restarts it may ask for a model.
    assert asked["startup"]["path"] == asked["liveness"]["path"] == "/health/live"


def test_the_service_has_ended_before_the_pod_is_killed() -> None:
    settings = Settings.model_fields
    assert settings["drain_seconds"].default < settings["shutdown_seconds"].default
    assert POD["terminationGracePeriodSeconds"] >= settings["shutdown_seconds"].default + 5


def test_everything_selects_the_pods_of_the_deployment() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    name = {"app.kubernetes.io/name": "keepwell"}
    assert name.items() <= labels.items()
    selectors = {
        "deployment.yaml/keepwell": DEPLOYMENT["spec"]["selector"]["matchLabels"],
        "service.yaml/keepwell": MANIFESTS["service.yaml/keepwell"]["spec"]["selector"],
        **{
            f"{kind}.yaml/keepwell": MANIFESTS[f"{kind}.yaml/keepwell"]["spec"][field][
                "matchLabels"
            ]
            for kind, field in (
                ("poddisruptionbudget", "selector"),
                ("networkpolicy", "podSelector"),
            )
        },
    }
    assert set(map(str, selectors.values())) == {str(name)}


def test_the_service_monitor_scrapes_the_services_port_with_a_key() -> None:
    """Its schema comes with the operator, so the fields that are used are checked one by one."""
    monitor = MANIFESTS["servicemonitor.yaml/keepwell"]
    assert (monitor["apiVersion"], monitor["kind"]) == (
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
    )
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    service = MANIFESTS["service.yaml/keepwell"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval", "scrapeTimeout", "authorization"}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert endpoint["authorization"] == {
        "type": "Bearer",
        "credentials": {"name": "keepwell-metrics", "key": "token"},
    }
    # The alert rules look for jobs of this name, which is the Service's.
    assert service["metadata"]["name"].startswith("keepwell")
