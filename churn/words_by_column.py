"""`churn.words` for many numbers at once: a number that occurs often is put into words once."""

from collections.abc import Callable

import numpy as np

from churn.compiled import Floats
from churn.words import Language, parts, worded


def worded_all(numbers: Floats, spec: str, language: Language, currency: str = "") -> list[str]:
    """Each number as `churn.words.worded` gives it, shape (n,).

    Examples
    --------
    >>> worded_all(np.array([1.2, 41.0]), "days", "en")
    ['1 day', '41 days']
    """
    if spec == "days":
        numbers = np.rint(numbers)  # to even, as `round` does
    values, whose = np.unique(numbers, return_inverse=True)
    if len(values) == len(numbers):
        return [worded(value, spec, language, currency) for value in numbers.tolist()]
    words = [worded(value, spec, language, currency) for value in values.tolist()]
    return [words[at] for at in whose.tolist()]


def fill_all(template: str, field: Callable[[str, str], list[str]], n: int) -> list[str]:
    """A template filled n times.

    Parameters
    ----------
    template : str
        As `churn.words.fill` takes it.
    field : callable
        The n texts of a field, given its name and its format.
    n : int
        How many.
    """
    pattern = ""
    columns: list[list[str]] = []
    for text, name, spec in parts(template):
        pattern += text.replace("{", "{{").replace("}", "}}")
        if name is not None:
            pattern += "{}"
            columns.append(field(name, spec))
    if not columns:
        return [pattern.format()] * n
    return list(map(pattern.format, *columns))
