"""Columns of the user's own within SQL: their names, what they are, and which values are none."""

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from churn.advice import nearest
from churn.columns import UNSEEN, Column, Kind
from churn.compiled import Floats
from churn.errors import DataError, MappingError
from churn.events import LARGEST_NUMBER
from training.columns import Column as SqlColumn
from training.own_config import OwnColumn

LONGEST_CATEGORY = 128
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

Own = tuple[tuple[Column, SqlColumn], ...]
"""The columns of the user's own: what they are, and where they come from."""


def declared(
    sources: tuple[SqlColumn, ...], columns: Mapping[str, OwnColumn], where: str, section: str
) -> Own:
    """What each column is: as declared, else as its name and type tell.

    Parameters
    ----------
    sources : tuple of SqlColumn
        What the query gives.
    columns : mapping of str to OwnColumn
        What is declared.
    where, section : str
        What messages call the query, and the table of the declarations.

    Raises
    ------
    MappingError
        A column is declared but not given, or is neither a number nor a category.
    """
    by_name = {name.lower(): one for name, one in columns.items()}
    given = {source.name.lower() for source in sources}
    for name in columns:
        if name.lower() not in given:
            names = [source.name for source in sources]
            raise MappingError(
                f"{where} gives no column {name!r}, which [{section}.{name}] declares "
                f"(it gives {', '.join(names)}){nearest(name, names)}"
            )
    return tuple(
        (_column(source, by_name.get(source.name.lower(), OwnColumn()), where, section), source)
        for source in sources
    )


def judged(own: Own) -> tuple[list[str], list[str]]:
    """SQL that types the columns as own_0, own_1, ..., and the cases in which a row is none."""
    typed: list[str] = []
    cases: list[str] = []
    for at, (column, source) in enumerate(own):
        if column.kind == "numeric":
            typed += [f"{source.number} AS own_{at}", f"{source.is_given} AS given_{at}"]
            cases += [
                f"WHEN given_{at} AND own_{at} IS NULL THEN '{column.name}_unparseable'",
                f"WHEN NOT isfinite(own_{at}) THEN '{column.name}_not_finite'",
                f"WHEN abs(own_{at}) > {LARGEST_NUMBER:.0f} THEN '{column.name}_too_large'",
            ]
        else:
            typed.append(f"CASE WHEN {source.is_given} THEN {source.text} END AS own_{at}")
            cases.append(
                f"WHEN length(own_{at}) > {LONGEST_CATEGORY} THEN '{column.name}_too_long'"
            )
    return typed, cases


def recoded(
    numbers: Floats, given: tuple[Column, ...], wanted: tuple[Column, ...], section: str
) -> Floats:
    """Columns as they are given here, in a model's columns and codes; NaN for one that is not here.

    Raises
    ------
    DataError
        A column is a number here and has categories in the model, or the reverse.
    """
    here = {column.name: at for at, column in enumerate(given)}
    out = np.full((len(numbers), len(wanted)), np.nan)
    for at, column in enumerate(wanted):
        if column.name not in here:
            continue
        source, values = given[here[column.name]], numbers[:, here[column.name]]
        check_kind(source, column, section)
        if column.kind == "categorical":
            codes = np.array([UNSEEN, *(column.encode(name) for name in source.categories)])
            known = ~np.isnan(values)
            out[known, at] = codes[values[known].astype(np.int64)]
        else:
            out[:, at] = values
    return out


def check_kind(given: Column, wanted: Column, section: str) -> None:
    """Refuse a number where the model has categories, and the reverse.

    Raises
    ------
    DataError
        The message names the column.
    """
    if given.kind != wanted.kind:
        raise DataError(
            f"[{section}] column {given.name!r} is {given.kind}, but {wanted.kind} in the "
            f'model: declare kind = "{wanted.kind}" in [{section}.columns.{given.name}], or '
            "train again"
        )


def check_names(names: list[str], where: str) -> None:
    """Refuse two columns of one name, and a name that requests and bundles could not use.

    Raises
    ------
    MappingError
        The message names the column.
    """
    for name, count in Counter(name.lower() for name in names).items():
        if count > 1:
            raise MappingError(f"{where} gives column {name!r} twice; name each once")
    for name in names:
        if not _NAME.fullmatch(name):
            raise MappingError(
                f"{where}: column {name!r} needs a name of at most 64 Latin letters, digits and "
                "underscores; write `... AS such_a_name`"
            )


def _column(source: SqlColumn, declared: OwnColumn, where: str, section: str) -> Column:
    kind = declared.kind or _kind(source)
    readable = source.is_readable_as(kind) if kind is not None else False
    if kind is None or not readable:
        raise MappingError(
            f"{where}: column {source.name!r} is of type {source.type}, neither a number nor a "
            f"category; make it one, such as {_advice(source)}"
        )
    try:
        return declared.column(source.name, kind)
    except ValueError as error:
        raise MappingError(f"{where}: [{section}.{source.name}]: {error}") from None


def _kind(source: SqlColumn) -> Kind | None:
    if source.is_numeric or source.type == "NULL":
        return "numeric"
    return "categorical" if source.is_name else None


def _advice(source: SqlColumn) -> str:
    if source.type.startswith(("DATE", "TIME")):
        return f"date_diff('day', {source.name}, known_at)"
    return f"{source.name}::DOUBLE or {source.name}::VARCHAR"
