"""From what a caller names to one row of a model's input columns, checked."""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.columns import Column, Raw
from churn.errors import RequestError, UnknownFeature
from churn.events import Feed
from churn.features import FEATURES, POSITION
from churn.manifest import Manifest
from churn.schema import Schema

# Ratings may count from below zero, and logarithms do; nothing else that is counted or measured.
_SIGNED = frozenset(f.name for f in FEATURES if f.unit in ("rating", "log days"))


_NUMBERS = frozenset({float, int, type(None)})


class Input(NamedTuple):
    """One input column: its position, the user's own column if it is one, how small it may be."""

    at: int
    own: Column | None
    is_text: bool
    may_be_negative: bool


class Inputs:
    """The input columns of one model, as callers name them.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    manifest : Manifest
        Says which of them the model uses, and its feeds.
    """

    def __init__(self, schema: Schema, manifest: Manifest) -> None:
        self.schema = schema
        used = {entry.name for entry in manifest.features}
        self.used = tuple(name for name in schema.names if name in used)
        self._model_feeds = frozenset(manifest.feeds)
        self._unused = frozenset(schema.names) - used
        self._inputs = {
            name: Input(
                at,
                own := schema.extra(name),
                own is not None and own.kind == "categorical",
                own is not None or name in _SIGNED,
            )
            for name, at in schema.position.items()
        }
        self._are_numbers = not any(one.is_text for one in self._inputs.values())
        self._not_negative = np.array(
            [one.at for one in self._inputs.values() if not one.may_be_negative], dtype=np.int64
        )
        self._own = tuple((column.name, schema.position[column.name]) for column in schema.extras)
        # Requests repeat a few sets of feeds; what these are expected to carry is found once.
        self._expected = lru_cache(maxsize=256)(self._expected_with)

    def find(self, name: str) -> Input | None:
        """The input column of this name, if the model has one."""
        return self._inputs.get(name)

    def row(self, named: Mapping[str, Raw]) -> NDArray[np.float64]:
        """Named values as input columns, shape (n_inputs,).

        Raises
        ------
        UnknownFeature
            A name that the model does not have.
        RequestError
            A number below zero that no history could give, text for a number, or the reverse.
        """
        found = self._plain([named])
        return self._looked_at(named) if found is None else found[0]

    def rows(self, named: Sequence[Mapping[str, Raw]]) -> NDArray[np.float64]:
        """What `row` makes of each of n customers' values, shape (n, n_inputs)."""
        found = self._plain(named)
        return np.array([self.row(one) for one in named]) if found is None else found

    def _looked_at(self, named: Mapping[str, Raw]) -> NDArray[np.float64]:
        numbers = [math.nan] * len(self.schema)
        inputs = self._inputs
        for name, value in named.items():
            found = inputs.get(name)
            if found is None:
                raise self._unknown(name)
            at, own, is_text, may_be_negative = found
            if value is None:
                continue
            if isinstance(value, str) is not is_text:
                raise RequestError(
                    f"{name} must be {'a string' if is_text else 'a number'}; leave it out if "
                    "unknown",
                    pointer=f"/features/{name}",
                    code="not_a_string" if is_text else "not_a_number",
                )
            if is_text and own is not None:
                numbers[at] = own.encode(value)
                continue
            number = float(value)
            if number < 0.0 and not may_be_negative:
                raise RequestError(
                    f"{name} must be at least 0; leave it out if unknown",
                    pointer=f"/features/{name}",
                    code="too_small",
                )
            numbers[at] = number
        return np.array(numbers)

    def _plain(self, named: Sequence[Mapping[str, Raw]]) -> NDArray[np.float64] | None:
        """The rows of nothing but numbers that may be; None where one has to look at each.

        Nearly all are, and a loop over the names takes longer than the trees do.
        """
        if not self._are_numbers:
            return None
        known, names = self._inputs.keys(), self.schema.names
        lines = []
        for one in named:
            values = list(map(one.get, names))
            if not (one.keys() <= known and _NUMBERS.issuperset(map(type, values))):
                return None
            lines.append(values)
        X = np.array(lines, dtype=np.float64)  # None is NaN
        if len(self._not_negative) and (X[:, self._not_negative] < 0.0).any():
            return None
        return X

    def missing(self, row: NDArray[np.float64], feeds: frozenset[Feed] | None) -> tuple[str, ...]:
        """The columns that a caller with these feeds should have sent and did not."""
        lacks = list(map(math.isnan, row.tolist()))
        if True not in lacks:
            return ()
        return tuple([name for name, at in self._expected(feeds) if lacks[at]])

    def missing_each(
        self, numbers: NDArray[np.float64], feeds: frozenset[Feed] | None
    ) -> list[tuple[str, ...]]:
        """What `missing` gives for each of n rows; rows that lack the same share one tuple."""
        expected = self._expected(feeds)
        lacks = np.isnan(numbers[:, [at for _, at in expected]])
        _, first, whose = np.unique(
            np.packbits(lacks, axis=1), axis=0, return_index=True, return_inverse=True
        )
        names = [name for name, _ in expected]
        sets = [tuple(compress(names, lacks[at].tolist())) for at in first.tolist()]
        return [sets[at] for at in whose.ravel().tolist()]

    def missing_counts(
        self, numbers: NDArray[np.float64], feeds: frozenset[Feed] | None
    ) -> dict[str, int]:
        """How many of n rows lack a column that was expected, by name of the column."""
        known = np.count_nonzero(numbers == numbers, axis=0)
        counts = {name: len(numbers) - int(known[at]) for name, at in self._expected(feeds)}
        return {name: n for name, n in counts.items() if n}

    def missing_own(self, row: NDArray[np.float64]) -> tuple[str, ...]:
        """The columns of the user's own that are not known."""
        return tuple(name for name, at in self._own if math.isnan(row[at]))

    def unused(self, named: Collection[str]) -> list[str]:
        """Known names that this model does not use."""
        if self._unused.isdisjoint(named):
            return []
        return [name for name in named if name in self._unused]

    def _expected_with(self, feeds: frozenset[Feed] | None) -> tuple[tuple[str, int], ...]:
        present = self._model_feeds if feeds is None else feeds & self._model_feeds
        return tuple(
            (name, self._inputs[name].at)
            for name in self.used
            if self._inputs[name].own is not None or FEATURES[POSITION[name]].feed in present
        )

    def _unknown(self, name: str) -> UnknownFeature:
        near = difflib.get_close_matches(name, self.schema.names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return UnknownFeature(
            f"no such feature{hint} GET /v1/model lists the features",
            pointer=f"/features/{name.replace('~', '~0').replace('/', '~1')}",
            code="unknown_feature",
        )
