"""List, inspect, verify, sign, promote and roll back published models; make keys."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn.errors import BundleCorrupt, BundleNotFound, ModelError
from cli.options import DEFAULT_MODELS, AsJson, ModelsDir, SigningKeyFile
from cli.output import complain, print_json, say
from cli.signing import keys, write_key

if TYPE_CHECKING:
    from churn.manifest import Verdict
    from churn.registry import Registry

app = typer.Typer(no_args_is_help=False)

DEFAULT_KEY = Path("keepwell-signing-key.pem")

Version = Annotated[str, typer.Argument(metavar="VERSION", help="A published version.")]
AnyVersion = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="Default: the current version.")
]


def _registry(models_dir: Path, signing: Path | None = None) -> "Registry":
    # Numba comes with it and takes two seconds that `keepwell --help` should not.
    from churn.registry import Registry

    return Registry(models_dir, keys(signing))


def _chosen(registry: "Registry", version: str | None) -> str:
    chosen = version or registry.current()
    if chosen is None:
        raise BundleNotFound(
            f"{registry.root}: no model is current; `keepwell train` publishes and promotes one"
        )
    return chosen


@app.command("list")
def list_versions(models_dir: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """List the published versions, oldest first, with their grades; `*` is current, `+` shadow."""
    registry = _registry(models_dir)
    versions = registry.versions()
    current, beside = _pointed(registry.current), _pointed(registry.shadow)
    verdicts = {version: _verdict(registry, version) for version in versions}
    if as_json:
        grades = {version: one.grade if one else None for version, one in verdicts.items()}
        failed = {
            version: [gate.name for gate in one.failed] if one else []
            for version, one in verdicts.items()
        }
        print_json(
            {
                "versions": versions,
                "current": current,
                "shadow": beside,
                "grades": grades,
                "failed_gates": failed,
            }
        )
    elif versions:
        say(
            f"{_mark(version, current, beside)} {version}{_remark(verdicts[version])}"
            for version in versions
        )
    else:
        say([f"no models in {models_dir}; `keepwell train` publishes one"])


@app.command()
def show(
    version: AnyVersion = None, models_dir: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False
) -> None:
    """Show what a version is: horizon, thresholds, metrics, features, origin."""
    registry = _registry(models_dir)
    manifest = registry.load(_chosen(registry, version)).manifest
    verdict = manifest.verdict
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    thresholds = manifest.thresholds
    say(
        [
            f"version      {manifest.model_version}",
            f"created      {manifest.created_at}",
            f"churn        no purchase within {manifest.horizon_days} days"
            + (f" after {manifest.lead_time_days} days" if manifest.lead_time_days else ""),
            f"eligible     a purchase in the last {manifest.inactivity_days} days",
            f"risk bands   medium from {thresholds.medium:.3f}, high from {thresholds.high:.3f}",
            f"features     {len(manifest.features)}, feeds: {', '.join(manifest.feeds)}",
            f"data         {manifest.data_fingerprint}",
            *([f"grade        {verdict.grade}: {verdict.sentence}"] if verdict else []),
            *(
                f"{gate.outcome:<12} {gate.name}: {gate.sentence}"
                for gate in (verdict.gates if verdict else [])
                if gate.outcome != "passed"
            ),
            "metrics      (--json shows everything)",
        ]
    )
    say(
        f"  {name:<24} {'unknown' if value is None else f'{value:.4f}'}"
        for name, value in sorted(manifest.metrics.items())
    )


@app.command()
def verify(
    version: AnyVersion = None, models_dir: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False
) -> None:
    """Check a version as the service does when it loads it, and say which check failed."""
    from churn.examination import examine

    registry = _registry(models_dir)
    chosen = _chosen(registry, version)
    checks = examine(registry, chosen)
    failed = next((check for check in checks if check.outcome == "failed"), None)
    if as_json:
        print_json({"version": chosen, "ok": failed is None, "checks": checks})
    else:
        say(f"{check.outcome:<12} {check.name:<10} {check.meaning}" for check in checks)
        if failed is None:
            say([f"{chosen} can be served"])
    if failed is not None:
        raise ModelError(f"{chosen} is refused: {failed.name}: {failed.detail}")


@app.command()
def keygen(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the private key goes; a new file.")
    ] = DEFAULT_KEY,
    as_json: AsJson = False,
) -> None:
    """Make a key to sign models with; print its public half, for those who are to trust it."""
    from churn.signing import SigningKey, shown

    key = SigningKey.generate()
    write_key(file, key)
    public = shown(key.public)
    if as_json:
        print_json({"private_key": file, "public_key": public})
    else:
        say([public])
        complain(f"the private key is in {file}; keep it where models are trained, and only there")


@app.command()
def sign(
    version: Version,
    key: SigningKeyFile = None,
    models_dir: ModelsDir = DEFAULT_MODELS,
    as_json: AsJson = False,
) -> None:
    """Sign a published version anew: with a new key, or one that nobody signed yet."""
    from churn.registry import Registry
    from churn.signing import shown

    if key is None:
        raise typer.BadParameter("give --signing-key FILE; `keepwell models keygen` makes one")
    own = keys(key)
    own.check()  # else a signature that is trusted here might give way to one that is not
    assert own.signing is not None
    public = shown(own.signing.public)
    Registry(models_dir, own).sign(version)
    if as_json:
        print_json({"version": version, "public_key": public})
    else:
        say([f"{version} is signed with {public}"])


@app.command()
def promote(
    version: Version,
    models_dir: ModelsDir = DEFAULT_MODELS,
    force: Annotated[
        bool, typer.Option("--force", help="Promote even a version that failed a gate.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a version current; running services take it up within seconds."""
    registry = _registry(models_dir)
    verdict = _verdict(registry, registry.path(version).name)
    failed = verdict.failed if verdict else []
    told = "; ".join(f"{gate.name}: {gate.sentence}" for gate in failed)
    if failed and not force:
        raise ModelError(f"{version} failed {told} To promote it all the same, add --force")
    registry.promote(version)
    if failed:
        complain(f"warning: {version} is promoted although it failed {told}")
    _say_current(version, as_json)


