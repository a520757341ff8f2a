"""Values of features for people, in their own units."""

from datetime import date
from typing import Any

_WEEKDAY = "last_weekday"
_TITLES = {
    "ratio": "times",
    "share": "%",
    "code": "",
    "category": "",
    "number": "",
}


def in_words(value: float, unit: str, currency: str = "") -> str:
    """A value with its unit.

    Examples
    --------
    >>> in_words(41.3, "days"), in_words(0.354, "share"), in_words(1234.5, "money", "EUR")
    ('41 days', '35%', '1,234 EUR')
    """
    if unit == "share":
        return f"{value:.0%}"
    text = f"{value:,.0f}" if abs(value) >= 20 or value == round(value) else f"{value:.2g}"
    noun = {"money": currency, "ratio": "times", "code": "", "category": "", "number": ""}.get(
        unit, unit
    )
    if text == "1" and noun.endswith("s") and unit != "ratio":
        noun = "category" if noun == "categories" else noun[:-1]
    return f"{text} {noun}".rstrip()


def axis_title(words: str, unit: str, currency: str = "") -> str:
    """Words of a feature with its unit in brackets, as an axis says it.

    Examples
    --------
    >>> axis_title("average cheque", "money", "EUR")
    'average cheque (EUR)'
    """
    shown = currency if unit == "money" else _TITLES.get(unit, unit)
    if unit == "share":
        shown = "%"
    words = words[:1].upper() + words[1:]
    return f"{words} ({shown})" if shown else words


def spoken(feature: str, code: Any) -> str:
    """What a code stands for: a weekday's name, yes or no, or itself.

    Examples
    --------
    >>> spoken("last_weekday", 0.0), spoken("is_one_time_buyer", 1.0), spoken("plan", "gold")
    ('Monday', 'yes', 'gold')
    """
    if isinstance(code, str):
        return code
    if feature == _WEEKDAY:
        return f"{date(2024, 1, 1 + int(code)):%A}"
    return {0.0: "no", 1.0: "yes"}.get(float(code), f"{code:g}")
