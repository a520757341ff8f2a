"""`churn.reasons` for many customers at once: a rule is asked of columns, not of rows.

Which rule speaks for a family, what it holds against what, and its words are those of the single
path, to the last bit; a test holds the two to each other. Only the order of the work differs: every
rule is asked once for all rows that its family puts at risk, and words are made only for reasons
that are shown.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from churn import own_reasons
from churn.columns import Column
from churn.compiled import Booleans, Floats, Integers
from churn.lowering_rules import LOWERING_RULES
from churn.reason_rules import CONTROLLABLE, RULES, Rule
from churn.reasons import Direction
from churn.schema import Schema
from churn.words import Language
from churn.words_by_column import fill_all, worded_all


@dataclass(frozen=True, slots=True)
class ManyReasons:
    """The reasons of n customers, one after another, each customer's largest first.

    Attributes
    ----------
    counts : ndarray of int64, shape (n,)
        How many each customer has; they sum to k.
    clue : ndarray of int64, shape (k,)
        Position in `clues` of what is told.
    clues : tuple of Clue
        All that can be told.
    family : ndarray of int64, shape (k,)
        Position in the schema's families.
    contribution, share : ndarray of float64, shape (k,)
        As in `churn.reasons.Reason`.
    value, norm : ndarray of float64, shape (k,)
        The same; NaN where there is none, the code of a category where it is one.
    text : ndarray of str objects, shape (k,)
        The sentences.
    main_families : ndarray of int64, shape (n, 3)
        Families of the three main reasons, however few are shown; -1 where there are fewer.
    """

    counts: Integers
    clue: Integers
    clues: tuple["Clue", ...]
    family: Integers
    contribution: Floats
    share: Floats
    value: Floats
    norm: Floats
    text: NDArray[np.object_]
    main_families: Integers

    def first(self, most: int) -> "ManyReasons":
        """At most so many of each customer."""
        rank = np.arange(len(self.clue)) - np.repeat(
            np.cumsum(self.counts) - self.counts, self.counts
        )
        kept = rank < most
        if kept.all():
            return self
        columns = ("clue", "family", "contribution", "share", "value", "norm", "text")
        return replace(
            self,
            counts=np.minimum(self.counts, most),
            **{name: getattr(self, name)[kept] for name in columns},
        )


class Columns(Mapping[str, Floats]):
    """Input columns by name, of some of the rows."""

    def __init__(self, X: Floats, position: Mapping[str, int]) -> None:
        self._X, self._position = X, position

    def __getitem__(self, name: str) -> Floats:
        return self._X[:, self._position[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._position)

    def __len__(self) -> int:
        return len(self._position)


@dataclass(frozen=True, slots=True)
class Clue:
    """What a family can tell: by a rule or by a column of the user's own.

    Attributes
    ----------
    code, feature : str
        As in `churn.reasons.Reason`.
    controllable : bool
        The same.
    column : Column or None
        The column of the user's own, if it is one.
    holds : callable
        Which rows give the evidence.
    norm : callable
        What the feature is held against, NaN where nothing.
    texts : callable
        The sentences, given columns, language and currency.
    """

    code: str
    feature: str
    controllable: bool
    column: Column | None
    holds: Callable[[Columns], Booleans]
    norm: Callable[[Columns], Floats | float]
    texts: Callable[[Columns, Language, str], list[str]]


def many_reasons(
    X: Floats,
    contributions: Floats,
    *,
    schema: Schema,
    max_reasons: int,
    language: Language,
    currency: str,
    direction: Direction = "raises",
) -> ManyReasons:
    """What `churn.reasons.reasons` gives for each of n rows.

    Parameters
    ----------
    X : ndarray of float64, shape (n, n_inputs)
        Input columns; NaN is missing.
    contributions : ndarray of float64, shape (n, n_families)
        Log-odds per family; all zero where nothing is to be told.
    schema, max_reasons, language, currency, direction
        As there.
    """
    clues, asked = _clues(schema, (1, -1) if direction == "both" else (1,))
    told = np.full(contributions.shape, -1, dtype=np.int64)
    moved = {sign: np.zeros(len(X)) for sign in (1, -1)}
    for family in range(contributions.shape[1]):
        for sign, total in moved.items():
            moves = sign * contributions[:, family] > 0.0
            total += np.where(moves, contributions[:, family], 0.0)
            rows = np.flatnonzero(moves)
            numbers = asked.get((sign, family), [])
            told[rows, family] = _first_that_hold(numbers, clues, X[rows], schema)
    by_rise = np.argsort(-contributions, axis=1, kind="stable")
    raising = np.where(contributions > 0.0, told, -1)
    speaks = np.take_along_axis(raising, by_rise, axis=1) >= 0
    rank = np.cumsum(speaks, axis=1)
    main = np.full((len(X), 3), -1, dtype=np.int64)
    row, place = np.nonzero(speaks & (rank <= 3))
    main[row, rank[row, place] - 1] = by_rise[row, place]

    order = by_rise
    if direction == "both":
        order = np.argsort(-np.abs(contributions), axis=1, kind="stable")
        speaks = np.take_along_axis(told, order, axis=1) >= 0
        rank = np.cumsum(speaks, axis=1)
    shown = speaks & (rank <= max_reasons)
    row, place = np.nonzero(shown)
    family_of = order[row, place]
    clue = told[row, family_of]
    contribution = contributions[row, family_of]
    value, norm = np.empty(len(row)), np.empty(len(row))
    text = np.empty(len(row), dtype=object)
    for at in np.unique(clue).tolist():
        here = np.flatnonzero(clue == at)
        columns = Columns(X[row[here]], schema.position)
        value[here] = columns[clues[at].feature]
        norm[here] = clues[at].norm(columns)
        text[here] = clues[at].texts(columns, language, currency)
    return ManyReasons(
        counts=shown.sum(axis=1),
        clue=clue,
        clues=clues,
        family=family_of,
        contribution=contribution,
        share=contribution / np.where(contribution > 0.0, moved[1][row], moved[-1][row]),
        value=value,
        norm=norm,
        text=text,
        main_families=main,
    )


def _first_that_hold(
    numbers: list[int], clues: tuple[Clue, ...], X: Floats, schema: Schema
) -> Integers:
    """For each row the first clue whose evidence is there, -1 where none is."""
    columns = Columns(X, schema.position)
    found = np.full(len(X), -1, dtype=np.int64)
    for at in numbers:
        found[(found < 0) & clues[at].holds(columns)] = at
    return found


def _clues(
    schema: Schema, signs: Sequence[int]
) -> tuple[tuple[Clue, ...], dict[tuple[int, int], list[int]]]:
    """Everything that can be told; and for each direction and family its own, as they are asked."""
    clues: list[Clue] = []
    asked: dict[tuple[int, int], list[int]] = {}
    for sign in signs:
        rules = (RULES if sign > 0 else LOWERING_RULES) if schema.loop else ()
        for at, family in enumerate(schema.families):
            own = schema.own_columns.get(family, ())
            found = [
                *(_of_rule(rule) for rule in rules if rule.family == family),
                *(_of_column(column, sign) for column in own),
                *(_of_column(column, None) for column in own if column.direction == 0),
            ]
            asked[sign, at] = list(range(len(clues), len(clues) + len(found)))
            clues += found
    return tuple(clues), asked


def _of_rule(rule: Rule) -> Clue:
    def holds(columns: Columns) -> Booleans:
        # A rule compares, so what it asks of one row's numbers it can ask of whole columns.
        there = cast(Callable[[Any], Booleans], rule.holds)(columns)
        for name in rule.needs:
            there = there & ~np.isnan(columns[name])
        return there

    def norm(columns: Columns) -> Floats | float:
        if isinstance(rule.norm, str):
            return columns[rule.norm]
        return np.nan if rule.norm is None else rule.norm

    def texts(columns: Columns, language: Language, currency: str) -> list[str]:
        def field(name: str, spec: str) -> list[str]:
            return worded_all(columns[name], spec, language, currency)

        return fill_all(rule.words[language], field, len(columns[rule.feature]))

    return Clue(rule.code, rule.feature, CONTROLLABLE[rule.family], None, holds, norm, texts)


def _of_column(column: Column, sign: int | None) -> Clue:
    """A column that lies off its norm on the side of `sign`, or that is known at all."""

    def holds(columns: Columns) -> Booleans:
        numbers = columns[column.name]
        return ~np.isnan(numbers) if sign is None else own_reasons.off_norm(column, numbers, sign)

    def norm(columns: Columns) -> float:
        return column.encode(column.norm)

    def texts(columns: Columns, language: Language, currency: str) -> list[str]:
        return own_reasons.sentences(column, columns[column.name], language, currency)

    return Clue(column.family, column.name, column.controllable, column, holds, norm, texts)
