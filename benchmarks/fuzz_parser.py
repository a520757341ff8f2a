"""The two readers of a customer's JSON, the quick one and the strict, held against each other."""

from unittest.mock import patch

from churn.features import FEATURE_NAMES
from service import strict_json, validation
from service.problems import Problem
from service.quick import Checked

NAMES = frozenset(FEATURE_NAMES)
MOST_EVENTS = 10_000


class Differ(AssertionError):
    """The two readers took the same bytes for two things."""


def both(raw: bytes) -> Checked | Problem:
    """What a service makes of these bytes; the strict reader alone has to make the same of them.

    Raises
    ------
    Differ
        It does not.
    """
    quick, strict = _read(raw), _strictly(raw)
    if isinstance(quick, Problem) != isinstance(strict, Problem):
        raise Differ(f"{raw!r}: {quick!r}, but strictly {strict!r}")
    told = quick.told() if isinstance(quick, Problem) else quick
    expected = strict.told() if isinstance(strict, Problem) else strict
    if told != expected:
        raise Differ(f"{raw!r}: {told!r}, but strictly {expected!r}")
    return quick


def _read(raw: bytes) -> Checked | Problem:
    try:
        return validation.score_body(
            raw, max_events=MOST_EVENTS, feature_names=NAMES, has_store=True
        )
    except Problem as problem:
        return problem


def _strictly(raw: bytes) -> Checked | Problem:
    with (
        patch.object(strict_json, "_quick", lambda _: strict_json._UNSURE),
        patch.object(validation, "quick_body", lambda _: None),
        patch.object(validation, "quick", lambda _: None),
    ):
        return _read(raw)
