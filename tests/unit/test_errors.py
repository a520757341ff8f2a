import inspect
import re

import pytest

from churn import errors
from churn.errors import KeepwellError, RequestError

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, KeepwellError)
]


def test_the_tree_that_is_drawn_is_the_tree_there_is() -> None:
    drawn: dict[str, int] = {}
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^( {4}[ │├└─]*)([A-Z]\w+)", line)
        if found:
            drawn[found[2]] = (len(found[1]) - 4) // 4
    there = {kind.__name__: len(kind.__mro__) - len(KeepwellError.__mro__) for kind in CLASSES}
    assert drawn == there


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_ends_with_a_code_of_its_kind(kind: type[KeepwellError]) -> None:
    wrong_use = issubclass(kind, errors.ConfigError | errors.PolicyError)
    assert kind.exit_code == (2 if wrong_use else 1)


def test_a_request_error_says_where_and_what() -> None:
    error = RequestError("wrong", pointer="/features/x", code="unknown_feature")
    assert (str(error), error.pointer, error.code) == ("wrong", "/features/x", "unknown_feature")