@app.command()
def shadow(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="A published version.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Have none any more.")] = False,
    models_dir: ModelsDir = DEFAULT_MODELS,
    as_json: AsJson = False,
) -> None:
    """Have services score a version beside the current one and compare; answers do not change."""
    registry = _registry(models_dir)
    if none == (version is not None):
        raise typer.BadParameter("give either a version or --none")
    registry.set_shadow(version)
    if as_json:
        print_json({"shadow": version})
    else:
        say(["no version is shadow" if version is None else f"{version} is shadow"])


@app.command()
def rollback(models_dir: ModelsDir = DEFAULT_MODELS, as_json: AsJson = False) -> None:
    """Make the version before the current one current again."""
    _say_current(_registry(models_dir).rollback(), as_json)


def _pointed(read: Callable[[], str | None]) -> str | None:
    """The version that a pointer names; none, with a warning, where it is damaged."""
    try:
        return read()
    except BundleCorrupt as error:
        complain(f"warning: {error}")
        return None


def _verdict(registry: "Registry", version: str) -> "Verdict | None":
    """What was made of a version; None where nobody judged it or its manifest cannot be read."""
    from churn.bundle import read_manifest

    try:
        return read_manifest(registry.path(version)).verdict
    except ModelError:
        return None


def _mark(version: str, current: str | None, beside: str | None) -> str:
    return "*" if version == current else "+" if version == beside else " "


def _remark(verdict: "Verdict | None") -> str:
    if verdict is None:
        return ""
    failed = ", ".join(gate.name for gate in verdict.failed)
    return f"  {verdict.grade}" + (f"  failed: {failed}" if failed else "")


def _say_current(version: str, as_json: bool) -> None:
    if as_json:
        print_json({"current": version})
    else:
        say([f"{version} is current"])
