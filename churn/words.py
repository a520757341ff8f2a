"""Numbers in words: plural forms, decimals and money in English and Russian."""

import math
from collections.abc import Mapping
from functools import lru_cache
from string import Formatter
from typing import Literal

Language = Literal["en", "ru"]

# English: one, other. Russian: one (1, 21), few (2-4, 22-24), many (0, 5-20) and, for fractions,
# the few form's genitive singular, which is the same word as "few" for these nouns.
_NOUNS: dict[str, dict[Language, tuple[str, ...]]] = {
    "days": {"en": ("day", "days"), "ru": ("день", "дня", "дней")},
    "orders": {"en": ("order", "orders"), "ru": ("заказ", "заказа", "заказов")},
    "complaints": {"en": ("complaint", "complaints"), "ru": ("жалоба", "жалобы", "жалоб")},
    "returns": {"en": ("return", "returns"), "ru": ("возврат", "возврата", "возвратов")},
    "cancellations": {"en": ("cancellation", "cancellations"), "ru": ("отмена", "отмены", "отмен")},
    "visits": {"en": ("visit", "visits"), "ru": ("визит", "визита", "визитов")},
    "categories": {
        "en": ("category", "categories"),
        "ru": ("категория", "категории", "категорий"),
    },
}

FORMATS = (*_NOUNS, "money", "percent", "number", "figures")
"""What a field of a template may ask for, as in ``{silence:days}``."""


def number(value: float, language: Language, decimals: int = 1) -> str:
    """A decimal with at most `decimals` places: 4, 4.8, 1,234.5 (ru: 4,8 and 1 234,5).

    Examples
    --------
    >>> number(1234.5, "en"), number(4.0, "en"), number(0.04, "en")
    ('1,234.5', '4', '0')
    """
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text == "-0":
        text = "0"
    if language == "ru":
        text = text.replace(",", "\u00a0").replace(".", ",")
    return text


def figures(value: float, language: Language) -> str:
    """A number of unknown size with three figures that say something, or one decimal.

    Examples
    --------
    >>> figures(0.04237, "en"), figures(1234.56, "en"), figures(0.5, "ru")
    ('0.0424', '1,234.6', '0,5')
    """
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    return number(value, language, min(max(places, 1), 9))


def counted(value: float, noun: str, language: Language) -> str:
    """A number with its noun in the right form.

    Examples
    --------
    >>> counted(1, "days", "en"), counted(41, "days", "ru"), counted(4.8, "orders", "ru")
    ('1 day', '41 день', '4,8 заказа')
    """
    text = number(value, language)
    forms = _NOUNS[noun][language]
    if language == "en":
        form = forms[0] if text == "1" else forms[1]
    elif "," in text:
        form = forms[1]
    else:
        form = forms[_russian_plural(int(text.replace("\u00a0", "")))]
    return f"{text} {form}"


def _russian_plural(n: int) -> int:
    n = abs(n)
    if n % 10 == 1 and n % 100 != 11:
        return 0
    if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14):
        return 1
    return 2


@lru_cache(maxsize=1 << 12)  # days, counts and norms come again and again
def worded(value: float, spec: str, language: Language, currency: str = "") -> str:
    """A number in the form that a field of a template asks for, one of `FORMATS`.

    Examples
    --------
    >>> worded(41.3, "days", "en"), worded(12.5, "money", "en", "EUR"), worded(0.4, "percent", "ru")
    ('41 days', '12.5 EUR', '40 %')
    """
    if spec in _NOUNS:
        if spec == "days":  # a silence of 41.3 days is 41 days
            value = float(round(value))
        return counted(value, spec, language)
    if spec == "money":
        return f"{number(value, language, 2)} {currency}".rstrip()
    if spec == "percent":
        text = number(100.0 * value, language, 0)
        return f"{text} %" if language == "ru" else f"{text}%"
    if spec == "number":
        return number(value, language)
    if spec == "figures":
        return figures(value, language)
    raise ValueError(f"unknown format {spec!r}")


def fill(
    template: str, numbers: Mapping[str, float], language: Language, currency: str = ""
) -> str:
    """Fill a template such as ``"{silence:days} without a purchase"``.

    Parameters
    ----------
    template : str
        With fields named as in `numbers`, each with one of `FORMATS`.
    numbers : mapping of str to float
        What the fields stand for.
    language : {"en", "ru"}
        Whose plural forms and decimal marks.
    currency : str
        Unit of money.
    """
    told = ""
    for text, name, spec in parts(template):
        told += text
        if name is not None:
            told += worded(numbers[name], spec, language, currency)
    return told


@lru_cache(maxsize=4096)
def parts(template: str) -> tuple[tuple[str, str | None, str], ...]:
    """A template's texts, each with the name and the format of the field that follows it.

    Templates come from rules and bundles, so they are few.

    Examples
    --------
    >>> parts("{silence:days} without {what}")
    (('', 'silence', 'days'), (' without ', 'what', ''))
    """
    return tuple((text, name, spec or "") for text, name, spec, _ in Formatter().parse(template))
