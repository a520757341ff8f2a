"""The model that serves, and how a newly promoted one takes its place.

One immutable reference holds the bundle's manifest and its scorer. A request reads the reference
once and keeps to it, so a swap never mixes two models in one answer. A bundle that fails to load
leaves the old one serving.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from churn import bundle as bundles
from churn.events import MICROSECONDS_PER_DAY, Event, Kind
from churn.manifest import Manifest
from churn.policy.policy import Policy
from churn.registry import CURRENT, Registry
from churn.scoring import CustomerRow, Scorer
from churn.signing import TrustedKeys
from service import cutting, logs
from service.background import always
from service.metrics import Metrics
from service.patience import Patience
from service.policies import PolicyHolder
from service.shadow import Shadow, Shadows
from service.window import Window

_log = logging.getLogger(f"{logs.ROOT}.models")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A verified bundle, ready to score, and the one that is held against it, if any."""

    version: str
    sha256: str
    manifest: Manifest
    feature_names: frozenset[str]
    scorer: Scorer
    shadow: Shadow | None = None
    window: Window | None = None
    """Who it scored of late; only the model that serves has one."""

    def with_policy(self, policy: Policy) -> "Loaded":
        """The same model, with another policy for its suggestions."""
        if policy is self.scorer.policy:
            return self
        return replace(self, scorer=self.scorer.with_policy(policy))


def load(path: Path, trusted: TrustedKeys | None = None) -> Loaded:
    """Verify and load a bundle.

    Parameters
    ----------
    path : Path
        Its folder, named after its version.
    trusted : TrustedKeys, optional
        Who may have signed it; by default nobody need have.

    Raises
    ------
    ModelError
        The bundle is missing, changed, not trusted, or of a format that this version cannot read.
    """
    bundle = bundles.load(path, trusted, path.name)
    scorer = Scorer(bundle)
    # The first calls compile the kernels, which may take seconds: not on a request's time. Rows of
    # whom somebody has no probability take another path than others do.
    bundle.model.trees.make_ready()
    if scorer.schema.loop:
        bought = [Event(0, Kind.PURCHASE, amount=1.0)]
        row = scorer.rows.of_events("warm-up", bought, MICROSECONDS_PER_DAY)
    else:
        ones = np.ones(len(scorer.schema))
        row = CustomerRow("warm-up", ones, 0, None, 1, "raises", "en", (), ())
    unknown = row._replace(numbers=np.full_like(row.numbers, np.nan))
    scorer.score_rows([row])
    scorer.score_rows([row, unknown])
    for rows in (1, 2):
        scorer.score_matrix(np.ones((rows, len(scorer.schema))))
    cutting.make_ready()
    return Loaded(
        version=bundle.version,
        sha256=bundle.sha256,
        manifest=bundle.manifest,
        feature_names=frozenset(feature.name for feature in bundle.manifest.features),
        scorer=scorer,
    )


class ModelHolder:
    """Keeps the promoted model loaded.

    Parameters
    ----------
    models_dir : Path
        Root of the registry.
    metrics : Metrics
        Told of every attempt to load.
    load : callable, optional
        Makes a `Loaded` of a bundle's folder.
    policies : PolicyHolder, optional
        Whose policy every model serves with; by default the one that comes with the package.
    watch : callable, optional
        Makes the window of a model that is going to serve.

    Attributes
    ----------
    current : Loaded or None
        The model that serves; replaced whole.
    after_swap : callable
        Called in the polling thread when a model has begun to serve.
    on_change : callable
        Told there of another model or policy in force: ``model`` or ``policy``, the version before,
        None where there was none, and the version now.
    """

    def __init__(
        self,
        models_dir: Path,
        metrics: Metrics,
        load: Callable[[Path], Loaded] = load,
        policies: PolicyHolder | None = None,
        watch: Callable[[Loaded], Window | None] = lambda _: None,
    ) -> None:
        self.current: Loaded | None = None
        self.after_swap: Callable[[], object] = lambda: None
        self.on_change: Callable[[str, str | None, str], object] = lambda *_: None
        self._registry = Registry(models_dir)
        self._metrics = metrics
        self._load = load
        self._watch = watch
        self.policies = policies or PolicyHolder(None, metrics)
        self._serving: str | None = None
        self._patience = Patience()
        self._shadows = Shadows(self._registry, metrics, lambda path: load(path).scorer)

    def refresh(self) -> None:
        """Take up a changed policy, promotion or shadow. Never raises."""
        self._refresh_model()
        current = self.current
        shadow = self._shadows.refresh(None if current is None else current.scorer)
        if current is not None and current.shadow is not shadow:
            self.current = replace(current, shadow=shadow)

    def _refresh_model(self) -> None:
        self._refresh_policy()
        version: str | None = CURRENT  # as long as the pointer itself cannot be read
        try:
            version = self._registry.current()
            if version is None or version == self._serving:
                self._patience.end()
                return
            if self._patience.waits(version):
                return
            loaded = self._load(self._registry.path(version))
            loaded = replace(loaded, window=self._watch(loaded))
        except Exception as error:
            if version == CURRENT and self._patience.waits(CURRENT):
                return
            self._patience.refused(version)
            self._metrics.model_reloads["error"].inc()
            serving = self.current.version if self.current else None
            _log.error(
                "the promoted model could not be loaded; %s",
                f"{serving} keeps serving" if serving else "none serves",
                extra={"fields": {"version": version, "error": f"{type(error).__name__}: {error}"}},
            )
            return
        self._swap(version, loaded)

    def _refresh_policy(self) -> None:
        before = self.policies.current
        self.policies.refresh()
        now = self.policies.current
        if self.current is not None:
            self.current = self.current.with_policy(now)
        if now is not before:
            self.on_change("policy", before.version, now.version)

    def of_version(self, version: str) -> Loaded:
        """Return a published version, promoted or not; loads it unless it serves.

        Raises
        ------
        ModelError
            It is not published any more, or cannot be loaded.
        """
        serving = self.current
        if serving is not None and serving.version == version:
            return serving.with_policy(self.policies.current)
        loaded = self._load(self._registry.path(version))
        return loaded.with_policy(self.policies.current)

    def window_days(self) -> int | None:
        """For how long before `as_of` the model that serves reads events."""
        return None if self.current is None else self.current.manifest.observation_window_days

    async def poll(self, seconds: float) -> None:
        """Refresh at once and then for ever, beside the requests."""
        await always(self.refresh, seconds, _log, "models could not be looked at")

    def _swap(self, version: str, loaded: Loaded) -> None:
        self.current = loaded.with_policy(self.policies.current)
        before, self._serving = self._serving, version
        self.on_change("model", before, version)
        self._patience.end()
        metrics = self._metrics
        metrics.model_reloads["ok"].inc()
        # Requests that began with the model before still count for it.
        metrics.probability.keep_only([version] if before is None else [version, before])
        metrics.model_info.clear()
        metrics.model_info.labels(loaded.version, loaded.sha256).set(1)
        metrics.model_loaded_timestamp_seconds.set(time.time())
        created = datetime.fromisoformat(loaded.manifest.created_at)
        metrics.model_created_timestamp_seconds.set(created.timestamp())
        _log.info("model loaded", extra={"fields": {"version": loaded.version}})
        self.after_swap()
