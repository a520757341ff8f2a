"""What was probably meant: the nearest known name, said the same way everywhere."""

import difflib
from collections.abc import Iterable


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, whatever the case; None if none is like it."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(known)}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, or nothing.

    Examples
    --------
    >>> nearest("horizont_days", ["horizon_days", "seed"])
    "; did you mean 'horizon_days'?"
    """
    found = nearest_name(name, known)
    return "" if found is None else f"; did you mean {found!r}?"
