"""What a column of the user's own says as a reason, in the words that it was declared with."""

from collections.abc import Sequence

import numpy as np

from churn.columns import UNSEEN_NAME, Column, Raw
from churn.compiled import Booleans, Floats
from churn.reason_rules import Row
from churn.words import Language, parts, worded
from churn.words_by_column import fill_all, worded_all

_FORMAT_OF_UNIT = {"days": "days", "money": "money", "share": "percent"}
_UNSEEN: dict[Language, str] = {"en": "a rare or new one", "ru": "редкое или новое"}
_USUAL: dict[Language, str] = {
    "en": " {value} (usual: {norm})",
    "ru": " {value} (обычно: {norm})",
}


def evidence(columns: Sequence[Column], row: Row, sign: int = 1) -> Column | None:
    """The column of a family that says most clearly why, or None.

    The first that lies off its norm on the side that raises the risk, or for a `sign` of -1 on
    the side that lowers it; failing that, the first known one of which no side is known to.
    """
    undirected = None
    for column in columns:
        number = row[column.name]
        if number != number:
            continue
        if _is_off(column, number, sign):
            return column
        if undirected is None and column.direction == 0:
            undirected = column
    return undirected


def off_norm(column: Column, numbers: Floats, sign: int) -> Booleans:
    """Which of many customers' numbers lie off the norm, as `evidence` asks of one's."""
    if column.norm is None:
        return np.zeros(len(numbers), dtype=np.bool_)
    if isinstance(column.norm, str):
        codes, whose = np.unique(numbers, return_inverse=True)
        off = [code == code and _is_off(column, code, sign) for code in codes.tolist()]
        return np.array(off, dtype=np.bool_)[whose]
    known = ~np.isnan(numbers)
    if column.direction == 0:
        return np.asarray(known & (numbers != column.norm))
    side = sign * column.direction
    return np.asarray(side * numbers > side * column.norm)


def sentence(column: Column, value: Raw, language: Language, currency: str) -> str:
    """The text of a reason.

    Parameters
    ----------
    column : Column
        The evidence.
    value : float or str
        What the customer's is.
    language : {"en", "ru"}
        Of the words.
    currency : str
        Unit of money.
    """
    told = ""
    for text, name, spec in parts(_pattern(column, language)):
        told += text
        if name is not None:
            figure = value if name == "value" else column.norm
            told += _worded(column, figure, spec, language, currency)
    return told


def sentences(column: Column, numbers: Floats, language: Language, currency: str) -> list[str]:
    """`sentence` of each of many customers' numbers, none of them NaN, shape (n,)."""
    if column.kind == "categorical":
        codes, whose = np.unique(numbers, return_inverse=True)
        known = [sentence(column, column.decode(code), language, currency) for code in codes]
        return [known[at] for at in whose.tolist()]
    usual_format = _FORMAT_OF_UNIT.get(column.unit, "figures")

    def field(name: str, spec: str) -> list[str]:
        if name == "value":
            return worded_all(numbers, spec or usual_format, language, currency)
        return [_worded(column, column.norm, spec, language, currency)] * len(numbers)

    return fill_all(_pattern(column, language), field, len(numbers))


def template(column: Column, language: Language) -> str:
    """The text with the names of its figures in braces."""
    if column.text is not None:
        return column.text[language]
    return f"{column.label[language]}:{_USUAL[language]}"


def _pattern(column: Column, language: Language) -> str:
    """The template of what can be told: without a norm, one that asks for it is of no use."""
    if column.text is not None:
        text = column.text[language]
        if column.norm is not None or all(name != "norm" for _, name, _ in parts(text)):
            return text
    label = column.label[language].replace("{", "{{").replace("}", "}}")
    return f"{label}:{_USUAL[language] if column.norm is not None else ' {value}'}"


def _is_off(column: Column, number: float, sign: int) -> bool:
    if column.norm is None:
        return False
    if isinstance(column.norm, str):
        return column.decode(number) != column.norm
    if column.direction == 0:
        return number != column.norm
    side = sign * column.direction
    return side * number > side * column.norm


def _worded(column: Column, figure: Raw, spec: str, language: Language, currency: str) -> str:
    """A value or norm of the column in words, in its unit's format where the field has none."""
    if isinstance(figure, str):
        is_new = figure == UNSEEN_NAME and figure not in column.categories
        return _UNSEEN[language] if is_new else figure
    if figure is None:
        return ""
    return worded(figure, spec or _FORMAT_OF_UNIT.get(column.unit, "figures"), language, currency)
